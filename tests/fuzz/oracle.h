// tests/fuzz: is a program that the verifier accepts as good as it says?
#pragma once
#include <string>

#include "program.h"
#include "world.h"

namespace skep::fuzz {

struct Judgement {
  int error = 0;             ///< of the verifier; 0: accepted
  bool claims_held = false;  ///< every path could be kept, and the claims were held against runs
  bool ran = false;          ///< to the end at least once
  u32 steps = 0;             ///< executed and compared
  std::string failure;       ///< class of what went wrong, without numbers; empty: nothing
  std::string detail;
};

struct Effort {
  u32 judged_steps = 150000;  ///< more of the verifier's own, and the program is passed over as E2BIG: time and memory
  u32 runs = 12;              ///< with nothing but the interpreter's own checks
  u32 compared_runs = 6;      ///< with each step held against the verifier's states
};

/// Judges, runs, compares. `seed` decides over contents and contexts of the runs.
///
/// A failure is: an internal error of the verifier; a fault of the interpreter in an accepted program; registers or stack outside
/// of every state that the verifier had at an instruction; a refusal once paths are not cut short where an equal state was found
/// safe.
Judgement judge(World& world, const Program& program, u64 seed, const Effort& effort);

/// The verifier's words at log level 2.
std::string verifier_log(const World& world, const Program& program, int* error);

/// The failing program with all instructions taken out that the failure does not need.
Program shrink(World& world, const Program& program, u64 seed, const Effort& effort, const std::string& failure);

}  // namespace skep::fuzz
