// verifier: what the steps of one judgement share, and the steps themselves. Internal to the room.
// Linux: include/linux/bpf_verifier.h:struct bpf_verifier_env
#pragma once
#include <array>
#include <deque>
#include <string>
#include <unordered_map>

#include "progtypes/ctx_access.h"
#include "progtypes/func_proto.h"
#include "verifier/log.h"
#include "verifier/state.h"
#include "verifier/verifier.h"

namespace skep {

constexpr u32 BPF_COMPLEXITY_LIMIT_JMP_SEQ = 8192;
constexpr u32 BPF_COMPLEXITY_LIMIT_STATES = 64;
/// `callsite` of a frame that nobody called.
constexpr u32 BPF_MAIN_FUNC = ~0u;
constexpr u32 BPF_MAY_GOTO_LIMIT = 8388608;

/// The map that a call was made with. Linux: bpf_insn_aux_data.map_ptr_state
struct MapPtrState {
  const VerifierMap* map_ptr;
  bool poison;  ///< two paths came with different maps
  bool unpriv;
};

/// map_key_state: top bits over a constant key. Linux: include/linux/filter.h / bpf.h:BPF_MAP_KEY_POISON, BPF_MAP_KEY_SEEN
constexpr u64 BPF_MAP_KEY_POISON = 1ull << 63;
constexpr u64 BPF_MAP_KEY_SEEN = 1ull << 62;

/// Facts about one instruction slot. All zero at first, and small: there are several passes over them. Linux: bpf_insn_aux_data
struct InsnAux {
  u32 ptr_type = NOT_INIT;     ///< loads and stores: kind of pointer used
  u32 ctx_field_size = 0;
  u32 seen = 0;                ///< pass in which the instruction was last visited; 0: never, so it is dead
  u32 orig_idx = 0;
  bool zext_dst = false;
  bool needs_zext = false;     ///< 64-bit arithmetic on an arena pointer: done in 32 bits
  bool storage_get_func_atomic = false;
  bool is_iter_next = false;
  bool call_with_percpu_alloc_ptr = false;
  bool fastcall_pattern = false;
  u8 fastcall_spills_num = 0;
  bool jmp_point = false, prune_point = false, force_checkpoint = false, calls_callback = false, jump_target = false;
  // By the instruction's kind; what it is does not change before rewriting.
  union {
    u64 facts[4] = {};
    struct {  // helper calls
      MapPtrState map_ptr_state;
      u64 map_key_state;
      struct {
        bool initialized, fit_for_inline;
        u32 callback_subprogno;
      } loop_inline_state;
    };
    struct {  // kfunc calls
      u64 obj_new_size;
      u64 insert_off;
      const BtfStructMeta* kptr_struct_meta;
    };
    struct {  // LD_IMM64
      struct {
        const Btf* btf;
        u32 btf_id;
        u32 reg_type;
        u32 mem_size;
      } btf_var;  ///< of a BTF variable
      u32 map_number;  ///< of a map: one more than its index in used_maps
      u32 map_off;
    };
  };
  /// A PTR_TO_BTF_ID load that may fault and reads zero then; MEM_USER / arena loads likewise are told by ptr_type.
};
static_assert(sizeof(InsnAux) == 64 && NOT_INIT == 0);

struct SubprogArg {
  u32 arg_type = 0;  ///< bpf_arg_type
  u32 mem_size = 0;
  u32 btf_id = 0;
};

/// One subprogram. Linux: bpf_subprog_info
struct SubprogInfo {
  u32 start = 0;
  u32 linfo_idx = 0;
  u32 stack_depth = 0;
  u32 stack_extra = 0;
  s32 fastcall_stack_off = 0;
  bool has_tail_call = false, tail_call_reachable = false, has_ld_abs = false;
  bool is_cb = false, is_async_cb = false, is_exception_cb = false;
  bool args_cached = false, keep_fastcall_stack = false, changes_pkt_data = false;
  // Of func info (Linux: bpf_func_info_aux): global linkage, called from judged code, judged by itself, unreliable signature.
  bool is_global = false, called = false, verified = false, unreliable = false;
  u32 arg_cnt = 0;
  std::array<SubprogArg, 5> args{};
};

/// A path that waits to be walked. Linux: bpf_verifier_stack_elem
struct PendingPath {
  VerifierState* state;
  u32 insn_idx, prev_insn_idx;
  u64 log_pos;  ///< where the log was; at level 1 the trace of a path that ended well is taken back to it
};

/// What precision backtracking looks for in one frame.
struct Sought {
  u64 slots;
  u32 regs;
  u32 frame;
};

/// One step of a path's instruction history. Linux: bpf_insn_hist_entry
struct InsnHistEntry {
  u32 idx;
  u32 prev_idx : 20;
  u32 flags : 12;
  u64 linked_regs;
  Sought sought;  ///< for this was backtracked already, from before this instruction on. See precision.cc
};
enum : u32 {
  INSN_F_FRAMENO_MASK = 0x7,
  INSN_F_SPI_MASK = 0x3f,
  INSN_F_SPI_SHIFT = 3,
  INSN_F_STACK_ACCESS = 1u << 9,
  INSN_F_DST_REG_STACK = 1u << 10,
  INSN_F_SRC_REG_STACK = 1u << 11,
};

/// What precision backtracking still looks for. Linux: backtrack_state
struct BacktrackState {
  u32 frame = 0;
  std::array<u32, MAX_CALL_FRAMES> reg_masks{};
  std::array<u64, MAX_CALL_FRAMES> stack_masks{};
};

constexpr u32 BPF_ID_MAP_SIZE = (MAX_BPF_REG + MAX_BPF_STACK / BPF_REG_SIZE) * MAX_CALL_FRAMES;
struct IdPair {
  u32 old, cur;
};
struct IdMap {
  u32 tmp_id_gen = 0;
  u32 count = 0;
  std::array<IdPair, BPF_ID_MAP_SIZE> map;
};
struct IdSet {
  u32 count = 0;
  std::array<u32, BPF_ID_MAP_SIZE> ids;
};

/// Everything of one judgement. One thread; lives for one verify() call.
struct VerifierEnv {
  VerifierEnv(const VerifierInput& in, VerifierLog& lg);
  ~VerifierEnv();
  VerifierEnv(const VerifierEnv&) = delete;

  const VerifierInput& input;
  VerifierLog& log;
  ProgTraits prog;                ///< input.prog; sleepable, attach facts as they come out
  const btf_type* attach_func_proto = nullptr;  ///< FUNC_PROTO of what TRACING, LSM, STRUCT_OPS, EXT attach to; set by check_attach_btf_id()
  std::vector<bpf_insn> insns;    ///< a copy; steps after do_check() rewrite it
  std::vector<InsnAux> aux;       ///< one for each slot of insns
  std::vector<SubprogInfo> subprogs;  ///< [subprog_cnt] is a sentinel with start == insn count
  u32 subprog_cnt = 0;            ///< hidden exception callback included
  s32 exception_callback_subprog = 0;
  u32 hidden_subprog_cnt = 0;
  std::vector<bpf_func_info> func_info;
  std::vector<bpf_line_info> line_info;  ///< moves with rewrites
  std::vector<const VerifierMap*> used_maps;
  const VerifierMap* cgroup_storage[2] = {};
  bool has_callchain_buf = false;
  bool reads_map_structs = false;

  // Privileges and modes. Linux: bpf_check()
  bool allow_ptr_leaks = true, allow_uninit_stack = true, bpf_capable = true, bypass_spec_v1 = true, bypass_spec_v4 = true;
  bool strict_alignment = false, test_state_freq = false, test_reg_invariants = false;
  bool seen_direct_write = false, seen_exception = false;
  bool enforce_expected_attach_type = false;
  bool changes_pkt_data = false;
  bool tstamp_type_access = false;  ///< __sk_buff.tstamp_type was read: tstamp is converted accordingly
  u32 max_ctx_offset = 0, max_pkt_offset = 0, max_tp_access = 0, max_rdonly_access = 0, max_rdwr_access = 0;

  // The walk.
  StatePool pool;
  VerifierState* cur_state = nullptr;
  u32 insn_idx = 0, prev_insn_idx = 0;
  std::vector<PendingPath> pending;
  std::vector<ExploredState*> explored;  ///< hash by (insn ^ callsite) % insns; Linux: env->explored_states
  ExploredState* free_list = nullptr;    ///< states taken out of the table while still somebody's parent
  std::vector<InsnHistEntry> insn_hist;
  InsnHistEntry* cur_hist_ent = nullptr; ///< of the current instruction, if it has one already
  u32 id_gen = 0;
  u32 pass_cnt = 0;
  RegState fake_reg[2];                  ///< constants of jumps as registers
  BacktrackState bt;
  u64 backtrack_steps = 0;
  IdMap idmap_scratch;
  IdSet idset_scratch;

  // Figures. Linux: print_verification_stats()
  u32 prev_insn_processed = 0, insn_processed = 0, prev_jmps_processed = 0, jmps_processed = 0;
  u32 max_states_per_insn = 0, total_states = 0, peak_states = 0, longest_mark_read_walk = 0;
  u64 verification_time_ns = 0;

  // The log's memory of what it showed.
  u32 scratched_regs = ~0u;
  u64 scratched_stack_slots = ~0ull;
  u64 prev_log_pos = 0, prev_insn_print_pos = 0;
  const bpf_line_info* prev_linfo = nullptr;

  // --- small things used everywhere -----------------------------------------------------------------------------------------------

  FuncState& cur_func() noexcept { return *cur_state->frame[cur_state->curframe]; }
  RegState* cur_regs() noexcept { return cur_func().regs.data(); }
  InsnAux& cur_aux() noexcept { return aux[insn_idx]; }
  u32 insn_cnt() const noexcept { return static_cast<u32>(insns.size()); }
  /// Frame of the stack that `reg` (PTR_TO_STACK) points into. Linux: func()
  FuncState& func(const RegState& reg) noexcept { return *cur_state->frame[reg.frameno]; }
  const Btf* btf() const noexcept { return input.btf; }
  const Btf* vmlinux() const noexcept { return input.vmlinux; }
  u32 new_id() noexcept { return ++id_gen; }

  // Only the choice whether to format at all is inline: there are hundreds of calls.
  /// Linux: verbose(). The caller writes the newline.
  template <typename... Args>
  void verbose(fmt::format_string<Args...> format, Args&&... args) {
    if (log.needed()) log.vappend(format, fmt::make_format_args(args...));
  }
  /// Writes a line (the newline is added) and answers the errno.
  template <typename... Args>
  Errno refuse(int err, fmt::format_string<Args...> format, Args&&... args) {
    if (log.needed()) write_line("", format, fmt::make_format_args(args...));
    return Errno(err);
  }
  /// Something that no program should be able to bring about. Linux: verifier_bug(), "verifier internal error"
  template <typename... Args>
  Errno bug(fmt::format_string<Args...> format, Args&&... args) {
    write_line("verifier bug: ", format, fmt::make_format_args(args...));
    return Errno(EFAULT);
  }
  void write_line(std::string_view prefix, fmt::string_view format, fmt::format_args args);  ///< print.cc
  void mark_reg_scratched(u32 regno) noexcept { scratched_regs |= 1u << regno; }
  void mark_stack_slot_scratched(u32 spi) noexcept { scratched_stack_slots |= 1ull << spi; }
};

// === regs.cc: marking registers and stack slots, references, ids ==================================================================
void mark_reg_unknown(VerifierEnv& env, RegState* regs, u32 regno);
/// Linux: __mark_reg_known(): keeps type
inline void mark_reg_known(RegState& reg, u64 imm) {
  mark_known(&reg, imm);
  reg.off = 0;
  reg.raw = {0, 0};
  reg.id = reg.ref_obj_id = 0;
}
/// Linux: __mark_reg_unknown_imprecise()
inline void mark_reg_unknown_imprecise(RegState& reg) {
  mark_unknown(&reg);
  reg.type = SCALAR_VALUE;
  reg.off = 0;
  reg.raw = {0, 0};
  reg.id = reg.ref_obj_id = 0;
  reg.frameno = 0;
  reg.precise = false;
}
/// Linux: __mark_reg_unknown()
inline void mark_reg_unknown_reg(const VerifierEnv& env, RegState& reg) {
  mark_reg_unknown_imprecise(reg);
  reg.precise = !env.bpf_capable;
}
void mark_reg_known_zero(VerifierEnv& env, RegState* regs, u32 regno);
void mark_reg_const_zero(const VerifierEnv& env, RegState& reg);        ///< Linux: __mark_reg_const_zero()
void mark_reg_not_init(VerifierEnv& env, RegState* regs, u32 regno);
void mark_reg_not_init_reg(const VerifierEnv& env, RegState& reg);      ///< Linux: __mark_reg_not_init()
void mark_reg_invalid(const VerifierEnv& env, RegState& reg);
void mark_btf_ld_reg(VerifierEnv& env, RegState* regs, u32 regno, u32 reg_type, const Btf* btf, u32 btf_id, u32 flag);
void mark_ptr_not_null_reg(VerifierEnv& env, RegState& reg);
void mark_dynptr_reg(RegState& reg, DynptrType type, bool first_slot, u32 dynptr_id);  ///< Linux: __mark_dynptr_reg()
void mark_dynptr_stack_regs(VerifierEnv& env, RegState& sreg1, RegState& sreg2, DynptrType type);
void mark_dynptr_cb_reg(VerifierEnv& env, RegState& reg, DynptrType type);
void init_reg_state(VerifierEnv& env, FuncState& func);
void init_func_state(VerifierEnv& env, FuncState& func, u32 callsite, u32 frameno, u32 subprogno);
bool reg_not_null(const VerifierEnv& env, const RegState& reg);
bool reg_is_init_pkt_pointer(const RegState& reg, u32 which);
const BtfRecord* reg_btf_record(const RegState& reg);
bool reg_may_point_to_spin_lock(const RegState& reg);
bool is_rcu_reg(const RegState& reg);
bool is_trusted_reg(const VerifierEnv& env, const RegState& reg);
bool is_pointer_value(VerifierEnv& env, u32 regno);
bool in_rcu_cs(const VerifierEnv& env);
bool in_sleepable(const VerifierEnv& env);
bool is_spillable_regtype(u32 type);
void clear_all_pkt_pointers(VerifierEnv& env);
/// Linux: grow_stack_state(): the pool grows it, the subprogram's stack_depth is raised.
Status grow_stack_state(VerifierEnv& env, FuncState& func, u32 size);
u32 acquire_reference_state(VerifierEnv& env, u32 insn_idx);            ///< its id
bool release_reference_state(FuncState& func, u32 id);                  ///< false: there is no such reference
Status release_reference(VerifierEnv& env, u32 ref_obj_id);
void invalidate_non_owning_refs(VerifierEnv& env);
/// SCALAR_VALUE in [s32_min, s32_max], also as a 64-bit value. Linux: __mark_reg_s32_range()
Status mark_reg_s32_range(VerifierEnv& env, RegState* regs, u32 regno, s32 s32_min, s32 s32_max);
void verbose_invalid_scalar(VerifierEnv& env, const RegState& reg, RetRange range, const char* ctx, const char* reg_name);
Status check_reg_sane_offset(VerifierEnv& env, const RegState& reg, u32 type);
/// dst becomes src but keeps its place in the liveness chain. Linux: copy_register_state()
inline void copy_register_state(RegState& dst, const RegState& src) noexcept {
  RegState* const parent = dst.parent;
  const u8 live = dst.live;
  dst = src;
  dst.parent = parent;
  dst.live = live;
}
Status check_insane_bounds(VerifierEnv& env, RegState& reg, const char* ctx);
inline Status reg_bounds_sanity_check(VerifierEnv& env, RegState& reg, const char* ctx) {
  return bounds_are_sane(reg) ? ok_status() : check_insane_bounds(env, reg, ctx);
}

// === program.cc: subprograms and their facts ======================================================================================
s32 find_subprog(const VerifierEnv& env, u32 off);                      ///< the subprogram that starts at off; -1: none (ENOENT)
u32 find_containing_subprog(const VerifierEnv& env, u32 off);
bool subprog_is_global(const VerifierEnv& env, u32 subprog);
const char* subprog_name(const VerifierEnv& env, u32 subprog);
Status add_subprogs_and_kfuncs(VerifierEnv& env);
Status check_subprogs(VerifierEnv& env);
Status check_abnormal_return(VerifierEnv& env);
Status check_btf_info_early(VerifierEnv& env);
Status check_btf_info(VerifierEnv& env);
Status check_attach_btf_id(VerifierEnv& env);                           ///< attach_target.cc
/// Fills subprog's args from BTF. Linux: btf.c:btf_prepare_func_args()
Status btf_prepare_func_args(VerifierEnv& env, u32 subprog);            ///< func_args.cc

// === ldimm64.cc ===================================================================================================================
Status resolve_pseudo_ldimm64(VerifierEnv& env);
Status check_pseudo_btf_id(VerifierEnv& env, u32 insn);

// === control_flow.cc, fastcall.cc, stack_depth.cc =================================================================================
Status check_cfg(VerifierEnv& env);
void mark_fastcall_patterns(VerifierEnv& env);
void check_fastcall_stack_contract(VerifierEnv& env, FuncState& func, u32 insn_idx, s32 off);
void remove_fastcall_spills_fills(VerifierEnv& env);                     ///< fastcall_remove.cc; after the walk, before check_max_stack_depth()
Status check_max_stack_depth(VerifierEnv& env);
bool is_sync_callback_calling_insn(const VerifierEnv& env, const bpf_insn& insn);
bool is_async_callback_calling_insn(const VerifierEnv& env, const bpf_insn& insn);
// Facts of the kfunc that `insn` calls (kfuncs.cc); false for one that is not there.
bool is_iter_next_kfunc_call(const VerifierEnv& env, const bpf_insn& insn);
bool is_sync_callback_calling_kfunc(const VerifierEnv& env, const bpf_insn& insn);
bool is_async_callback_calling_kfunc(const VerifierEnv& env, const bpf_insn& insn);
/// Registers that the kfunc clobbers as its prototype says, and whether calls of it may lose their spills. Linux: kfunc_fastcall_clobber_mask()
bool kfunc_fastcall(const VerifierEnv& env, const bpf_insn& insn, u32* clobbered, bool* can_be_inlined);
/// What a kfunc call must fulfil before the walk. Linux: add_kfunc_call()
Status add_kfunc_call(VerifierEnv& env, u32 func_id, s16 offset);

// === do_check.cc: the walk ========================================================================================================
Status do_check_main(VerifierEnv& env);
Status do_check_subprogs(VerifierEnv& env);
/// Puts a copy of the current state on the pending stack, to go on at insn_idx. Null: too many, said in the log; the caller answers E2BIG.
VerifierState* push_stack(VerifierEnv& env, u32 insn_idx, u32 prev_insn_idx, bool speculative);
VerifierState* push_async_cb(VerifierEnv& env, u32 insn_idx, u32 prev_insn_idx, u32 subprog, bool is_sleepable);
void update_branch_counts(VerifierEnv& env, VerifierState* state);

// === liveness.cc ==================================================================================================================
enum RegArgType { SRC_OP, DST_OP, DST_OP_NO_MARK };
Status check_reg_arg(VerifierEnv& env, u32 regno, RegArgType t);
Status check_reg_arg_of(VerifierEnv& env, RegState* regs, u32 regno, RegArgType t);  ///< Linux: __check_reg_arg()
Status mark_reg_read(VerifierEnv& env, const RegState& state, RegState* parent, u8 flag);
Status mark_dynptr_read(VerifierEnv& env, RegState& reg);
Status mark_iter_read(VerifierEnv& env, RegState& reg, s32 spi, u32 nr_slots);
bool is_reg64(VerifierEnv& env, const bpf_insn& insn, u32 regno, const RegState* reg, RegArgType t);
s32 insn_def_regno(const bpf_insn& insn);
bool insn_has_def32(VerifierEnv& env, const bpf_insn& insn);
void mark_insn_zext(VerifierEnv& env, RegState& reg);
Status propagate_liveness(VerifierEnv& env, const VerifierState& vstate, VerifierState& vparent);

// === precision.cc: instruction history and backtracking ===========================================================================
struct LinkedReg {
  u8 frameno;
  u8 spi_or_reg;  ///< stack slot, or register
  bool is_reg;
};
struct LinkedRegs {
  u32 cnt = 0;
  std::array<LinkedReg, 6> entries;
};
constexpr u32 LINKED_REGS_MAX = 6;
LinkedReg* linked_regs_push(LinkedRegs& s);  ///< null: full
u64 linked_regs_pack(const LinkedRegs& s);
void linked_regs_unpack(u64 val, LinkedRegs& s);
u32 insn_stack_access_flags(u32 frameno, u32 spi);
Status push_insn_history(VerifierEnv& env, VerifierState& cur, u32 insn_flags, u64 linked_regs);
bool is_jmp_point(const VerifierEnv& env, u32 insn_idx);
Status mark_chain_precision(VerifierEnv& env, s32 regno);               ///< -1: what env.bt already asks for
Status mark_chain_precision_batch(VerifierEnv& env);
void mark_all_scalars_imprecise(VerifierEnv& env, VerifierState& state);
Status propagate_precision(VerifierEnv& env, const VerifierState& old);
void bt_set_frame_reg(BacktrackState& bt, u32 frame, u32 reg);
void bt_set_frame_slot(BacktrackState& bt, u32 frame, u32 slot);
bool calls_callback(const VerifierEnv& env, u32 insn_idx);

// === prune.cc =====================================================================================================================
/// 1: a state that covers this one was explored, the path ends; 0: go on; or an error. Linux: is_state_visited()
Result<int> is_state_visited(VerifierEnv& env, u32 insn_idx);
enum ExactLevel { NOT_EXACT, EXACT, RANGE_WITHIN };
bool states_equal(VerifierEnv& env, VerifierState& old, VerifierState& cur, ExactLevel exact);
ExploredState** explored_state(VerifierEnv& env, u32 idx);
VerifierState* get_loop_entry(VerifierState* state);
void update_loop_entry(VerifierState* cur, VerifierState* hdr);
bool same_callsites(const VerifierState& a, const VerifierState& b);

// === alu.cc, pointer_alu.cc =======================================================================================================
Status check_alu_op(VerifierEnv& env, const bpf_insn& insn);
Status adjust_ptr_min_max_vals(VerifierEnv& env, const bpf_insn& insn, const RegState& ptr_reg, const RegState& off_reg);

// === jump.cc ======================================================================================================================
Status check_cond_jmp_op(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx);
void find_good_pkt_pointers(VerifierState& vstate, const RegState& dst_reg, u32 type, bool range_right_open);
void mark_ptr_or_null_regs(VerifierEnv& env, VerifierState& vstate, u32 regno, bool is_null);
void sync_linked_regs(VerifierState& vstate, RegState& known_reg, LinkedRegs& linked);

// === load.cc: LD_IMM64, LD_ABS, LD_IND; return.cc =================================================================================
Status check_ld_imm(VerifierEnv& env, const bpf_insn* insn);
Status check_ld_abs(VerifierEnv& env, const bpf_insn& insn);
Status check_return_code(VerifierEnv& env, u32 regno, const char* reg_name);

// === mem.cc and its neighbours: every access through a pointer ====================================================================
/// One access of bpf_size at reg[regno] + off. value_regno: what is loaded or stored, -1 for ST. Linux: check_mem_access()
Status check_mem_access(VerifierEnv& env, u32 insn_idx, u32 regno, s32 off, u32 bpf_size, AccessType t, s32 value_regno,
                        bool strict_alignment_once, bool is_ldsx);
Status check_load_mem(VerifierEnv& env, const bpf_insn& insn, bool strict_alignment_once, bool is_ldsx, bool allow_trust_mismatch, const char* ctx);
Status check_store_reg(VerifierEnv& env, const bpf_insn& insn, bool strict_alignment_once);
Status check_atomic(VerifierEnv& env, u32 insn_idx, const bpf_insn& insn);
Status save_aux_ptr_type(VerifierEnv& env, u32 type, bool allow_trust_mismatch);
Status check_ptr_off_reg(VerifierEnv& env, const RegState& reg, u32 regno);
Status check_ptr_off_reg_fixed(VerifierEnv& env, const RegState& reg, u32 regno, bool fixed_off_ok);  ///< Linux: __check_ptr_off_reg()
Status check_mem_region_access(VerifierEnv& env, u32 regno, s32 off, u32 size, u32 mem_size, bool zero_size_allowed);
Status check_map_access(VerifierEnv& env, u32 regno, s32 off, u32 size, bool zero_size_allowed, bool from_helper);
Status check_map_access_type(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType type);
Status check_packet_access(VerifierEnv& env, u32 regno, s32 off, u32 size, bool zero_size_allowed);
Status check_buffer_access(VerifierEnv& env, const RegState& reg, u32 regno, s32 off, u32 size, bool zero_size_allowed, u32* max_access);
Status check_ctx_access(VerifierEnv& env, u32 insn_idx, s32 off, u32 size, AccessType t, CtxAccessInfo* info, u32* btf_id, const Btf** btf);
struct CallArgMeta;
/// from_helper: Linux's ACCESS_HELPER; else ACCESS_DIRECT. In raw mode it fills meta->regno, access_size. meta may be null.
Status check_stack_range_initialized(VerifierEnv& env, u32 regno, s32 off, u32 access_size, bool zero_size_allowed, bool from_helper,
                                     CallArgMeta* meta);
Status check_stack_access_within_bounds(VerifierEnv& env, u32 regno, s32 off, u32 access_size, bool from_helper, AccessType type);
Status destroy_if_dynptr_stack_slot(VerifierEnv& env, FuncState& func, u32 spi);
bool bpf_map_is_rdonly(const VerifierMap& map);
Status check_ptr_alignment(VerifierEnv& env, const RegState& reg, s32 off, u32 size, bool strict_alignment_once);
Status check_ptr_to_btf_access(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType t, s32 value_regno);
Status map_kptr_match_type(VerifierEnv& env, const BtfField& field, const RegState& reg, u32 regno);
/// As progtypes' function, and env.seen_direct_write is set. meta null: a load or store, no helper's argument.
bool may_access_direct_pkt_data(VerifierEnv& env, const CallArgMeta* meta, AccessType t);
/// What an LSM hook (BPF_LSM_MAC) returns; false: nothing is known of it. Linux: get_func_retval_range() (btf_ctx.cc)
bool get_func_retval_range(const VerifierEnv& env, RetRange* range);
/// The struct walk behind PTR_TO_BTF_ID accesses. Linux: btf.c:btf_struct_access() (btf_access.cc)
struct BtfAccess {
  u32 reg_type = SCALAR_VALUE;  ///< SCALAR_VALUE or PTR_TO_BTF_ID
  u32 btf_id = 0;
  u32 flag = 0;
  const char* field_name = nullptr;
};
Result<BtfAccess> btf_struct_access(VerifierEnv& env, const RegState& reg, s32 off, u32 size, AccessType t);
bool btf_struct_ids_match(VerifierEnv& env, const Btf& btf, u32 id, s32 off, const Btf& need_btf, u32 need_id, bool strict,
                          bool walk_flex_arrays = true);
/// What a context argument of a BTF-typed program is. Linux: btf.c:btf_ctx_access() (btf_ctx.cc). False: refused, log written.
bool btf_ctx_access(VerifierEnv& env, s32 off, u32 size, AccessType t, CtxAccessInfo* info, const Btf** btf, u32* btf_id);

// === calls =======================================================================================================================
/// Facts gathered over the arguments of one helper call. Linux: bpf_call_arg_meta
struct CallArgMeta {
  const VerifierMap* map_ptr = nullptr;
  bool raw_mode = false;
  bool pkt_access = false;
  u8 release_regno = 0;
  s32 regno = 0;
  s32 access_size = 0;
  u32 mem_size = 0;
  u64 msize_max_value = 0;
  u32 ref_obj_id = 0;
  u32 dynptr_id = 0;
  u32 map_uid = 0;
  u32 func_id = 0;
  const Btf* btf = nullptr;
  u32 btf_id = 0;
  const Btf* ret_btf = nullptr;
  u32 ret_btf_id = 0;
  u32 subprogno = 0;
  const BtfField* kptr_field = nullptr;
};
Status check_helper_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx);       ///< helper_call.cc
Status check_kfunc_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx);        ///< kfunc_call.cc
Status check_func_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx);         ///< func_call.cc
Status prepare_func_exit(VerifierEnv& env, u32* insn_idx);                              ///< func_call.cc
Status check_reference_leak(VerifierEnv& env, bool exception_exit);                     ///< func_call.cc
void clear_caller_saved_regs(VerifierEnv& env, RegState* regs);
/// Fills the callee frame of a callback. Linux: push_callback_call() with the set_callee_state of `func_id` (callbacks.cc)
Status push_helper_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, u32 func_id);
Status push_kfunc_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, u32 kfunc_id);
bool is_sync_callback_calling_function(u32 func_id);
bool is_async_callback_calling_function(u32 func_id);
bool is_callback_calling_function(u32 func_id);
bool is_acquire_function(u32 func_id, const VerifierMap* map);
bool is_ptr_cast_function(u32 func_id);
bool is_dynptr_ref_function(u32 func_id);
bool helper_changes_pkt_data(u32 func_id);                                              ///< Linux: filter.c:bpf_helper_changes_pkt_data()
// call_args.cc
Status check_func_arg(VerifierEnv& env, u32 arg, CallArgMeta& meta, const FuncProto& fn, u32 insn_idx);
Status check_func_arg_reg_off(VerifierEnv& env, const RegState& reg, u32 regno, u32 arg_type);
Status check_helper_mem_access(VerifierEnv& env, u32 regno, s32 access_size, AccessType access_type, bool zero_size_allowed, CallArgMeta* meta);
Status check_mem_size_reg(VerifierEnv& env, RegState& reg, u32 regno, AccessType access_type, bool zero_size_allowed, CallArgMeta* meta);
Status check_mem_reg(VerifierEnv& env, RegState& reg, u32 regno, u32 mem_size);
/// arg_btf_id: the struct wanted, in vmlinux BTF; null: the argument kind's own.
Status check_reg_type(VerifierEnv& env, u32 regno, u32 arg_type, const u32* arg_btf_id, CallArgMeta& meta);
Status process_spin_lock(VerifierEnv& env, u32 regno, bool is_lock);
Status process_timer_func(VerifierEnv& env, u32 regno, CallArgMeta& meta);
Status process_kptr_func(VerifierEnv& env, u32 regno, CallArgMeta& meta);
// dynptr.cc, iter.cc
Status process_dynptr_func(VerifierEnv& env, u32 regno, u32 insn_idx, u32 arg_type, u32 clone_ref_obj_id);
s32 dynptr_get_spi(VerifierEnv& env, const RegState& reg);              ///< < 0: -errno
Status unmark_stack_slots_dynptr(VerifierEnv& env, RegState& reg);
Result<u32> dynptr_id(VerifierEnv& env, const RegState& reg);
Result<u32> dynptr_ref_obj_id(VerifierEnv& env, const RegState& reg);
DynptrType dynptr_get_type(VerifierEnv& env, const RegState& reg);
bool is_iter_next_insn(const VerifierEnv& env, u32 insn_idx);

// === print.cc: the log's pictures. Linux: kernel/bpf/log.c ========================================================================
void print_verifier_state(VerifierEnv& env, const VerifierState& vstate, u32 frameno, bool print_all);
void print_insn_state(VerifierEnv& env, const VerifierState& vstate, u32 frameno);
void verbose_linfo(VerifierEnv& env, u32 insn_off, const char* prefix);  ///< prefix may be null
std::string reg_type_str(const VerifierEnv& env, u32 type);
std::string reg_str(const VerifierEnv& env, const FuncState& func, const RegState& reg);   ///< one register: "scalar(umax=63)"
std::string slot_str(const VerifierEnv& env, const FuncState& func, u32* i);               ///< one slot: " fp-8=mmmm????"
const char* dynptr_type_str(DynptrType type);
std::string iter_type_str(const Btf& btf, u32 btf_id);
const char* iter_state_str(u32 state);
std::string tnum_strn(const Tnum& a);
std::string disasm_for_log(VerifierEnv& env, u32 insn_idx);
/// Name of a kfunc that `insn` calls; "" for other calls. Linux: disasm_kfunc_name() (program.cc)
std::string kfunc_call_name(const VerifierEnv& env, const bpf_insn& insn);
void print_verification_stats(VerifierEnv& env);

// === rewrite ======================================================================================================================
/// After acceptance: turns env.insns into what dumps show and executors run. rewrite*.cc. Linux: bpf_check(), its second half
Status rewrite_program(VerifierEnv& env);

}  // namespace skep
