// verifier: facts gathered over one kfunc call. Internal to the room. Linux: verifier.c:struct bpf_kfunc_call_arg_meta
#pragma once
#include "verifier/const_str.h"
#include "verifier/kfuncs.h"
#include "verifier/verifier_env.h"

namespace skep {

struct KfuncMeta {
  // What is called.
  const Btf* btf = nullptr;  ///< vmlinux's
  u32 func_id = 0;
  const btf_type* func_proto = nullptr;
  const char* func_name = "";
  const Kfunc* kfunc = nullptr;  ///< never null after fetch_kfunc_meta()
  // What the arguments are.
  u32 ref_obj_id = 0;
  u8 release_regno = 0;
  bool r0_rdonly = false;
  u32 ret_btf_id = 0;
  u64 r0_size = 0;
  u32 subprogno = 0;
  struct {
    u64 value = 0;
    bool found = false;
  } arg_constant;
  /// The object that bpf_obj_drop_impl(), bpf_refcount_acquire_impl() and the graph kfuncs are about.
  const Btf* arg_btf = nullptr;
  u32 arg_btf_id = 0;
  bool arg_owning_ref = false;
  const BtfField* list_head = nullptr;
  const BtfField* rbtree_root = nullptr;
  struct {
    DynptrType type = BPF_DYNPTR_TYPE_INVALID;
    u32 id = 0, ref_obj_id = 0;
  } initialized_dynptr;
  struct {
    u8 spi = 0, frameno = 0;
  } iter;
  struct {
    const VerifierMap* ptr = nullptr;
    u32 uid = 0;
  } map;
  u64 mem_size = 0;

  bool has(u32 flags) const noexcept { return (kfunc->flags & flags) != 0; }
  bool is(KfuncId id) const noexcept { return kfunc->id == id; }
};

/// The field of one of the kinds in `mask` at exactly this offset; null: none. record may be null. Linux: syscall.c:btf_record_find()
inline const BtfField* record_field_at(const BtfRecord* record, u32 off, u32 mask) noexcept {
  if (record == nullptr || !record->has_field(mask)) return nullptr;
  for (const BtfField& field : record->fields)
    if (field.offset == off) return (field.type & mask) != 0 ? &field : nullptr;
  return nullptr;
}

/// What a pointer parameter of a kfunc takes. Linux: verifier.c:kfunc_ptr_arg_type
enum class KfuncArg : u8 {
  ctx,
  alloc_btf_id,
  refcounted_kptr,
  dynptr,
  iter,
  list_head,
  list_node,
  btf_id,
  mem,
  mem_size,  ///< the size is the next argument
  callback,
  rb_root,
  rb_node,
  null,
  const_str,
  map,
  workqueue,
};

/// One parameter and the register for it.
struct KfuncParam {
  u32 index;
  const btf_type* type;      ///< a pointer, without modifiers
  const btf_type* ref_type;  ///< what it points to, without modifiers
  u32 ref_id;
  const char* ref_name;
  u32 regno() const noexcept { return index + 1; }
};

// kfunc_arg_kind.cc
bool param_has_suffix(const Btf& btf, const btf_param& param, std::string_view suffix);
bool param_is_const_mem_size(const Btf& btf, const btf_param& param, const RegState& reg);
bool is_scalar_struct(VerifierEnv& env, const Btf& btf, const btf_type* t, u32 depth);
Result<KfuncArg> kfunc_ptr_arg_kind(VerifierEnv& env, const KfuncMeta& meta, const KfuncParam& param);
/// The kernel's struct that registers of this base type point to (sockets, maps); 0: none. Linux: btf.c:reg2btf_ids
u32 reg_kernel_struct_id(const VerifierEnv& env, u32 reg_type);
// kfunc_graph.cc: lists and trees
Status process_graph_root(VerifierEnv& env, u32 regno, KfuncMeta& meta, btf_field_type root_type);
Status process_graph_node(VerifierEnv& env, u32 regno, KfuncMeta& meta, btf_field_type node_type);
// kfunc_args.cc
Status check_kfunc_args(VerifierEnv& env, KfuncMeta& meta, u32 insn_idx);
// kfunc_result.cc
Status set_kfunc_result(VerifierEnv& env, KfuncMeta& meta, u32 insn_idx);
/// A pointer to the node that links an object into a list or tree (callbacks.cc). Linux: verifier.c:mark_reg_graph_node()
void mark_reg_graph_node(RegState& reg, const BtfField& root);
/// Id of the kernel's own context struct of a program type (ctx_arg.cc); EINVAL (logged): it has none. Linux: btf.c:get_kern_ctx_btf_id()
Result<u32> kernel_ctx_btf_id(VerifierEnv& env);
/// Linux: verifier.c:get_dynptr_type_flag() (dynptr.cc)
u32 dynptr_type_flag(DynptrType type);

// iter.cc
Status process_iter_arg(VerifierEnv& env, u32 regno, u32 insn_idx, KfuncMeta& meta);
Status process_iter_next_call(VerifierEnv& env, u32 insn_idx, const KfuncMeta& meta);
// locks.cc: an object that a list or tree has taken over is still there for as long as the lock is held.
Status ref_set_non_owning(VerifierEnv& env, RegState& reg);
Status ref_convert_owning_non_owning(VerifierEnv& env, u32 ref_obj_id);
Status check_reg_allocation_locked(VerifierEnv& env, const RegState& reg);
/// Linux: verifier.c:process_wq_func()
Status process_wq_func(VerifierEnv& env, u32 regno, KfuncMeta& meta);
/// Linux: verifier.c:check_kfunc_mem_size_reg() (call_mem.cc)
Status check_kfunc_mem_size_reg(VerifierEnv& env, RegState& reg, u32 regno);

}  // namespace skep
