// btf: resolution. Every type that refers to others is followed to what it stands for, with a stack of at most MAX_RESOLVE_DEPTH
// types instead of recursion; a type met again while it is still on the stack is a loop. A struct may hold a pointer to itself, so
// the search started at a struct or array stops at pointers, and the one started at a pointer stops at structs and arrays.
#include "btf/env.h"

namespace skep {

// Linux: btf.c:env_type_is_resolve_sink()
bool BtfEnv::is_sink(const btf_type* next) const {
  switch (mode) {
    case Mode::PTR:
      return !btf_is_modifier(next) && !btf_is_ptr(next);
    case Mode::STRUCT_OR_ARRAY:
      return !btf_is_modifier(next) && !btf_is_array(next) && !btf_is_composite(next);
    case Mode::TBD:
      break;
  }
  return !btf_needs_resolve(next);
}

// Linux: btf.c:env_stack_push()
Status BtfEnv::push(const btf_type* t, u32 type_id) {
  if (top == MAX_RESOLVE_DEPTH) return Errno(E2BIG);
  if (visit[type_id] != Visit::NOT_VISITED) return Errno(EEXIST);
  visit[type_id] = Visit::VISITED;
  stack[top++] = ResolveVertex{t, type_id, 0};
  if (mode == Mode::TBD) {
    if (btf_is_ptr(t))
      mode = Mode::PTR;
    else if (btf_is_composite(t) || btf_is_array(t))
      mode = Mode::STRUCT_OR_ARRAY;
  }
  return ok_status();
}

void BtfEnv::pop_resolved(u32 resolved_id, u32 resolved_size) {
  const u32 id = stack[--top].type_id;
  btf.resolved_ids_[id] = resolved_id;
  btf.resolved_sizes_[id] = resolved_size;
  visit[id] = Visit::RESOLVED;
}

// Linux: btf.c:btf_resolve_valid()
bool BtfEnv::resolve_valid(const btf_type* t, u32 type_id) const {
  if (!is_resolved(type_id)) return false;
  const u32 to = resolved_id(type_id), size = resolved_size(type_id);
  if (btf_is_composite(t) || btf_is_datasec(t)) return to == 0 && size == 0;
  if (btf_is_decl_tag(t) || btf_is_func(t)) return to != 0 && size == 0;
  if (btf_is_modifier(t) || btf_is_ptr(t) || btf_is_var(t)) {
    const btf_type* target = btf.type_by_id(to);
    return target != nullptr && !btf_is_modifier(target) && !btf_is_var(target) && !btf_is_datasec(target);
  }
  if (!btf_is_array(t)) return false;
  u32 elem_id = btf_array_of(t)->type, elem_size = 0;
  const btf_type* elem = btf.type_id_size(&elem_id, &elem_size);
  return elem != nullptr && !btf_is_modifier(elem) && btf_array_of(t)->nelems * elem_size == size;
}

// Linux: btf.c:btf_resolve()
Status BtfEnv::resolve(const btf_type* t, u32 type_id) {
  const u32 saved_id = log_type_id;
  mode = Mode::TBD;
  Status status = push(t, type_id);
  while (status.ok() && top != 0) {
    const ResolveVertex& v = stack[top - 1];
    log_type_id = v.type_id;
    status = kind_ops(v.t).resolve(*this, v);
  }
  log_type_id = type_id;
  if (!status.ok()) {
    if (status.error() == Errno(E2BIG))
      log_type(t, fmt::format("Exceeded max resolving depth:{}", MAX_RESOLVE_DEPTH));
    else if (status.error() == Errno(EEXIST))
      log_type(t, "Loop detected");
  } else if (!resolve_valid(t, type_id)) {
    status = fail(t, "Invalid resolve state");
  }
  log_type_id = saved_id;
  return status;
}

// Linux: btf.c:btf_check_all_types()
Status BtfEnv::check_all_types() {
  const u32 n = btf.nr_types();
  btf.resolved_ids_.assign(n, 0);
  btf.resolved_sizes_.assign(n, 0);
  visit.assign(n, Visit::NOT_VISITED);
  phase = Phase::CHECK_TYPE;
  for (u32 id = 1; id < n; ++id) {
    const btf_type* t = btf.type_by_id(id);
    log_type_id = id;
    if (btf_needs_resolve(t) && !is_resolved(id)) TRY(resolve(t, id));
    if (btf_is_func_proto(t)) TRY(check_func_proto(*this, t));
  }
  return ok_status();
}

namespace {

/// Follows one chain of modifiers: type tags stand before all others. Ends early at a type that an earlier chain began with.
Status check_chain(BtfEnv& env, u32 id, u32 good_id) {
  constexpr u32 CHAIN_LIMIT = 32;
  const btf_type* t = env.btf.type_by_id(id);
  bool in_tags = btf_is_type_tag(t);
  for (u32 length = 0; btf_is_modifier(t); ++length) {
    if (length == CHAIN_LIMIT) {
      env.log("Max chain length or cycle detected");
      return Errno(ELOOP);
    }
    if (!btf_is_type_tag(t)) {
      in_tags = false;
    } else if (!in_tags) {
      env.log("Type tags don't precede modifiers");
      return Errno(EINVAL);
    }
    if (id <= good_id) break;
    id = t->type;
    t = env.btf.type_by_id(id);
    if (t == nullptr) return Errno(EINVAL);
  }
  return ok_status();
}

}  // namespace

// Linux: btf.c:btf_check_type_tags()
Status BtfEnv::check_type_tags() {
  u32 good_id = 0;
  for (u32 id = 1; id < btf.nr_types(); ++id) {
    if (!btf_is_modifier(btf.type_by_id(id))) continue;
    TRY(check_chain(*this, id, good_id));
    good_id = id;
  }
  return ok_status();
}

}  // namespace skep
