// maps: keys copied and compared, and short values copied. Freestanding.
#pragma once
#include "base/atomic.h"
#include "base/bytes.h"

namespace skep {

/// Of values, most are one word.
inline void copy_value_bytes(u8* to, const void* from, u64 n) noexcept {
  if (n != 8) return copy_bytes(to, from, n);
  u64 word;
  __builtin_memcpy(&word, from, 8);
  store_relaxed(reinterpret_cast<u64*>(to), word);
}

/// K: the key's size where it is known when this is compiled (4, 8, 16), else 0: n.
template <u32 K>
inline void copy_key_bytes(void* to, const void* from, u32 n) noexcept {
  if constexpr (K == 0) {
    copy_bytes(to, from, n);
  } else {
    __builtin_memcpy(to, from, K);
  }
}

template <u32 K>
inline bool same_key_bytes(const void* a, const void* b, u32 n) noexcept {
  if constexpr (K == 0) {
    return equal_bytes(a, b, n);
  } else {
    static_assert(K == 4 || K == 8 || K == 16);
    if constexpr (K == 4) {
      u32 x, y;
      __builtin_memcpy(&x, a, 4);
      __builtin_memcpy(&y, b, 4);
      return x == y;
    } else {
      u64 x[K / 8], y[K / 8];
      __builtin_memcpy(x, a, K);
      __builtin_memcpy(y, b, K);
      u64 differ = 0;
      for (u32 i = 0; i < K / 8; ++i) differ |= x[i] ^ y[i];
      return differ == 0;
    }
  }
}

}  // namespace skep
