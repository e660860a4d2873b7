// agent: element commands of bpf(2) in the calling process. Which map an fd means: fd_table.h. What is done: maps/elem_call.h.
//
// Two ways in. The short way comes straight from trap.S, on the program's stack, for small elements behind a known fd. The long way is
// on_bpf()'s, on an agent stack: any fd, any size. What neither can do (no such fd, kinds whose elements are objects, no free slot, a
// process that filters its own system calls) is the host's to answer.
//
// An operation holds a client slot, and thread state says which: the slot delays the freeing of any map, and recovery through it puts
// right what a death, or a siglongjmp out of a signal handler, left half done. A handler's own call inside an operation goes to the host.
#include "agent/map_calls.h"

#include "agent/agent.h"
#include "agent/fd_table.h"
#include "agent/run_env.h"
#include "base/atomic.h"
#include "maps/batch_call.h"
#include "maps/elem_call.h"

namespace skep::agent {
namespace {

constexpr u64 SHORT_SCRATCH = 384, LONG_SCRATCH = 32 << 10;
constexpr u64 MAX_SCRATCH = 64 << 20;  ///< larger elements are the host's
constexpr u32 LOOKS_A_CLOCK = 8;
constexpr u32 S_IFMT_ = 0170000, S_IFIFO_ = 0010000;

/// The operation that a thread is in. A vfork child shares it with its parent, who sleeps.
struct InCall {
  u32 holds;      ///< slot index + 1; 0: none. Written before the slot is taken: it is held when its owner word is this thread's
  u32 last_slot;  ///< index of the one used last: likely free
  u64 sp;         ///< of the trap: where its frame lies
  s32 fd;         ///< of the look-ups done last, and how many since the clock was read
  u32 looks;
  u16 tag;        ///< this thread among those of its process, in the owner words of its slots; 0: none given yet
  bool may_be_child;  ///< since a vfork: look who this is
};
__thread InCall in_call __attribute__((tls_model("initial-exec"))) = {};

struct CallerMemory {
  long read(void* dst, u64 addr, u64 n) noexcept { return skep_guarded_copy(dst, reinterpret_cast<const void*>(addr), n); }
  long write(u64 addr, const void* src, u64 n) noexcept { return skep_guarded_copy(reinterpret_cast<void*>(addr), src, n); }
};

/// 0: the host is gone, or knows nothing of us yet.
OwnerId own_word() noexcept {
  static u32 tags;
  if (in_call.tag == 0) in_call.tag = static_cast<u16>(fetch_add(&tags, 1) % 0xffff + 1);
  const OwnerId owner = load_relaxed(&process->owner);
  return owner == 0 ? 0 : owner | static_cast<u64>(in_call.tag) << OWNER_TAG_SHIFT;
}

/// False when this thread is inside an operation that will go on: a signal handler's call. One that was left by siglongjmp is put right.
/// An operation on an agent stack or the alternate one is over when that is left; on the program's stack, when the stack is shorter.
bool not_inside(u64 sp) noexcept {
  const u32 holds = load_relaxed(&in_call.holds);
  if (holds == 0) return true;
  RunSlot* slot = &session.window.ram->slots[holds - 1];
  const bool left = left_behind(sp) && (!left_behind(in_call.sp) || sp > in_call.sp);
  const bool held = load_acquire(&slot->owner) == own_word();
  if (!left) return !held;
  if (held) recover_own_slot(slot);
  store_relaxed(&in_call.holds, 0);
  return true;
}

/// A client slot for the length of an operation. A handler's operations, wherever they interrupt this, leave thread state as they find it.
class CallSlot {
 public:
  explicit CallSlot(u64 sp) noexcept : owner_(own_word()) {
    const u32 first = session.window.rom->nr_cpus;
    if (owner_ == 0 || first > MAX_CPUS) return;
    store_relaxed(&in_call.sp, sp);
    u32 at = in_call.last_slot >= first ? in_call.last_slot : first + in_call.tag % (MAX_RUN_SLOTS - first);
    for (u32 i = first; i < MAX_RUN_SLOTS && slot_ == nullptr; ++i, at = at + 1 < MAX_RUN_SLOTS ? at + 1 : first) try_slot(at);
  }
  ~CallSlot() {
    // Not ours any more in a child that a signal handler forked in the middle: what follows is its parent's to do.
    if (slot_ != nullptr && load_relaxed(&slot_->owner) == owner_ && owner_ == own_word()) slot_release(slot_);
    store_relaxed(&in_call.holds, holds_before_);
    store_relaxed(&in_call.sp, sp_before_);
  }
  CallSlot(const CallSlot&) = delete;
  CallSlot& operator=(const CallSlot&) = delete;
  RunSlot* get() const noexcept { return slot_; }

 private:
  void try_slot(u32 index) noexcept {
    RunSlot* slot = &session.window.ram->slots[index];
    u64 free = 0;
    if (load_relaxed(&slot->owner) != 0) return;
    store_relaxed(&in_call.holds, index + 1);
    if (!compare_exchange(&slot->owner, free, owner_)) return;
    in_call.last_slot = index;
    slot_ = slot;
  }

  u64 sp_before_ = load_relaxed(&in_call.sp);
  u32 holds_before_ = load_relaxed(&in_call.holds);
  OwnerId owner_;
  RunSlot* slot_ = nullptr;
};

/// True when the map that was known is still there, and so stays while the slot is held. Pairs with the fence in WindowHost::defer().
bool still_there(const KnownMap& map) noexcept {
  const RomHeader* rom = session.window.rom;
  return load_acquire(&rom->maps[map.listed]) == map.desc && load_relaxed(&map.desc->id) == map.id;
}

/// Says that elements are about to change, then asks whether they may. Linux: syscall.c:bpf_map_write_active_inc(), map_get_sys_perms().
/// Pairs with map_freeze(): either that sees the mark, or this sees the map frozen.
bool may_write(const KnownMap& map, RunSlot* slot) noexcept {
  store_seq_cst(&slot->writes, load_relaxed(&slot->seq) << 16 | (map.listed + 1));
  return load_seq_cst(&map.desc->frozen) == 0;
}

u32 needs_of(u32 cmd) noexcept { return elem_needs(cmd) | batch_needs(cmd); }

/// -EPERM, or 0.
long check_perms(u32 cmd, const KnownMap& map, RunSlot* slot) noexcept {
  const u32 needs = needs_of(cmd);
  if ((map.mode & needs) != needs) return -EPERM_;
  return (needs & MAP_MAY_WRITE) != 0 && !may_write(map, slot) ? -EPERM_ : 0;
}

bool same_file(s32 fd, const KnownMap& map) noexcept {
  FdStat st;
  return stat_fd(fd, &st) == 0 && st.ino == map.ino && st.dev == map.dev && (st.mode & S_IFMT_) == S_IFIFO_;
}

/// True for a look-up whose entry was compared with the kernel's lately. Reading the clock is a fifth of a look-up: not each time.
bool lately(s32 fd, u64 checked) noexcept {
  if (in_call.fd == fd && in_call.looks < LOOKS_A_CLOCK) {
    ++in_call.looks;
    return true;
  }
  in_call.fd = fd;
  in_call.looks = 0;
  return __builtin_ia32_rdtsc() - checked < FD_RECHECK;
}

/// True when the entry of `fd` may be used now. What changes a map asks the kernel each time; what reads, once in a while.
bool believe(s32 fd, u32 cmd, const KnownMap& map, u64 checked) noexcept {
  if ((needs_of(cmd) & MAP_MAY_WRITE) == 0 && lately(fd, checked)) return true;
  if (!same_file(fd, map)) {
    fd_table_forget(fd);
    return false;
  }
  fd_table_checked(fd);
  return true;
}

OpCtx op_of(RunSlot* slot, u32 cmd) noexcept {
  const bool changes = (needs_of(cmd) & MAP_MAY_WRITE) != 0;
  return OpCtx{session.window, slot, changes ? this_cpu() % session.window.rom->nr_cpus : 0};
}

/// The words of an attr behind the command's last field, as far as there are any, are zero.
bool tail_is_zero(const u64* words, u32 from, u32 size) noexcept {
  u64 any = 0;
  for (u32 i = from / 8; i < size / 8; ++i) any |= words[i];
  return any == 0;
}

constexpr SkepAnswer NOT_HERE{0, 0};

// ---- the long way

bool ask_host(const FdStat& st, WireObject* o) noexcept {
  HostCall c{};
  c.op = WireOp::Identify;
  c.a[0] = st.ino;
  c.a[1] = st.dev;
  c.payload = o;
  c.payload_cap = sizeof *o;
  return host_call(c) >= 0 && c.payload_len == sizeof *o && o->desc != 0 && o->listed < MAX_LISTED_MAPS;
}

/// What this process can do with the map itself; ops stays null where that is nothing. False: the map is gone.
bool look_at_map(KnownMap* map) noexcept {
  const CallSlot slot(reinterpret_cast<u64>(__builtin_frame_address(0)));
  if (slot.get() == nullptr || !still_there(*map)) return false;
  const MapOps* ops = map_ops(map->desc->type);
  const u64 value_size = map_syscall_value_size(*map->desc);
  if (ops == nullptr || ops->judge_only || is_fd_map(map->desc->type) || value_size > 0xffffffffu) return true;
  map->ops = ops;
  map->value_size = static_cast<u32>(value_size);
  return true;
}

/// Asks the kernel which file the fd is, and the host which map.
bool find_out(s32 fd, KnownMap* out) noexcept {
  const u64 epoch = fd_table_epoch();
  FdStat st;
  WireObject o;
  if (stat_fd(fd, &st) != 0 || (st.mode & S_IFMT_) != S_IFIFO_ || st.dev > 0xffffffffu || !ask_host(st, &o)) return false;
  *out = KnownMap{reinterpret_cast<MapDesc*>(o.desc), nullptr, st.ino, static_cast<u32>(st.dev), 0, o.id, o.listed, o.mode};
  if (!look_at_map(out)) return false;
  if (!in_call.may_be_child) fd_table_keep(fd, *out, epoch);
  return true;
}

/// The caller's memory, and some of our own: on this stack, or, larger, of the kernel.
class RoomyMemory : public CallerMemory {
 public:
  RoomyMemory() noexcept {}
  ~RoomyMemory() { drop(); }
  RoomyMemory(const RoomyMemory&) = delete;
  RoomyMemory& operator=(const RoomyMemory&) = delete;
  /// Null: not to be had. What was given before is gone.
  u8* room(u64 size) noexcept {
    drop();
    if (size <= sizeof here_) return here_;
    if (size > MAX_SCRATCH) return nullptr;
    const s64 p = sys(NR_mmap, 0, size, 3, 0x22 /* PRIVATE | ANONYMOUS */, -1, 0);
    if (p < 0 && p > -4096) return nullptr;
    far_ = reinterpret_cast<u8*>(p);
    far_size_ = size;
    return far_;
  }

 private:
  void drop() noexcept {
    if (far_ != nullptr) sys(NR_munmap, far_, far_size_);
    far_ = nullptr;
  }
  u8* far_ = nullptr;
  u64 far_size_ = 0;
  alignas(16) u8 here_[LONG_SCRATCH];
};

/// False when it has to be asked of the host.
bool do_elem(u32 cmd, const KnownMap& map, const bpf_attr& attr, s64* rc) noexcept {
  const CallSlot slot(reinterpret_cast<u64>(__builtin_frame_address(0)));
  if (slot.get() == nullptr || !still_there(map)) return false;
  RoomyMemory memory;
  u8* scratch = memory.room(elem_scratch_size(map.desc->key_size, map.value_size, map.desc->value_stride));
  if (scratch == nullptr) return false;
  *rc = check_perms(cmd, map, slot.get());
  const ElemCall call{op_of(slot.get(), cmd), map.desc, map.ops, map.value_size, scratch};
  if (*rc == 0) *rc = elem_call(cmd, call, ElemAttr{attr.elem.key, attr.elem.value, attr.elem.flags}, memory);
  return true;
}

bool do_batch(u32 cmd, const KnownMap& map, const bpf_attr& attr, u64 uattr, s64* rc) noexcept {
  const CallSlot slot(reinterpret_cast<u64>(__builtin_frame_address(0)));
  if (slot.get() == nullptr || !still_there(map)) return false;
  if (8 * elem_scratch_size(map.desc->key_size, map.value_size, map.desc->value_stride) > MAX_SCRATCH) return false;
  RoomyMemory memory;
  *rc = check_perms(cmd, map, slot.get());
  MapElems elems{op_of(slot.get(), cmd), map.desc, map.ops, map.value_size};
  if (*rc == 0) *rc = batch_call(cmd, elems, attr, uattr, memory);
  return true;
}

/// A vfork child runs on its parent's thread state, with fds of its own. The parent is back when the pid is its own again.
bool is_child() noexcept {
  if (in_call.may_be_child && !in_vfork_child()) in_call.may_be_child = false;
  return in_call.may_be_child;
}

bool known_map(s32 fd, u32 cmd, KnownMap* map) noexcept {
  u64 checked;
  if (!is_child() && fd_table_find(fd, map, &checked) && believe(fd, cmd, *map, checked)) return true;
  return find_out(fd, map);
}

}  // namespace

bool map_call(TrapFrame* f) noexcept {
  const u32 cmd = static_cast<u32>(f->di), size = static_cast<u32>(f->dx);
  const u32 end = elem_needs(cmd) != 0 ? elem_attr_end(cmd) : BATCH_ATTR_END;
  if (needs_of(cmd) == 0 || session.shared_tls || session.seccomp || f->stack == 0 || size > sizeof(bpf_attr)) return false;
  if (!registered() || !not_inside(f->sp)) return false;
  bpf_attr attr{};
  if (read_user(&attr, f->si, size) != 0) return false;
  for (u32 i = end; i < size; ++i)
    if (attr.bytes[i] != 0) return false;
  if (elem_needs(cmd) != 0 && !elem_flags_known(cmd, attr.elem.flags)) return false;
  const s32 fd = static_cast<s32>(elem_needs(cmd) != 0 ? attr.elem.map_fd : attr.batch.map_fd);
  KnownMap map;
  if (!known_map(fd, cmd, &map) || map.ops == nullptr) return false;
  s64 rc = 0;
  const bool done = elem_needs(cmd) != 0 ? do_elem(cmd, map, attr, &rc) : do_batch(cmd, map, attr, f->si, &rc);
  if (done) f->answer(rc);
  return done;
}

void map_calls_before_vfork() noexcept { in_call.may_be_child = true; }
void map_calls_after_fork() noexcept {
  in_call.holds = 0;
  in_call.may_be_child = false;
}

}  // namespace skep::agent

using namespace skep;
using namespace skep::agent;

// ---- the short way

SkepAnswer skep_short_bpf(u64 cmd64, u64 uattr, u64 size64, u64 sp) {
  const u32 cmd = static_cast<u32>(cmd64), size = static_cast<u32>(size64);
  if (elem_needs(cmd) == 0 || size < 16 || size > sizeof(bpf_attr) || size % 8 != 0) return NOT_HERE;
  if (load_relaxed(&in_call.holds) != 0 || in_call.may_be_child || session.shared_tls || session.seccomp) return NOT_HERE;
  if (!left_behind(sp)) return NOT_HERE;  // an alternate signal stack may be too small for the frame of a fault
  u64 words[sizeof(bpf_attr) / 8];
  words[2] = words[3] = 0;
  if (read_user(words, uattr, size) != 0) return SkepAnswer{-EFAULT_, 1};
  if (!tail_is_zero(words, elem_attr_end(cmd), size) || !elem_flags_known(cmd, words[3])) return NOT_HERE;
  const s32 fd = static_cast<s32>(words[0]);
  KnownMap map;
  u64 checked;
  if (!fd_table_find(fd, &map, &checked) || map.ops == nullptr || !believe(fd, cmd, map, checked)) return NOT_HERE;
  const CallSlot slot(sp);
  if (slot.get() == nullptr || !still_there(map)) return NOT_HERE;
  if (elem_scratch_size(map.desc->key_size, map.value_size, map.desc->value_stride) > SHORT_SCRATCH) return NOT_HERE;
  alignas(16) u8 scratch[SHORT_SCRATCH];
  if (const long err = check_perms(cmd, map, slot.get()); err != 0) return SkepAnswer{err, 1};
  const ElemCall call{op_of(slot.get(), cmd), map.desc, map.ops, map.value_size, scratch};
  CallerMemory memory;
  return SkepAnswer{elem_call(cmd, call, ElemAttr{words[1], words[2], words[3]}, memory), 1};
}
