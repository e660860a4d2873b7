#include "helpers/format.h"

#include <cerrno>

#include "base/bytes.h"
#include "helpers/user_memory.h"

namespace skep {
namespace {

constexpr u32 STAGING_SIZE = 512;  // Linux: helpers.c:MAX_BPRINTF_BIN_ARGS
constexpr u64 FIELD_WIDTH_MAX = (1u << 23) - 1;

// Character classes as the kernel's Latin-1 table has them. Linux: lib/ctype.c
constexpr bool is_digit(u8 c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_space(u8 c) noexcept { return (c >= 9 && c <= 13) || c == ' ' || c == 0xa0; }
constexpr bool is_alnum(u8 c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}
constexpr bool is_punct(u8 c) noexcept { return ((c > ' ' && c < 0x7f) || c > 0xa0) && !is_alnum(c); }
constexpr bool ends_spec(u8 c) noexcept { return c == 0 || is_space(c) || is_punct(c); }

struct Spec {
  bool zero = false, plus = false, minus = false, space = false;
  u64 width = 0;
  bool has_width = false;
};

/// Output that counts on when it is full.
struct Sink {
  char* out;
  u64 room;  ///< without the NUL
  u64 len = 0;
  void put(char c) noexcept {
    if (len < room) out[len] = c;
    ++len;
  }
  void pad(char c, u64 n) noexcept {
    for (u64 i = len; i < room && i < len + n; ++i) out[i] = c;
    len += n;
  }
  void text(const char* s, u64 n, const Spec& spec) noexcept {
    const u64 fill = spec.width > n ? spec.width - n : 0;
    if (!spec.minus) pad(' ', fill);
    for (u64 i = 0; i < n; ++i) put(s[i]);
    if (spec.minus) pad(' ', fill);
  }
};

/// Digits of v, most significant first. Returns how many.
u32 digits(char out[20], u64 v, u32 base, bool upper) noexcept {
  char reversed[20];
  u32 n = 0;
  do {
    const u32 d = static_cast<u32>(v % base);
    reversed[n++] = static_cast<char>(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
    v /= base;
  } while (v != 0);
  for (u32 i = 0; i < n; ++i) out[i] = reversed[n - 1 - i];
  return n;
}

/// Linux: lib/vsprintf.c:number()
void put_number(Sink& sink, const Spec& spec, u64 magnitude, u32 base, bool upper, char sign) noexcept {
  char text[20];
  const u32 n = digits(text, magnitude, base, upper);
  const u64 used = n + (sign != 0 ? 1 : 0);
  const u64 fill = spec.width > used ? spec.width - used : 0;
  const bool zeros = spec.zero && !spec.minus;
  if (!spec.minus && !zeros) sink.pad(' ', fill);
  if (sign != 0) sink.put(sign);
  if (zeros) sink.pad('0', fill);
  for (u32 i = 0; i < n; ++i) sink.put(text[i]);
  if (spec.minus) sink.pad(' ', fill);
}

void put_integer(Sink& sink, const Spec& spec, u64 value, char conv, bool wide) noexcept {
  if (conv == 'd' || conv == 'i') {
    const s64 v = wide ? static_cast<s64>(value) : static_cast<s32>(value);
    const char sign = v < 0 ? '-' : spec.plus ? '+' : spec.space ? ' ' : '\0';
    put_number(sink, spec, v < 0 ? 0 - static_cast<u64>(v) : static_cast<u64>(v), 10, false, sign);
    return;
  }
  put_number(sink, spec, wide ? value : static_cast<u32>(value), conv == 'u' ? 10 : 16, conv == 'X', '\0');
}

/// Linux: lib/vsprintf.c:pointer_string()
void put_pointer(Sink& sink, Spec spec, u64 value) noexcept {
  if (!spec.has_width) {
    spec.width = 16;
    spec.zero = true;
  }
  put_number(sink, spec, value, 16, false, '\0');
}

void put_symbol(Sink& sink, const Spec& spec, u64 value) noexcept {
  char text[22] = {'0', 'x'};
  sink.text(text, 2 + digits(text + 2, value, 16, false), spec);
}

/// Linux: lib/vsprintf.c:ip4_string(). 'i' pads each part to three digits.
void put_ip4(Sink& sink, const u8* addr, char style) noexcept {
  const Spec part{.zero = true, .width = style == 'i' ? u64{3} : u64{0}};
  for (int i = 0; i < 4; ++i) {
    if (i != 0) sink.put('.');
    put_number(sink, part, addr[i], 10, false, '\0');
  }
}

/// Linux: lib/vsprintf.c:ip6_string(). 'i' leaves the colons out.
void put_ip6(Sink& sink, const u8* addr, char style) noexcept {
  const Spec part{.zero = true, .width = 2};
  for (int i = 0; i < 16; ++i) {
    if (i != 0 && i % 2 == 0 && style == 'I') sink.put(':');
    put_number(sink, part, addr[i], 16, false, '\0');
  }
}

/// One pass over the format: checks each conversion as Linux's prepare step does and prints it at once.
class Formatter {
 public:
  Formatter(RunCtx& run, Sink& sink, const char* fmt, u64 len, const u64* args, u32 n_args) noexcept
      : run_(run), sink_(sink), fmt_(fmt), len_(len), args_(args), n_args_(n_args) {}

  long run() noexcept {
    while (at_ < len_) {
      const u8 c = peek();
      if (c < 0x80 && !(c >= ' ' && c < 0x7f) && !is_space(c)) return -EINVAL;
      if (c != '%') {
        sink_.put(static_cast<char>(c));
        ++at_;
      } else if (peek(1) == '%') {
        sink_.put('%');
        at_ += 2;
      } else {
        ++at_;
        if (const long err = conversion(); err != 0) return err;
      }
    }
    return 0;
  }

 private:
  /// The string ends in a NUL at len_, where nobody steps over it.
  u8 peek(u64 ahead = 0) const noexcept { return at_ + ahead < len_ ? static_cast<u8>(fmt_[at_ + ahead]) : 0; }

  Spec parse_spec() noexcept {
    Spec spec;
    for (;; ++at_) {
      switch (peek()) {
        case '0': spec.zero = true; continue;
        case '+': spec.plus = true; continue;
        case '-': spec.minus = true; continue;
        case ' ': spec.space = true; continue;
        default: break;
      }
      break;
    }
    for (; is_digit(peek()); ++at_) {
      spec.has_width = true;
      spec.width = spec.width * 10 + (peek() - '0');
      if (spec.width > FIELD_WIDTH_MAX) spec.width = FIELD_WIDTH_MAX;
    }
    return spec;
  }

  /// Room for one number among the staged arguments.
  long stage_number(u32 bytes) noexcept {
    const u32 at = round_up(staged_, 4u);
    if (STAGING_SIZE < at + bytes) return -ENOSPC;
    staged_ = at + bytes;
    return 0;
  }

  long conversion() noexcept {
    if (next_arg_ >= n_args_) return -EINVAL;
    if (peek() >= 0x80) return -EINVAL;
    const Spec spec = parse_spec();
    const u64 arg = args_[next_arg_++];
    switch (peek()) {
      case 'p': ++at_; return pointer(spec, arg);
      case 's': ++at_; return string(spec, arg, Space::Either, true);
      case 'c': ++at_; return character(spec, arg);
      default: return integer(spec, arg);
    }
  }

  long integer(const Spec& spec, u64 arg) noexcept {
    bool wide = false;
    for (int i = 0; i < 2 && peek() == 'l'; ++i, ++at_) wide = true;
    const char conv = static_cast<char>(peek());
    if (conv != 'i' && conv != 'd' && conv != 'u' && conv != 'x' && conv != 'X') return -EINVAL;
    ++at_;
    if (const long err = stage_number(wide ? 8 : 4); err != 0) return err;
    put_integer(sink_, spec, arg, conv, wide);
    return 0;
  }

  long character(const Spec& spec, u64 arg) noexcept {
    if (staged_ == STAGING_SIZE) return -ENOSPC;
    ++staged_;
    const char c = static_cast<char>(arg);
    sink_.text(&c, 1, spec);
    return 0;
  }

  long string(const Spec& spec, u64 arg, Space space, bool padded) noexcept {
    if (!ends_spec(peek())) return -EINVAL;
    if (staged_ == STAGING_SIZE) return -ENOSPC;
    char* text = staging_ + staged_;
    long len = read_string(run_, text, STAGING_SIZE - staged_, arg, space);
    if (len < 1) {
      text[0] = 0;
      len = 1;
    }
    staged_ += static_cast<u32>(len);
    sink_.text(text, static_cast<u64>(len) - 1, padded ? spec : Spec{});
    return 0;
  }

  /// After 'p'. Linux's second pass takes every letter and digit behind %p for part of it: they are not printed.
  long pointer(const Spec& spec, u64 arg) noexcept {
    const long err = pointer_kind(spec, arg);
    while (err == 0 && is_alnum(peek())) ++at_;
    return err;
  }

  long pointer_kind(const Spec& spec, u64 arg) noexcept {
    const u8 kind = peek();
    if (ends_spec(kind) || kind == 'K' || kind == 'x') {
      if (const long err = stage_number(8); err != 0) return err;
      put_pointer(sink_, spec, arg);
      return 0;
    }
    if ((kind == 'k' || kind == 'u') && peek(1) == 's') {
      at_ += 2;
      return string(spec, arg, kind == 'k' ? Space::Kernel : Space::User, false);
    }
    if (kind == 's' || kind == 'S') {
      if (const long err = stage_number(8); err != 0) return err;
      put_symbol(sink_, spec, arg);
      return 0;
    }
    if (kind == 'B') {
      put_symbol(sink_, Spec{}, arg);
      return 0;
    }
    return ip_address(arg);
  }

  long ip_address(u64 arg) noexcept {
    const u8 style = peek(), version = peek(1);
    if ((style != 'i' && style != 'I') || (version != '4' && version != '6')) return -EINVAL;
    at_ += 2;
    const u32 bytes = version == '4' ? 4 : 16;
    if (STAGING_SIZE - staged_ < bytes) return -ENOSPC;
    u8 addr[16];
    (void)read_bytes(run_, addr, bytes, arg, Space::Kernel);  // zeroed when it cannot be read, and printed so
    const u64 before = sink_.len;
    version == '4' ? put_ip4(sink_, addr, static_cast<char>(style)) : put_ip6(sink_, addr, static_cast<char>(style));
    const u64 staged = staged_ + (sink_.len - before) + 1;
    staged_ = staged < STAGING_SIZE ? static_cast<u32>(staged) : STAGING_SIZE;
    return 0;
  }

  RunCtx& run_;
  Sink& sink_;
  const char* fmt_;
  u64 len_;
  const u64* args_;
  u32 n_args_;
  u32 next_arg_ = 0;
  u64 at_ = 0;
  u32 staged_ = 0;
  char staging_[STAGING_SIZE];
};

}  // namespace

long format_bpf(RunCtx& run, char* out, u64 size, const char* fmt, u64 fmt_size, const u64* args, u32 n_args) noexcept {
  u64 len = 0;
  while (len < fmt_size && fmt[len] != 0) ++len;
  if (len == fmt_size) return -EINVAL;
  Sink sink{out, size - 1};
  Formatter formatter(run, sink, fmt, len, args, n_args);
  if (const long err = formatter.run(); err != 0) return err;
  out[sink.len < sink.room ? sink.len : sink.room] = 0;
  return static_cast<long>(sink.len);
}

}  // namespace skep
