// jit: the operands of a value, whatever its kind. Internal to the room.
#pragma once
#include "jit/ir.h"

namespace skep::jit {

/// Calls fn(ValueId&) for each operand there is; a phi's are those of its block's predecessors, in their order.
template <typename F>
void each_operand(Function& f, Value& v, F&& fn) {
  if (v.op == Op::Phi) {
    const std::size_t n = f.blocks[v.block].preds.size();
    for (std::size_t i = 0; i < n; ++i) fn(f.phi_args[static_cast<std::size_t>(v.imm) + i]);
    return;
  }
  for (ValueId& a : v.arg)
    if (a != NONE) fn(a);
}
template <typename F>
void each_operand(const Function& f, const Value& v, F&& fn) {
  if (v.op == Op::Phi) {
    const std::size_t n = f.blocks[v.block].preds.size();
    for (std::size_t i = 0; i < n; ++i) fn(f.phi_args[static_cast<std::size_t>(v.imm) + i]);
    return;
  }
  for (const ValueId a : v.arg)
    if (a != NONE) fn(a);
}

/// Changes something beside its own value: may neither be left out nor moved.
constexpr bool has_effect(const Value& v) noexcept {
  return is_terminator(v.op) || is_call(v.op) || (is_memory(v.op) && v.op != Op::Load);
}
constexpr bool writes_memory(const Value& v) noexcept { return is_call(v.op) || (is_memory(v.op) && v.op != Op::Load); }
constexpr bool has_result(Op op) noexcept {
  return !is_terminator(op) && op != Op::Store && op != Op::Update && op != Op::TailCall;
}
constexpr bool is_commutative(Op op) noexcept {
  return op == Op::Add || op == Op::Mul || op == Op::And || op == Op::Or || op == Op::Xor || op == Op::MulHiU || op == Op::MulHiS;
}
constexpr bool is_binary(Op op) noexcept { return op >= Op::Add && op <= Op::MulHiS; }
constexpr bool is_unary(Op op) noexcept { return op >= Op::Neg && op <= Op::Sext; }

}  // namespace skep::jit
