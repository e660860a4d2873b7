// jit: memory for the compiler's working data: many small vectors, all gone when a compile is done. Internal to the room.
//
// Each thread has a space of its own in which blocks are put one behind another. Giving one back only counts, and when none is left
// (the compile is over) the next one begins at the start again: so nothing of one compile is seen by another, and no two threads
// share anything. A thread keeps at most MAX_KEPT bytes between compiles. With AddressSanitizer all is plain heap, which it watches.
#pragma once
#include <new>
#include <vector>

#include "base/types.h"

namespace skep::jit {

class Scratch {
 public:
  static constexpr std::size_t MAX_KEPT = 1 << 20;

  static void* take(std::size_t bytes) {
    bytes = rounded(bytes);
    if (on_heap(bytes)) return ::operator new(bytes);
    if (static_cast<std::size_t>(space_.end - space_.at) < bytes) refill();
    u8* p = space_.at;
    space_.at += bytes;
    ++space_.live;
    return p;
  }

  /// REQUIRES: the thread that took it.
  static void give_back(void* block, std::size_t bytes) noexcept {
    bytes = rounded(bytes);
    if (on_heap(bytes)) return ::operator delete(block);
    u8* p = static_cast<u8*>(block);
    if (p < space_.begin || p >= space_.end) check_older(p);
    if (p + bytes == space_.at) space_.at = p;
    if (--space_.live == 0) restart();
  }

 private:
  struct Chunk {
    Chunk* older;
    std::size_t size;  ///< with this header
  };
  struct Space {
    u8 *begin, *at, *end;
    std::size_t live;  ///< blocks not given back
    Chunk* newest;
  };
  struct AtThreadEnd {
    ~AtThreadEnd();
  };

  static constexpr std::size_t LARGE = 32 << 10, FIRST_CHUNK = 128 << 10;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool PLAIN = true;
#elif defined(__has_feature)
  static constexpr bool PLAIN = __has_feature(address_sanitizer);
#else
  static constexpr bool PLAIN = false;
#endif

  static constexpr std::size_t rounded(std::size_t bytes) noexcept { return (bytes + 15) & ~std::size_t{15}; }
  static constexpr bool on_heap(std::size_t bytes) noexcept { return PLAIN || bytes > LARGE; }
  static void refill();
  static void restart() noexcept;
  static void check_older(const u8* p) noexcept;
  static void begin_at(Chunk* chunk) noexcept;

  static constinit thread_local Space space_;
};

template <typename T>
struct ScratchAllocator {
  using value_type = T;
  using is_always_equal = std::true_type;
  ScratchAllocator() = default;
  template <typename U>
  constexpr ScratchAllocator(const ScratchAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) {
    static_assert(alignof(T) <= 16);
    if (n > ~std::size_t{0} / 2 / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(Scratch::take(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t n) noexcept { Scratch::give_back(p, n * sizeof(T)); }
  friend constexpr bool operator==(const ScratchAllocator&, const ScratchAllocator&) noexcept { return true; }
};

/// A vector of the compiler's. It must not outlive its thread, nor be freed by another one.
template <typename T>
using Vec = std::vector<T, ScratchAllocator<T>>;

}  // namespace skep::jit
