// jit: where a function's instructions divide into blocks. Internal to the room.
#pragma once
#include "jit/program.h"

namespace skep::jit {

struct InsnRange {
  u32 begin, end;
};

/// The blocks in the order of their instructions, with succs only. A function whose first instruction is jumped to gets an empty
/// entry. *ranges: the instructions of each.
void split_blocks(const Program& program, u32 function, Function* f, Vec<InsnRange>* ranges);

}  // namespace skep::jit
