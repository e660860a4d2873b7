// maps: the hash of a key: 64x64 to 128 bit multiplications, folded. The multiplier is the map's own, so nobody who does not know
// its seed can choose keys that collide.
#pragma once
#include "base/types.h"

namespace skep {

/// Where a key belongs: its bucket, and a tag that tells most other keys of the bucket from it.
struct KeyHash {
  u64 bits;
  u32 bucket(u32 n_buckets) const noexcept { return static_cast<u32>((bits >> 32) * n_buckets >> 32); }
  /// 1 to 255.
  u32 tag() const noexcept {
    const u32 t = static_cast<u32>(bits >> 24) & 0xff;
    return t + (t == 0);
  }
};

constexpr u64 HASH_ODD1 = 0x9e3779b97f4a7c15ULL, HASH_ODD2 = 0xd6e8feb86659fd93ULL;

inline u64 hash_fold(u64 a, u64 b) noexcept {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}
template <typename T>
inline T load_bytes(const void* from) noexcept {
  T word;
  __builtin_memcpy(&word, from, sizeof word);
  return word;
}
/// The last 1 to 7 bytes of a key.
inline u64 load_tail(const u8* p, u32 n) noexcept {
  if (n >= 4) return load_bytes<u32>(p) | static_cast<u64>(load_bytes<u32>(p + n - 4)) << 32;
  return static_cast<u64>(p[0]) | static_cast<u64>(p[n / 2]) << 8 | static_cast<u64>(p[n - 1]) << 16;
}

/// Does not hang on the key: ready before it is.
constexpr u64 hash_multiplier(u32 seed) noexcept { return static_cast<u64>(seed) << 32 ^ HASH_ODD1; }
constexpr u64 hash_mix(u64 h) noexcept { return (h ^ h >> 32) * HASH_ODD2; }

[[gnu::noinline]] inline u64 hash_long_key(const u8* p, u32 size, u64 multiplier) noexcept {
  u64 h = HASH_ODD2;
  for (; size >= 8; size -= 8, p += 8) h = hash_fold(h ^ load_bytes<u64>(p), multiplier) + HASH_ODD2;
  return size == 0 ? h : hash_fold(h ^ load_tail(p, size), multiplier);
}

/// K: the key's size where it is known when this is compiled, else 0. The answer hangs on the bytes alone.
template <u32 K>
inline KeyHash key_hash(const void* key, u32 size, u32 seed) noexcept {
  const u64 m = hash_multiplier(seed);
  if constexpr (K == 4) {
    return {hash_mix(hash_fold(load_bytes<u32>(key) ^ HASH_ODD2, m))};
  } else if constexpr (K == 8) {
    return {hash_mix(hash_fold(load_bytes<u64>(key) ^ HASH_ODD2, m))};
  } else if constexpr (K == 16) {
    const u8* p = static_cast<const u8*>(key);
    return {hash_mix(hash_fold(load_bytes<u64>(p) ^ m, load_bytes<u64>(p + 8) ^ HASH_ODD2))};
  } else {
    static_assert(K == 0);
    if (size == 4) return key_hash<4>(key, size, seed);
    if (size == 8) return key_hash<8>(key, size, seed);
    if (size == 16) return key_hash<16>(key, size, seed);
    return {hash_mix(hash_long_key(static_cast<const u8*>(key), size, m))};
  }
}

inline u32 hash_key(const void* key, u32 size, u32 seed) noexcept {
  return static_cast<u32>(key_hash<0>(key, size, seed).bits >> 32);
}

}  // namespace skep
