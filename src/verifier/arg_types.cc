// verifier: which registers fit which kind of argument. Linux: verifier.c:compatible_reg_types, check_reg_type(),
// check_func_arg_reg_off()
#include <span>

#include "isa/func_names.h"
#include "verifier/call_args.h"

namespace skep {
namespace {

constexpr u32 SOCK_TYPES[] = {PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK};
constexpr u32 BTF_ID_SOCK_COMMON_TYPES[] = {PTR_TO_SOCK_COMMON, PTR_TO_SOCKET,  PTR_TO_TCP_SOCK,
                                            PTR_TO_XDP_SOCK,    PTR_TO_BTF_ID, PTR_TO_BTF_ID | PTR_TRUSTED};
constexpr u32 MEM_TYPES[] = {PTR_TO_STACK,     PTR_TO_PACKET, PTR_TO_PACKET_META,       PTR_TO_MAP_KEY,
                             PTR_TO_MAP_VALUE, PTR_TO_MEM,    PTR_TO_MEM | MEM_RINGBUF, PTR_TO_BUF,
                             PTR_TO_BTF_ID | PTR_TRUSTED};
constexpr u32 VALUE_OR_OBJECT_TYPES[] = {PTR_TO_MAP_VALUE, PTR_TO_BTF_ID | MEM_ALLOC};
constexpr u32 FULLSOCK_TYPES[] = {PTR_TO_SOCKET};
constexpr u32 SCALAR_TYPES[] = {SCALAR_VALUE};
constexpr u32 CONTEXT_TYPES[] = {PTR_TO_CTX};
constexpr u32 RINGBUF_MEM_TYPES[] = {PTR_TO_MEM | MEM_RINGBUF};
constexpr u32 CONST_MAP_PTR_TYPES[] = {CONST_PTR_TO_MAP};
constexpr u32 BTF_PTR_TYPES[] = {PTR_TO_BTF_ID, PTR_TO_BTF_ID | PTR_TRUSTED, PTR_TO_BTF_ID | MEM_RCU};
constexpr u32 PERCPU_BTF_PTR_TYPES[] = {PTR_TO_BTF_ID | MEM_PERCPU, PTR_TO_BTF_ID | MEM_PERCPU | MEM_RCU,
                                        PTR_TO_BTF_ID | MEM_PERCPU | PTR_TRUSTED};
constexpr u32 FUNC_PTR_TYPES[] = {PTR_TO_FUNC};
constexpr u32 STACK_PTR_TYPES[] = {PTR_TO_STACK};
constexpr u32 MAP_VALUE_TYPES[] = {PTR_TO_MAP_VALUE};
constexpr u32 DYNPTR_TYPES[] = {PTR_TO_STACK, CONST_PTR_TO_DYNPTR};

/// Empty: no such kind of argument.
std::span<const u32> compatible_reg_types(u32 arg_type) {
  switch (base_type(arg_type)) {
    case ARG_PTR_TO_MAP_KEY:
    case ARG_PTR_TO_MAP_VALUE:
    case ARG_PTR_TO_MEM:
      return MEM_TYPES;
    case ARG_CONST_SIZE:
    case ARG_CONST_SIZE_OR_ZERO:
    case ARG_CONST_ALLOC_SIZE_OR_ZERO:
    case ARG_SCALAR:
      return SCALAR_TYPES;
    case ARG_CONST_MAP_PTR:
      return CONST_MAP_PTR_TYPES;
    case ARG_PTR_TO_CTX:
      return CONTEXT_TYPES;
    case ARG_PTR_TO_SOCK_COMMON:
      return SOCK_TYPES;
    case ARG_PTR_TO_BTF_ID_SOCK_COMMON:
      return BTF_ID_SOCK_COMMON_TYPES;
    case ARG_PTR_TO_SOCKET:
      return FULLSOCK_TYPES;
    case ARG_PTR_TO_BTF_ID:
      return BTF_PTR_TYPES;
    case ARG_PTR_TO_SPIN_LOCK:
    case ARG_KPTR_XCHG_DEST:
      return VALUE_OR_OBJECT_TYPES;
    case ARG_PTR_TO_RINGBUF_MEM:
      return RINGBUF_MEM_TYPES;
    case ARG_PTR_TO_PERCPU_BTF_ID:
      return PERCPU_BTF_PTR_TYPES;
    case ARG_PTR_TO_FUNC:
      return FUNC_PTR_TYPES;
    case ARG_PTR_TO_STACK:
      return STACK_PTR_TYPES;
    case ARG_PTR_TO_CONST_STR:
    case ARG_PTR_TO_TIMER:
      return MAP_VALUE_TYPES;
    case ARG_PTR_TO_DYNPTR:
      return DYNPTR_TYPES;
    default:
      return {};
  }
}

bool type_is_alloc(u32 type) { return (type & MEM_ALLOC) != 0; }

/// The register's type without what the argument does not care about: read-only memory fits where it is only read, NULL where it may
/// be, memory of a dynptr as any memory. An own object may be given away by bpf_kptr_xchg().
u32 folded_type(u32 type, u32 arg_type, u32 regno, u32 func_id) {
  if ((arg_type & MEM_RDONLY) != 0) type &= ~static_cast<u32>(MEM_RDONLY);
  if ((arg_type & PTR_MAYBE_NULL) != 0) type &= ~static_cast<u32>(PTR_MAYBE_NULL);
  if (base_type(arg_type) == ARG_PTR_TO_MEM) type &= ~DYNPTR_TYPE_FLAG_MASK;
  if (func_id == func::kptr_xchg && type_is_alloc(type) && regno == R2) type &= ~static_cast<u32>(MEM_ALLOC | MEM_PERCPU);
  return type;
}

Errno wrong_type(VerifierEnv& env, u32 regno, std::span<const u32> expected) {
  if (env.log.needed()) {
    env.verbose("R{} type={} expected=", regno, reg_type_str(env, env.cur_regs()[regno].type));
    for (std::size_t i = 0; i + 1 < expected.size(); ++i) env.verbose("{}, ", reg_type_str(env, expected[i]));
    env.verbose("{}\n", reg_type_str(env, expected.back()));
  }
  return Errno(EACCES);
}

/// A struct of the kernel: it must be (or begin with, unless strict) the one asked for.
Status check_btf_id_arg(VerifierEnv& env, u32 regno, u32 arg_type, const u32* arg_btf_id, const CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  const bool is_release = (arg_type & OBJ_RELEASE) != 0;
  if (type_may_be_null(reg.type) && (!type_may_be_null(arg_type) || is_release))
    return env.refuse(EACCES, "Possibly NULL pointer passed to helper arg{}", regno);
  if (meta.func_id == func::kptr_xchg)
    return map_kptr_match_type(env, *meta.kptr_field, reg, regno).ok() ? ok_status() : Status(Errno(EACCES));

  u32 want = 0;
  if (arg_btf_id != nullptr) {
    want = *arg_btf_id;
  } else if (base_type(arg_type) == ARG_PTR_TO_BTF_ID_SOCK_COMMON) {
    want = kernel_struct_id(env, "sock_common");
  } else {
    return env.refuse(EFAULT, "verifier internal error: missing arg compatible BTF ID");
  }
  // A pointer into the program's own BTF cannot get here without MEM_ALLOC, so there is a vmlinux.
  if (env.vmlinux() == nullptr) return Errno(EACCES);
  // bpf_sk_release() takes every kind of socket: all begin with a sock_common.
  const bool strict = is_release && meta.func_id != func::sk_release;
  if (btf_struct_ids_match(env, *reg.btf, reg.btf_id, reg.off, *env.vmlinux(), want, strict, !type_is_alloc(reg.type)))
    return ok_status();
  return env.refuse(EACCES, "R{} is of type {} but {} is expected", regno, reg.btf->type_name(reg.btf_id), env.vmlinux()->type_name(want));
}

}  // namespace

u32 kernel_struct_id(const VerifierEnv& env, std::string_view name) {
  if (env.vmlinux() == nullptr || name.empty()) return 0;
  const Result<u32> id = env.vmlinux()->find_by_name_kind(name, BTF_KIND_STRUCT);
  return id.ok() ? *id : 0;
}

Status check_reg_type(VerifierEnv& env, u32 regno, u32 arg_type, const u32* arg_btf_id, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  const std::span<const u32> compatible = compatible_reg_types(arg_type);
  if (compatible.empty()) return env.refuse(EFAULT, "verifier internal error: unsupported arg type {}", arg_type);
  const u32 type = folded_type(reg.type, arg_type, regno, meta.func_id);
  bool found = false;
  for (const u32 t : compatible) found = found || t == type;
  if (!found) return wrong_type(env, regno, compatible);
  if (base_type(reg.type) != PTR_TO_BTF_ID) return ok_status();

  if (compatible.data() == MEM_TYPES) {
    if ((arg_type & MEM_RDONLY) != 0) return ok_status();
    return env.refuse(EACCES, "{}() may write into memory pointed by R{} type={}", func_id_name(meta.func_id), regno,
                      reg_type_str(env, reg.type));
  }
  switch (reg.type) {
    case PTR_TO_BTF_ID:
    case PTR_TO_BTF_ID | PTR_TRUSTED:
    case PTR_TO_BTF_ID | PTR_TRUSTED | PTR_MAYBE_NULL:
    case PTR_TO_BTF_ID | MEM_RCU:
    case PTR_TO_BTF_ID | PTR_MAYBE_NULL:
    case PTR_TO_BTF_ID | PTR_MAYBE_NULL | MEM_RCU:
      return check_btf_id_arg(env, regno, arg_type, arg_btf_id, meta);
    case PTR_TO_BTF_ID | MEM_ALLOC:
    case PTR_TO_BTF_ID | MEM_PERCPU | MEM_ALLOC:
      if (meta.func_id != func::spin_lock && meta.func_id != func::spin_unlock && meta.func_id != func::kptr_xchg)
        return env.refuse(EFAULT, "verifier internal error: unimplemented handling of MEM_ALLOC");
      if (meta.func_id == func::kptr_xchg && regno == R2 && !map_kptr_match_type(env, *meta.kptr_field, reg, regno).ok())
        return Errno(EACCES);
      return ok_status();
    case PTR_TO_BTF_ID | MEM_PERCPU:
    case PTR_TO_BTF_ID | MEM_PERCPU | MEM_RCU:
    case PTR_TO_BTF_ID | MEM_PERCPU | PTR_TRUSTED:
      return ok_status();  // the helper's own checks
    default:
      return env.refuse(EFAULT, "verifier internal error: invalid PTR_TO_BTF_ID register for type match");
  }
}

/// What offset a pointer of this kind may carry into a call. What is released must point to the start of its object; a dynptr on the
/// stack is judged by its slots. Linux: verifier.c:check_func_arg_reg_off()
Status check_func_arg_reg_off(VerifierEnv& env, const RegState& reg, u32 regno, u32 arg_type) {
  if ((arg_type & OBJ_RELEASE) != 0) {
    if (base_type(arg_type) == ARG_PTR_TO_DYNPTR && reg.type == PTR_TO_STACK) return ok_status();
    if (reg.off != 0)
      return env.refuse(EINVAL, "R{} must have zero offset when passed to release func or trusted arg to kfunc", regno);
    return check_ptr_off_reg_fixed(env, reg, regno, false);
  }
  switch (reg.type) {
    case PTR_TO_STACK:
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_MAP_KEY:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MEM:
    case PTR_TO_MEM | MEM_RDONLY:
    case PTR_TO_MEM | MEM_RINGBUF:
    case PTR_TO_BUF:
    case PTR_TO_BUF | MEM_RDONLY:
    case PTR_TO_ARENA:
    case SCALAR_VALUE:
      return ok_status();
    case PTR_TO_BTF_ID:
    case PTR_TO_BTF_ID | MEM_ALLOC:
    case PTR_TO_BTF_ID | PTR_TRUSTED:
    case PTR_TO_BTF_ID | MEM_RCU:
    case PTR_TO_BTF_ID | MEM_ALLOC | NON_OWN_REF:
    case PTR_TO_BTF_ID | MEM_ALLOC | NON_OWN_REF | MEM_RCU:
      return check_ptr_off_reg_fixed(env, reg, regno, true);
    default:
      return check_ptr_off_reg_fixed(env, reg, regno, false);
  }
}

}  // namespace skep
