// base: byte copies for freestanding rooms (those that also run inside the agent, which calls no libc: a libc memcpy may use AVX and
// may be the very function under a probe). In the agent these are the agent's own; elsewhere the compiler's builtins.
#pragma once
#include "base/types.h"

namespace skep {

/// The freestanding copy and fill. Forward, in words where they are short: `rep` instructions take 10 to 30 ns to begin with on
/// processors that do not make them short ones too (FSRM). The empty asm keeps the compiler from making a call of memcpy() of it.
constexpr std::size_t SHORT_BYTES = 128;
[[gnu::noinline]] inline void copy_words(void* dst, const void* src, std::size_t n) noexcept {
  u8* d = static_cast<u8*>(dst);
  const u8* s = static_cast<const u8*>(src);
  if (n > SHORT_BYTES) {
    asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return;
  }
  const auto move = [&]<typename T>(T) noexcept {
    T v;
    __builtin_memcpy(&v, s, sizeof v);
    __builtin_memcpy(d, &v, sizeof v);
    asm volatile("" : "+r"(d), "+r"(s) : : "memory");
    d += sizeof v;
    s += sizeof v;
  };
  for (; n >= 8; n -= 8) move(u64{});
  if ((n & 4) != 0) move(u32{});
  if ((n & 2) != 0) move(u16{});
  if ((n & 1) != 0) move(u8{});
}
[[gnu::noinline]] inline void zero_words(void* dst, std::size_t n) noexcept {
  u8* d = static_cast<u8*>(dst);
  if (n > SHORT_BYTES) {
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0) : "memory");
    return;
  }
  const auto clear = [&]<typename T>(T v) noexcept {
    __builtin_memcpy(d, &v, sizeof v);
    asm volatile("" : "+r"(d) : : "memory");
    d += sizeof v;
  };
  for (; n >= 8; n -= 8) clear(u64{0});
  if ((n & 4) != 0) clear(u32{0});
  if ((n & 2) != 0) clear(u16{0});
  if ((n & 1) != 0) clear(u8{0});
}

inline void copy_bytes(void* dst, const void* src, std::size_t n) noexcept {
#ifdef SKEP_FREESTANDING
  if (__builtin_constant_p(n) && n <= 32)
    __builtin_memcpy(dst, src, n);  // some moves
  else
    copy_words(dst, src, n);
#else
  __builtin_memcpy(dst, src, n);
#endif
}
inline void zero_bytes(void* dst, std::size_t n) noexcept {
#ifdef SKEP_FREESTANDING
  if (__builtin_constant_p(n) && n <= 32)
    __builtin_memset(dst, 0, n);
  else
    zero_words(dst, n);
#else
  __builtin_memset(dst, 0, n);
#endif
}
/// True when the n bytes are equal. Either may change under us (shared memory): the answer is then any.
inline bool equal_bytes(const void* a, const void* b, std::size_t n) noexcept {
  const u8* x = static_cast<const u8*>(a);
  const u8* y = static_cast<const u8*>(b);
  for (; n >= 8; n -= 8, x += 8, y += 8) {
    u64 p, q;
    __builtin_memcpy(&p, x, 8);
    __builtin_memcpy(&q, y, 8);
    if (p != q) return false;
  }
  for (; n > 0; --n)
    if (*x++ != *y++) return false;
  return true;
}

}  // namespace skep
