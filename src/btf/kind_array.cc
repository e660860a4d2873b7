// btf: ARRAY.
#include "btf/env.h"

namespace skep {

namespace {

// Linux: btf.c:btf_array_check_meta()
Result<u32> array_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  constexpr u32 NEEDED = sizeof(btf_array);
  TRY(env.need_meta(t, meta_left, NEEDED));
  if (t->name_off != 0) return env.fail(t, "Invalid name");
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  if (t->size != 0) return env.fail(t, "size != 0");
  const btf_array* a = btf_array_of(t);
  if (a->type == 0 || a->type > BTF_MAX_TYPE) return env.fail(t, "Invalid elem");
  if (a->index_type == 0 || a->index_type > BTF_MAX_TYPE) return env.fail(t, "Invalid index");
  env.log_type(t);
  return NEEDED;
}

// Linux: btf.c:btf_array_resolve()
Status array_resolve(BtfEnv& env, const ResolveVertex& v) {
  const btf_array* a = btf_array_of(v.t);
  u32 index_id = a->index_type;
  const btf_type* index = env.btf.type_by_id(index_id);
  if (btf_no_size_or_null(index) || btf_is_source_only(index)) return env.fail(v.t, "Invalid index");
  if (env.must_push(index, index_id)) return env.push(index, index_id);
  index = env.btf.type_id_size(&index_id, nullptr);
  if (index == nullptr || !btf_is_int(index) || !btf_int_is_regular(index)) return env.fail(v.t, "Invalid index");

  u32 elem_id = a->type, elem_size = 0;
  const btf_type* elem = env.btf.type_by_id(elem_id);
  if (btf_no_size_or_null(elem) || btf_is_source_only(elem)) return env.fail(v.t, "Invalid elem");
  if (env.must_push(elem, elem_id)) return env.push(elem, elem_id);
  elem = env.btf.type_id_size(&elem_id, &elem_size);
  if (elem == nullptr) return env.fail(v.t, "Invalid elem");
  if (btf_is_int(elem) && !btf_int_is_regular(elem)) return env.fail(v.t, "Invalid array of int");
  if (u64{elem_size} * a->nelems > ~0u) return env.fail(v.t, "Array size overflows U32_MAX");

  env.pop_resolved(elem_id, elem_size * a->nelems);
  return ok_status();
}

// Linux: btf.c:btf_array_check_member()
Status array_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type*) {
  if (bits_per_byte_masked(m.offset) != 0) return env.fail_member(parent, m, "Member is not byte aligned");
  u32 id = m.type, size = 0;
  env.btf.type_id_size(&id, &size);
  if (parent->size - bits_rounddown_bytes(m.offset) < size) return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

void array_log(BtfEnv& env, const btf_type* t) {
  const btf_array* a = btf_array_of(t);
  env.log("type_id={} index_type_id={} nr_elems={}", a->type, a->index_type, a->nelems);
}

}  // namespace

const KindOps ARRAY_OPS = {array_check_meta, array_resolve, array_check_member, generic_kflag_member, array_log};

}  // namespace skep
