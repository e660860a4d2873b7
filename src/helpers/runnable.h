// helpers: what stands in the way of running a program that was judged good. Freestanding.
//
// Runnable here: the helpers that helper_fn() knows and bpf_tail_call(); maps of the kinds that can hold elements (MapOps::judge_only is
// false); programs of the types that prog_type_is_runnable() names, at the events skep has and in BPF_PROG_TEST_RUN.
#pragma once
#include "isa/insn.h"
#include "shm/layout.h"

namespace skep {

bool helper_is_runnable(u64 id) noexcept;
/// REQUIRES: nothing. Kinds that are not there at all are not runnable.
bool map_kind_is_runnable(u32 type) noexcept;
/// The type can be run at an event of ours or by BPF_PROG_TEST_RUN.
bool prog_type_is_runnable(u32 type) noexcept;

enum class ObstacleKind : u8 { None, Helper, KernelFunction, MapKind, ProgType };
struct Obstacle {
  ObstacleKind kind;
  u64 id;  ///< the helper's, the function's BTF id, the map's or program's type
};
/// The first thing in the way, in the order of the instructions; then maps, then the type.
Obstacle find_obstacle(const ProgImage& prog) noexcept;

}  // namespace skep
