// verifier: may the program be attached where it says, and may it sleep there? Linux: verifier.c:check_attach_btf_id(),
// bpf_check_attach_target(); bpf_lsm.c:bpf_lsm_verify_prog()
#include "verifier/attach_func.h"

namespace skep {
namespace {

/// Functions that never return have no exit to look at. Linux: verifier.c:noreturn_deny
constexpr std::string_view NORETURN[] = {"__ia32_sys_exit", "__ia32_sys_exit_group", "__x64_sys_exit", "__x64_sys_exit_group",
                                         "do_exit", "do_group_exit", "kthread_complete_and_exit", "kthread_exit", "make_task_dead",
                                         "__module_put_and_kthread_exit"};
constexpr std::string_view DENIED[] = {"migrate_disable", "migrate_enable", "rcu_read_unlock_strict"};

/// Hooks whose answer a program must not give. Linux: bpf_lsm.c:bpf_lsm_disabled_hooks
constexpr std::string_view DISABLED_LSM_HOOKS[] = {
    "vm_enough_memory", "inode_need_killpriv", "inode_getsecurity", "inode_listsecurity", "inode_copy_up_xattr", "getselfattr",
    "getprocattr",      "setprocattr",         "key_getsecurity",   "audit_rule_match",   "xfrm_decode_session", "ismaclabel"};

template <std::size_t N>
bool is_one_of(std::string_view name, const std::string_view (&list)[N]) {
  for (std::string_view s : list)
    if (s == name) return true;
  return false;
}

/// Syscall functions are on the kernel's error injection list: their results may be replaced, and programs on them may sleep.
bool may_inject_error(std::string_view func) { return func.starts_with("__x64_sys_") || func.starts_with("__ia32_sys_"); }

constexpr std::string_view LSM_PREFIX = "bpf_lsm_";

bool lsm_may_sleep(std::string_view func) {
  return func.starts_with(LSM_PREFIX) && lsm_hook_is_sleepable(std::string(func.substr(LSM_PREFIX.size())).c_str());
}

/// Linux: bpf_check_attach_target(), the cases of a function
Status check_function(VerifierEnv& env, const Btf& btf, const btf_type* t, std::string_view name) {
  const u32 attach = env.prog.expected_attach_type;
  if (!btf_is_func(t)) return env.refuse(EINVAL, "attach_btf_id {} is not a function", env.prog.attach_btf_id);
  const btf_type* proto = btf.type_by_id(t->type);
  if (proto == nullptr || !btf_is_func_proto(proto)) return Errno(EINVAL);
  const Result<u32> ret_size = btf.type_size(proto->type);
  if ((attach == BPF_TRACE_FEXIT || attach == BPF_MODIFY_RETURN) && ret_size.ok() && *ret_size > 8)
    return env.refuse(EOPNOTSUPP, "Attach to function {} with a >8 byte return value is not supported for this attach type", name);
  if (env.prog.sleepable) {
    const bool ok = env.prog.type == BPF_PROG_TYPE_LSM ? lsm_may_sleep(name) : may_inject_error(name);
    if (!ok) return env.refuse(EINVAL, "{} is not sleepable", name);
  } else if (attach == BPF_MODIFY_RETURN && !may_inject_error(name) && !name.starts_with("security_")) {
    return env.refuse(EINVAL, "{}() is not modifiable", name);
  }
  return ok_status();
}

Status check_kind(VerifierEnv& env, const Btf& btf, const btf_type* t, std::string_view name) {
  const u32 id = env.prog.attach_btf_id;
  switch (env.prog.expected_attach_type) {
    case BPF_TRACE_RAW_TP:
      if (!btf_is_typedef(t)) return env.refuse(EINVAL, "attach_btf_id {} is not a typedef", id);
      if (!name.starts_with("btf_trace_")) return env.refuse(EINVAL, "attach_btf_id {} points to wrong type name {}", id, name);
      return attach_func(env).proto != nullptr ? ok_status() : Status(Errno(EINVAL));
    case BPF_TRACE_ITER:
      if (!btf_is_func(t)) return env.refuse(EINVAL, "attach_btf_id {} is not a function", id);
      return attach_func(env).proto != nullptr ? ok_status() : Status(Errno(EINVAL));
    case BPF_MODIFY_RETURN:
    case BPF_LSM_MAC:
    case BPF_LSM_CGROUP:
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT: return check_function(env, btf, t, name);
    default: return Errno(EINVAL);
  }
}

Status check_target(VerifierEnv& env) {
  const u32 id = env.prog.attach_btf_id;
  if (id == 0) return env.refuse(EINVAL, "Tracing programs must provide btf_id");
  const Btf* btf = env.vmlinux();
  if (btf == nullptr)
    return env.refuse(EINVAL, "FENTRY/FEXIT program can only be attached to another program annotated with BTF");
  const btf_type* t = btf->type_by_id(id);
  if (t == nullptr) return env.refuse(EINVAL, "attach_btf_id {} is invalid", id);
  if (env.prog.is_ext || env.prog.type == BPF_PROG_TYPE_EXT) return env.refuse(EINVAL, "Cannot replace kernel functions");
  const std::string_view name = btf->type_name(id);
  TRY(check_kind(env, *btf, t, name));
  const AttachFunc func = attach_func(env);
  env.attach_func_proto = func.proto;
  // A name in BTF ends with a NUL, so does what is left of it without its prefix.
  env.prog.attach_func_name = func.name.starts_with(LSM_PREFIX) ? func.name.data() + LSM_PREFIX.size() : func.name.data();
  const u32 attach = env.prog.expected_attach_type;
  if (attach == BPF_TRACE_RAW_TP) return ok_status();
  if (attach == BPF_TRACE_ITER) return name.starts_with("bpf_iter_") ? ok_status() : Status(Errno(EINVAL));
  if (env.prog.type == BPF_PROG_TYPE_LSM) {
    if (!env.prog.gpl_compatible) return env.refuse(EINVAL, "LSM programs must have a GPL compatible license");
    if (name.starts_with(LSM_PREFIX) && is_one_of(name.substr(LSM_PREFIX.size()), DISABLED_LSM_HOOKS))
      return env.refuse(EINVAL, "attach_btf_id {} points to disabled hook {}", id, name);
    if (!name.starts_with(LSM_PREFIX)) return env.refuse(EINVAL, "attach_btf_id {} points to wrong type name {}", id, name);
    return ok_status();
  }
  if (is_one_of(name, DENIED)) return Errno(EINVAL);
  if (attach != BPF_TRACE_FENTRY && is_one_of(name, NORETURN))
    return env.refuse(EINVAL, "Attaching fexit/fmod_ret to __noreturn functions is rejected.");
  return ok_status();
}

/// Linux: check_struct_ops_btf_id(). DIFFERS: no struct of callbacks is registered here.
Status check_struct_ops(VerifierEnv& env) {
  if (!env.prog.gpl_compatible) return env.refuse(EINVAL, "struct ops programs must have a GPL compatible license");
  if (env.prog.attach_btf_id == 0) return Errno(ENOTSUPP_);
  return env.refuse(ENOTSUPP_, "attach_btf_id {} is not a supported struct", env.prog.attach_btf_id);
}

}  // namespace

Status check_attach_btf_id(VerifierEnv& env) {
  const u32 type = env.prog.type;
  if (type == BPF_PROG_TYPE_SYSCALL) {
    if (env.prog.sleepable) return ok_status();
    return env.refuse(EINVAL, "Syscall programs can only be sleepable");
  }
  if (env.prog.sleepable && !can_be_sleepable(type, env.prog.expected_attach_type))
    return env.refuse(EINVAL, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable");
  if (type == BPF_PROG_TYPE_STRUCT_OPS) return check_struct_ops(env);
  if (type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_LSM && type != BPF_PROG_TYPE_EXT) return ok_status();
  return check_target(env);
}

}  // namespace skep
