// tests/fuzz: does a compiled program do what the interpreted one does?
#pragma once
#include <memory>
#include <string>

#include "program.h"
#include "world.h"

namespace skep::fuzz {

struct Comparison {
  int error = 0;        ///< of the verifier; 0: accepted
  u32 compared = 0;     ///< runs that came to an end in the interpreter, and were held against a compiled one
  std::string failure;  ///< class of what went wrong, without numbers; empty: nothing
  std::string detail;
};

/// Runs programs by every executor. A world in which compiled code has crashed is thrown away.
class Executors {
 public:
  Executors();
  Comparison compare(const Program& program, u64 seed, u32 runs);
  /// The failing program with all instructions taken out that the failure does not need.
  Program shrink(const Program& program, u64 seed, u32 runs, const std::string& failure);
  World& world() { return *world_; }

 private:
  /// Empty, or how it ended instead.
  std::string run_compiled(const Program& program, const Runnable& runnable, u64 seed);
  void compare_runs(const Program& program, const Runnable& runnable, u64 seed, u32 runs, Comparison* out);
  bool hangs_on_addresses(const Program& program, const Runnable& runnable, u64 seed, const std::vector<u8>& plain);
  std::unique_ptr<World> world_;
};

}  // namespace skep::fuzz
