// maps: the data of an LPM key as lookups want it: in registers where it is an IPv4 or IPv6 address. See lpm_layout.h.
#pragma once
#include "maps/lpm_layout.h"

namespace skep {

/// How many of the first `limit` bits of a and b agree. REQUIRES: both have limit bits.
inline u32 lpm_common(const u8* a, const u8* b, u32 limit) noexcept {
  u32 at = 0;
  for (; limit - at >= 64; at += 64) {
    const u64 diff = lpm_load64(a + at / 8) ^ lpm_load64(b + at / 8);
    if (diff != 0) return at + static_cast<u32>(__builtin_clzll(diff));
  }
  if (limit - at >= 32) {
    const u32 diff = lpm_load32(a + at / 8) ^ lpm_load32(b + at / 8);
    if (diff != 0) return at + static_cast<u32>(__builtin_clz(diff));
    at += 32;
  }
  for (; at < limit; at += 8) {
    const u32 diff = static_cast<u32>(a[at / 8] ^ b[at / 8]);
    if (diff == 0) continue;
    const u32 end = at + static_cast<u32>(__builtin_clz(diff)) - 24;
    return end < limit ? end : limit;
  }
  return limit;
}

/// covered(data, len): the first `len` bits are those of data. bit(i). top(n): the first n bits as a number, n <= LPM_MAX_TOP_BITS.
template <u32 SIZE>
struct LpmBits;

template <>
struct LpmBits<4> {
  u64 word;  ///< left-aligned
  LpmBits(const u8* data, u32) noexcept : word(static_cast<u64>(lpm_load32(data)) << 32) {}
  bool covered(const u8* data, u32 len) const noexcept {
    const u64 diff = word ^ static_cast<u64>(lpm_load32(data)) << 32;
    return diff >> 1 >> (63 - (len & 63)) == 0;
  }
  u32 bit(u32 i) const noexcept { return static_cast<u32>(word << (i & 63) >> 63); }
  u32 top(u32 n) const noexcept { return static_cast<u32>(word >> 32 >> (32 - n)); }
};

template <>
struct LpmBits<16> {
  u64 high, low;
  LpmBits(const u8* data, u32) noexcept : high(lpm_load64(data)), low(lpm_load64(data + 8)) {}
  bool covered(const u8* data, u32 len) const noexcept {
    const u64 diff = high ^ lpm_load64(data);
    if (len < 64) return diff >> 1 >> (63 - len) == 0;
    const u64 more = low ^ lpm_load64(data + 8);
    return diff == 0 && (len >= 128 ? more == 0 : more >> 1 >> (127 - len) == 0);
  }
  u32 bit(u32 i) const noexcept { return static_cast<u32>((i < 64 ? high : low) << (i & 63) >> 63); }
  u32 top(u32 n) const noexcept { return static_cast<u32>(high >> 32 >> (32 - n)); }
};

/// Any size.
template <>
struct LpmBits<0> {
  const u8* mine;
  u32 size;
  LpmBits(const u8* data, u32 data_size) noexcept : mine(data), size(data_size) {}
  bool covered(const u8* data, u32 len) const noexcept { return lpm_common(mine, data, len) == len; }
  u32 bit(u32 i) const noexcept { return i < size * 8 ? lpm_bit(mine, i) : 0; }
  u32 top(u32 n) const noexcept {
    const u32 word = static_cast<u32>(mine[0]) << 8 | (size > 1 ? mine[1] : 0u);
    return word >> (16 - n);
  }
};
static_assert(LPM_MAX_TOP_BITS == 16);

}  // namespace skep
