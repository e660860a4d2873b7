// base: one representation of errors inside skep: an errno and nothing else.
//
// Host-side code returns Result<T>; text goes to a log, never into the error. Code that programs or the agent call (freestanding
// rooms) returns `long`, >= 0 or -errno, as the kernel does. The one sign flip between the two is at the syscall edge (syscall/dispatch).
#pragma once
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

namespace skep {

/// Not in errno.h, but part of the bpf(2) ABI. Linux: include/linux/errno.h
constexpr int ENOTSUPP_ = 524;

/// An errno as a type of its own, so that `return EINVAL;` from a Result<int> does not compile as a success.
class [[nodiscard]] Errno {
 public:
  explicit constexpr Errno(int value) noexcept : value_(value) {}
  constexpr int value() const noexcept { return value_; }
  friend constexpr bool operator==(Errno, Errno) = default;

 private:
  int value_;
};

/// A T or an Errno. T may be move-only. Converting constructors take exactly T or Errno.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(Errno e) noexcept : error_(e.value()) {}
  Result(T value) noexcept : value_(std::move(value)), error_(0) {}
  /// No implicit path from another arithmetic type: EINVAL is the int 22.
  template <typename U>
    requires(std::is_arithmetic_v<U> && !std::is_same_v<U, T>)
  Result(U) = delete;

  bool ok() const noexcept { return error_ == 0; }
  explicit operator bool() const noexcept { return ok(); }
  /// REQUIRES: !ok().
  Errno error() const noexcept { return Errno(error_); }
  /// REQUIRES: ok(); aborts otherwise, in release builds too.
  T& value() & {
    if (!ok()) std::abort();
    return *value_;
  }
  const T& value() const& {
    if (!ok()) std::abort();
    return *value_;
  }
  T&& value() && {
    if (!ok()) std::abort();
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::optional<T> value_;
  int error_;
};

/// Success without a value.
struct Unit {};
using Status = Result<Unit>;
inline Status ok_status() { return Status(Unit{}); }

}  // namespace skep

/// Evaluates to the value of a Result, or returns its error from the enclosing function (a GNU statement expression; g++ and clang).
#define TRY(expr)                                        \
  __extension__({                                        \
    auto&& try_result_ = (expr);                         \
    if (!try_result_.ok()) return try_result_.error();   \
    std::move(try_result_).value();                      \
  })
