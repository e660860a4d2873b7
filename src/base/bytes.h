// base: byte copies for freestanding rooms (those that also run inside the agent, which calls no libc: a libc memcpy may use AVX and
// may be the very function under a probe). In the agent these are the agent's own; elsewhere the compiler's builtins.
#pragma once
#include "base/types.h"

namespace skep {

inline void copy_bytes(void* dst, const void* src, std::size_t n) noexcept {
#ifdef SKEP_FREESTANDING
  void* d = dst;
  const void* s = src;
  asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
#else
  __builtin_memcpy(dst, src, n);
#endif
}
inline void zero_bytes(void* dst, std::size_t n) noexcept {
#ifdef SKEP_FREESTANDING
  void* d = dst;
  asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0) : "memory");
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
