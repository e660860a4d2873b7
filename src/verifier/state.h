// verifier: what is known at one point of one path: registers, stack, references, per call frame. Internal to the room.
//
// Ownership: every VerifierState, FuncState and the arrays behind them live in the StatePool of one judgement. States on the pending
// stack and the current state are owned by the walk, explored ones by the table of explored states. `RegState::parent` and
// `VerifierState::parent` point into explored states, whose arrays never move once stored.
// Linux: include/linux/bpf_verifier.h
#pragma once
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/result.h"
#include "btf/btf.h"
#include "isa/insn.h"
#include "progtypes/types.h"
#include "verifier/bounds.h"

namespace skep {

struct VerifierEnv;
struct VerifierMap;

enum RegLiveness : u8 {
  REG_LIVE_NONE = 0,
  REG_LIVE_READ32 = 1,
  REG_LIVE_READ64 = 2,
  REG_LIVE_READ = REG_LIVE_READ32 | REG_LIVE_READ64,
  REG_LIVE_WRITTEN = 4,
  REG_LIVE_DONE = 8,
};

enum StackSlotType : u8 { STACK_INVALID, STACK_SPILL, STACK_MISC, STACK_ZERO, STACK_DYNPTR, STACK_ITER };

enum DynptrType : u32 {
  BPF_DYNPTR_TYPE_INVALID,
  BPF_DYNPTR_TYPE_LOCAL,
  BPF_DYNPTR_TYPE_RINGBUF,
  BPF_DYNPTR_TYPE_SKB,
  BPF_DYNPTR_TYPE_XDP,
};

enum IterState : u32 { BPF_ITER_STATE_INVALID, BPF_ITER_STATE_ACTIVE, BPF_ITER_STATE_DRAINED };

constexpr u32 BPF_REG_SIZE = 8;
constexpr u32 BPF_DYNPTR_NR_SLOTS = 2;
constexpr s32 DEF_NOT_SUBREG = 0;
/// Top bit of an id: the register is another one plus `off`. Linux: bpf_verifier.h:BPF_ADD_CONST
constexpr u32 BPF_ADD_CONST = 1u << 31;
constexpr s32 BEYOND_PKT_END = -2, AT_PKT_END = -1;

/// One register, or one spilled to the stack. The bytes from the start up to `id` are what regs_exact() compares: no padding there.
struct RegState : ScalarBounds {
  u32 type;  ///< bpf_reg_type with flags
  s32 off;   ///< fixed part of a pointer's offset; with BPF_ADD_CONST the distance between linked scalars
  union {
    struct {
      const VerifierMap* map_ptr;  ///< CONST_PTR_TO_MAP, PTR_TO_MAP_VALUE, PTR_TO_MAP_KEY
      u32 map_uid;                 ///< inner maps of one outer map are told apart by it
    };
    s32 range;  ///< PTR_TO_PACKET(_META): bytes known to be there, or AT_/BEYOND_PKT_END
    struct {
      const Btf* btf;  ///< PTR_TO_BTF_ID
      u32 btf_id;
    };
    struct {
      u32 mem_size;   ///< PTR_TO_MEM
      u32 dynptr_id;  ///< slices of a dynptr
    };
    struct {
      DynptrType type;
      bool first_slot;
    } dynptr;  ///< stack slots of a dynptr, CONST_PTR_TO_DYNPTR
    struct {
      const Btf* btf;
      u32 btf_id;
      u32 state : 2;  ///< IterState
      u32 depth : 30;
    } iter;  ///< stack slots of an iterator
    struct {
      u64 raw1, raw2;
    } raw;
    u32 subprogno;  ///< PTR_TO_FUNC
  };
  u32 id;
  u32 ref_obj_id;
  RegState* parent;  ///< the same register in the parent state, for liveness
  s32 subreg_def;    ///< insn + 1 that wrote the low half with zero extension still open; DEF_NOT_SUBREG
  u8 frameno;        ///< PTR_TO_STACK: whose stack
  u8 live;           ///< RegLiveness bits
  bool precise;
};
constexpr std::size_t REG_PREFIX_BYTES = sizeof(ScalarBounds) + 8 + 16;  ///< up to `id`
static_assert(std::is_trivially_copyable_v<RegState> && sizeof(RegState) == REG_PREFIX_BYTES + 24, "no padding");

/// memcmp() == 0 in words, for a few words that mostly differ early or not at all.
template <std::size_t BYTES>
inline bool same_words(const void* a, const void* b) noexcept {
  static_assert(BYTES % sizeof(u64) == 0);
  for (std::size_t i = 0; i < BYTES; i += sizeof(u64)) {
    u64 x, y;
    std::memcpy(&x, static_cast<const std::byte*>(a) + i, sizeof x);
    std::memcpy(&y, static_cast<const std::byte*>(b) + i, sizeof y);
    if (x != y) return false;
  }
  return true;
}

/// Compares what comes before `id`: type, offset, object, bounds.
inline bool regs_same_prefix(const RegState& a, const RegState& b) noexcept { return same_words<REG_PREFIX_BYTES>(&a, &b); }

struct StackSlot {
  RegState spilled_ptr;
  u8 slot_type[BPF_REG_SIZE];  ///< of the bytes; [BPF_REG_SIZE - 1] is the lowest address, which a register's first byte has
};

/// A resource that must be given back on every path.
struct RefState {
  u32 id;
  u32 insn_idx;      ///< where it was taken
  u32 callback_ref;  ///< frame of the callback that took it
};

struct RetRange {
  s32 minval, maxval;
};

/// One call frame.
struct FuncState {
  std::array<RegState, MAX_BPF_REG> regs;
  u32 callsite;  ///< index of the call instruction; meaningless in frame 0
  u32 frameno;
  u32 subprogno;
  u32 async_entry_cnt;
  RetRange callback_ret_range;
  bool in_callback_fn, in_async_callback_fn, in_exception_callback_fn;
  u32 callback_depth;
  // What follows are arrays of the pool: not copied by plain assignment of the part above (StatePool::copy_func()).
  u32 acquired_refs, refs_cap;
  RefState* refs;
  StackSlot* stack;     ///< stack[0] is [fp-8, fp-1], stack[1] [fp-16, fp-9] ...
  u32 allocated_stack;  ///< bytes, a multiple of 8
  u32 stack_cap;        ///< bytes

  u32 stack_slots() const noexcept { return allocated_stack / BPF_REG_SIZE; }
};

struct ActiveLock {
  const void* ptr;  ///< the map or BTF object that the lock lies in; null: none is held
  u32 id;           ///< of the register that was locked through
};

/// A whole call stack at one point of a path.
struct VerifierState {
  std::array<FuncState*, MAX_CALL_FRAMES> frame;
  VerifierState* parent;
  u32 branches;  ///< paths from here that are not explored to their end
  u32 insn_idx;
  u32 curframe;
  ActiveLock active_lock;
  bool speculative;
  bool active_rcu_lock;
  bool used_as_loop_entry;
  bool in_sleepable;
  u32 active_preempt_lock;
  u32 first_insn_idx, last_insn_idx;
  VerifierState* loop_entry;
  u32 insn_hist_start, insn_hist_end;
  u32 dfs_depth;
  u32 callback_unroll_depth;
  u32 may_goto_depth;

  FuncState& cur_func() const noexcept { return *frame[curframe]; }
};

/// An explored state in its list.
struct ExploredState {
  VerifierState state;
  ExploredState* next;
  u32 miss_cnt, hit_cnt;
};

/// Memory of one judgement's states: sizes with free lists, given back together. Not thread safe.
class StatePool {
 public:
  StatePool();
  ~StatePool();
  StatePool(const StatePool&) = delete;
  StatePool& operator=(const StatePool&) = delete;

  /// Zeroed.
  VerifierState* new_state();
  ExploredState* new_explored();
  FuncState* new_func();
  /// Frees what `state` owns (frames, arrays), not the state's own memory.
  void free_contents(VerifierState& state);
  void free_state(VerifierState* state);
  void free_explored(ExploredState* state);
  void free_func(FuncState* func);

  /// dst becomes a deep copy of src, reusing dst's frames and arrays. Linux: verifier.c:copy_verifier_state()
  void copy_state(VerifierState& dst, const VerifierState& src);
  void copy_func(FuncState& dst, const FuncState& src);

  /// At least `size` bytes of stack, new slots zeroed (STACK_INVALID, NOT_INIT). Linux: grow_stack_state() without the subprog part
  void grow_stack(FuncState& func, u32 size);
  void push_ref(FuncState& func, RefState ref);

  u64 bytes() const noexcept { return bytes_; }  ///< taken from the system so far
  /// One judgement must not eat the host. Linux charges the loader's memory cgroup.
  bool exhausted() const noexcept { return bytes_ > MAX_BYTES; }
  static constexpr u64 MAX_BYTES = 1ull << 30;

 private:
  void* take(u32 size_class);
  FuncState* new_func_to_fill();
  void give(void* memory, u32 size_class);
  template <typename T>
  T* take_array(u32 n, u32* cap);
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
  struct FreeNode {
    FreeNode* next;
  };
  std::array<FreeNode*, 40> free_{};
  u64 bytes_ = 0;
};

// --- questions about one register or slot ---------------------------------------------------------------------------------------

inline bool is_spilled_reg(const StackSlot& s) noexcept { return s.slot_type[BPF_REG_SIZE - 1] == STACK_SPILL; }
inline bool is_spilled_scalar_reg(const StackSlot& s) noexcept { return is_spilled_reg(s) && s.spilled_ptr.type == SCALAR_VALUE; }
inline bool is_spilled_scalar_reg64(const StackSlot& s) noexcept { return s.slot_type[0] == STACK_SPILL && s.spilled_ptr.type == SCALAR_VALUE; }
/// Dynptr, iterator, spilled register: more than plain bytes.
inline bool is_stack_slot_special(const StackSlot& s) noexcept {
  const u8 t = s.slot_type[BPF_REG_SIZE - 1];
  return t == STACK_SPILL || t == STACK_DYNPTR || t == STACK_ITER;
}
inline s32 get_spi(s32 off) noexcept { return (-off - 1) / static_cast<s32>(BPF_REG_SIZE); }
inline bool is_spi_bounds_valid(const FuncState& f, s32 spi, u32 nr_slots) noexcept {
  return spi - static_cast<s32>(nr_slots) + 1 >= 0 && spi < static_cast<s32>(f.stack_slots());
}
inline bool register_is_null(const RegState& r) noexcept { return r.type == SCALAR_VALUE && tnum_is_const(r.var_off) && r.var_off.value == 0; }
inline bool is_reg_const(const RegState& r, bool subreg32) noexcept {
  return r.type == SCALAR_VALUE && tnum_is_const(subreg32 ? tnum_subreg(r.var_off) : r.var_off);
}
inline u64 reg_const_value(const RegState& r, bool subreg32) noexcept {
  return subreg32 ? tnum_subreg(r.var_off).value : r.var_off.value;
}
inline bool type_is_pkt_pointer(u32 type) noexcept { return base_type(type) == PTR_TO_PACKET || base_type(type) == PTR_TO_PACKET_META; }
inline bool type_is_sk_pointer(u32 type) noexcept {
  return type == PTR_TO_SOCKET || type == PTR_TO_SOCK_COMMON || type == PTR_TO_TCP_SOCK || type == PTR_TO_XDP_SOCK;
}
inline bool type_is_map_value(u32 t) noexcept { return base_type(t) == PTR_TO_MAP_VALUE; }
inline bool type_is_rdonly_mem(u32 t) noexcept { return (t & MEM_RDONLY) != 0; }
inline bool type_is_ptr_alloc_obj(u32 t) noexcept { return base_type(t) == PTR_TO_BTF_ID && (type_flag(t) & MEM_ALLOC) != 0; }
inline bool type_is_non_owning_ref(u32 t) noexcept { return type_is_ptr_alloc_obj(t) && (type_flag(t) & NON_OWN_REF) != 0; }
inline bool reg_is_pkt_pointer_any(const RegState& r) noexcept { return type_is_pkt_pointer(r.type) || r.type == PTR_TO_PACKET_END; }
inline bool reg_is_dynptr_slice_pkt(const RegState& r) noexcept {
  return base_type(r.type) == PTR_TO_MEM && (r.type & (DYNPTR_TYPE_SKB | DYNPTR_TYPE_XDP)) != 0;
}

/// Calls fn(FuncState&, RegState&) for every register of every frame and every spilled one (slots whose last byte's type is in `mask`).
template <typename Fn>
void for_each_reg(VerifierState& state, Fn&& fn, u32 mask = 1u << STACK_SPILL) {
  for (u32 i = 0; i <= state.curframe; ++i) {
    FuncState& f = *state.frame[i];
    for (RegState& r : f.regs) fn(f, r);
    for (u32 s = 0; s < f.stack_slots(); ++s)
      if ((1u << f.stack[s].slot_type[BPF_REG_SIZE - 1] & mask) != 0) fn(f, f.stack[s].spilled_ptr);
  }
}

}  // namespace skep
