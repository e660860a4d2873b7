// verifier: the kernel function whose arguments a TRACING, LSM or STRUCT_OPS program gets.
// Linux: kernel/bpf/verifier.c:bpf_check_attach_target(), check_struct_ops_btf_id()
#include "verifier/attach_func.h"

#include <string>

namespace skep {
namespace {

constexpr std::string_view TRACE_PREFIX = "btf_trace_";

const btf_type* func_proto_of(const Btf& btf, const btf_type* func) {
  const btf_type* const proto = func != nullptr && btf_is_func(func) ? btf.type_by_id(func->type) : nullptr;
  return proto != nullptr && btf_is_func_proto(proto) ? proto : nullptr;
}

/// What a pointer of type `id` points to, if that is a function. Linux: btf.c:btf_type_resolve_func_ptr()
const btf_type* func_proto_behind(const Btf& btf, u32 id) {
  const btf_type* const ptr = btf.skip_modifiers(id);
  const btf_type* const proto = ptr != nullptr && btf_is_ptr(ptr) ? btf.skip_modifiers(ptr->type) : nullptr;
  return proto != nullptr && btf_is_func_proto(proto) ? proto : nullptr;
}

/// The typedef's prototype has no names of parameters; the function that the tracepoint calls has them.
AttachFunc raw_tracepoint(const Btf& btf, const btf_type* t, std::string_view type_name) {
  if (!btf_is_typedef(t) || !type_name.starts_with(TRACE_PREFIX)) return {};
  AttachFunc f{nullptr, type_name.substr(TRACE_PREFIX.size()), true};
  std::string func_name = "__bpf_trace_";
  func_name += f.name;
  const Result<u32> id = btf.find_by_name_kind(func_name, BTF_KIND_FUNC);
  f.proto = id.ok() ? func_proto_of(btf, btf.type_by_id(*id)) : func_proto_behind(btf, t->type);
  return f;
}

AttachFunc struct_member(const Btf& btf, const btf_type* t, u32 member_idx) {
  if (!btf_is_composite(t) || member_idx >= btf_vlen(t)) return {};
  const btf_member& m = btf_members(t)[member_idx];
  return {func_proto_behind(btf, m.type), btf.name_or_word(m.name_off), false};
}

}  // namespace

AttachFunc attach_func(const VerifierEnv& env) {
  const Btf* const btf = env.vmlinux();
  const btf_type* const t = btf == nullptr || env.prog.is_ext ? nullptr : btf->type_by_id(env.prog.attach_btf_id);
  if (t == nullptr || env.prog.attach_btf_id == 0) return {};
  if (env.prog.type == BPF_PROG_TYPE_STRUCT_OPS) return struct_member(*btf, t, env.prog.expected_attach_type);
  const std::string_view name = btf->type_name(env.prog.attach_btf_id);
  if (env.prog.expected_attach_type == BPF_TRACE_RAW_TP) return raw_tracepoint(*btf, t, name);
  return {func_proto_of(*btf, t), name, false};
}

bool btf_param_match_suffix(const Btf& btf, const btf_param& param, std::string_view suffix) {
  const char* const name = btf.name(param.name_off);
  if (name == nullptr) return false;
  const std::string_view text(name);
  return text.size() > suffix.size() && text.ends_with(suffix);
}

}  // namespace skep
