#include "jit/ir.h"

#include <fmt/format.h>

#include <iterator>

#include "jit/operands.h"

namespace skep::jit {
namespace {

constexpr const char* NAMES[] = {
    "const", "frame", "func",   "param",  "phi",     "add",    "sub",    "mul",  "and",  "or",    "xor",    "shl",  "shr",    "sar",
    "rotl",  "udiv",  "umod",   "sdiv",   "smod",    "mulhiu", "mulhis", "neg",  "not",  "bswap", "zext",   "sext", "select", "lea",
    "load",  "store", "update", "atomic", "cmpxchg", "helper", "call",   "gate", "tail", "jump",  "branch", "ret",  "trap"};
static_assert(std::size(NAMES) == static_cast<std::size_t>(Op::Trap) + 1);
constexpr const char* CONDS[] = {"==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&", "!&"};

const char* name(Op op) { return NAMES[static_cast<u8>(op)]; }
std::string id(ValueId v) { return v == NONE ? "-" : fmt::format("v{}", v); }

std::string address(const Value& v) {
  std::string s = "[" + id(v.arg[0]);
  if (v.arg[1] != NONE) s += fmt::format(" + {}<<{}", id(v.arg[1]), v.scale);
  return s + fmt::format(" + {}]", v.disp);
}

std::string compared(const Value& v) { return fmt::format("{} {} {}", id(v.arg[0]), CONDS[static_cast<u8>(v.cond)], id(v.arg[1])); }

std::string operands(const Function& f, const Value& v) {
  switch (v.op) {
    case Op::Const:
    case Op::FrameAddr:
    case Op::FuncAddr:
    case Op::Param:
      return fmt::format(" {}", v.imm);
    case Op::Select:
      return fmt::format(" {} ? {} : {}", compared(v), id(v.arg[2]), id(v.arg[3]));
    case Op::Branch:
      return " " + compared(v);
    case Op::Lea:
      return " " + address(v);
    case Op::Load:
      return fmt::format("{}{}{} {}{}", v.size * 8, v.sign ? "s" : "", v.probe ? "p" : "", address(v), v.folded ? " folded" : "");
    case Op::Store:
      return fmt::format("{} {} = {}", v.size * 8, address(v), id(v.arg[2]));
    case Op::Update:
      return fmt::format("{} {} {}= {}", v.size * 8, address(v), name(v.sub), id(v.arg[2]));
    case Op::Atomic:
      return fmt::format("{} {} {:#x} {}", v.size * 8, address(v), v.imm, id(v.arg[2]));
    case Op::Cmpxchg:
      return fmt::format("{} {} {} if {}", v.size * 8, address(v), id(v.arg[2]), id(v.arg[3]));
    default:
      break;
  }
  std::string s = is_call(v.op) ? fmt::format(" {}", v.imm) : is_unary(v.op) ? fmt::format(".{}", v.size * 8) : "";
  each_operand(f, v, [&](ValueId a) { s += " " + id(a); });
  return s;
}

}  // namespace

void count_uses(Function& f) {
  for (Value& v : f.values) v.uses = 0;
  for (Block& b : f.blocks)
    for (const ValueId v : b.values) each_operand(f, f.values[v], [&](ValueId a) { ++f.values[a].uses; });
}

std::string print(const Function& f) {
  std::string s;
  for (BlockId b = 0; b < f.blocks.size(); ++b) {
    const Block& block = f.blocks[b];
    s += fmt::format("b{}:", b);
    for (const BlockId p : block.preds) s += fmt::format(" <b{}", p);
    if (block.loop_depth != 0) s += fmt::format(" loop {}", block.loop_depth);
    s += block.unlikely ? " unlikely\n" : "\n";
    for (const ValueId v : block.values) {
      const Value& value = f.values[v];
      s += has_result(value.op) ? fmt::format("  v{} = ", v) : std::string("  ");
      s += fmt::format("{}{}{}", name(value.op), value.width == 4 ? ".w" : "", operands(f, value));
      for (const BlockId t : block.succs)
        if (t != NONE && is_terminator(value.op)) s += fmt::format(" ->b{}", t);
      s += "\n";
    }
  }
  return s;
}

}  // namespace skep::jit
