// verifier: the kernel's functions that programs may call, as data: found by name among the functions of vmlinux BTF. Internal to the
// room. Linux: BTF_KFUNCS_START sets of 6.12 that are built in; include/linux/btf.h:KF_*
#pragma once
#include <string_view>

#include "verifier/verifier_env.h"

namespace skep {

enum KfuncFlag : u32 {
  KF_ACQUIRE = 1 << 0,
  KF_RELEASE = 1 << 1,
  KF_RET_NULL = 1 << 2,
  KF_TRUSTED_ARGS = 1 << 4,
  KF_SLEEPABLE = 1 << 5,
  KF_DESTRUCTIVE = 1 << 6,
  KF_RCU = 1 << 7,
  KF_ITER_NEW = 1 << 8,
  KF_ITER_NEXT = 1 << 9,
  KF_ITER_DESTROY = 1 << 10,
  KF_RCU_PROTECTED = 1 << 11,
};

/// Kfuncs that the verifier treats by name. Linux: verifier.c:special_kfunc_type
enum class KfuncId : u8 {
  plain,
  bpf_obj_new_impl,
  bpf_obj_drop_impl,
  bpf_refcount_acquire_impl,
  bpf_list_push_front_impl,
  bpf_list_push_back_impl,
  bpf_list_pop_front,
  bpf_list_pop_back,
  bpf_cast_to_kern_ctx,
  bpf_rdonly_cast,
  bpf_rcu_read_lock,
  bpf_rcu_read_unlock,
  bpf_rbtree_remove,
  bpf_rbtree_add_impl,
  bpf_rbtree_first,
  bpf_dynptr_from_skb,
  bpf_dynptr_from_xdp,
  bpf_dynptr_slice,
  bpf_dynptr_slice_rdwr,
  bpf_dynptr_clone,
  bpf_percpu_obj_new_impl,
  bpf_percpu_obj_drop_impl,
  bpf_throw,
  bpf_wq_set_callback_impl,
  bpf_preempt_disable,
  bpf_preempt_enable,
  bpf_iter_css_task_new,
  bpf_session_cookie,
  bpf_sock_destroy,
  bpf_session_is_return,
};

struct Kfunc {
  std::string_view name;
  KfuncId id;
  u32 flags;  ///< KfuncFlag
  u32 hooks;  ///< which groups of program types may call it
};

/// The kfunc of this name; null: none. May be called by every program type: kfunc_allowed() tells by whom.
const Kfunc* find_kfunc(std::string_view name) noexcept;
/// The kfunc that `insn` calls, as vmlinux BTF numbers it; null: there is no such, or `insn` is no kfunc call of the kernel itself.
const Kfunc* kfunc_of(const VerifierEnv& env, const bpf_insn& insn) noexcept;
/// Linux: btf.c:btf_kfunc_id_set_contains()
bool kfunc_allowed(const Kfunc& kfunc, const ProgTraits& prog) noexcept;

}  // namespace skep
