// interp: a helper call's arguments against its proto. Freestanding.
#pragma once
#include "helpers/run_ctx.h"
#include "progtypes/func_proto.h"

namespace skep {

/// 0 when all of args[0..4] fit `proto`, else the number (1 to 5) of the first that does not. Kinds of argument that no helper of
/// ours takes (sockets, BTF objects, timers, dynptrs) fit nothing.
u32 check_call_args(RunCtx& run, const FuncProto& proto, const u64* args) noexcept;

}  // namespace skep
