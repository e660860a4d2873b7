#include "verifier/kfuncs.h"

#include <algorithm>
#include <iterator>

namespace skep {
namespace {

/// Groups of program types that share a set of kfuncs. Linux: btf.c:btf_kfunc_hook
enum Hook : u32 {
  NO_HOOK = 0,
  COMMON_HOOK = 1 << 0,
  XDP_HOOK = 1 << 1,
  TC_HOOK = 1 << 2,
  STRUCT_OPS_HOOK = 1 << 3,
  TRACING_HOOK = 1 << 4,
  SYSCALL_HOOK = 1 << 5,
  CGROUP_HOOK = 1 << 6,
  SCHED_ACT_HOOK = 1 << 7,
  SK_SKB_HOOK = 1 << 8,
  SOCKET_FILTER_HOOK = 1 << 9,
  LWT_HOOK = 1 << 10,
  NETFILTER_HOOK = 1 << 11,
  KPROBE_HOOK = 1 << 12,
};
constexpr u32 GENERIC_HOOKS = TRACING_HOOK | TC_HOOK | XDP_HOOK | STRUCT_OPS_HOOK | SYSCALL_HOOK | CGROUP_HOOK;
constexpr u32 CPUMASK_HOOKS = TRACING_HOOK | STRUCT_OPS_HOOK | SYSCALL_HOOK;
constexpr u32 SKB_HOOKS = TC_HOOK | SCHED_ACT_HOOK | SK_SKB_HOOK | SOCKET_FILTER_HOOK | CGROUP_HOOK | LWT_HOOK | NETFILTER_HOOK | TRACING_HOOK;

// clang-format off
/// Ascending by name.
constexpr Kfunc KFUNCS[] = {
    {"bpf_arena_alloc_pages", KfuncId::plain, KF_TRUSTED_ARGS | KF_SLEEPABLE, COMMON_HOOK},
    {"bpf_arena_free_pages", KfuncId::plain, KF_TRUSTED_ARGS | KF_SLEEPABLE, COMMON_HOOK},
    {"bpf_cast_to_kern_ctx", KfuncId::bpf_cast_to_kern_ctx, 0, COMMON_HOOK},
    {"bpf_cgroup_acquire", KfuncId::plain, KF_ACQUIRE | KF_RCU | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_cgroup_ancestor", KfuncId::plain, KF_ACQUIRE | KF_RCU | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_cgroup_from_id", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_cgroup_release", KfuncId::plain, KF_RELEASE, GENERIC_HOOKS},
    {"bpf_copy_from_user_str", KfuncId::plain, KF_SLEEPABLE, COMMON_HOOK},
    {"bpf_cpumask_acquire", KfuncId::plain, KF_ACQUIRE | KF_TRUSTED_ARGS, CPUMASK_HOOKS},
    {"bpf_cpumask_and", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_any_and_distribute", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_any_distribute", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_clear", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_clear_cpu", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_copy", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_create", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL, CPUMASK_HOOKS},
    {"bpf_cpumask_empty", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_equal", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_first", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_first_and", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_first_zero", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_full", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_intersects", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_or", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_release", KfuncId::plain, KF_RELEASE, CPUMASK_HOOKS},
    {"bpf_cpumask_set_cpu", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_setall", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_subset", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_test_and_clear_cpu", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_test_and_set_cpu", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_test_cpu", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_weight", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_cpumask_xor", KfuncId::plain, KF_RCU, CPUMASK_HOOKS},
    {"bpf_crypto_ctx_acquire", KfuncId::plain, KF_ACQUIRE | KF_RCU | KF_RET_NULL, SYSCALL_HOOK},
    {"bpf_crypto_ctx_create", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL | KF_SLEEPABLE, SYSCALL_HOOK},
    {"bpf_crypto_ctx_release", KfuncId::plain, KF_RELEASE, SYSCALL_HOOK},
    {"bpf_crypto_decrypt", KfuncId::plain, KF_RCU, TC_HOOK | SCHED_ACT_HOOK | XDP_HOOK},
    {"bpf_crypto_encrypt", KfuncId::plain, KF_RCU, TC_HOOK | SCHED_ACT_HOOK | XDP_HOOK},
    {"bpf_dynptr_adjust", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_dynptr_clone", KfuncId::bpf_dynptr_clone, 0, COMMON_HOOK},
    {"bpf_dynptr_from_skb", KfuncId::bpf_dynptr_from_skb, KF_TRUSTED_ARGS, SKB_HOOKS},
    {"bpf_dynptr_from_xdp", KfuncId::bpf_dynptr_from_xdp, 0, XDP_HOOK},
    {"bpf_dynptr_is_null", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_dynptr_is_rdonly", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_dynptr_size", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_dynptr_slice", KfuncId::bpf_dynptr_slice, KF_RET_NULL, COMMON_HOOK},
    {"bpf_dynptr_slice_rdwr", KfuncId::bpf_dynptr_slice_rdwr, KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_bits_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_bits_new", KfuncId::plain, KF_ITER_NEW, COMMON_HOOK},
    {"bpf_iter_bits_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_css_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_css_new", KfuncId::plain, KF_ITER_NEW | KF_TRUSTED_ARGS | KF_RCU_PROTECTED, COMMON_HOOK},
    {"bpf_iter_css_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_css_task_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_css_task_new", KfuncId::bpf_iter_css_task_new, KF_ITER_NEW | KF_TRUSTED_ARGS, COMMON_HOOK},
    {"bpf_iter_css_task_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_num_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_num_new", KfuncId::plain, KF_ITER_NEW, COMMON_HOOK},
    {"bpf_iter_num_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_task_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_task_new", KfuncId::plain, KF_ITER_NEW | KF_TRUSTED_ARGS | KF_RCU_PROTECTED, COMMON_HOOK},
    {"bpf_iter_task_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_iter_task_vma_destroy", KfuncId::plain, KF_ITER_DESTROY, COMMON_HOOK},
    {"bpf_iter_task_vma_new", KfuncId::plain, KF_ITER_NEW | KF_RCU, COMMON_HOOK},
    {"bpf_iter_task_vma_next", KfuncId::plain, KF_ITER_NEXT | KF_RET_NULL, COMMON_HOOK},
    {"bpf_key_put", KfuncId::plain, KF_RELEASE, TRACING_HOOK},
    {"bpf_list_pop_back", KfuncId::bpf_list_pop_back, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_list_pop_front", KfuncId::bpf_list_pop_front, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_list_push_back_impl", KfuncId::bpf_list_push_back_impl, 0, GENERIC_HOOKS},
    {"bpf_list_push_front_impl", KfuncId::bpf_list_push_front_impl, 0, GENERIC_HOOKS},
    {"bpf_lookup_system_key", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL, TRACING_HOOK},
    {"bpf_lookup_user_key", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL | KF_SLEEPABLE, TRACING_HOOK},
    {"bpf_map_sum_elem_count", KfuncId::plain, KF_TRUSTED_ARGS, COMMON_HOOK},
    {"bpf_modify_return_test_tp", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_obj_drop_impl", KfuncId::bpf_obj_drop_impl, KF_RELEASE, GENERIC_HOOKS},
    {"bpf_obj_new_impl", KfuncId::bpf_obj_new_impl, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_percpu_obj_drop_impl", KfuncId::bpf_percpu_obj_drop_impl, KF_RELEASE, GENERIC_HOOKS},
    {"bpf_percpu_obj_new_impl", KfuncId::bpf_percpu_obj_new_impl, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_preempt_disable", KfuncId::bpf_preempt_disable, 0, COMMON_HOOK},
    {"bpf_preempt_enable", KfuncId::bpf_preempt_enable, 0, COMMON_HOOK},
    {"bpf_rbtree_add_impl", KfuncId::bpf_rbtree_add_impl, 0, GENERIC_HOOKS},
    {"bpf_rbtree_first", KfuncId::bpf_rbtree_first, KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_rbtree_remove", KfuncId::bpf_rbtree_remove, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_rcu_read_lock", KfuncId::bpf_rcu_read_lock, 0, COMMON_HOOK},
    {"bpf_rcu_read_unlock", KfuncId::bpf_rcu_read_unlock, 0, COMMON_HOOK},
    {"bpf_rdonly_cast", KfuncId::bpf_rdonly_cast, 0, COMMON_HOOK},
    {"bpf_refcount_acquire_impl", KfuncId::bpf_refcount_acquire_impl, KF_ACQUIRE | KF_RET_NULL | KF_RCU, GENERIC_HOOKS},
    {"bpf_session_cookie", KfuncId::bpf_session_cookie, 0, KPROBE_HOOK},
    {"bpf_session_is_return", KfuncId::bpf_session_is_return, 0, KPROBE_HOOK},
    {"bpf_sk_assign_tcp_reqsk", KfuncId::plain, KF_TRUSTED_ARGS, TC_HOOK},
    {"bpf_sock_addr_set_sun_path", KfuncId::plain, 0, CGROUP_HOOK},
    {"bpf_sock_destroy", KfuncId::bpf_sock_destroy, KF_TRUSTED_ARGS, TRACING_HOOK},
    {"bpf_task_acquire", KfuncId::plain, KF_ACQUIRE | KF_RCU | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_task_from_pid", KfuncId::plain, KF_ACQUIRE | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_task_get_cgroup1", KfuncId::plain, KF_ACQUIRE | KF_RCU | KF_RET_NULL, GENERIC_HOOKS},
    {"bpf_task_release", KfuncId::plain, KF_RELEASE, GENERIC_HOOKS},
    {"bpf_task_under_cgroup", KfuncId::plain, KF_RCU, GENERIC_HOOKS},
    {"bpf_throw", KfuncId::bpf_throw, 0, GENERIC_HOOKS},
    {"bpf_verify_pkcs7_signature", KfuncId::plain, KF_SLEEPABLE, TRACING_HOOK},
    {"bpf_wq_init", KfuncId::plain, 0, COMMON_HOOK},
    {"bpf_wq_set_callback_impl", KfuncId::bpf_wq_set_callback_impl, 0, COMMON_HOOK},
    {"bpf_wq_start", KfuncId::plain, 0, COMMON_HOOK},
    {"cgroup_rstat_flush", KfuncId::plain, KF_SLEEPABLE, TRACING_HOOK},
    {"cgroup_rstat_updated", KfuncId::plain, 0, TRACING_HOOK},
    {"crash_kexec", KfuncId::plain, KF_DESTRUCTIVE, GENERIC_HOOKS},
};
// clang-format on

constexpr bool by_name(const Kfunc& a, const Kfunc& b) { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(KFUNCS), std::end(KFUNCS), by_name));

/// Linux: btf.c:bpf_prog_type_to_kfunc_hook()
u32 hook_of(u32 prog_type) {
  switch (prog_type) {
    case BPF_PROG_TYPE_XDP:
      return XDP_HOOK;
    case BPF_PROG_TYPE_SCHED_CLS:
      return TC_HOOK;
    case BPF_PROG_TYPE_STRUCT_OPS:
      return STRUCT_OPS_HOOK;
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_LSM:
      return TRACING_HOOK;
    case BPF_PROG_TYPE_SYSCALL:
      return SYSCALL_HOOK;
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_CGROUP_SOCK:
    case BPF_PROG_TYPE_CGROUP_DEVICE:
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return CGROUP_HOOK;
    case BPF_PROG_TYPE_SCHED_ACT:
      return SCHED_ACT_HOOK;
    case BPF_PROG_TYPE_SK_SKB:
      return SK_SKB_HOOK;
    case BPF_PROG_TYPE_SOCKET_FILTER:
      return SOCKET_FILTER_HOOK;
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
      return LWT_HOOK;
    case BPF_PROG_TYPE_NETFILTER:
      return NETFILTER_HOOK;
    case BPF_PROG_TYPE_KPROBE:
      return KPROBE_HOOK;
    default:
      return NO_HOOK;
  }
}

}  // namespace

const Kfunc* find_kfunc(std::string_view name) noexcept {
  const auto at = std::lower_bound(std::begin(KFUNCS), std::end(KFUNCS), name, [](const Kfunc& k, std::string_view n) { return k.name < n; });
  return at != std::end(KFUNCS) && at->name == name ? &*at : nullptr;
}

const Kfunc* kfunc_of(const VerifierEnv& env, const bpf_insn& insn) noexcept {
  if (!is_kfunc_call(insn) || insn.off != 0 || insn.imm == 0 || env.vmlinux() == nullptr) return nullptr;
  const u32 id = static_cast<u32>(insn.imm);
  const btf_type* t = env.vmlinux()->type_by_id(id);
  return t != nullptr && btf_is_func(t) ? find_kfunc(env.vmlinux()->type_name(id)) : nullptr;
}

bool kfunc_allowed(const Kfunc& kfunc, const ProgTraits& prog) noexcept {
  if ((kfunc.hooks & (COMMON_HOOK | hook_of(prog.type))) == 0) return false;
  switch (kfunc.id) {
    case KfuncId::bpf_sock_destroy:  // Linux: filter.c:tracing_iter_filter()
      return prog.expected_attach_type == BPF_TRACE_ITER;
    case KfuncId::bpf_session_is_return:  // Linux: bpf_trace.c:bpf_kprobe_multi_filter()
    case KfuncId::bpf_session_cookie:
      return prog.expected_attach_type == BPF_TRACE_KPROBE_SESSION;
    default:
      return true;
  }
}

bool is_iter_next_kfunc_call(const VerifierEnv& env, const bpf_insn& insn) {
  // A kfunc that this program may not call is refused later, whatever it is.
  const Kfunc* kfunc = kfunc_of(env, insn);
  return kfunc != nullptr && (kfunc->flags & KF_ITER_NEXT) != 0 && kfunc_allowed(*kfunc, env.prog);
}
bool is_sync_callback_calling_kfunc(const VerifierEnv& env, const bpf_insn& insn) {
  const Kfunc* kfunc = kfunc_of(env, insn);
  return kfunc != nullptr && kfunc->id == KfuncId::bpf_rbtree_add_impl;
}
bool is_async_callback_calling_kfunc(const VerifierEnv& env, const bpf_insn& insn) {
  const Kfunc* kfunc = kfunc_of(env, insn);
  return kfunc != nullptr && kfunc->id == KfuncId::bpf_wq_set_callback_impl;
}

/// Linux: verifier.c:kfunc_fastcall_clobber_mask(), is_fastcall_kfunc_call()
bool kfunc_fastcall(const VerifierEnv& env, const bpf_insn& insn, u32* clobbered, bool* can_be_inlined) {
  const Kfunc* kfunc = kfunc_of(env, insn);
  if (kfunc == nullptr || !kfunc_allowed(*kfunc, env.prog)) return false;
  const btf_type* func = env.vmlinux()->type_by_id(static_cast<u32>(insn.imm));
  const btf_type* proto = env.vmlinux()->type_by_id(func->type);
  *clobbered = proto->type != 0 ? 1 : 0;
  for (u32 i = 0; i < btf_vlen(proto); ++i) *clobbered |= 2u << i;
  *can_be_inlined = kfunc->id == KfuncId::bpf_cast_to_kern_ctx || kfunc->id == KfuncId::bpf_rdonly_cast;
  return true;
}

namespace {

/// Whose function a kfunc call names: offset 0 is the kernel itself, others are modules, of which there are none. Linux:
/// verifier.c:find_kfunc_desc_btf()
Status check_kfunc_btf(VerifierEnv& env, s16 offset) {
  if (offset == 0) return ok_status();
  if (offset < 0) return env.refuse(EINVAL, "negative offset disallowed for kernel module function call");
  if (!env.input.fd_array) return env.refuse(EPROTO, "kfunc offset > 0 without fd_array is invalid");
  TRY(env.input.fd_array(static_cast<u32>(offset)));
  return env.refuse(EINVAL, "BTF fd for kfunc is not a module BTF");
}

}  // namespace

Status add_kfunc_call(VerifierEnv& env, u32 func_id, s16 offset) {
  const Btf* btf = env.vmlinux();
  if (btf == nullptr) return env.refuse(ENOTSUPP_, "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF");
  if (!env.prog.gpl_compatible) return env.refuse(EINVAL, "cannot call kernel function from non-GPL compatible program");
  // Id 0 is never a function; such a call is refused only if it survives the removal of dead code.
  if (func_id == 0 && offset == 0) return ok_status();
  if (const Status found = check_kfunc_btf(env, offset); !found.ok()) {
    env.verbose("failed to find BTF for kernel function\n");
    return found;
  }
  const btf_type* func = btf->type_by_id(func_id);
  if (func == nullptr || !btf_is_func(func)) return env.refuse(EINVAL, "kernel btf_id {} is not a function", func_id);
  const btf_type* proto = btf->type_by_id(func->type);
  if (proto == nullptr || !btf_is_func_proto(proto))
    return env.refuse(EINVAL, "kernel function btf_id {} does not have a valid func_proto", func_id);
  const std::string_view name = btf->type_name(func_id);
  if (!env.input.kfunc_there || !env.input.kfunc_there(name))
    return env.refuse(EINVAL, "cannot find address for kernel function {}", name);
  return ok_status();
}

}  // namespace skep
