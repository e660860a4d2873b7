// base: fixed-width names used by every room, as the kernel spells them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace skep {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using uptr = std::uintptr_t;

constexpr std::size_t PAGE_SIZE = 4096;

/// Rounds `n` up to a multiple of `align`, which is a power of two.
template <typename T>
constexpr T round_up(T n, std::type_identity_t<T> align) noexcept {
  return static_cast<T>((n + align - 1) & ~(align - 1));
}

/// Smallest power of two >= n (n >= 1, n <= 2^63).
constexpr u64 roundup_pow_of_two(u64 n) noexcept {
  u64 p = 1;
  while (p < n) p <<= 1;
  return p;
}

}  // namespace skep
