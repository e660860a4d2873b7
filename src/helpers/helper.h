// helpers: what skep can run. What a helper takes and to whom it is open is progtypes/func_proto.h's. Freestanding: also compiled
// into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// A helper on its five arguments, which fit its proto: it trusts them.
using HelperBody = u64(RunCtx&, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5) noexcept;
using HelperFn = HelperBody*;

/// The function of helper `id`; null when there is none of ours. bpf_tail_call() has none: who runs the program makes it.
HelperFn helper_fn(u64 id) noexcept;

/// Numbers beyond the uapi's that only the verifier's rewriting puts into a program: loads of packet bytes, 1, 2 and 4 of them, r1: the
/// skb. Part of its context ABI: progtypes/ctx_access.h:SKB_LOAD_HELPER_8 and its like.
constexpr u64 SKB_LOAD_HELPERS = 0x10000, SKB_LOAD_HELPERS_END = 0x10003;
constexpr bool is_skb_load_helper(u64 id) noexcept { return id >= SKB_LOAD_HELPERS && id < SKB_LOAD_HELPERS_END; }

}  // namespace skep
