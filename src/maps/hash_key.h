// maps: the hash of a key. 64x64 to 128 bit multiplications, folded; eight bytes a step.
#pragma once
#include "base/types.h"

namespace skep {

inline u64 hash_fold(u64 a, u64 b) noexcept {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}

inline u32 hash_key(const void* key, u32 size, u32 seed) noexcept {
  constexpr u64 odd1 = 0x9e3779b97f4a7c15ULL, odd2 = 0xd6e8feb86659fd93ULL;
  const u8* p = static_cast<const u8*>(key);
  u64 h = (seed ^ (static_cast<u64>(size) << 32)) + odd2;
  u32 left = size;
  for (; left >= 8; left -= 8, p += 8) {
    u64 word;
    __builtin_memcpy(&word, p, 8);
    h = hash_fold(h ^ word, odd1) + odd2;
  }
  if (left != 0) {
    u64 word = 0;
    if (left >= 4) {
      u32 low;
      __builtin_memcpy(&low, p, 4);
      word = low;
      for (u32 i = 4; i < left; ++i) word |= static_cast<u64>(p[i]) << (8 * i);
    } else {
      for (u32 i = 0; i < left; ++i) word |= static_cast<u64>(p[i]) << (8 * i);
    }
    h = hash_fold(h ^ word, odd1) + odd2;
  }
  h = hash_fold(h, odd2);
  return static_cast<u32>(h ^ h >> 32);
}

}  // namespace skep
