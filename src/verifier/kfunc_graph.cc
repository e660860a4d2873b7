// verifier: arguments of the kfuncs on bpf_list_head and bpf_rb_root: the root, which lies next to the lock that must be held, and the
// node of an object that goes in or out. Linux: verifier.c:__process_kf_arg_ptr_to_graph_root(), __process_kf_arg_ptr_to_graph_node()
#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

/// Linux: is_bpf_list_api_kfunc(), is_bpf_rbtree_api_kfunc()
bool takes_root(KfuncId id, btf_field_type root_type) {
  switch (id) {
    case KfuncId::bpf_list_push_front_impl:
    case KfuncId::bpf_list_push_back_impl:
    case KfuncId::bpf_list_pop_front:
    case KfuncId::bpf_list_pop_back:
      return root_type == BPF_LIST_HEAD;
    case KfuncId::bpf_rbtree_add_impl:
    case KfuncId::bpf_rbtree_remove:
    case KfuncId::bpf_rbtree_first:
      return root_type == BPF_RB_ROOT;
    default:
      return false;
  }
}

/// Linux: check_kfunc_is_graph_node_api()
bool takes_node(KfuncId id, btf_field_type node_type) {
  switch (id) {
    case KfuncId::bpf_list_push_front_impl:
    case KfuncId::bpf_list_push_back_impl:
      return node_type == BPF_LIST_NODE;
    case KfuncId::bpf_rbtree_add_impl:
    case KfuncId::bpf_rbtree_remove:
      return node_type == BPF_RB_NODE;
    default:
      return false;
  }
}

u32 const_offset(const RegState& reg) { return static_cast<u32>(static_cast<u64>(static_cast<s64>(reg.off)) + reg.var_off.value); }

}  // namespace

Status process_graph_root(VerifierEnv& env, u32 regno, KfuncMeta& meta, btf_field_type root_type) {
  const RegState& reg = env.cur_regs()[regno];
  const std::string_view name = btf_field_type_name(root_type);
  if (!takes_root(meta.kfunc->id, root_type)) return env.refuse(EFAULT, "verifier internal error: {} head arg for unknown kfunc", name);
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EINVAL, "R{} doesn't have constant offset. {} has to be at the constant offset", regno, name);
  const BtfRecord* record = reg_btf_record(reg);
  const u32 off = const_offset(reg);
  const BtfField* field = record_field_at(record, off, root_type);
  if (field == nullptr) return env.refuse(EINVAL, "{} not found at offset={}", name, off);
  if (!check_reg_allocation_locked(env, reg).ok())
    return env.refuse(EINVAL, "bpf_spin_lock at off={} must be held for {}", record->spin_lock_off, name);
  const BtfField*& root = root_type == BPF_LIST_HEAD ? meta.list_head : meta.rbtree_root;
  if (root != nullptr) return env.refuse(EFAULT, "verifier internal error: repeating {} arg", name);
  root = field;
  return ok_status();
}

Status process_graph_node(VerifierEnv& env, u32 regno, KfuncMeta& meta, btf_field_type node_type) {
  const RegState& reg = env.cur_regs()[regno];
  const std::string_view name = btf_field_type_name(node_type);
  if (!takes_node(meta.kfunc->id, node_type)) return env.refuse(EFAULT, "verifier internal error: {} node arg for unknown kfunc", name);
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EINVAL, "R{} doesn't have constant offset. {} has to be at the constant offset", regno, name);
  const u32 off = const_offset(reg);
  if (record_field_at(reg_btf_record(reg), off, node_type) == nullptr)
    return env.refuse(EINVAL, "{} not found at offset={}", name, off);

  // The root came first: it says what may be linked, and by which node.
  const btf_field_type root_type = node_type == BPF_LIST_NODE ? BPF_LIST_HEAD : BPF_RB_ROOT;
  const BtfField* root = node_type == BPF_LIST_NODE ? meta.list_head : meta.rbtree_root;
  if (root == nullptr) return env.refuse(EFAULT, "verifier internal error: {} node arg before its root", name);
  const std::string_view held = root->btf->type_name(root->btf_id);
  if (!btf_struct_ids_match(env, *reg.btf, reg.btf_id, 0, *root->btf, root->btf_id, true, (reg.type & MEM_ALLOC) == 0))
    return env.refuse(EINVAL, "operation on {} expects arg#1 {} at offset={} in struct {}, but arg is at offset={} in struct {}",
                      btf_field_type_name(root_type), name, root->node_offset, held, off, reg.btf->type_name(reg.btf_id));
  meta.arg_btf = reg.btf;
  meta.arg_btf_id = reg.btf_id;
  if (off != root->node_offset)
    return env.refuse(EINVAL, "arg#1 offset={}, but expected {} at offset={} in struct {}", static_cast<s32>(off), name, root->node_offset, held);
  return ok_status();
}

}  // namespace skep
