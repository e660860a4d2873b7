#include "btf/fields.h"

#include <array>

#include "btf/btf.h"
#include "btf/field_find.h"

namespace skep {

namespace {

// Sizes and alignments of the opaque structs of include/uapi/linux/bpf.h; kptrs are pointers.
struct FieldShape {
  btf_field_type type;
  u32 size, align;
  std::string_view name;
};
constexpr FieldShape SHAPES[] = {{BPF_SPIN_LOCK, 4, 4, "bpf_spin_lock"},  {BPF_TIMER, 16, 8, "bpf_timer"},
                                 {BPF_KPTR_UNREF, 8, 8, "kptr"},          {BPF_KPTR_REF, 8, 8, "kptr"},
                                 {BPF_KPTR_PERCPU, 8, 8, "percpu_kptr"},  {BPF_LIST_HEAD, 16, 8, "bpf_list_head"},
                                 {BPF_LIST_NODE, 24, 8, "bpf_list_node"}, {BPF_RB_ROOT, 16, 8, "bpf_rb_root"},
                                 {BPF_RB_NODE, 32, 8, "bpf_rb_node"},     {BPF_REFCOUNT, 4, 4, "bpf_refcount"},
                                 {BPF_WORKQUEUE, 16, 8, "bpf_wq"}};
constexpr FieldShape NO_SHAPE = {btf_field_type{}, 0, 1, "unknown"};

const FieldShape& shape(btf_field_type type) {
  for (const FieldShape& s : SHAPES)
    if (s.type == type) return s;
  return NO_SHAPE;
}

/// Where the pointer's target is described: the kernel's type of that name if there is one, else the program's own.
/// Linux: btf.c:btf_parse_kptr()
Status parse_kptr(const Btf& btf, const FieldInfo& info, const KernelTypes* kernel, BtfField& field) {
  if (kernel == nullptr || kernel->vmlinux == nullptr) return Errno(EINVAL);  // as a kernel without BTF
  const btf_type* t = btf.type_by_id(info.type_id);
  const std::string_view name = btf.name_or_word(t->name_off);
  const auto id = kernel->vmlinux->find_by_name_kind(name, btf_kind_of(t));
  if (!id.ok()) {
    field.btf = &btf;
    field.btf_id = info.type_id;
    return ok_status();
  }
  if (info.type == BPF_KPTR_REF) {
    bool has_dtor = false;
    for (std::string_view known : kernel->with_dtor) has_dtor = has_dtor || known == name;
    if (!has_dtor) return Errno(ENOENT);
  }
  field.btf = kernel->vmlinux;
  field.btf_id = *id;
  return ok_status();
}

// Linux: btf.c:btf_parse_graph_root()
Status parse_root(const Btf& btf, const FieldInfo& info, BtfField& field) {
  const btf_field_type node_type = info.type == BPF_LIST_HEAD ? BPF_LIST_NODE : BPF_RB_NODE;
  const btf_type* held = btf.type_by_id(info.type_id);
  bool found = false;
  for (u32 i = 0; i < btf_vlen(held); ++i) {
    const btf_member* m = &btf_members(held)[i];
    if (!btf.name_is(m->name_off, info.node_name)) continue;
    if (found) return Errno(EINVAL);
    const btf_type* node = btf.type_by_id(m->type);
    if (!btf_is_struct(node) || !btf.name_is(node->name_off, btf_field_type_name(node_type))) return Errno(EINVAL);
    const u32 bits = btf_member_bit_offset(node, m);  // the node's kind_flag, not the holder's: so does the kernel
    if (bits % 8 != 0 || bits / 8 % btf_field_type_align(node_type) != 0) return Errno(EINVAL);
    field.btf = &btf;
    field.btf_id = info.type_id;
    field.node_offset = bits / 8;
    found = true;
  }
  return found ? ok_status() : Status(Errno(ENOENT));
}

Status add_field(const Btf& btf, const FieldInfo& info, const KernelTypes* kernel, BtfRecord& record) {
  BtfField field;
  field.offset = info.off;
  field.size = btf_field_type_size(info.type);
  field.type = info.type;
  record.field_mask |= info.type;
  const s32 off = static_cast<s32>(info.off);
  switch (info.type) {
    case BPF_SPIN_LOCK:
      record.spin_lock_off = off;
      break;
    case BPF_TIMER:
      record.timer_off = off;
      break;
    case BPF_WORKQUEUE:
      record.wq_off = off;
      break;
    case BPF_REFCOUNT:
      record.refcount_off = off;
      break;
    case BPF_KPTR_UNREF:
    case BPF_KPTR_REF:
    case BPF_KPTR_PERCPU:
      TRY(parse_kptr(btf, info, kernel, field));
      break;
    case BPF_LIST_HEAD:
    case BPF_RB_ROOT:
      TRY(parse_root(btf, info, field));
      break;
    default:
      break;
  }
  record.fields.push_back(field);
  return ok_status();
}

}  // namespace

u32 btf_field_type_size(btf_field_type type) noexcept { return shape(type).size; }
u32 btf_field_type_align(btf_field_type type) noexcept { return shape(type).align; }
std::string_view btf_field_type_name(btf_field_type type) noexcept { return shape(type).name; }

Result<BtfRecord> parse_fields(const Btf& btf, const btf_type* t, u32 field_mask, u32 value_size, const KernelTypes* kernel) {
  FieldCache cache;
  return parse_fields_cached(btf, t, field_mask, value_size, kernel, cache);
}

Result<BtfRecord> parse_fields_cached(const Btf& btf, const btf_type* t, u32 field_mask, u32 value_size, const KernelTypes* kernel,
                                      FieldCache& cache) {
  std::array<FieldInfo, BTF_FIELDS_MAX> infos;
  const u32 count = TRY(find_fields(btf, t, field_mask, infos, cache));
  BtfRecord record;
  u32 next_off = 0;
  for (u32 i = 0; i < count; ++i) {
    const u32 end = infos[i].off + btf_field_type_size(infos[i].type);
    if (end > value_size) return Errno(EFAULT);
    if (infos[i].off < next_off) return Errno(EEXIST);
    next_off = end;
    TRY(add_field(btf, infos[i], kernel, record));
  }
  if (record.has_field(BPF_GRAPH_ROOT) && record.spin_lock_off < 0) return Errno(EINVAL);
  if (record.refcount_off < 0 && record.has_field(BPF_LIST_NODE) && record.has_field(BPF_RB_NODE)) return Errno(EINVAL);
  return record;
}

Status check_graph_roots(const Btf& btf, const BtfRecord& record) {
  for (const BtfField& f : record.fields)
    if ((f.type & BPF_GRAPH_ROOT) != 0 && btf.struct_record(f.btf_id) == nullptr) return Errno(EFAULT);
  return ok_status();
}

}  // namespace skep
