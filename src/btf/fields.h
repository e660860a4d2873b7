// btf: the special fields of a struct or data section: locks, timers, kernel pointers, lists and trees that the program may not
// touch as plain bytes. Linux: include/linux/bpf.h:struct btf_record
#pragma once
#include <string_view>
#include <vector>

#include "base/result.h"
#include "uapi/btf.h"

namespace skep {

class Btf;
struct KernelTypes;

constexpr u32 BTF_FIELDS_MAX = 11;

enum btf_field_type : u32 {
  BPF_SPIN_LOCK = 1 << 0,
  BPF_TIMER = 1 << 1,
  BPF_KPTR_UNREF = 1 << 2,
  BPF_KPTR_REF = 1 << 3,
  BPF_KPTR_PERCPU = 1 << 4,
  BPF_KPTR = BPF_KPTR_UNREF | BPF_KPTR_REF | BPF_KPTR_PERCPU,
  BPF_LIST_HEAD = 1 << 5,
  BPF_LIST_NODE = 1 << 6,
  BPF_RB_ROOT = 1 << 7,
  BPF_RB_NODE = 1 << 8,
  BPF_GRAPH_NODE = BPF_RB_NODE | BPF_LIST_NODE,
  BPF_GRAPH_ROOT = BPF_RB_ROOT | BPF_LIST_HEAD,
  BPF_REFCOUNT = 1 << 9,
  BPF_WORKQUEUE = 1 << 10,
};

struct BtfField {
  u32 offset = 0, size = 0;
  btf_field_type type{};
  /// KPTR: the BTF that btf_id belongs to (the program's own, or vmlinux's). Graph root: the program's own.
  const Btf* btf = nullptr;
  /// KPTR: the struct pointed to. Graph root: the struct that is held.
  u32 btf_id = 0;
  u32 node_offset = 0;  // graph root: where the node lies in the struct held
};

/// Fields ascending by offset. An offset is -EINVAL where there is no such field, as in the kernel.
struct BtfRecord {
  u32 field_mask = 0;
  s32 spin_lock_off = -22, timer_off = -22, wq_off = -22, refcount_off = -22;
  std::vector<BtfField> fields;

  bool has_field(u32 type) const noexcept { return (field_mask & type) != 0; }
};

struct BtfStructMeta {
  u32 btf_id;
  BtfRecord record;
};

/// Size and alignment of a special field's bytes.
u32 btf_field_type_size(btf_field_type type) noexcept;
u32 btf_field_type_align(btf_field_type type) noexcept;
/// The struct's name that makes a member such a field; "kptr" and "percpu_kptr" for pointers.
std::string_view btf_field_type_name(btf_field_type type) noexcept;

/// Finds the fields of the kinds in `field_mask` in a struct or datasec `t`; an empty record (field_mask 0) if there are none.
/// Errors: EINVAL (a layout that C cannot make, unknown pointer tag, root without "contains:" or without a lock), E2BIG (too many,
/// or two of a kind that may be there once), EEXIST (fields overlap), ENOENT (struct or member held is not there, no destructor),
/// EFAULT (a field beyond value_size). Linux: btf.c:btf_parse_fields()
Result<BtfRecord> parse_fields(const Btf& btf, const btf_type* t, u32 field_mask, u32 value_size, const KernelTypes* kernel);

/// A root must hold a struct that has a record itself (EFAULT). Linux: btf.c:btf_check_and_fixup_fields()
Status check_graph_roots(const Btf& btf, const BtfRecord& record);

}  // namespace skep
