// maps: STACK_TRACE: stacks that runs have seen, each behind an id that is its bucket. Freestanding: also compiled into the agent.
//
//   buckets:  [word][lock]  word: 0 bits of what there was, | which of the bucket's two copies holds it | whether there is one
//   elems:    [copy 0][copy 1] of bucket 0, of bucket 1, ...
//
// A stack is written into the copy that nobody reads, under the bucket's lock, and one store of the word shows it. So a writer that
// dies leaves nothing half done, no element ever belongs to nobody, and a reader that finds the same word before and after has
// copied a whole stack. What can be left behind is a wrong number of stacks in the map, of which the slot's intent tells: they are
// then counted anew. Linux: kernel/bpf/stackmap.c
#pragma once
#include "maps/map_ops.h"

namespace skep {

/// sysctl kernel.perf_event_max_stack as it comes.
constexpr u32 MAX_STACK_DEPTH = 127;
/// Linux: include/uapi/linux/bpf.h:struct bpf_stack_build_id
struct StackBuildId {
  s32 status;
  u8 build_id[20];
  u64 ip;  ///< or an offset, with another status
};
constexpr s32 STACK_BUILD_ID_IP = 2;

constexpr u32 stack_entry_size(const MapDesc& desc) noexcept {
  return (desc.map_flags & BPF_F_STACK_BUILD_ID) != 0 ? sizeof(StackBuildId) : sizeof(u64);
}
/// Entries to be walked for `size` bytes of entries, what is to be skipped included. Linux:
/// stackmap.c:stack_map_calculate_max_depth()
constexpr u32 stack_max_depth(u32 size, u32 entry_size, u64 flags) noexcept {
  const u32 depth = size / entry_size + static_cast<u32>(flags & BPF_F_SKIP_FIELD_MASK);
  return depth < MAX_STACK_DEPTH ? depth : MAX_STACK_DEPTH;
}

/// The id of a stack, which is put there if need be. `flags`: of bpf_get_stackid(), known ones only. -EEXIST (another stack has the
/// bucket), -ENOMEM (the map is full). DIFFERS: -EBUSY where a writer of the same bucket is stopped in the middle.
/// REQUIRES: nr is in [1, MAX_STACK_DEPTH]; what does not fit is not kept.
long stack_map_id(const OpCtx& ctx, MapDesc* desc, const u64* ips, u32 nr, u64 flags) noexcept;

}  // namespace skep
