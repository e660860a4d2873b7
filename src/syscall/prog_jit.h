// syscall: the machine code of a program that is being loaded.
#pragma once
#include <span>

#include "objects/objects.h"
#include "verifier/verifier.h"

namespace skep {

/// Compiles prog.image and puts the code where processes run it; keeps what is told of it in prog.jited. Does nothing where programs are
/// interpreted, and for those that nothing here runs. ENOMEM: no room for code. A program that skep fails to compile is interpreted, and
/// doctor is told.
Status compile_program(Kernel& kernel, const VerifierReport& report, Prog* prog);

/// SHA-1 over the instructions with what names maps left out.
void compute_tag(std::span<const bpf_insn> insns, u8 (&tag)[BPF_TAG_SIZE]);

}  // namespace skep
