#include "agent/task.h"

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/run_env.h"
#include "agent/task_block.h"
#include "base/atomic.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u32 MAX_ANCESTORS = 16, NR_tkill = 200, NR_getppid = 110;
constexpr u32 PF_EXITING = 4, PF_FORKNOEXEC = 0x40;
constexpr u64 INDEX_BITS = 20;
static_assert(MAX_TASKS < 1u << INDEX_BITS);

/// This thread's block. Good by the rules of identity.cc, and while the block still is ours.
struct Mine {
  const Mine* self;  ///< written last
  u64 epoch;
  u64 key;
  u32 index;
};
__thread Mine mine __attribute__((tls_model("initial-exec")));
__thread bool has_changed __attribute__((tls_model("initial-exec")));  ///< credentials or namespaces, since they were looked up

/// Process::epoch << INDEX_BITS | the leader's block: a fork child does not believe its parent's.
u64 leader_word;

s64 read_link(const char* path, char (&out)[64]) {
  const s64 n = sys(NR_readlink, path, out, sizeof out - 1);
  out[n > 0 ? n : 0] = '\0';
  return n;
}

/// Of this process; 0: cannot be known.
u64 own_pid_namespace() {
  char text[64];
  if (read_link("/proc/self/ns/pid", text) <= 5 || !starts_with(text, "pid:[")) return 0;
  u64 inum = 0;
  for (const char* p = text + 5; *p >= '0' && *p <= '9'; ++p) inum = inum * 10 + static_cast<u64>(*p - '0');
  return inum;
}

/// Of this namespace alone it can be said, and by a thread that is in it for certain: a vfork child may be in another than its parent.
bool is_gone(u64 key) {
  constexpr s64 ESRCH_ = 3;
  return identity_is_certain() && key >> 32 == mine.key >> 32 && sys(NR_tkill, static_cast<s32>(key), 0) == -ESRCH_;
}

bool is_ours(const TaskTable& t, u32 index) { return index < MAX_TASKS && load_relaxed(&t.heads[index].owner) == process->owner; }

/// The block that somebody has made for this thread or process already, or a new one, ours, zero as far as fill_task() goes.
u32 take_block(TaskTable& t, u64 key, OwnerId but) {
  const u32 found = task_find(t, key, but);
  if (found != NO_TASK && task_take_over(t, found, key, process->owner)) return found;
  return task_claim(t, process->owner, is_gone);
}

void publish(TaskTable& t, u32 index, u64 key) { store_release(&t.heads[index].key, key); }

/// Two threads may do this at once: the second gives its block back.
u32 make_leader(TaskTable& t, s32 tgid, u64 epoch, u64 seen) {
  const u64 key = task_key(mine.key >> 32, tgid);
  // One of our own is another thread's who is at this too, or left it.
  const u32 index = take_block(t, key, process->owner);
  if (index == NO_TASK) return NO_TASK;
  TaskBlock& b = task_block(t, index);
  fill_task(b, static_cast<u32>(mine.key) == static_cast<u32>(tgid) ? Who::Thread : Who::Leader, tgid, tgid);
  fill_process(b);
  if (compare_exchange(&leader_word, seen, epoch << INDEX_BITS | index)) {
    publish(t, index, key);
    return index;
  }
  task_release(t, index, process->owner);
  const u32 others = static_cast<u32>(seen & ((1ULL << INDEX_BITS) - 1));
  return seen >> INDEX_BITS == epoch && is_ours(t, others) ? others : NO_TASK;
}

u32 leader_of(TaskTable& t, s32 tgid) {
  const u64 epoch = load_relaxed(&process->epoch), word = load_acquire(&leader_word);
  const u32 index = static_cast<u32>(word & ((1ULL << INDEX_BITS) - 1));
  return word >> INDEX_BITS == epoch && is_ours(t, index) ? index : make_leader(t, tgid, epoch, word);
}

bool has_block(const TaskTable& t) {
  return load_relaxed(&mine.self) == &mine && mine.epoch == load_relaxed(&process->epoch) && is_ours(t, mine.index) &&
         load_relaxed(&t.heads[mine.index].key) == mine.key;
}

/// The first time that a program asks on this thread.
[[gnu::noinline]] bool find_block(TaskTable& t, s32 pid, s32 tgid) {
  store_relaxed(&mine.self, nullptr);
  asm volatile("" : : : "memory");
  mine.epoch = load_relaxed(&process->epoch);
  const u64 ns = own_pid_namespace();
  if (ns == 0) return false;  // without /proc: the same tid in two namespaces could not be told apart
  mine.key = task_key(ns, pid);
  const u32 leader = leader_of(t, tgid);
  if (leader == NO_TASK) return false;
  u32 index = leader;
  if (pid != tgid) {
    index = take_block(t, mine.key, 0);
    if (index == NO_TASK) return false;
    fill_task(task_block(t, index), Who::Thread, pid, tgid);
    join_process(task_block(t, index), task_block(t, leader));
    publish(t, index, mine.key);
  }
  mine.index = index;
  has_changed = false;
  asm volatile("" : : : "memory");
  store_relaxed(&mine.self, &mine);
  return true;
}

/// `at`: where the block says that its parent's is, read once: others may write it.
bool parent_is_good(const TaskTable& t, const TaskBlock& b, u32 at, u64 key) {
  if (at >= MAX_TASKS) return false;
  const TaskHead& head = t.heads[at];
  const u64 owner = load_relaxed(&b.parent_owner);
  return load_relaxed(&head.key) == key && load_relaxed(&head.owner) == owner && owner != 0;
}

/// NO_TASK: there is no block for it.
u32 find_parent(TaskTable& t, TaskBlock& b, s32 ppid, u64 key) {
  u32 index = task_find(t, key);
  if (index == NO_TASK && (index = task_claim(t, process->owner, is_gone)) != NO_TASK) {
    fill_stranger(task_block(t, index), ppid);
    publish(t, index, key);
  }
  if (index == NO_TASK) return NO_TASK;
  b.parent = index;
  b.parent_owner = load_relaxed(&t.heads[index].owner);
  return index;
}

/// Up to the first process of the namespace, whose parent is itself. A parent that has died since it was found has another now.
void tie_to_parents(TaskTable& t, TaskBlock& leader, s32 ppid, u64 ns) {
  TaskBlock* b = &leader;
  for (u32 i = 0; i < MAX_ANCESTORS; ++i) {
    const u64 key = task_key(ns, ppid);
    TaskBlock* parent = b;
    u32 at = load_relaxed(&b->parent);
    if (ppid > 0 && (b->ppid != ppid || !parent_is_good(t, *b, at, key))) at = find_parent(t, *b, ppid, key);
    if (ppid > 0 && at < MAX_TASKS) parent = &task_block(t, at);
    b->ppid = ppid;
    if (b->task.real_parent != &parent->task) b->task.real_parent = b->task.parent = &parent->task;
    if (parent == b) return;
    b = parent;
    ppid = b->ppid;
  }
}

void look_again(TaskTable& t, TaskBlock& b) {
  has_changed = false;
  fill_cred(b, Who::Thread);
  fill_namespaces(b, Who::Thread);
  const u32 leader = leader_of(t, b.task.tgid);
  if (leader != NO_TASK && &task_block(t, leader) != &b) b.task.signal = &task_block(t, leader).signal;
}

/// What may be another thing each time. The name: other threads may change it, through /proc.
void refresh(TaskTable& t, TaskBlock& b) {
  if (has_changed) look_again(t, b);
  sys(NR_prctl, 16 /* PR_GET_NAME */, b.task.comm);
  b.task.thread_info.cpu = this_cpu();
  const s32 ppid = static_cast<s32>(sys(NR_getppid));
  const u32 leader = leader_of(t, b.task.tgid);
  if (leader == NO_TASK) return;
  TaskBlock& l = task_block(t, leader);
  tie_to_parents(t, l, ppid, mine.key >> 32);
  if (&l == &b) return;
  b.task.group_leader = &l.task;
  b.task.real_parent = b.task.parent = l.task.real_parent;
}

u64 describe_on_stack(SyntheticTask& spare, u64 pid_tgid) {
  zero_bytes(&spare, sizeof spare);
  struct Bare {
    kernel::task_struct task;
    CgroupBlock cgroups;
  };
  static_assert(sizeof(Bare) <= sizeof(SyntheticTask));
  Bare& bare = *reinterpret_cast<Bare*>(&spare);
  kernel::task_struct& task = bare.task;
  fill_needed(task, bare.cgroups);
  task.pid = static_cast<s32>(pid_tgid);
  task.tgid = static_cast<s32>(pid_tgid >> 32);
  current_comm(task.comm);
  task.group_leader = task.real_parent = task.parent = &task;
  return reinterpret_cast<u64>(&spare);
}

/// A child of vfork, on its parent's state: its block is the parent's to free, or its own from exec on. Looked for anew each time, since
/// there is no place to keep it.
TaskBlock* vfork_child_block(TaskTable& t, s32 pid) {
  const u64 ns = own_pid_namespace(), key = task_key(ns, pid);
  if (ns == 0) return nullptr;
  u32 index = task_find(t, key);
  if (index == NO_TASK || !is_ours(t, index)) {
    index = take_block(t, key, 0);
    if (index == NO_TASK) return nullptr;
    fill_task(task_block(t, index), Who::Thread, pid, pid);
    fill_process(task_block(t, index));
    publish(t, index, key);
  }
  TaskBlock& b = task_block(t, index);
  sys(NR_prctl, 16 /* PR_GET_NAME */, b.task.comm);
  b.task.thread_info.cpu = this_cpu();
  tie_to_parents(t, b, static_cast<s32>(sys(NR_getppid)), ns);
  return &b;
}

/// The table, where this process may have blocks.
TaskTable* usable_table() {
  TaskTable* t = session.window.rom->tasks;
  if (t == nullptr || session.worker || session.seccomp || session.shared_tls) return nullptr;
  return load_relaxed(&process->owner) != 0 || registered() ? t : nullptr;
}

/// Null: this thread has none, and can have none.
TaskBlock* own_block(u64 pid_tgid) {
  TaskTable* t = usable_table();
  if (t == nullptr || !identity_is_certain()) return nullptr;
  if (!has_block(*t) && !find_block(*t, static_cast<s32>(pid_tgid), static_cast<s32>(pid_tgid >> 32))) return nullptr;
  return &task_block(*t, mine.index);
}

}  // namespace

u64 describe_current_task(SyntheticTask& spare) {
  const u64 id = current_pid_tgid();
  TaskBlock* b = own_block(id);
  if (b == nullptr && in_vfork_child())
    if (TaskTable* t = usable_table(); t != nullptr && (b = vfork_child_block(*t, static_cast<s32>(id))) != nullptr)
      return reinterpret_cast<u64>(&b->task);
  if (b == nullptr) return describe_on_stack(spare, id);
  refresh(*session.window.rom->tasks, *b);
  return reinterpret_cast<u64>(&b->task);
}

u64 task_of_child(s32 pid, bool same_process) {
  TaskBlock* b = own_block(current_pid_tgid());
  if (b == nullptr) return 0;
  TaskTable& t = *session.window.rom->tasks;
  refresh(t, *b);
  const u64 key = task_key(mine.key >> 32, pid);
  // It may have asked already.
  u32 index = task_find(t, key);
  if (index != NO_TASK) return reinterpret_cast<u64>(&task_block(t, index).task);
  index = task_claim(t, process->owner, is_gone);
  if (index == NO_TASK) return 0;
  TaskBlock& child = task_block(t, index);
  copy_bytes(&child.task, &b->task, sizeof child.task);
  child.task.pid = pid;
  copy_bytes(&child.pid, &b->pid, sizeof child.pid);
  child.pid.numbers[child.pid.pid.level % (MAX_PID_LEVELS + 1)].nr = pid;
  child.task.thread_pid = &child.pid.pid;
  child.task.flags |= PF_FORKNOEXEC;
  child.ppid = same_process ? b->ppid : b->task.tgid;
  child.parent_owner = 0;
  if (!same_process) {
    child.task.tgid = pid;
    child.task.group_leader = &child.task;
    child.task.real_parent = child.task.parent = &b->task;
    child.task.signal = nullptr;
  }
  publish(t, index, key);
  return reinterpret_cast<u64>(&child.task);
}

void task_set_exit_code(u32 code) {
  TaskBlock* b = own_block(current_pid_tgid());
  if (b == nullptr) return;
  b->task.exit_code = static_cast<s32>(code);
  b->task.flags |= PF_EXITING;
}

void task_ends() {
  TaskTable* t = session.window.rom != nullptr ? session.window.rom->tasks : nullptr;
  // Others of the process point to its leader's, which goes with the process.
  if (t == nullptr || !identity_is_certain() || !has_block(*t) || current_pid_tgid() >> 32 == static_cast<u32>(mine.key)) return;
  store_relaxed(&mine.self, nullptr);
  task_release(*t, mine.index, process->owner);
}

void watch_task_change(TrapFrame* f) {
  if (f->action == Action::Pass) f->action = Action::Watched;
}
void after_task_change(TrapFrame*) { has_changed = true; }

}  // namespace skep::agent
