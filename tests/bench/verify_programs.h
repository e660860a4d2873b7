// tests/bench: programs whose judgement is measured, each heavy in one thing.
#pragma once
#include "two_kernels.h"

namespace skep::bench {

/// Makes the maps and types that they name in both kernels.
std::vector<LoadedProgram> verify_programs(TwoKernels& kernels);

}  // namespace skep::bench
