// verifier: finding what lies at an offset of a struct, by BTF. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

enum class BtfWalk : u8 { SCALAR, PTR, STRUCT };  ///< Linux: btf.c:bpf_struct_walk_result

/// What one walk finds besides its answer; flags gather over walks from struct to struct.
struct BtfWalkResult {
  u32 next_btf_id = 0;  ///< PTR: the struct pointed to; STRUCT: the struct that lies there
  u32 flag = 0;
  const char* field_name = nullptr;
};

/// `size` bytes at `off` of struct `t`. Errors, logged: EINVAL (no struct, no such field), EACCES (beyond it, across fields),
/// EFAULT (a field without size). Linux: btf.c:btf_struct_walk()
Result<BtfWalk> btf_struct_walk(VerifierEnv& env, const Btf& btf, const btf_type* t, u32 off, u32 size, bool walk_flex_arrays,
                                BtfWalkResult* out);

/// Linux: btf.c:__btf_resolve_size()
struct BtfResolvedSize {
  const btf_type* type;       ///< the outermost array, else the type that has the size
  const btf_type* elem_type;  ///< behind all arrays and modifiers
  u32 size = 0;               ///< of all elements
  u32 nelems = 1;
  u32 elem_id = 0;  ///< arrays: element type of the innermost one, modifiers not skipped
  u32 type_id = 0;  ///< last id behind a modifier; 0: there was none
};
Result<BtfResolvedSize> btf_resolve_size(const Btf& btf, const btf_type* type);

}  // namespace skep
