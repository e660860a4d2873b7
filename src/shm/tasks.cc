#include "shm/tasks.h"

namespace skep {
namespace {

constexpr u32 SWEEP =
    32;  ///< blocks looked at for each one that is newly used: those of dead threads are found before they are many

/// Never above the table, whatever somebody has written there.
u32 used_of(const TaskTable& t) noexcept {
  const u32 used = load_acquire(&t.used);
  return used < MAX_TASKS ? used : MAX_TASKS;
}

bool try_claim(TaskHead& head, OwnerId owner) noexcept {
  u64 expected = 0;
  return load_relaxed(&head.owner) == 0 && compare_exchange(&head.owner, expected, owner);
}

u32 claim_free(TaskTable& t, OwnerId owner) noexcept {
  const u32 used = used_of(t);
  for (u32 i = 0; i < used; ++i)
    if (try_claim(t.heads[i], owner)) return i;
  return NO_TASK;
}

/// A block whose thread is gone is anybody's: its owner has not seen that, or lives on.
u32 claim_left(TaskTable& t, OwnerId owner, TaskIsGone* is_gone) noexcept {
  const u32 used = used_of(t);
  if (used == 0) return NO_TASK;
  const u32 from = fetch_add(&t.hand, SWEEP);
  for (u32 n = 0; n < SWEEP && n < used; ++n) {
    const u32 i = (from + n) % used;
    const u64 key = load_relaxed(&t.heads[i].key);
    if (key == 0 || !is_gone(key) || !task_take_over(t, i, key, owner)) continue;
    store_relaxed(&t.heads[i].key, 0);
    return i;
  }
  return NO_TASK;
}

u32 claim_new(TaskTable& t, OwnerId owner) noexcept {
  for (;;) {
    u32 used = used_of(t);
    if (used == MAX_TASKS) return NO_TASK;
    // A death between the two leaves a block that is free.
    if (compare_exchange(&t.used, used, used + 1) && try_claim(t.heads[used], owner)) return used;
  }
}

}  // namespace

u32 task_claim(TaskTable& t, OwnerId owner, TaskIsGone* is_gone) noexcept {
  u32 index = claim_free(t, owner);
  if (index == NO_TASK) index = claim_left(t, owner, is_gone);
  if (index == NO_TASK) index = claim_new(t, owner);
  return index;
}

u32 task_find(const TaskTable& t, u64 key, OwnerId but) noexcept {
  const u32 used = used_of(t);
  for (u32 i = 0; i < used; ++i) {
    const TaskHead& head = t.heads[i];
    if (load_relaxed(&head.key) != key) continue;
    const u64 owner = load_acquire(&head.owner);
    if (owner != 0 && owner != but) return i;
  }
  return NO_TASK;
}

bool task_take_over(TaskTable& t, u32 index, u64 key, OwnerId owner) noexcept {
  TaskHead& head = t.heads[index];
  u64 now = load_relaxed(&head.owner);
  if (now == 0 || load_relaxed(&head.key) != key) return false;
  if (!compare_exchange(&head.owner, now, owner)) return false;
  if (load_relaxed(&head.key) == key) return true;
  // Between our two looks its owner has given it to another thread of its own.
  store_release(&head.owner, now);
  return false;
}

void task_release(TaskTable& t, u32 index, OwnerId owner) noexcept {
  if (index >= MAX_TASKS) return;
  TaskHead& head = t.heads[index];
  if (load_relaxed(&head.owner) != owner) return;
  store_relaxed(&head.key, 0);
  u64 expected = owner;
  compare_exchange(&head.owner, expected, u64{0});
}

void tasks_release_all(TaskTable& t, OwnerId owner) noexcept {
  const u32 used = used_of(t);
  for (u32 i = 0; i < used; ++i)
    if (load_acquire(&t.heads[i].owner) == owner) task_release(t, i, owner);
}

}  // namespace skep
