// kbtf: what the verifier's tables ask for by name is in the BTF, with the shape they expect.
#include "kbtf/kernel_btf.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "btf/blob_test.h"
#include "probes/syscalls.h"
#include "progtypes/func_table.h"
#include "verifier/btf_ctx_tables.h"
#include "verifier/trust_tables.h"

namespace skep {
namespace {

class KernelBtf : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Result<std::unique_ptr<Btf>> parsed = load_kernel_btf();
    ASSERT_TRUE(parsed.ok()) << test::skep_verdict(kernel_btf_bytes()).log;
    btf_ = std::move(*parsed).release();
  }
  static void TearDownTestSuite() {
    delete btf_;
    btf_ = nullptr;
  }
  static u32 id_of(std::string_view name, u32 kind) {
    const Result<u32> id = btf_->find_by_name_kind(name, kind);
    return id.ok() ? *id : 0;
  }
  static u32 struct_id(std::string_view name) { return id_of(name, BTF_KIND_STRUCT); }
  static const btf_type* type(u32 id) { return btf_->type_by_id(id); }
  /// Null when there is no such function.
  static const btf_type* proto_of(std::string_view func) {
    const u32 id = id_of(func, BTF_KIND_FUNC);
    return id == 0 ? nullptr : type(type(id)->type);
  }
  static std::string_view param_name(const btf_type* proto, u32 i) { return btf_->name(btf_params(proto)[i].name_off); }
  /// The struct that a pointer leads to; empty: none.
  static std::string_view pointee(u32 type_id) {
    const btf_type* ptr = btf_->skip_modifiers(type_id);
    if (ptr == nullptr || !btf_is_ptr(ptr)) return {};
    const u32 target = btf_->resolve_modifiers(ptr->type);
    return btf_is_struct(type(target)) ? btf_->type_name(target) : std::string_view();
  }
  struct Member {
    u32 bits, type;
  };
  /// A member by name, anonymous structs and unions looked through.
  static std::optional<Member> member(u32 struct_type, std::string_view name, u32 base = 0) {
    const btf_type* t = type(struct_type);
    for (u32 i = 0; i < btf_vlen(t); ++i) {
      const btf_member& m = btf_members(t)[i];
      const u32 at = base + (btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m.offset) : m.offset);
      if (m.name_off != 0) {
        if (btf_->name_is(m.name_off, name)) return Member{at, m.type};
        continue;
      }
      if (const auto inner = member(btf_->resolve_modifiers(m.type), name, at)) return inner;
    }
    return std::nullopt;
  }

  static inline const Btf* btf_ = nullptr;
};

TEST_F(KernelBtf, LinuxAcceptsTheBytes) {
  if (const std::string why = test::linux_refusal(); !why.empty()) GTEST_SKIP() << why;
  const test::Verdict v = test::linux_verdict(kernel_btf_bytes(), 0);
  EXPECT_EQ(v.error, 0) << test::linux_verdict(kernel_btf_bytes(), 1u << 24).log;
}

TEST_F(KernelBtf, HasNothingThatOnlyMadeTheCompilerWriteIt) {
  for (u32 id = 1; id < btf_->nr_types(); ++id) {
    const btf_type* t = type(id);
    EXPECT_FALSE(btf_is_var(t) || btf_is_datasec(t)) << id;
    if (!btf_is_func(t)) continue;
    EXPECT_EQ(btf_vlen(t), BTF_FUNC_STATIC) << btf_->type_name(id);
    EXPECT_FALSE(btf_->type_name(id).ends_with("__more")) << btf_->type_name(id);
  }
}

TEST_F(KernelBtf, NamesOfStructsAndFunctionsAreUnique) {
  std::set<std::pair<u32, std::string_view>> seen;
  for (u32 id = 1; id < btf_->nr_types(); ++id) {
    const u32 kind = btf_kind_of(type(id));
    if (kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION && kind != BTF_KIND_FUNC && kind != BTF_KIND_ENUM) continue;
    if (btf_->type_name(id).empty()) continue;
    EXPECT_TRUE(seen.emplace(kind, btf_->type_name(id)).second) << btf_->type_name(id);
  }
}

TEST_F(KernelBtf, HasTheStructsOfHelpers) {
  u32 asked = 0;
  for (u32 prog_type = 0; prog_type < MAX_BPF_PROG_TYPE_; ++prog_type)
    for (u32 id = 0; id < MAX_BPF_FUNC_ID_; ++id)
      for (const FuncRow& row : func_rows(id, prog_type)) {
        const FuncProto& proto = func_row_proto(row);
        std::vector<const char*> names = {proto.ret_btf};
        for (u32 arg = 0; arg < 5; ++arg) names.push_back(proto.arg_btf[arg]);
        for (const char* name : names) {
          if (name == nullptr) continue;
          ++asked;
          EXPECT_NE(struct_id(name), 0u) << name;
        }
      }
  EXPECT_GT(asked, 0u);
}

TEST_F(KernelBtf, HasTheStructsThatTheVerifierNames) {
  // btf: special fields. verifier: ctx_arg.cc, map_ptr_access.cc, kfunc_arg_kind.cc, struct_ops_write.cc, helper_facts.cc.
  for (const char* name : {"bpf_spin_lock",
                           "bpf_timer",
                           "bpf_wq",
                           "bpf_dynptr",
                           "bpf_list_head",
                           "bpf_list_node",
                           "bpf_rb_root",
                           "bpf_rb_node",
                           "bpf_refcount",
                           "bpf_cpumask",
                           "cpumask",
                           "bpf_crypto_ctx",
                           "__sk_buff",
                           "xdp_md",
                           "bpf_sock",
                           "bpf_sock_addr",
                           "bpf_sock_ops",
                           "sk_msg_md",
                           "pt_regs",
                           "bpf_perf_event_data",
                           "bpf_raw_tracepoint_args",
                           "bpf_cgroup_dev_ctx",
                           "bpf_sysctl",
                           "bpf_sockopt",
                           "sk_reuseport_md",
                           "bpf_sk_lookup",
                           "bpf_nf_ctx",
                           "xdp_buff",
                           "sock",
                           "bpf_sock_addr_kern",
                           "bpf_sock_ops_kern",
                           "sk_msg",
                           "bpf_flow_dissector",
                           "bpf_perf_event_data_kern",
                           "bpf_sysctl_kern",
                           "bpf_sockopt_kern",
                           "sk_reuseport_kern",
                           "bpf_sk_lookup_kern",
                           "sk_buff",
                           "nf_hook_state",
                           "bpf_htab",
                           "bpf_array",
                           "bpf_stack_map",
                           "lpm_trie",
                           "bpf_dtab",
                           "bpf_stab",
                           "bpf_shtab",
                           "bpf_cpu_map",
                           "xsk_map",
                           "bpf_cgroup_storage_map",
                           "reuseport_array",
                           "bpf_queue_stack",
                           "bpf_local_storage_map",
                           "bpf_struct_ops_map",
                           "bpf_ringbuf_map",
                           "bpf_bloom_filter",
                           "bpf_arena",
                           "bpf_map",
                           "sock_common",
                           "tcp_sock",
                           "inet_connection_sock",
                           "tcp_congestion_ops",
                           "bpf_dummy_ops",
                           "bpf_dummy_ops_state",
                           "task_struct",
                           "vm_area_struct",
                           "linux_binprm",
                           "perf_event"})
    EXPECT_NE(struct_id(name), 0u) << name;
  EXPECT_NE(id_of("bpf_user_pt_regs_t", BTF_KIND_TYPEDEF), 0u);
  for (std::string_view name : kernel_structs_with_dtor()) EXPECT_NE(struct_id(name), 0u) << name;
  for (std::string_view name : RCU_PROTECTED_TYPES) EXPECT_NE(struct_id(name), 0u) << name;
}

TEST_F(KernelBtf, HasTheTrustedFields) {
  std::vector<TrustedField> all(std::begin(SAFE_RCU), std::end(SAFE_RCU));
  all.insert(all.end(), std::begin(SAFE_RCU_OR_NULL), std::end(SAFE_RCU_OR_NULL));
  all.insert(all.end(), std::begin(SAFE_TRUSTED), std::end(SAFE_TRUSTED));
  all.insert(all.end(), std::begin(SAFE_TRUSTED_OR_NULL), std::end(SAFE_TRUSTED_OR_NULL));
  for (const TrustedField& f : all) {
    const u32 in = struct_id(f.in_struct);
    ASSERT_NE(in, 0u) << f.in_struct;
    const auto m = member(in, f.field);
    ASSERT_TRUE(m.has_value()) << f.in_struct << "." << f.field;
    EXPECT_EQ(pointee(m->type), f.target) << f.in_struct << "." << f.field;
  }
}

TEST_F(KernelBtf, IteratorsHaveTheirArgumentsAndContexts) {
  for (const IterArg& arg : ITER_ARGS) {
    const btf_type* proto = proto_of(arg.func);
    ASSERT_NE(proto, nullptr) << arg.func;
    EXPECT_EQ(pointee(btf_params(proto)[0].type), "bpf_iter_meta") << arg.func;
    ASSERT_LT(arg.off / 8, btf_vlen(proto)) << arg.func;
    const u32 i = arg.off / 8;
    EXPECT_TRUE(arg.btf_struct.empty() || pointee(btf_params(proto)[i].type) == arg.btf_struct) << arg.func;
    const u32 ctx = struct_id("bpf_iter__" + std::string(arg.func.substr(std::string_view("bpf_iter_").size())));
    ASSERT_NE(ctx, 0u) << arg.func;
    const auto m = member(ctx, param_name(proto, i));
    ASSERT_TRUE(m.has_value()) << arg.func << " " << param_name(proto, i);
    EXPECT_EQ(m->bits, arg.off * 8) << arg.func << " " << param_name(proto, i);
  }
}

std::string source_text(const char* path) {
  std::ifstream in(std::string(SKEP_SRC) + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST_F(KernelBtf, KfuncsAreThoseOfTheVerifiersTable) {
  std::set<std::string> table, tagged;
  const std::string text = source_text("/verifier/kfuncs.cc");
  static const std::regex row(R"re(\{"(\w+)", KfuncId::)re");
  for (std::sregex_iterator at(text.begin(), text.end(), row), end; at != end; ++at) table.insert((*at)[1]);
  ASSERT_GT(table.size(), 90u);
  for (u32 id = 1; id < btf_->nr_types(); ++id)
    if (btf_is_decl_tag(type(id)) && btf_->type_name(id) == "bpf_kfunc") tagged.emplace(btf_->type_name(type(id)->type));
  for (const std::string& name : table) EXPECT_TRUE(tagged.contains(name)) << name << " is no kfunc of the BTF";
  // Linux: net/bpf/test_run.c: kfuncs of tests of attaching and of kptrs, which programs do not call.
  for (const char* name : {"bpf_fentry_test1", "bpf_fentry_test9", "bpf_modify_return_test", "bpf_modify_return_test2",
                           "bpf_kfunc_call_test_release", "bpf_kfunc_call_memb_release"})
    tagged.erase(name);
  for (const std::string& name : tagged) EXPECT_TRUE(table.contains(name)) << name << " is not in the verifier's table";
}

TEST_F(KernelBtf, KfuncsHaveTheShapesThatTheVerifierKnowsThemBy) {
  struct Row {
    const char *name, *returns;
    std::vector<const char*> params;
  };
  const Row rows[] = {
      {"bpf_obj_new_impl", "", {"local_type_id__k", "meta__ign"}},
      {"bpf_refcount_acquire_impl", "", {"p__refcounted_kptr", "meta__ign"}},
      {"bpf_rbtree_add_impl", "", {"root", "node", "less", "meta__ign", "off"}},
      {"bpf_list_pop_front", "bpf_list_node", {"head"}},
      {"bpf_task_acquire", "task_struct", {"p"}},
      {"bpf_dynptr_from_skb", "", {"s", "flags", "ptr__uninit"}},
      {"bpf_dynptr_slice", "", {"p", "offset", "buffer__opt", "buffer__szk"}},
      {"bpf_iter_task_new", "", {"it", "task__nullable", "flags"}},
      {"bpf_wq_set_callback_impl", "", {"wq", "callback_fn", "flags", "aux__ign"}},
      {"bpf_crypto_decrypt", "", {"ctx", "src", "dst", "siv__nullable"}},
      {"bpf_rcu_read_lock", "", {}},
      {"bpf_throw", "", {"cookie"}},
  };
  for (const Row& r : rows) {
    const btf_type* proto = proto_of(r.name);
    ASSERT_NE(proto, nullptr) << r.name;
    ASSERT_EQ(btf_vlen(proto), r.params.size()) << r.name;
    for (u32 i = 0; i < r.params.size(); ++i) EXPECT_EQ(param_name(proto, i), r.params[i]) << r.name;
    EXPECT_EQ(proto->type == 0 ? "" : pointee(proto->type), r.returns) << r.name;
  }
}

TEST_F(KernelBtf, FunctionsMayHaveMoreThanFiveParameters) {
  const btf_type* proto = proto_of("bpf_lsm_inode_setxattr");
  ASSERT_NE(proto, nullptr);
  ASSERT_EQ(btf_vlen(proto), 6u);
  EXPECT_EQ(param_name(proto, 4), "size");
  EXPECT_EQ(param_name(proto, 5), "flags");
  ASSERT_NE(proto_of("bpf_modify_return_test2"), nullptr);
  EXPECT_EQ(btf_vlen(proto_of("bpf_modify_return_test2")), 7u);
}

TEST_F(KernelBtf, EverySystemCallIsAFunction) {
  for (const SyscallInfo& s : syscall_table()) {
    const btf_type* proto = proto_of(std::string("__x64_sys_") + s.name);
    ASSERT_NE(proto, nullptr) << s.name;
    ASSERT_EQ(btf_vlen(proto), 1u) << s.name;
    EXPECT_EQ(param_name(proto, 0), "regs");
    EXPECT_EQ(pointee(btf_params(proto)[0].type), "pt_regs");
    EXPECT_EQ(btf_->type_name(proto->type), "long");
  }
  EXPECT_EQ(proto_of("__x64_sys_"), nullptr);
}

TEST_F(KernelBtf, TracepointsAreTypedefsWithFunctions) {
  u32 found = 0;
  for (u32 id = 1; id < btf_->nr_types(); ++id) {
    const std::string_view name = btf_->type_name(id);
    if (!btf_is_typedef(type(id)) || !name.starts_with("btf_trace_")) continue;
    ++found;
    const btf_type* ptr = btf_->skip_modifiers(id);
    ASSERT_TRUE(btf_is_ptr(ptr)) << name;
    const btf_type *shape = type(ptr->type), *named = proto_of("__bpf_trace_" + std::string(name.substr(10)));
    ASSERT_TRUE(btf_is_func_proto(shape)) << name;
    ASSERT_NE(named, nullptr) << name;
    ASSERT_EQ(btf_vlen(shape), btf_vlen(named)) << name;
    for (u32 i = 0; i < btf_vlen(shape); ++i) EXPECT_EQ(btf_params(shape)[i].type, btf_params(named)[i].type) << name << " " << i;
  }
  EXPECT_GT(found, 20u);
}

TEST_F(KernelBtf, HooksOfLsmPrograms) {
  for (std::string_view name : UNTRUSTED_LSM_HOOKS) EXPECT_NE(proto_of(name), nullptr) << name;
  for (std::string_view name : BOOL_LSM_HOOKS) EXPECT_NE(proto_of(name), nullptr) << name;
  u32 found = 0;
  for (u32 id = 1; id < btf_->nr_types(); ++id) {
    if (!btf_is_func(type(id)) || !btf_->type_name(id).starts_with("bpf_lsm_")) continue;
    ++found;
    const btf_type* proto = type(type(id)->type);
    // An argument that points to something named must lead to a whole struct: programs get it as a typed pointer.
    for (u32 i = 0; i < btf_vlen(proto); ++i) {
      const btf_type* ptr = btf_->skip_modifiers(btf_params(proto)[i].type);
      if (!btf_is_ptr(ptr) || ptr->type == 0 || param_name(proto, i) == "key_ref") continue;
      EXPECT_FALSE(btf_is_fwd(btf_->skip_modifiers(ptr->type))) << btf_->type_name(id) << " " << param_name(proto, i);
    }
  }
  EXPECT_GT(found, 250u);
}

TEST_F(KernelBtf, FieldsThatRelocatableProgramsRead) {
  const struct {
    const char *in, *field;
  } rows[] = {{"task_struct", "pid"},
              {"task_struct", "tgid"},
              {"task_struct", "comm"},
              {"task_struct", "real_parent"},
              {"task_struct", "start_time"},
              {"task_struct", "nsproxy"},
              {"task_struct", "exit_code"},
              {"task_struct", "mm"},
              {"task_struct", "cred"},
              {"task_struct", "files"},
              {"cred", "uid"},
              {"nsproxy", "pid_ns_for_children"},
              {"mm_struct", "arg_start"},
              {"file", "f_path"},
              {"dentry", "d_name"},
              {"inode", "i_ino"},
              {"pt_regs", "di"},
              {"sock", "__sk_common"},
              {"sock_common", "skc_family"},
              {"trace_event_raw_sys_enter", "args"},
              {"linux_binprm", "filename"},
              {"signal_struct", "oom_score_adj"},
              {"css_set", "dfl_cgrp"},
              {"kernfs_node", "id"}};
  for (const auto& row : rows) {
    ASSERT_NE(struct_id(row.in), 0u) << row.in;
    EXPECT_TRUE(member(struct_id(row.in), row.field).has_value()) << row.in << "." << row.field;
  }
}

}  // namespace
}  // namespace skep
