// helpers: one run of a program, and what the process it runs in supplies. Freestanding: also compiled into the agent.
#pragma once
#include "isa/insn.h"
#include "shm/op_ctx.h"

namespace skep {

/// Bytes of one function's frame: what programs may use, and what inlined loops and counters add to it. Linux: verifier.c:
/// optimize_bpf_loop(), do_misc_fixups()
constexpr u32 RUN_FRAME_BYTES = MAX_BPF_STACK + 64;
/// Frames at once: MAX_CALL_FRAMES of one program, and more where tail calls begin anew inside a function.
constexpr u32 RUN_FRAMES = 32;
/// Tail calls that one run may make. Linux: include/linux/bpf.h
constexpr u32 MAX_TAIL_CALL_CNT = 33;
/// What a register holds that names a function of the program: this, or-ed with its first instruction.
constexpr u64 RUN_FUNC_TAG = 0xbfULL << 56;

constexpr u32 MAX_CGROUP_LEVELS = 32;

/// The cgroups (of the hierarchy of version 2) that a thread is in, from the root on: their ids.
struct CgroupPath {
  u32 levels;  ///< 0: they cannot be known
  u64 ids[MAX_CGROUP_LEVELS];
};

/// What helpers ask of the process of the run: the agent's own functions in production, fakes in tests. None may block, allocate or
/// call libc; each may be called at any instruction of the process.
struct RunEnv {
  u64 (*pid_tgid)(RunEnv*) noexcept;      ///< tgid << 32 | pid
  u64 (*uid_gid)(RunEnv*) noexcept;       ///< gid << 32 | uid
  void (*comm)(RunEnv*, char out[16]) noexcept;  ///< NUL-terminated
  u64 (*current_task)(RunEnv*) noexcept;  ///< address of the synthetic task_struct
  u64 (*ktime_ns)(RunEnv*) noexcept;      ///< CLOCK_MONOTONIC
  u64 (*boot_ns)(RunEnv*) noexcept;       ///< CLOCK_BOOTTIME
  u64 (*coarse_ns)(RunEnv*) noexcept;     ///< CLOCK_MONOTONIC_COARSE
  u64 (*tai_ns)(RunEnv*) noexcept;        ///< CLOCK_TAI
  u32 (*numa_node)(RunEnv*) noexcept;     ///< that the thread is on
  /// Guarded copy: 0, or -EFAULT with dst undefined. Which addresses may be asked for is the caller's affair.
  long (*read_memory)(RunEnv*, void* dst, const void* src, u64 len) noexcept;
  /// Guarded string copy, at most size bytes with the NUL: the length with its NUL, or -EFAULT with dst undefined. A longer string
  /// is cut: dst ends with a NUL and the answer is size. Bytes behind the NUL stay as they were. Linux:
  /// mm/maccess.c:strncpy_from_user_nofault()
  long (*read_string)(RunEnv*, void* dst, u64 size, const void* src) noexcept;
  void (*futex_wake_host)(RunEnv*) noexcept;  ///< rings the session's doorbell
  long (*write_memory)(RunEnv*, void* dst, const void* src, u64 len) noexcept;  ///< as read_memory(), the other way
  /// To the process, or to the thread alone, once the run is over. 0 or -EBUSY. REQUIRES: sig is in [1, 64].
  long (*send_signal)(RunEnv*, u32 sig, bool to_thread) noexcept;
  bool (*pid_namespace)(RunEnv*, u64* dev, u64* ino) noexcept;  ///< false: cannot be known
  const CgroupPath* (*cgroups)(RunEnv*) noexcept;               ///< good until it is asked for again
  // Of programs that run on demand. They may block.
  s64 (*sys_bpf)(RunEnv*, u32 cmd, u64 attr, u32 size) noexcept;  ///< as if the process had made the call
  long (*close_fd)(RunEnv*, s32 fd) noexcept;
  /// By its NUL-terminated name: the address of a function of the kernel (kind 0), or with another `kind` the id of its type in the
  /// kernel's BTF. -ENOENT.
  s64 (*find_symbol)(RunEnv*, const char* name, u32 kind, u64* address) noexcept;
};

struct AddrRange {
  u64 addr, len;
  /// True when [a, a + size) lies inside, without wrapping.
  constexpr bool holds(u64 a, u64 size) const noexcept { return a >= addr && a - addr <= len && size <= len - (a - addr); }
};

/// Why a run was ended.
enum class FaultKind : u32 {
  None,
  BadOpcode,     ///< unknown, or of a kind that does not run here (LD_ABS, kfunc, PSEUDO_FUNC)
  BadRegister,   ///< above r10, or a write to r10
  BadPc,         ///< outside the program
  BadRead,
  BadWrite,
  Misaligned,    ///< atomic operation
  UnknownHelper,  ///< none of that id, or not for this program type
  BadHelperArg,
  CallDepth,     ///< more than RUN_FRAMES
  StepLimit,
  UninitRead,    ///< of stack bytes never written; only where RunCtx::check_uninit asks for it
  LockStuck,     ///< a spin lock whose holder does not go on
  BadCode,       ///< compiled code touched what is not there: a fault of the verifier's or the compiler's
};

struct Fault {
  FaultKind kind;
  u32 insn;
  u64 addr;  ///< the address touched, the helper's id, or the argument
};

/// What r1 of a program points to, and with it where the packet lies that the program may look at.
enum class PacketKind : u8 { None, Skb, Xdp, Flow };  ///< helpers/packet.h: PacketSkb, PacketXdp; FlowDissectorKern

/// The key that a callback of bpf_for_each_map_elem() is being shown. On the helper's own stack; `outer`: of one around it.
struct ShownKey {
  AddrRange bytes;
  const ShownKey* outer;
};

constexpr u32 RUN_INNER_MAPS = 32;

/// Where the program that an event happens in is: what user stacks are walked from.
struct UserPlace {
  u64 ip, sp, bp;  ///< ip 0: nowhere, no stack can be had
};

/// One run. The caller fills the first part and zeroes nothing else: run_program() does. 22 KiB.
struct RunCtx {
  OpCtx op;                 ///< op.slot is held for the whole run
  const ProgImage* prog;
  const ProbeEntry* probe;  ///< null when run on demand
  u8* ctx;                  ///< what r1 holds on entry
  u32 ctx_size;
  RunEnv* env;
  AddrRange extra;          ///< memory that probe_read_kernel() may read beside the window: a synthetic pt_regs. len 0: none
  AddrRange hidden = {0, 0};  ///< memory of the process that is nobody's to read: the agent's stacks. What lies in `extra` is seen all the same
  AddrRange kernel = {0, 0};  ///< structures that a converted program reads and writes: the context and what it leads to
  PacketKind packet = PacketKind::None;
  bool ctx_writable = false;  ///< the context is the program's to write (SYSCALL)
  UserPlace user = {0, 0, 0};
  bool overrides;     ///< by bpf_override_return(): the call that the run is at answers override_ret, and is not made
  s64 override_ret;
  bool check_uninit = false;  ///< for tests: a read of stack bytes never written is a fault. Linux lets privileged programs read them

  u32 steps;                ///< instructions executed
  u32 frame;                ///< current call depth, 0 = entry function
  u32 prandom_calls;
  u32 last_map;             ///< index into prog->maps that held the last map value touched: asked first
  Fault fault;
  RobustLock* held_lock;    ///< by bpf_spin_lock()
  const ShownKey* keys;
  /// Maps that lookups in maps of maps have found: the program's too, from then on. The oldest goes when there are too many.
  MapDesc* inner_maps[RUN_INNER_MAPS];
  u32 n_inner_maps;
  /// Runs a function of the program (`func`: interpreted, as RUN_FUNC_TAG has it; compiled, its address). False: the run is over, see
  /// `fault`.
  bool (*call_func)(RunCtx&, u64 func, const u64 (&args)[5], u64* r0) noexcept;
  void* machine;            ///< the interpreter's
  // Compiled code's.
  u64 native_sp;            ///< stack pointer to leave with when a run has to end in the middle; 0: the run is interpreted
  u32 tail_calls;           ///< made so far
  // What stays the same for a run, 0 as long as it is not known. The caller may know it. Compiled code looks here before it calls.
  u64 pid_tgid = 0;
  u64 task = 0;             ///< address of the synthetic task_struct, once it is filled
  u64 prandom_seed;         ///< once there are prandom_calls
  alignas(8) u8 stack[RUN_FRAMES][RUN_FRAME_BYTES];  ///< r10 of frame i = end of stack[i]
  u8 written[RUN_FRAMES][RUN_FRAME_BYTES / 8];       ///< with check_uninit: a bit for each byte of `stack`
};

}  // namespace skep
