// tests/fuzz: random programs that look like programs: about half of them should pass the verifier, and most that do not should
// fail by one step too far.
#pragma once
#include "program.h"

namespace skep::fuzz {

/// The same program for the same seed, until this generator changes.
Program generate(u64 seed);

}  // namespace skep::fuzz
