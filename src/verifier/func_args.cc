// verifier: what a subprogram's BTF promises of its arguments, and whether a call keeps to it. A global function is judged alone, with
// arguments as its BTF says, so here is where callers are held to that. Linux: btf.c:btf_prepare_func_args(),
// verifier.c:btf_check_func_arg_match()
#include <string_view>

#include "verifier/call_args.h"
#include "verifier/ctx_arg.h"

namespace skep {
namespace {

constexpr u32 MAX_BPF_FUNC_REG_ARGS = 5;

enum ArgTag : u32 {
  ARG_TAG_CTX = 1 << 0,
  ARG_TAG_NONNULL = 1 << 1,
  ARG_TAG_TRUSTED = 1 << 2,
  ARG_TAG_NULLABLE = 1 << 3,
  ARG_TAG_ARENA = 1 << 4,
};

/// 0: unknown.
u32 arg_tag(std::string_view text) {
  if (text == "ctx") return ARG_TAG_CTX;
  if (text == "trusted") return ARG_TAG_TRUSTED;
  if (text == "nonnull") return ARG_TAG_NONNULL;
  if (text == "nullable") return ARG_TAG_NULLABLE;
  if (text == "arena") return ARG_TAG_ARENA;
  return 0;
}

/// The decl tags "arg:..." of one parameter, which go before what its type says.
Result<u32> find_arg_tags(VerifierEnv& env, const Btf& btf, const btf_type* fn, u32 arg, bool is_global) {
  u32 tags = 0;
  for (u32 id = 0;;) {
    const Result<u32> next = btf.find_next_decl_tag(fn, static_cast<s32>(arg), "arg:", id);
    if (!next.ok()) {
      const int err = next.error().value();
      if (err == ENOENT) return tags;
      return env.refuse(err, "arg#{} type tag fetching failure: {}", arg, -err);
    }
    id = *next;
    if (!is_global) return env.refuse(EOPNOTSUPP, "arg#{} type tag is not supported in static functions", arg);
    const u32 tag = arg_tag(btf.type_name(id).substr(4));
    if (tag == 0) return env.refuse(EOPNOTSUPP, "arg#{} has unsupported set of tags", arg);
    tags |= tag;
  }
}

/// Linux: btf.c:btf_is_dynptr_ptr()
bool btf_is_dynptr_ptr(const Btf& btf, const btf_type* ptr) {
  const u32 id = btf.resolve_modifiers(ptr->type);
  const btf_type* t = btf.type_by_id(id);
  return (btf_is_composite(t) || (btf_is_fwd(t) && !btf_kflag(t))) && btf.type_name(id) == "bpf_dynptr";
}

/// The name without a "___flavour" behind it. Linux: relo_core.c:bpf_core_essential_name_len()
std::string_view essential_name(std::string_view name) {
  for (std::size_t i = name.size() >= 5 ? name.size() - 4 : 0; i-- > 0;)
    if (name[i] != '_' && name.substr(i + 1, 3) == "___" && name[i + 4] != '_') return name.substr(0, i + 1);
  return name;
}

/// The kernel's struct that a trusted pointer points to, by kind and name. Linux: btf.c:btf_get_ptr_to_btf_id()
Result<u32> btf_get_ptr_to_btf_id(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg) {
  const u32 local_id = btf.resolve_modifiers(ptr->type);
  const btf_type* local = btf.type_by_id(local_id);
  const char* kind = btf_kind_str(btf_kind_of(local));
  const char* word = btf.name_or_word(local->name_off);
  const std::string_view name = essential_name(btf.type_name(local_id));
  if (env.vmlinux() == nullptr || name.empty())
    return env.refuse(EINVAL, "arg#{} reference type('{} {}') candidate matching error: {}", arg, kind, word, -EINVAL);
  u32 found = 0, count = 0;
  for (u32 id = 1; id < env.vmlinux()->nr_types(); ++id) {
    if (btf_kind_of(env.vmlinux()->type_by_id(id)) != btf_kind_of(local)) continue;
    if (essential_name(env.vmlinux()->type_name(id)) != name) continue;
    if (count++ == 0) found = id;
  }
  if (count == 1) return found;
  return env.refuse(count == 0 ? ENOENT : ESRCH, "arg#{} reference type('{} {}') {}", arg, kind, word,
                    count == 0 ? "has no matches" : "is ambiguous");
}

Errno bad_tags(VerifierEnv& env, u32 arg) { return env.refuse(EINVAL, "arg#{} has invalid combination of tags", arg); }

Result<SubprogArg> trusted_arg(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg, u32 tags) {
  if ((tags & ARG_TAG_NONNULL) != 0) return bad_tags(env, arg);
  SubprogArg out{.arg_type = ARG_PTR_TO_BTF_ID | PTR_TRUSTED};
  out.btf_id = TRY(btf_get_ptr_to_btf_id(env, btf, ptr, arg));
  if ((tags & ARG_TAG_NULLABLE) != 0) out.arg_type |= PTR_MAYBE_NULL;
  return out;
}

/// Memory of the size of what is pointed to.
Result<SubprogArg> mem_arg(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg, u32 tags) {
  if ((tags & ARG_TAG_NULLABLE) != 0) return bad_tags(env, arg);
  const btf_type* t = btf.skip_modifiers(ptr->type);
  const Result<u32> size = btf_sized_type(btf, t);
  if (!size.ok())
    return env.refuse(EINVAL, "arg#{} reference type('{} {}') size cannot be determined: {}", arg, btf_kind_str(btf_kind_of(t)),
                      btf.name(t->name_off), -size.error().value());
  SubprogArg out{.arg_type = ARG_PTR_TO_MEM | PTR_MAYBE_NULL, .mem_size = *size};
  if ((tags & ARG_TAG_NONNULL) != 0) out.arg_type &= ~static_cast<u32>(PTR_MAYBE_NULL);
  return out;
}

/// A pointer parameter; arg_type 0 (ARG_DONTCARE): a static function's, of which nothing is known.
Result<SubprogArg> pointer_arg(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg, u32 tags, bool is_global) {
  if ((tags & ARG_TAG_CTX) != 0 || btf_is_prog_ctx_type(btf, ptr, env.prog.type)) {
    if ((tags & ~u32{ARG_TAG_CTX}) != 0) return bad_tags(env, arg);
    if ((tags & ARG_TAG_CTX) != 0) TRY(btf_validate_prog_ctx_type(env, btf, ptr, arg));
    return SubprogArg{.arg_type = ARG_PTR_TO_CTX};
  }
  if (btf_is_dynptr_ptr(btf, ptr)) {
    if (tags != 0) return bad_tags(env, arg);
    return SubprogArg{.arg_type = ARG_PTR_TO_DYNPTR | MEM_RDONLY};
  }
  if ((tags & ARG_TAG_TRUSTED) != 0) return trusted_arg(env, btf, ptr, arg, tags);
  if ((tags & ARG_TAG_ARENA) != 0) {
    if ((tags & ~u32{ARG_TAG_ARENA}) != 0) return env.refuse(EINVAL, "arg#{} arena cannot be combined with any other tags", arg);
    return SubprogArg{.arg_type = ARG_PTR_TO_ARENA};
  }
  return is_global ? mem_arg(env, btf, ptr, arg, tags) : Result<SubprogArg>(SubprogArg{});
}

Result<SubprogArg> one_arg(VerifierEnv& env, const Btf& btf, const btf_type* fn, u32 type_id, u32 arg, bool is_global) {
  const u32 tags = TRY(find_arg_tags(env, btf, fn, arg, is_global));
  const btf_type* t = btf.skip_modifiers(type_id);
  if (btf_is_ptr(t)) {
    SubprogArg out = TRY(pointer_arg(env, btf, t, arg, tags, is_global));
    if (out.arg_type != ARG_DONTCARE) return out;
  }
  if (tags != 0) return env.refuse(EINVAL, "arg#{} has pointer tag, but is not a pointer type", arg);
  if (btf_is_int(t) || btf_is_any_enum(t)) return SubprogArg{.arg_type = ARG_ANYTHING};
  if (!is_global) return Errno(EINVAL);
  return env.refuse(EINVAL, "Arg#{} type {} in {}() is not supported yet.", arg, btf_kind_str(btf_kind_of(t)), btf.name(fn->name_off));
}

/// The prototype of a function that can be described at all: at most five parameters, a scalar result.
Result<const btf_type*> usable_proto(VerifierEnv& env, const Btf& btf, const btf_type* fn, bool is_global) {
  const char* name = btf.name(fn->name_off);
  const btf_type* proto = btf.type_by_id(fn->type);
  if (proto == nullptr || !btf_is_func_proto(proto)) return env.refuse(EFAULT, "Invalid type of function {}()", name);
  const u32 nargs = btf_vlen(proto);
  if (nargs > MAX_BPF_FUNC_REG_ARGS) {
    if (!is_global) return Errno(EINVAL);
    return env.refuse(EINVAL, "Global function {}() with {} > {} args. Buggy compiler.", name, nargs, MAX_BPF_FUNC_REG_ARGS);
  }
  const btf_type* ret = btf.skip_modifiers(proto->type);
  if (!btf_is_int(ret) && !btf_is_any_enum(ret)) {
    if (!is_global) return Errno(EINVAL);
    return env.refuse(EINVAL, "Global function {}() doesn't return scalar. Only those are supported.", name);
  }
  return proto;
}

/// Does one register of the caller fit? Linux: verifier.c:btf_check_func_arg_match(), the loop's body
Status check_call_arg(VerifierEnv& env, u32 i, const SubprogArg& arg) {
  const u32 regno = i + 1;
  RegState& reg = env.cur_regs()[regno];
  if (arg.arg_type == ARG_ANYTHING) {
    if (reg.type != SCALAR_VALUE) return env.refuse(EINVAL, "R{} is not a scalar", regno);
    return ok_status();
  }
  if (arg.arg_type == ARG_PTR_TO_CTX) {
    TRY(check_func_arg_reg_off(env, reg, regno, ARG_DONTCARE));
    if (reg.type != PTR_TO_CTX) return env.refuse(EINVAL, "arg#{} expects pointer to ctx", i);
    return ok_status();
  }
  if (base_type(arg.arg_type) == ARG_PTR_TO_MEM) {
    TRY(check_func_arg_reg_off(env, reg, regno, ARG_DONTCARE));
    if (!check_mem_reg(env, reg, regno, arg.mem_size).ok()) return Errno(EINVAL);
    // DIFFERS: Linux 6.12 lets a plain 0 pass, which the callee then reads from.
    if ((arg.arg_type & PTR_MAYBE_NULL) == 0 && ((reg.type & PTR_MAYBE_NULL) != 0 || register_is_null(reg)))
      return env.refuse(EINVAL, "arg#{} is expected to be non-NULL", i);
    return ok_status();
  }
  if (base_type(arg.arg_type) == ARG_PTR_TO_ARENA) {
    if (reg.type != PTR_TO_ARENA && reg.type != SCALAR_VALUE)
      return env.refuse(EINVAL, "R{} is not a pointer to arena or scalar.", regno);
    return ok_status();
  }
  if (arg.arg_type == (ARG_PTR_TO_DYNPTR | MEM_RDONLY)) {
    TRY(check_func_arg_reg_off(env, reg, regno, ARG_PTR_TO_DYNPTR));
    return process_dynptr_func(env, regno, ~0u, arg.arg_type, 0);
  }
  if (base_type(arg.arg_type) == ARG_PTR_TO_BTF_ID) {
    if (register_is_null(reg) && type_may_be_null(arg.arg_type)) return ok_status();
    CallArgMeta meta;
    TRY(check_reg_type(env, regno, arg.arg_type, &arg.btf_id, meta));
    return check_func_arg_reg_off(env, reg, regno, arg.arg_type);
  }
  return env.refuse(EFAULT, "verifier bug: unrecognized arg#{} type {}", i, arg.arg_type);
}

}  // namespace

Result<u32> btf_sized_type(const Btf& btf, const btf_type* t) {
  u32 nelems = 1;
  for (u32 depth = 0; depth < MAX_RESOLVE_DEPTH && t != nullptr; ++depth) {
    if (btf_is_modifier(t)) {
      t = btf.type_by_id(t->type);
      continue;
    }
    if (btf_is_array(t)) {
      const btf_array* array = btf_array_of(t);
      if (nelems != 0 && array->nelems > U32_MAX / nelems) return Errno(EINVAL);
      nelems *= array->nelems;
      t = btf.type_by_id(array->type);
      continue;
    }
    const bool sized = btf_has_size(t) && !btf_is_datasec(t);
    if (!sized && !btf_is_ptr(t)) return Errno(EINVAL);
    const u32 size = sized ? t->size : 8;
    if (nelems != 0 && size > U32_MAX / nelems) return Errno(EINVAL);
    return nelems * size;
  }
  return Errno(EINVAL);
}

Status btf_prepare_func_args(VerifierEnv& env, u32 subprog) {
  SubprogInfo& sub = env.subprogs[subprog];
  if (sub.args_cached) return ok_status();
  if (env.func_info.empty() || env.btf() == nullptr) return env.refuse(EFAULT, "Verifier bug");
  const Btf& btf = *env.btf();
  const u32 btf_id = env.func_info[subprog].type_id;
  if (btf_id == 0) {
    if (!sub.is_global) return Errno(EINVAL);
    return env.refuse(EFAULT, "Global functions need valid BTF");
  }
  const btf_type* fn = btf.type_by_id(btf_id);
  if (fn == nullptr || !btf_is_func(fn)) return env.refuse(EFAULT, "BTF of func#{} doesn't point to KIND_FUNC", subprog);
  if (sub.unreliable) return env.refuse(EFAULT, "Verifier bug in function {}()", btf.name(fn->name_off));

  const btf_type* proto = TRY(usable_proto(env, btf, fn, sub.is_global));
  const u32 nargs = btf_vlen(proto);
  for (u32 i = 0; i < nargs; ++i) sub.args[i] = TRY(one_arg(env, btf, fn, btf_params(proto)[i].type, i, sub.is_global));
  sub.arg_cnt = nargs;
  sub.args_cached = true;
  return ok_status();
}

/// EFAULT ends the judgement; another error only means that BTF and registers do not agree, which a static function survives: it is
/// walked with what the registers really hold. Linux: verifier.c:btf_check_subprog_call()
Status btf_check_subprog_call(VerifierEnv& env, u32 subprog) {
  if (env.func_info.empty()) return Errno(EINVAL);
  if (env.func_info[subprog].type_id == 0) return Errno(EFAULT);
  SubprogInfo& sub = env.subprogs[subprog];
  if (sub.unreliable) return Errno(EINVAL);
  const auto check = [&]() -> Status {
    TRY(btf_prepare_func_args(env, subprog));
    for (u32 i = 0; i < sub.arg_cnt; ++i) TRY(check_call_arg(env, i, sub.args[i]));
    return ok_status();
  };
  Status status = check();
  if (!status.ok()) sub.unreliable = true;  // optimised away arguments, or a wrong one: its BTF is not to be believed any more
  return status;
}

}  // namespace skep
