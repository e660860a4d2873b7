// verifier: objects on the program's stack that calls make and end: dynptrs, iterators. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// The highest slot of an object that `reg` points to (its lowest address); the object is [spi - nr_slots + 1, spi]. -EINVAL (logged):
/// not at a constant, aligned offset with room for it; -ERANGE: the stack is not grown that far yet. Linux:
/// verifier.c:stack_slot_obj_get_spi()
s32 stack_slot_obj_get_spi(VerifierEnv& env, const RegState& reg, const char* obj_kind, u32 nr_slots);

}  // namespace skep
