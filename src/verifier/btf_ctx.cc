// verifier: arguments of programs that are called in the place of, or around, a kernel function: their types are in BTF.
// Linux: kernel/bpf/btf.c:btf_ctx_access()
#include <algorithm>

#include "verifier/attach_func.h"
#include "verifier/btf_ctx_tables.h"
#include "verifier/mem_access.h"

namespace skep {
namespace {

constexpr u32 MAX_BPF_FUNC_ARGS = 12;
constexpr std::string_view NULLABLE = "__nullable";

/// The type as a whole number of words on the stack that the arguments are on.
u32 arg_bytes(const Btf& btf, u32 type_id) {
  const btf_type* const t = btf.skip_modifiers(type_id);
  if (t == nullptr || btf_is_void(t)) return 0;
  return btf_is_ptr(t) ? 8 : (t->size + 7) / 8 * 8;
}

/// Index of the argument at `off`; the number of arguments: the return value; more: none. Linux: get_ctx_arg_idx()
u32 ctx_arg_idx(const Btf& btf, const btf_type* proto, u32 off) {
  u32 end = 0;
  for (u32 i = 0; i < btf_vlen(proto); ++i) {
    end += arg_bytes(btf, btf_params(proto)[i].type);
    if (off < end) return i;
  }
  end += arg_bytes(btf, proto->type);
  return btf_vlen(proto) + (off < end ? 0 : 1);
}

/// Linux: btf.c:prog_args_trusted(). LSM hooks are trusted but for some.
bool args_trusted(const VerifierEnv& env, const AttachFunc& func) {
  switch (env.prog.type) {
    case BPF_PROG_TYPE_TRACING:
      return env.prog.expected_attach_type == BPF_TRACE_RAW_TP || env.prog.expected_attach_type == BPF_TRACE_ITER;
    case BPF_PROG_TYPE_LSM:
      return std::ranges::find(UNTRUSTED_LSM_HOOKS, func.name) == std::end(UNTRUSTED_LSM_HOOKS);
    case BPF_PROG_TYPE_STRUCT_OPS:
      return true;
    default:
      return false;
  }
}

/// One question about the context, and its answer as it comes together.
class CtxAccess {
 public:
  CtxAccess(VerifierEnv& env, const AttachFunc& func, s32 off, u32 size, CtxAccessInfo* info, u32* btf_id)
      : env_(env), btf_(*env.vmlinux()), func_(func), off_(off), size_(size), info_(*info), btf_id_(*btf_id) {}

  bool judge();

 private:
  bool no_such_arg() {
    env_.verbose("func '{}' doesn't have {}-th argument\n", func_.name, arg_ + 1);
    return false;
  }
  const btf_type* value_type(bool* refused);
  const btf_type* return_type(bool* refused);
  bool judge_pointer(const btf_type* t);
  const IterArg* iter_arg() const;
  bool judge_iter_arg(const IterArg& arg);
  bool stub_says_nullable() const;
  bool judge_nullable_member_arg(const btf_type* ptr);
  void add_flags(bool* may_be_error);
  bool judge_struct(const btf_type* ptr);

  VerifierEnv& env_;
  const Btf& btf_;
  const AttachFunc& func_;
  const s32 off_;
  const u32 size_;
  CtxAccessInfo& info_;
  u32& btf_id_;
  const btf_param* args_ = nullptr;
  u32 nr_args_ = 0, arg_ = 0;
};

bool CtxAccess::judge() {
  if (off_ % 8 != 0) {
    env_.verbose("func '{}' offset {} is not multiple of 8\n", func_.name, off_);
    return false;
  }
  arg_ = ctx_arg_idx(btf_, func_.proto, static_cast<u32>(off_));
  args_ = btf_params(func_.proto);
  nr_args_ = btf_vlen(func_.proto);
  if (func_.is_raw_tp) {
    if (nr_args_ == 0) return no_such_arg();
    ++args_;
    --nr_args_;
  }
  bool refused = false;
  const btf_type* const t = value_type(&refused);
  if (refused || t == nullptr) return false;
  if ((btf_is_int(t) && t->size <= 8) || btf_is_any_enum(t) || btf_is_struct(t)) return true;
  if (!btf_is_ptr(t)) {
    env_.verbose("func '{}' arg{} '{}' has type {}. Only pointer access is allowed\n", func_.name, arg_,
                 btf_.name_or_word(t->name_off), btf_kind_str(btf_kind_of(t)));
    return false;
  }
  if (size_ != sizeof(u64)) {
    env_.verbose("func '{}' size {} must be 8\n", func_.name, size_);
    return false;
  }
  return judge_pointer(t);
}

const btf_type* CtxAccess::value_type(bool* refused) {
  if (arg_ > nr_args_) {
    *refused = !no_such_arg();
    return nullptr;
  }
  if (arg_ == nr_args_) return return_type(refused);
  return btf_.skip_modifiers(args_[arg_].type);
}

/// Behind the arguments lies what the function returned, for programs that run after it.
const btf_type* CtxAccess::return_type(bool* refused) {
  const btf_type* const t = btf_.skip_modifiers(func_.proto->type);
  switch (env_.prog.expected_attach_type) {
    case BPF_LSM_MAC:
      info_.is_retval = true;
      return t;
    case BPF_LSM_CGROUP:
    case BPF_TRACE_FEXIT:
      return t;
    case BPF_MODIFY_RETURN:
      if (t != nullptr && btf_is_int(t) && t->size <= 8) return t;
      if (t != nullptr) env_.verbose("ret type {} not allowed for fmod_ret\n", btf_kind_str(btf_kind_of(t)));
      *refused = true;
      return nullptr;
    default:
      *refused = !no_such_arg();
      return nullptr;
  }
}

const IterArg* CtxAccess::iter_arg() const {
  if (env_.prog.type != BPF_PROG_TYPE_TRACING || env_.prog.expected_attach_type != BPF_TRACE_ITER) return nullptr;
  for (const IterArg& arg : ITER_ARGS)
    if (arg.func == func_.name && arg.off == static_cast<u32>(off_)) return &arg;
  return nullptr;
}

/// A function of the kernel's own that stands for the member names arguments that may be null. Linux:
/// bpf_struct_ops.c:prepare_arg_info()
bool CtxAccess::stub_says_nullable() const {
  if (env_.prog.type != BPF_PROG_TYPE_STRUCT_OPS || arg_ >= nr_args_) return false;
  std::string stub_name(btf_.type_name(env_.prog.attach_btf_id));
  stub_name += "__";
  stub_name += func_.name;
  const Result<u32> id = btf_.find_by_name_kind(stub_name, BTF_KIND_FUNC);
  if (!id.ok()) return false;
  const btf_type* const proto = btf_.type_by_id(btf_.type_by_id(*id)->type);
  return proto != nullptr && btf_is_func_proto(proto) && btf_vlen(proto) == nr_args_ &&
         btf_param_match_suffix(btf_, btf_params(proto)[arg_], NULLABLE);
}

bool CtxAccess::judge_iter_arg(const IterArg& arg) {
  const Result<u32> id = btf_.find_by_name_kind(arg.btf_struct, BTF_KIND_STRUCT);
  if (arg.btf_struct.empty() || !id.ok()) {
    env_.verbose("invalid btf_id for context argument offset {}\n", off_);
    return false;
  }
  info_.reg_type = arg.reg_type;
  btf_id_ = *id;
  return true;
}

bool CtxAccess::judge_nullable_member_arg(const btf_type* ptr) {
  info_.reg_type = PTR_TRUSTED | PTR_TO_BTF_ID | PTR_MAYBE_NULL;
  btf_id_ = btf_.resolve_modifiers(ptr->type);
  const btf_type* const t = btf_.type_by_id(btf_id_);
  return t != nullptr && btf_is_composite(t);
}

bool CtxAccess::judge_pointer(const btf_type* t) {
  const IterArg* const iter = iter_arg();
  if (iter != nullptr && base_type(iter->reg_type) == PTR_TO_BUF && type_may_be_null(iter->reg_type)) {
    info_.reg_type = iter->reg_type;
    return true;
  }
  // Nothing is known behind these, so they are no more than numbers.
  const btf_type* const target = btf_.skip_modifiers(t->type);
  if (t->type == 0 || (target != nullptr && btf_is_int(target))) return true;
  if (iter != nullptr) return judge_iter_arg(*iter);
  if (stub_says_nullable()) return judge_nullable_member_arg(t);
  return judge_struct(t);
}

void CtxAccess::add_flags(bool* may_be_error) {
  info_.reg_type = PTR_TO_BTF_ID;
  if (args_trusted(env_, func_)) info_.reg_type |= PTR_TRUSTED;
  if (arg_ < nr_args_ && btf_param_match_suffix(btf_, args_[arg_], NULLABLE)) info_.reg_type |= PTR_MAYBE_NULL;
  if (!func_.is_raw_tp) return;
  for (const RawTpNullArgs& known : RAW_TP_NULL_ARGS) {
    if (known.func != func_.name) continue;
    if ((known.mask & u64{1} << (arg_ * 4)) != 0) info_.reg_type |= PTR_MAYBE_NULL;
    *may_be_error = (known.mask & u64{2} << (arg_ * 4)) != 0;
    return;
  }
}

bool CtxAccess::judge_struct(const btf_type* ptr) {
  bool may_be_error = false;
  add_flags(&may_be_error);
  const btf_type* t = btf_.type_by_id(ptr->type);
  if (t == nullptr) return false;
  if (btf_is_type_tag(t)) {
    if (btf_.name_is(t->name_off, "user")) info_.reg_type |= MEM_USER;
    if (btf_.name_is(t->name_off, "percpu")) info_.reg_type |= MEM_PERCPU;
  }
  btf_id_ = btf_.resolve_modifiers(ptr->type);
  t = btf_.type_by_id(btf_id_);
  if (t == nullptr) return false;
  const char* const kind = btf_kind_str(btf_kind_of(t));
  if (!btf_is_composite(t)) {
    env_.verbose("func '{}' arg{} type {} is not a struct\n", func_.name, arg_, kind);
    return false;
  }
  env_.verbose("func '{}' arg{} has btf_id {} type {} '{}'\n", func_.name, arg_, btf_id_, kind, btf_.name_or_word(t->name_off));
  if (may_be_error) {
    env_.verbose("marking pointer arg{} as scalar as it may encode error", arg_);
    info_.reg_type = SCALAR_VALUE;
  }
  return true;
}

/// Congestion control gets its sockets as struct sock; they are TCP's. Linux: net/ipv4/bpf_tcp_ca.c:bpf_tcp_ca_is_valid_access()
void promote_tcp_sock(const VerifierEnv& env, const CtxAccessInfo& info, u32* btf_id) {
  const Btf& btf = *env.vmlinux();
  if (env.prog.type != BPF_PROG_TYPE_STRUCT_OPS || btf.type_name(env.prog.attach_btf_id) != "tcp_congestion_ops") return;
  if (base_type(info.reg_type) != PTR_TO_BTF_ID || (type_flag(info.reg_type) & ~BPF_REG_TRUSTED_MODIFIERS) != 0) return;
  const Result<u32> sock = btf.find_by_name_kind("sock", BTF_KIND_STRUCT);
  const Result<u32> tcp_sock = btf.find_by_name_kind("tcp_sock", BTF_KIND_STRUCT);
  if (sock.ok() && tcp_sock.ok() && *btf_id == *sock) *btf_id = *tcp_sock;
}

}  // namespace

bool btf_ctx_access(VerifierEnv& env, s32 off, u32 size, AccessType t, CtxAccessInfo* info, const Btf** btf, u32* btf_id) {
  // DIFFERS: Linux lets LSM programs store to their context (bpf_lsm.c gives btf_ctx_access() unguarded), and what was stored comes
  // back as a trusted pointer.
  if (t != BPF_READ) return false;
  // Linux: bpf_tracing_ctx_access(), which LSM programs come without.
  const bool checks_off = env.prog.type != BPF_PROG_TYPE_LSM;
  if (checks_off && (off < 0 || static_cast<u32>(off) >= sizeof(u64) * MAX_BPF_FUNC_ARGS || static_cast<u32>(off) % size != 0))
    return false;
  const AttachFunc func = attach_func(env);
  if (func.proto == nullptr) return false;
  info->reg_type = SCALAR_VALUE;
  if (!CtxAccess(env, func, off, size, info, btf_id).judge()) return false;
  promote_tcp_sock(env, *info, btf_id);
  *btf = env.vmlinux();
  return true;
}

bool get_func_retval_range(const VerifierEnv& env, RetRange* range) {
  constexpr s32 MAX_ERRNO = 4095;
  if (env.prog.type != BPF_PROG_TYPE_LSM || env.prog.expected_attach_type != BPF_LSM_MAC) return false;
  const AttachFunc func = attach_func(env);
  // Hooks without a value have no range.
  if (func.proto == nullptr || func.proto->type == 0) return false;
  const bool is_bool = std::ranges::find(BOOL_LSM_HOOKS, func.name) != std::end(BOOL_LSM_HOOKS);
  *range = is_bool ? RetRange{0, 1} : RetRange{-MAX_ERRNO, 0};
  return true;
}

}  // namespace skep
