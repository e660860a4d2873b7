// maps: one ops table per map kind, as Linux's struct bpf_map_ops. This room knows keys, values and bytes in the window; it never
// sees an fd, a reference count or a process.
//
// A map is a MapDesc in ROM (geometry and addresses: trusted) and one page-aligned allocation in RAM (contents: shared, hostile).
//
//   alloc_check(spec) -> layout(spec, nr_cpus, desc) -> the host allocates desc->ram_bytes, zeroed -> init(window, desc) -> use
//
// Freestanding: also compiled into the agent.
#pragma once
#include "shm/op_ctx.h"

namespace skep {

/// Not in errno.h. Linux: include/linux/errno.h. (base/result.h has the same number, but is no header for freestanding code.)
constexpr long MAP_ENOTSUPP = 524;
constexpr u32 NUMA_NO_NODE = ~0u;

/// BPF_MAP_CREATE, decoded. What does not depend on the kind (unknown types, map_extra of kinds that have none, names, BTF ids,
/// whether the NUMA node exists) is the syscall room's to check.
struct MapSpec {
  u32 type, key_size, value_size, max_entries, map_flags;
  u64 map_extra;
  u32 numa_node;              ///< counts only with BPF_F_NUMA_NODE
  bool cap_sys_admin = true;  ///< the caller may ask for BPF_F_ZERO_SEED
  bool key_btf = false, value_btf = false;  ///< type ids were given
};

/// Operations of one kind. Errors are -errno. Everything here may run in several processes at once, on a map whose RAM anyone may
/// scribble over: wrong answers then, but no access outside the map, no crash, no endless walk.
///
/// NULL MEMBERS: take_value where Linux answers -ENOTSUPP; mmap_size and direct_value_addr where the kind has no such thing;
/// recover where operations leave no intent; of the kinds whose elements are objects (PERF_EVENT_ARRAY, PROG_ARRAY, *_OF_MAPS) also
/// update, erase, read_value and write_value: user space names the objects by fd, which only the host can resolve (and programs cannot
/// write them at all: the verifier refuses); push, pop and peek of kinds with keys.
struct MapOps {
  u32 type;
  const char* name;  ///< as bpftool spells it
  bool per_cpu;      ///< one value per virtual CPU

  /// First errno in Linux's order. Linux: map_ops::map_alloc_check
  long (*alloc_check)(const MapSpec& spec) noexcept;
  /// Fills *out: geometry and ram_bytes; not id, name, hash_seed, frozen, pointers. -E2BIG or -ENOMEM where it cannot be had.
  /// REQUIRES: alloc_check() was 0, nr_cpus in [1, MAX_CPUS].
  long (*layout)(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept;
  /// Sets the addresses in *desc and the few words that must not be zero. Touches O(1) pages however large the map is.
  /// REQUIRES: desc->ram is page-aligned and its ram_bytes are zero (when ram_bytes is 0, desc->ram is not looked at).
  void (*init)(const Window& w, MapDesc* desc) noexcept;
  /// What fdinfo calls memlock: the number a 6.12 would show, not ram_bytes. Linux: map_ops::map_mem_usage
  u64 (*mem_usage)(const MapDesc& desc) noexcept;

  // For programs: ctx.slot is a virtual CPU. Per-CPU kinds: this CPU's value.
  /// Null when absent. The value stays valid memory for the map's life; its element may be recycled, as Linux's may.
  void* (*lookup)(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept;
  /// `value` holds value_size bytes. Per-CPU kinds: other CPUs' values are zeroed when the key is new, else untouched.
  long (*update)(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept;
  /// Also serves BPF_MAP_DELETE_ELEM.
  long (*erase)(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept;

  // For bpf(2): ctx.slot is a client slot; `value` has map_syscall_value_size() bytes. Flags: all of the command's.
  /// `key` null, or a key that is gone: the first key. -ENOENT after the last.
  long (*get_next_key)(const OpCtx& ctx, MapDesc* desc, const void* key, void* next) noexcept;
  long (*read_value)(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept;
  long (*write_value)(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept;
  long (*take_value)(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept;

  /// True when [addr, addr + size) lies inside one value (per-CPU kinds: inside one CPU's value). For the checked interpreter.
  bool (*holds_value)(const MapDesc* desc, u64 addr, u64 size) noexcept;
  /// Bytes from desc->elems that a client may mmap: 0 unless BPF_F_MMAPABLE. Whole pages. Linux: arraymap.c:array_map_mmap()
  u64 (*mmap_size)(const MapDesc& desc) noexcept;
  /// BPF_PSEUDO_MAP_VALUE: *imm = address of the value area; `off` is only checked. Linux: map_ops::map_direct_value_addr
  long (*direct_value_addr)(const MapDesc& desc, u64* imm, u32 off) noexcept;
  /// Finishes or undoes what the slot's intent names. See recover_map_intent().
  void (*recover)(const Window& w, MapDesc* desc, RunSlot* slot) noexcept;

  // Kinds without keys, for programs. `value` holds value_size bytes; a pop or peek that fails zeroes them.
  long (*push)(const OpCtx& ctx, MapDesc* desc, const void* value, u64 flags) noexcept = nullptr;
  long (*pop)(const OpCtx& ctx, MapDesc* desc, void* value) noexcept = nullptr;
  long (*peek)(const OpCtx& ctx, MapDesc* desc, void* value) noexcept = nullptr;

  /// The kind is there to be named by programs that the verifier judges: no element can be put into its maps, see judged.cc.
  bool judge_only = false;
  /// A map of this kind may be an inner map, and the sizes of two that stand for one another must be equal too.
  /// Linux: map_ops::map_meta_equal
  bool inner = true, inner_same_size = false;
};

/// Null: no such kind here.
const MapOps* map_ops(u32 type) noexcept;

/// Bytes that bpf(2) copies for one value. Linux: syscall.c:bpf_map_value_size()
u64 map_syscall_value_size(const MapDesc& desc) noexcept;

/// Live elements of a HASH or PERCPU_HASH.
u64 hash_live(const MapDesc& desc) noexcept;

/// Body of SlotRecovery::map_intent. The intent stands in RAM, so its address may be anything: `find_map` answers the descriptor of
/// the live map that stands at exactly `addr`, or null, from what its caller trusts (never by looking at `addr`: ROM also holds
/// bytes that clients chose). Idempotent: may be interrupted anywhere and run again. REQUIRES: the slot's owner will never touch
/// the slot again, and its seq has not moved.
using FindMap = MapDesc* (*)(const Window& w, u64 addr) noexcept;
void recover_map_intent(const Window& w, RunSlot* slot, FindMap find_map) noexcept;

}  // namespace skep
