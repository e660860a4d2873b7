// shm: blocks of RAM in which processes describe tasks for their programs: one a thread that asked for its task_struct, one a
// process that stands above such a thread. A block keeps its address as long as it has an owner, and is the same for all processes.
//
// `owner` is taken by compare and exchange and says which process frees the block; when that dies, the host does. `key` says which
// thread a block is of, so that others find it. What a block holds is its owner's affair; nobody trusts a byte of it. Freestanding.
#pragma once
#include "shm/slot.h"

namespace skep {

constexpr u32 MAX_TASKS = 16384;
constexpr u32 TASK_BLOCK_BYTES = 24 << 10;  ///< only what is touched costs memory

struct TaskHead {
  u64 owner;  ///< 0: free
  u64 key;    ///< pid namespace << 32 | tid; 0: not said yet
};

struct TaskTable {
  u32 used;  ///< blocks that have ever had an owner: the first ones
  u32 hand;  ///< where the last search for blocks of dead threads ended
  TaskHead heads[MAX_TASKS];
  alignas(4096) u8 blocks[MAX_TASKS][TASK_BLOCK_BYTES];
};

constexpr u32 NO_TASK = ~0u;

/// Says whether the thread of a key is known to be gone.
using TaskIsGone = bool(u64 key);

/// Takes a free block: its number, or NO_TASK when all are taken. Before it takes one that was never used it looks for those whose
/// thread is gone.
u32 task_claim(TaskTable& t, OwnerId owner, TaskIsGone* is_gone) noexcept;
/// The first block of this key that has an owner and is not `but`; NO_TASK: none.
u32 task_find(const TaskTable& t, u64 key, OwnerId but = 0) noexcept;
/// Makes somebody else's block the caller's, who then describes the task itself. False: it has gone to another meanwhile.
bool task_take_over(TaskTable& t, u32 index, u64 key, OwnerId owner) noexcept;
/// Frees the block, if it is `owner`'s.
void task_release(TaskTable& t, u32 index, OwnerId owner) noexcept;
/// Frees all that a process has. REQUIRES: it is dead, or has begun anew under another id.
void tasks_release_all(TaskTable& t, OwnerId owner) noexcept;

}  // namespace skep
