// jit: what operations yield on constants. Internal to the room.
#pragma once
#include "jit/ir.h"

namespace skep::jit {

/// The low `size` bytes.
constexpr u64 low_bytes(u8 size) noexcept { return size >= 8 ? ~u64{0} : (u64{1} << size * 8) - 1; }

u64 fold_binary(Op op, u8 width, u64 a, u64 b) noexcept;
/// Neg to Sext.
u64 fold_unary(const Value& v, u64 a) noexcept;
bool fold_cond(Cond cond, u8 width, u64 a, u64 b) noexcept;

}  // namespace skep::jit
