// helpers: numbers from text, comparison, formatted text. Linux: kernel/bpf/helpers.c
#include <cerrno>

#include "base/bytes.h"
#include "helpers/format.h"
#include "helpers/helper_list.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

/// As the kernel's Latin-1 table has them. Linux: lib/ctype.c
constexpr bool is_space(u8 c) noexcept { return (c >= 9 && c <= 13) || c == ' ' || c == 0xa0; }
constexpr u8 lower(u8 c) noexcept { return static_cast<u8>(c | 0x20); }
/// The digit's value; 99: none.
constexpr u32 digit(u8 c) noexcept {
  if (c >= '0' && c <= '9') return c - u32{'0'};
  return lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - u32{'a'} + 10 : 99;
}

struct Number {
  u64 value = 0;
  bool negative = false;
  long consumed = 0;  ///< or -errno
};

/// At most 63 characters of digits, base prefix included. Linux: helpers.c:__bpf_strtoull(), lib/kstrtox.c:_parse_integer()
Number parse(const u8* buf, u64 len, u64 flags) noexcept {
  constexpr u64 BASE_MASK = 31, MAX_TEXT = 63;
  Number n;
  u32 base = static_cast<u32>(flags & BASE_MASK);
  n.consumed = -EINVAL;
  if ((base != 0 && base != 8 && base != 10 && base != 16) || (flags & ~BASE_MASK) != 0) return n;
  u64 at = 0;
  while (at < len && is_space(buf[at])) ++at;
  n.negative = at < len && buf[at] == '-';
  if (n.negative) ++at;
  if (at == len) return n;
  const u64 end = len - at < MAX_TEXT ? len : at + MAX_TEXT;
  const auto c = [&](u64 i) { return i < end ? buf[i] : u8{0}; };
  if (base == 0) base = c(at) != '0' ? 10 : lower(c(at + 1)) == 'x' && digit(c(at + 2)) < 16 ? 16 : 8;
  if (base == 16 && c(at) == '0' && lower(c(at + 1)) == 'x') at += 2;
  const u64 first = at;
  bool overflow = false;
  for (u32 d; (d = digit(c(at))) < base; ++at) {
    overflow =
        overflow || __builtin_mul_overflow(n.value, u64{base}, &n.value) || __builtin_add_overflow(n.value, u64{d}, &n.value);
  }
  n.consumed = overflow ? -ERANGE : at == first ? -EINVAL : static_cast<long>(at);
  return n;
}

void store(u64 to, u64 value) noexcept { copy_bytes(reinterpret_cast<void*>(to), &value, sizeof value); }

}  // namespace

u64 bpf_strtol(RunCtx&, u64 buf, u64 len, u64 flags, u64 res, u64) noexcept {
  store(res, 0);
  const Number n = parse(reinterpret_cast<const u8*>(buf), len, flags);
  if (n.consumed < 0) return ret(n.consumed);
  const u64 value = n.negative ? 0 - n.value : n.value;
  if (n.negative ? static_cast<s64>(value) > 0 : static_cast<s64>(value) < 0) return ret(-ERANGE);
  store(res, value);
  return ret(n.consumed);
}

u64 bpf_strtoul(RunCtx&, u64 buf, u64 len, u64 flags, u64 res, u64) noexcept {
  store(res, 0);
  const Number n = parse(reinterpret_cast<const u8*>(buf), len, flags);
  if (n.consumed < 0) return ret(n.consumed);
  if (n.negative) return ret(-EINVAL);
  store(res, n.value);
  return ret(n.consumed);
}

/// The difference of the first bytes that are not the same, as Linux's x86-64 build has it: -1, 0 or 1. Linux:
/// lib/string.c:strncmp()
u64 bpf_strncmp(RunCtx&, u64 s1, u64 size, u64 s2, u64, u64) noexcept {
  const u8* a = reinterpret_cast<const u8*>(s1);
  const u8* b = reinterpret_cast<const u8*>(s2);
  for (u64 i = 0; i < size; ++i) {
    if (a[i] != b[i]) return ret(a[i] < b[i] ? -1 : 1);
    if (a[i] == 0) break;
  }
  return 0;
}

u64 bpf_snprintf(RunCtx& run, u64 str, u64 size, u64 fmt, u64 data, u64 data_len) noexcept {
  if (data_len % 8 != 0 || data_len > MAX_BPRINTF_VARARGS * 8 || (data_len != 0 && data == 0)) return ret(-EINVAL);
  u64 args[MAX_BPRINTF_VARARGS];
  copy_bytes(args, reinterpret_cast<const void*>(data), data_len);
  char none;
  char* out = size == 0 ? &none : reinterpret_cast<char*>(str);
  // The format ends in its map's value: the proto's check has seen its NUL.
  const long len =
      format_bpf(run, out, size == 0 ? 1 : size, reinterpret_cast<const char*>(fmt), ~0u, args, static_cast<u32>(data_len / 8));
  return ret(len < 0 ? len : len + 1);
}

}  // namespace skep
