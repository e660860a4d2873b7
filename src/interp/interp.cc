#include "interp/interp.h"

#include "base/atomic.h"
#include "base/bytes.h"
#include "helpers/helper.h"
#include "helpers/memory.h"
#include "helpers/user_memory.h"
#include "interp/call_args.h"
#include "isa/eval.h"
#include "maps/object_maps.h"
#include "progtypes/func_ids.h"

/// Tests that look at every step build this file once more (tests/fuzz/stepped_interp.cc).
#ifndef SKEP_ON_STEP
#define SKEP_ON_STEP(run, pc, regs) static_cast<void>(0)
#endif

/// And those that must not depend on what a frame holds at first.
#ifndef SKEP_NEW_FRAME
#define SKEP_NEW_FRAME(bytes, size) zero_bytes(bytes, size)
#endif

namespace skep {
namespace {

constexpr u32 REGISTERS = MAX_BPF_REG + 1;  ///< with BPF_REG_AX, which only rewritten code names

/// What a call leaves behind for its return.
struct Frame {
  u64 saved[4];  ///< the caller's r6 to r9
  const ProgImage* prog;  ///< the caller's: tail calls change it
  u32 return_pc;
  u32 may_goto_left;  ///< Linux: one counter per frame, set on entry. verifier.c:do_misc_fixups()
};

class Machine {
 public:
  explicit Machine(RunCtx& run) noexcept : run_(run), step_limit_(run.prog->step_limit) {
    for (u64& r : regs_) r = 0;
    regs_[1] = reinterpret_cast<u64>(run.ctx);
    load_program(run.prog);
    enter(0);
  }

  u64 run() noexcept {
    while (step()) {
    }
    return run_.fault.kind == FaultKind::None ? regs_[0] : 0;
  }

  /// RunCtx::call_func: a function of the program, from within a helper. Ends when that function's frame does.
  bool call_back(u64 func, const u64 (&args)[5], u64* r0) noexcept {
    const u32 after = pc_, outer_base = base_;
    if (!push_frame(static_cast<s64>(func & ~RUN_FUNC_TAG))) return false;
    for (u32 i = 0; i < 5; ++i) regs_[1 + i] = args[i];
    base_ = run_.frame;
    while (step()) {
    }
    base_ = outer_base;
    if (run_.fault.kind != FaultKind::None) return false;
    pop_frame();
    pc_ = after;
    *r0 = regs_[0];
    return true;
  }

 private:
  /// Executes one instruction. False when the run is over.
  bool step() noexcept {
    if (pc_ >= count_) return fail(FaultKind::BadPc, pc_);
    if (run_.steps >= step_limit_) return fail(FaultKind::StepLimit, run_.steps);
    ++run_.steps;
    SKEP_ON_STEP(run_, pc_, regs_);
    const bpf_insn& insn = insns_[pc_];
    if (insn.dst_reg >= REGISTERS || insn.src_reg >= REGISTERS) return fail(FaultKind::BadRegister, insn.code);
    if (is_probe_load(insn.code)) return probe_load(insn);
    if (!opcode_known(insn.code)) return fail(FaultKind::BadOpcode, insn.code);
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64: return alu(insn);
      case BPF_LD: return load_imm64(insn);
      case BPF_LDX: return load(insn);
      case BPF_ST: return store(insn, static_cast<u64>(static_cast<s64>(insn.imm)));
      case BPF_STX: return bpf_mode(insn.code) == BPF_ATOMIC ? atomic(insn) : store(insn, regs_[insn.src_reg]);
      default: return jump(insn);
    }
  }

  bool fail(FaultKind kind, u64 addr) noexcept {
    run_.fault = {kind, pc_, addr};
    return false;
  }
  bool next() noexcept {
    ++pc_;
    return true;
  }
  /// Sets dst and goes on; r10 is read only.
  bool set(u8 reg, u64 value) noexcept {
    if (reg == BPF_REG_FP) return fail(FaultKind::BadRegister, reg);
    regs_[reg] = value;
    return next();
  }

  void load_program(const ProgImage* prog) noexcept {
    run_.prog = prog;
    run_.last_map = 0;
    insns_ = prog->insns;
    count_ = prog->insn_cnt;
  }

  void enter(u32 frame) noexcept {
    run_.frame = frame;
    SKEP_NEW_FRAME(run_.stack[frame], RUN_FRAME_BYTES);
    if (run_.check_uninit) zero_bytes(run_.written[frame], sizeof run_.written[frame]);
    frames_[frame].may_goto_left = BPF_MAX_LOOPS;
    regs_[BPF_REG_FP] = frame_pointer(frame);
  }
  u64 frame_pointer(u32 frame) const noexcept { return reinterpret_cast<u64>(run_.stack[frame]) + RUN_FRAME_BYTES; }

  bool alu(const bpf_insn& insn) noexcept {
    // Casts between address spaces need an arena, and per-CPU addresses are the kernel's own.
    const bool plain_move =
        insn.code != (BPF_ALU64 | BPF_MOV | BPF_X) || insn.off == 0 || insn.off == 8 || insn.off == 16 || insn.off == 32;
    if (!plain_move) return fail(FaultKind::BadOpcode, insn.code);
    return set(insn.dst_reg, eval_alu(insn, regs_[insn.dst_reg], regs_[insn.src_reg]));
  }

  bool load_imm64(const bpf_insn& insn) noexcept {
    if (!is_ldimm64(insn)) return fail(FaultKind::BadOpcode, insn.code);
    if (pc_ + 1 >= count_) return fail(FaultKind::BadPc, pc_ + 1);
    u64 value = ldimm64_value(&insn);
    if (is_pseudo_func(insn)) {
      const s64 target = call_target(insn, pc_);
      // One that nobody calls may be gone: its name points behind the program then.
      if (target < 0 || target > count_) return fail(FaultKind::BadPc, static_cast<u64>(target));
      value = RUN_FUNC_TAG | static_cast<u64>(target);
    }
    return set(insn.dst_reg, value) && next();
  }

  static u64 address(u64 base, s16 off) noexcept { return base + static_cast<u64>(static_cast<s64>(off)); }

  bool load(const bpf_insn& insn) noexcept {
    const u64 addr = address(regs_[insn.src_reg], insn.off);
    const u32 size = access_bytes(insn.code);
    if (!run_may_read(run_, addr, size)) return fail(FaultKind::BadRead, addr);
    if (run_reads_uninit(run_, addr, size)) return fail(FaultKind::UninitRead, addr);
    u64 value = read_sized(addr, size);
    if (bpf_mode(insn.code) == BPF_MEMSX) value = sign_extend(value, static_cast<s16>(size * 8));
    return set(insn.dst_reg, value);
  }

  static bool is_probe_load(u8 code) noexcept {
    return bpf_class(code) == BPF_LDX && (bpf_mode(code) == BPF_PROBE_MEM || bpf_mode(code) == BPF_PROBE_MEMSX);
  }
  /// A load through a pointer of the kernel's that may be wrong: what cannot be read is zero. Linux: core.c:LDX_PROBE_MEM_*
  bool probe_load(const bpf_insn& insn) noexcept {
    const u64 addr = address(regs_[insn.src_reg], insn.off);
    const u32 size = access_bytes(insn.code);
    u64 value = 0;
    read_bytes(run_, &value, size, addr, Space::Kernel);
    if (bpf_mode(insn.code) == BPF_PROBE_MEMSX) value = sign_extend(value, static_cast<s16>(size * 8));
    return set(insn.dst_reg, value);
  }

  bool store(const bpf_insn& insn, u64 value) noexcept {
    const u64 addr = address(regs_[insn.dst_reg], insn.off);
    const u32 size = access_bytes(insn.code);
    if (!run_may_write(run_, addr, size)) return fail(FaultKind::BadWrite, addr);
    write_sized(addr, size, value);
    return next();
  }

  // Map values are shared with other runs: each access is one load or store of its width, as the kernel's is. Unaligned ones are
  // legal.
  template <typename T>
  struct [[gnu::packed, gnu::may_alias]] Unaligned {
    T v;
  };
  template <typename T>
  static u64 read_as(u64 addr) noexcept { return reinterpret_cast<const volatile Unaligned<T>*>(addr)->v; }
  template <typename T>
  static void write_as(u64 addr, u64 value) noexcept { reinterpret_cast<volatile Unaligned<T>*>(addr)->v = static_cast<T>(value); }

  static u64 read_sized(u64 addr, u32 size) noexcept {
    switch (size) {
      case 1: return read_as<u8>(addr);
      case 2: return read_as<u16>(addr);
      case 4: return read_as<u32>(addr);
      default: return read_as<u64>(addr);
    }
  }
  static void write_sized(u64 addr, u32 size, u64 value) noexcept {
    switch (size) {
      case 1: return write_as<u8>(addr, value);
      case 2: return write_as<u16>(addr, value);
      case 4: return write_as<u32>(addr, value);
      default: return write_as<u64>(addr, value);
    }
  }

  bool atomic(const bpf_insn& insn) noexcept {
    const u64 addr = address(regs_[insn.dst_reg], insn.off);
    const u32 size = access_bytes(insn.code);
    if (addr % size != 0) return fail(FaultKind::Misaligned, addr);
    if (run_reads_uninit(run_, addr, size)) return fail(FaultKind::UninitRead, addr);
    if (!run_may_write(run_, addr, size) || !run_may_read(run_, addr, size)) return fail(FaultKind::BadWrite, addr);
    return size == 8 ? atomic_as<u64>(insn, addr) : atomic_as<u32>(insn, addr);
  }

  /// Source: RFC 9669 section 5.3. What is fetched is zero-extended.
  template <typename T>
  bool atomic_as(const bpf_insn& insn, u64 addr) noexcept {
    struct [[gnu::may_alias]] Word {
      T v;
    };
    T* word = &reinterpret_cast<Word*>(addr)->v;
    const T src = static_cast<T>(regs_[insn.src_reg]);
    T old;
    switch (insn.imm) {
      case BPF_ADD:
      case BPF_ADD | BPF_FETCH: old = fetch_add(word, src); break;
      case BPF_AND:
      case BPF_AND | BPF_FETCH: old = fetch_and(word, src); break;
      case BPF_OR:
      case BPF_OR | BPF_FETCH: old = fetch_or(word, src); break;
      case BPF_XOR:
      case BPF_XOR | BPF_FETCH: old = __atomic_fetch_xor(word, src, __ATOMIC_SEQ_CST); break;
      case BPF_XCHG: old = exchange(word, src); break;
      case BPF_CMPXCHG:
        old = static_cast<T>(regs_[0]);
        compare_exchange(word, old, src);
        return set(0, old);
      default: return fail(FaultKind::BadOpcode, static_cast<u64>(insn.imm));
    }
    return (insn.imm & BPF_FETCH) != 0 ? set(insn.src_reg, old) : next();
  }

  bool jump(const bpf_insn& insn) noexcept {
    switch (bpf_op(insn.code)) {
      case BPF_CALL: return call(insn);
      case BPF_EXIT: return leave();
      case BPF_JA: return go(jump_target(insn, pc_));
      case BPF_JCOND: return may_goto(insn);
      default: return eval_jump(insn, regs_[insn.dst_reg], regs_[insn.src_reg]) ? go(jump_target(insn, pc_)) : next();
    }
  }

  bool go(s64 target) noexcept {
    if (target < 0 || target >= count_) return fail(FaultKind::BadPc, static_cast<u64>(target));
    pc_ = static_cast<u32>(target);
    return true;
  }

  bool may_goto(const bpf_insn& insn) noexcept {
    if (!is_may_goto(insn)) return fail(FaultKind::BadOpcode, insn.code);
    u32& left = frames_[run_.frame].may_goto_left;
    if (left == 0) return go(jump_target(insn, pc_));
    --left;
    return next();
  }

  bool call(const bpf_insn& insn) noexcept {
    switch (insn.src_reg) {
      case 0: return call_helper(insn);
      case BPF_PSEUDO_CALL: return call_subprog(insn);
      default: return fail(FaultKind::BadOpcode, insn.code);
    }
  }

  bool call_helper(const bpf_insn& insn) noexcept {
    const u64 id = static_cast<u32>(insn.imm);
    if (is_skb_load_helper(id)) return load_packet(id);
    const FuncProto* proto = run_func_proto(id, run_.prog->type);
    const HelperFn fn = helper_fn(id);
    if (proto == nullptr || (fn == nullptr && id != func::tail_call)) return fail(FaultKind::UnknownHelper, id);
    if (const u32 bad = check_call_args(run_, *proto, &regs_[1]); bad != 0) return fail(FaultKind::BadHelperArg, regs_[bad]);
    if (id == func::tail_call) return tail_call();
    return finish_call(fn, proto->allow_fastcall);
  }

  bool load_packet(u64 id) noexcept {
    if (run_.packet != PacketKind::Skb || regs_[1] != reinterpret_cast<u64>(run_.ctx)) return fail(FaultKind::BadHelperArg, regs_[1]);
    return finish_call(helper_fn(id), false);
  }

  bool finish_call(HelperFn fn, bool keeps_arguments) noexcept {
    regs_[0] = fn(run_, regs_[1], regs_[2], regs_[3], regs_[4], regs_[5]);
    if (run_.fault.kind != FaultKind::None) {
      if (run_.fault.insn == ~0u) run_.fault.insn = pc_;
      return false;
    }
    if (!keeps_arguments) scratch_arguments();
    return next();
  }
  /// Scratched by the call; nothing of ours may show through.
  void scratch_arguments() noexcept {
    for (u32 r = 1; r <= 5; ++r) regs_[r] = 0;
  }

  /// The program named takes this frame's place. Linux: core.c:JMP_TAIL_CALL
  bool tail_call() noexcept {
    const MapDesc& map = *run_map(run_, regs_[2]);
    const auto* prog = static_cast<const ProgImage*>(object_at(map, static_cast<u32>(regs_[3])));
    if (prog == nullptr || tail_calls_ >= MAX_TAIL_CALL_CNT) {
      scratch_arguments();
      return next();
    }
    ++tail_calls_;
    const u64 ctx = regs_[1];
    for (u64& r : regs_) r = 0;
    regs_[1] = ctx;
    load_program(prog);
    enter(run_.frame);
    pc_ = 0;
    return true;
  }

  bool call_subprog(const bpf_insn& insn) noexcept { return push_frame(call_target(insn, pc_)); }

  bool push_frame(s64 target) noexcept {
    const u32 callee = run_.frame + 1;
    if (callee >= RUN_FRAMES) return fail(FaultKind::CallDepth, callee);
    Frame& frame = frames_[callee];
    for (u32 i = 0; i < 4; ++i) frame.saved[i] = regs_[6 + i];
    frame.prog = run_.prog;
    frame.return_pc = pc_ + 1;
    if (!go(target)) return false;
    enter(callee);
    return true;
  }

  void pop_frame() noexcept {
    const Frame& frame = frames_[run_.frame];
    for (u32 i = 0; i < 4; ++i) regs_[6 + i] = frame.saved[i];
    if (frame.prog != run_.prog) load_program(frame.prog);
    pc_ = frame.return_pc;
    --run_.frame;
    regs_[BPF_REG_FP] = frame_pointer(run_.frame);
  }

  bool leave() noexcept {
    if (run_.frame == base_) return false;
    pop_frame();
    return true;
  }

  RunCtx& run_;
  const u32 step_limit_;
  const bpf_insn* insns_ = nullptr;
  u32 count_ = 0;
  u32 pc_ = 0;
  u32 base_ = 0;  ///< frame whose end ends the loop under way: 0, or a callback's
  u32 tail_calls_ = 0;
  u64 regs_[REGISTERS];
  Frame frames_[RUN_FRAMES];
};

bool call_back(RunCtx& run, u64 func, const u64 (&args)[5], u64* r0) noexcept {
  return static_cast<Machine*>(run.machine)->call_back(func, args, r0);
}

/// Of a run that ended in the middle.
void release_lock(RunCtx& run) noexcept {
  if (run.held_lock == nullptr) return;
  robust_unlock(run.held_lock);
  run.held_lock = nullptr;
}

}  // namespace

u64 interp_part(RunCtx& run) noexcept {
  run.steps = 0;
  run.prandom_calls = 0;
  run.last_map = 0;
  run.fault = {FaultKind::None, 0, 0};
  run.held_lock = nullptr;
  run.keys = nullptr;
  run.n_inner_maps = 0;
  run.native_sp = 0;
  const ProgImage* const first = run.prog;
  Machine machine(run);
  run.call_func = call_back;
  run.machine = &machine;
  const u64 r0 = machine.run();
  if (run.fault.kind != FaultKind::None && run.prog->stats != nullptr) fetch_add(&run.prog->stats->faults, u64{1});
  run.prog = first;
  return r0;
}

u64 interp_run(RunCtx& run) noexcept {
  const u64 r0 = interp_part(run);
  run_discard_reservations(run);
  release_lock(run);
  return r0;
}

}  // namespace skep
