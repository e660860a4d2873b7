// base: atomics over plain words in shared memory. std::atomic would put its type into layouts that several programs map, so words
// stay plain integers and each access says its order here. Every use names the access it pairs with.
#pragma once
#include "base/types.h"

namespace skep {

template <typename T>
inline T load_relaxed(const T* p) noexcept { return __atomic_load_n(p, __ATOMIC_RELAXED); }
template <typename T>
inline T load_acquire(const T* p) noexcept { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
template <typename T>
inline T load_seq_cst(const T* p) noexcept { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
template <typename T>
inline void store_relaxed(T* p, std::type_identity_t<T> v) noexcept { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
template <typename T>
inline void store_release(T* p, std::type_identity_t<T> v) noexcept { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
template <typename T>
inline void store_seq_cst(T* p, std::type_identity_t<T> v) noexcept { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
template <typename T>
inline T fetch_add(T* p, std::type_identity_t<T> v) noexcept { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
template <typename T>
inline T fetch_sub(T* p, std::type_identity_t<T> v) noexcept { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }
template <typename T>
inline T fetch_or(T* p, std::type_identity_t<T> v) noexcept { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }
template <typename T>
inline T fetch_and(T* p, std::type_identity_t<T> v) noexcept { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); }
template <typename T>
inline T exchange(T* p, std::type_identity_t<T> v) noexcept { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
/// On failure `expected` holds what was there.
template <typename T>
inline bool compare_exchange(T* p, T& expected, std::type_identity_t<T> desired) noexcept {
  return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
inline void cpu_relax() noexcept { __builtin_ia32_pause(); }

}  // namespace skep
