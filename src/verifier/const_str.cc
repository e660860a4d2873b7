#include "verifier/const_str.h"

#include <optional>

#include "verifier/call_args.h"

namespace skep {
namespace {

// Character classes as the kernel's Latin-1 table has them. Linux: lib/ctype.c
constexpr bool is_digit(u8 c) { return c >= '0' && c <= '9'; }
constexpr bool is_space(u8 c) { return (c >= 9 && c <= 13) || c == ' ' || c == 0xa0; }
constexpr bool is_alnum(u8 c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}
constexpr bool is_punct(u8 c) { return ((c > ' ' && c < 0x7f) || c > 0xa0) && !is_alnum(c); }

/// The bytes of a map's only value from `off` up to a NUL; nothing: there is no NUL, or the bytes cannot be had.
std::optional<std::string> read_const_str(const VerifierEnv& env, const VerifierMap& map, u32 off) {
  std::string text;
  if (!env.input.read_frozen) return std::nullopt;
  for (u64 byte = 0; off < map.value_size; ++off) {
    if (!env.input.read_frozen(map, off, 1, &byte)) return std::nullopt;
    if (static_cast<u8>(byte) == 0) return text;
    text.push_back(static_cast<char>(byte));
  }
  return std::nullopt;
}

/// Linux: bpf_map_ops.map_direct_value_addr
bool has_direct_value(const VerifierMap& map) { return map.type == BPF_MAP_TYPE_ARRAY || map.type == BPF_MAP_TYPE_ARENA; }

u32 map_offset(const RegState& reg) { return static_cast<u32>(static_cast<u64>(static_cast<s64>(reg.off)) + reg.var_off.value); }

/// One conversion after its '%', flags and width not yet skipped. `at` is left on its last character.
class Conversion {
 public:
  Conversion(std::string_view fmt, std::size_t& at) : fmt_(fmt), at_(at) {}

  bool valid() {
    if (peek() >= 0x80) return false;
    skip_flags_and_width();
    switch (peek()) {
      case 'p':
        return pointer();
      case 's':
        return ends_after();
      case 'c':
        return true;
      default:
        return integer();
    }
  }

 private:
  u8 peek(std::size_t ahead = 0) const { return at_ + ahead < fmt_.size() ? static_cast<u8>(fmt_[at_ + ahead]) : u8{0}; }
  bool ends_after() const {
    const u8 next = peek(1);
    return next == 0 || is_space(next) || is_punct(next);
  }
  void skip_flags_and_width() {
    while (peek() == '0' || peek() == '+' || peek() == '-' || peek() == ' ') ++at_;
    if (peek() >= '1' && peek() <= '9')
      while (is_digit(peek())) ++at_;
  }
  bool pointer() {
    if (ends_after()) return true;
    const u8 kind = peek(1);
    if ((kind == 'k' || kind == 'u') && peek(2) == 's') {
      at_ += 2;
      return ends_after();
    }
    if (kind == 'K' || kind == 'x' || kind == 's' || kind == 'S' || kind == 'B') {
      ++at_;
      return true;
    }
    if ((kind != 'i' && kind != 'I') || (peek(2) != '4' && peek(2) != '6')) return false;
    at_ += 2;
    return true;
  }
  bool integer() {
    for (int l = 0; l < 2 && peek() == 'l'; ++l) ++at_;
    const u8 c = peek();
    return c == 'i' || c == 'd' || c == 'u' || c == 'x' || c == 'X';
  }

  std::string_view fmt_;
  std::size_t& at_;
};

}  // namespace

bool format_valid(std::string_view fmt, u32 num_args) {
  u32 used = 0;
  for (std::size_t at = 0; at < fmt.size(); ++at) {
    const u8 c = static_cast<u8>(fmt[at]);
    if (c < 0x80 && !(c >= ' ' && c < 0x7f) && !is_space(c)) return false;
    if (c != '%') continue;
    if (at + 1 < fmt.size() && fmt[at + 1] == '%') {
      ++at;
      continue;
    }
    if (used++ >= num_args) return false;
    ++at;
    if (!Conversion(fmt, at).valid()) return false;
  }
  return true;
}

Status check_reg_const_str(VerifierEnv& env, const RegState& reg, u32 regno) {
  if (reg.type != PTR_TO_MAP_VALUE) return Errno(EINVAL);
  const VerifierMap& map = *reg.map_ptr;
  if (!bpf_map_is_rdonly(map)) return env.refuse(EACCES, "R{} does not point to a readonly map'", regno);
  if (!tnum_is_const(reg.var_off)) return env.refuse(EACCES, "R{} is not a constant address'", regno);
  if (!has_direct_value(map)) return env.refuse(EACCES, "no direct value access support for this map type");
  TRY(check_map_access(env, regno, reg.off, map.value_size - static_cast<u32>(reg.off), false, true));
  const u32 off = map_offset(reg);
  const Status found = env.input.direct_value ? env.input.direct_value(map, off) : Status(Errno(ENOTSUPP_));
  if (!found.ok()) return env.refuse(found.error().value(), "direct value access on string failed");
  if (!read_const_str(env, map, off)) return env.refuse(EINVAL, "string is not zero-terminated");
  return ok_status();
}

Status check_bpf_snprintf_call(VerifierEnv& env) {
  const RegState& fmt_reg = env.cur_regs()[R3];
  const u64 data_len = env.cur_regs()[R5].var_off.value;  // arguments are an array of u64
  if (data_len % 8 != 0) return Errno(EINVAL);
  const std::optional<std::string> fmt = read_const_str(env, *fmt_reg.map_ptr, map_offset(fmt_reg));
  if (!fmt) return env.refuse(EFAULT, "verifier bug");
  if (!format_valid(*fmt, static_cast<u32>(data_len / 8))) return env.refuse(EINVAL, "Invalid format string");
  return ok_status();
}

}  // namespace skep
