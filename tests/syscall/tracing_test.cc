// Programs on tracepoints and functions by BTF id, and on many functions at once. Linux: kernel/bpf/syscall.c:
// bpf_tracing_prog_attach(), kernel/trace/bpf_trace.c:bpf_kprobe_multi_link_attach(). Natively functions need a kernel with ftrace.
#include <fcntl.h>
#include <linux/btf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "events.h"

namespace skep::test {
namespace {

/// Bytes behind a type's header. Linux: include/uapi/linux/btf.h
std::size_t tail_of(const struct btf_type& t) {
  const std::size_t vlen = BTF_INFO_VLEN(t.info);
  switch (BTF_INFO_KIND(t.info)) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
      return 4;
    case BTF_KIND_ARRAY:
      return sizeof(struct btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return vlen * sizeof(struct btf_member);
    case BTF_KIND_ENUM:
      return vlen * sizeof(struct btf_enum);
    case BTF_KIND_ENUM64:
    case BTF_KIND_DATASEC:
      return vlen * 12;
    case BTF_KIND_FUNC_PROTO:
      return vlen * sizeof(struct btf_param);
    default:
      return 0;
  }
}

/// The id of a type in the kernel's BTF; 0 when it has none of that name and kind.
std::uint32_t kernel_btf_id(const std::string& name, unsigned kind) {
  std::ifstream file("/sys/kernel/btf/vmlinux", std::ios::binary);
  const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
  struct btf_header header;
  if (data.size() < sizeof header) return 0;
  std::memcpy(&header, data.data(), sizeof header);
  const char* const strings = data.data() + header.hdr_len + header.str_off;
  const char* at = data.data() + header.hdr_len + header.type_off;
  const char* const end = at + header.type_len;
  for (std::uint32_t id = 1; at < end; ++id) {
    struct btf_type t;
    std::memcpy(&t, at, sizeof t);
    if (BTF_INFO_KIND(t.info) == kind && name == strings + t.name_off) return id;
    at += sizeof t + tail_of(t);
  }
  return 0;
}

long load_tracing(std::uint32_t attach_type, std::uint32_t btf_id, const std::vector<struct bpf_insn>& insns) {
  ProgSpec spec{.type = BPF_PROG_TYPE_TRACING, .insns = insns};
  union bpf_attr attr = prog_attr(spec);
  attr.expected_attach_type = attach_type;
  attr.attach_btf_id = btf_id;
  return bpf(BPF_PROG_LOAD, attr);
}

long open_by_btf(int prog) {
  union bpf_attr attr = zero_attr();
  attr.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(prog);
  return bpf(BPF_RAW_TRACEPOINT_OPEN, attr);
}

long link_by_btf(int prog, std::uint32_t attach_type, std::uint64_t cookie = 0) {
  union bpf_attr attr = zero_attr();
  attr.link_create.prog_fd = static_cast<std::uint32_t>(prog);
  attr.link_create.attach_type = attach_type;
  attr.link_create.tracing.cookie = cookie;
  return bpf(BPF_LINK_CREATE, attr);
}

class BtfTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    SKEP_NEEDS(access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "" : "this kernel has no BTF");
    ASSERT_THAT(results_.fd(), SyscallSucceeds());
  }
  Results results_;
};

using BtfTracepointTest = BtfTest;

TEST_F(BtfTracepointTest, RunsByEitherCommand) {
  const std::uint32_t id = kernel_btf_id("btf_trace_sys_enter", BTF_KIND_TYPEDEF);
  ASSERT_GT(id, 0u);
  const ProgramText text = ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 8).jump_if(BPF_JNE, R7, SYS_getppid, "out").count(results_.fd()).out();
  const Fd prog(load_tracing(BPF_TRACE_RAW_TP, id, text.build()));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  const Fd opened(open_by_btf(prog.get())), linked(link_by_btf(prog.get(), BPF_TRACE_RAW_TP));
  ASSERT_THAT(opened.get(), SyscallSucceeds());
  ASSERT_THAT(linked.get(), SyscallSucceeds());
  fire(5);
  EXPECT_EQ(results_[0], 10u);
  Guarded<struct bpf_link_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(linked.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_LINK_TYPE_RAW_TRACEPOINT));
  EXPECT_EQ(info->raw_tracepoint.tp_name_len, std::strlen("sys_enter") + 1);
  Guarded<struct bpf_prog_info> prog_info;
  len = sizeof *prog_info;
  ASSERT_THAT(obj_get_info(prog.get(), prog_info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(prog_info->attach_btf_obj_id, 1u);
  EXPECT_EQ(prog_info->attach_btf_id, id);
}

TEST_F(BtfTracepointTest, ReadsWhatItsArgumentsPointTo) {
  const std::uint32_t id = kernel_btf_id("btf_trace_sys_enter", BTF_KIND_TYPEDEF);
  ASSERT_GT(id, 0u);
  // struct pt_regs *: di at 112, by a plain load
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .load(BPF_DW, R7, R6, 8)
                               .jump_if(BPF_JNE, R7, SYS_getppid, "out")
                               .load(BPF_DW, R7, R6, 0)
                               .load(BPF_DW, R7, R7, 112)
                               .save(results_.fd(), 0, R7)
                               .out();
  const Fd prog(load_tracing(BPF_TRACE_RAW_TP, id, text.build()));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  const Fd link(open_by_btf(prog.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  syscall(SYS_getppid, 0x1234);
  EXPECT_EQ(results_[0], 0x1234u);
}

TEST_F(BtfTracepointTest, Refusals) {
  const std::uint32_t id = kernel_btf_id("btf_trace_sys_enter", BTF_KIND_TYPEDEF);
  ASSERT_GT(id, 0u);
  const Fd prog(load_tracing(BPF_TRACE_RAW_TP, id, return_program(0)));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  union bpf_attr attr = zero_attr();
  attr.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(prog.get());
  attr.raw_tracepoint.name = user_ptr("sys_enter");
  EXPECT_THAT(bpf(BPF_RAW_TRACEPOINT_OPEN, attr), SyscallFailsWithErrno(EINVAL)) << "named at load";
  EXPECT_THAT(link_by_btf(prog.get(), BPF_TRACE_FENTRY), SyscallFailsWithErrno(EINVAL)) << "another attach type";
  EXPECT_THAT(link_by_btf(prog.get(), BPF_PERF_EVENT), SyscallFailsWithErrno(EINVAL));
}

class FunctionTest : public BtfTest {
 protected:
  void SetUp() override {
    BtfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    id_ = kernel_btf_id("__x64_sys_getppid", BTF_KIND_FUNC);
    SKEP_NEEDS(id_ != 0 ? "" : "this kernel's BTF names no system call");
    const Fd prog(load_tracing(BPF_TRACE_FENTRY, id_, return_program(0)));
    const Fd link(open_by_btf(prog.get()));
    SKEP_NEEDS(link.get() >= 0 ? "" : "this kernel attaches to no function");
  }
  std::uint32_t id_ = 0;
};

TEST_F(FunctionTest, EntryAndExit) {
  const Fd entry(load_tracing(BPF_TRACE_FENTRY, id_, ProgramText().only_process(getpid()).count(results_.fd()).out().build()));
  const Fd exit(load_tracing(BPF_TRACE_FEXIT, id_, ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 8).save(results_.fd(), 8, R7).out().build()));
  ASSERT_THAT(entry.get(), SyscallSucceeds());
  ASSERT_THAT(exit.get(), SyscallSucceeds());
  const Fd on_entry(open_by_btf(entry.get())), on_exit(link_by_btf(exit.get(), BPF_TRACE_FEXIT));
  ASSERT_THAT(on_entry.get(), SyscallSucceeds());
  ASSERT_THAT(on_exit.get(), SyscallSucceeds());
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  EXPECT_EQ(results_[1], static_cast<std::uint64_t>(getppid()));
  EXPECT_THAT(open_by_btf(entry.get()), SyscallFailsWithErrno(EBUSY)) << "it is there already";

  Guarded<struct bpf_link_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(on_exit.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_LINK_TYPE_TRACING));
  EXPECT_EQ(info->tracing.attach_type, static_cast<std::uint32_t>(BPF_TRACE_FEXIT));
  EXPECT_EQ(info->tracing.target_obj_id, 1u);
  EXPECT_EQ(info->tracing.target_btf_id, id_);
  EXPECT_EQ(fdinfo(on_exit.get(), "link_type"), "tracing");
  EXPECT_EQ(fdinfo(on_exit.get(), "target_btf_id"), std::to_string(id_));
}

TEST_F(FunctionTest, WhatHelpersSayOfTheCall) {
  ProgramText text;
  text.only_process(getpid()).mov(R1, R6).call(BPF_FUNC_get_func_arg_cnt).mov(R7, R0).save(results_.fd(), 0, R7);
  text.mov(R1, R6).mov(R2, 0).mov(R3, R10).alu(BPF_ADD, R3, -8).call(BPF_FUNC_get_func_arg).load(BPF_DW, R7, R10, -8).save(results_.fd(), 8, R7);
  text.load(BPF_DW, R7, R6, 0).save(results_.fd(), 16, R7);
  text.mov(R1, R6).mov(R2, R10).alu(BPF_ADD, R2, -8).call(BPF_FUNC_get_func_ret).load(BPF_DW, R7, R10, -8).save(results_.fd(), 24, R7);
  text.mov(R1, R6).call(BPF_FUNC_get_func_ip).mov(R7, R0).save(results_.fd(), 32, R7).out();
  const Fd prog(load_tracing(BPF_TRACE_FEXIT, id_, text.build()));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  const Fd link(link_by_btf(prog.get(), BPF_TRACE_FEXIT));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  fire();
  EXPECT_EQ(results_[0], 1u);
  EXPECT_NE(results_[1], 0u);
  EXPECT_EQ(results_[1], results_[2]) << "the first argument";
  EXPECT_EQ(results_[3], static_cast<std::uint64_t>(getppid()));
  EXPECT_NE(results_[4], 0u);
}

TEST_F(FunctionTest, CookieOfALink) {
  const Fd prog(load_tracing(BPF_TRACE_FENTRY, id_,
                             ProgramText().only_process(getpid()).mov(R1, R6).call(BPF_FUNC_get_attach_cookie).mov(R7, R0).save(results_.fd(), 0, R7).out().build()));
  const Fd link(link_by_btf(prog.get(), BPF_TRACE_FENTRY, 0x123456789a));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  fire();
  EXPECT_EQ(results_[0], 0x123456789au);
}

TEST_F(FunctionTest, ModifiedReturn) {
  // Only for calls whose first argument is 77, which getppid() does not look at.
  const Fd prog(load_tracing(BPF_MODIFY_RETURN, id_, ProgramText()
                                                         .only_process(getpid())
                                                         .load(BPF_DW, R7, R6, 0)
                                                         .load(BPF_DW, R7, R7, 112)
                                                         .jump_if(BPF_JNE, R7, 77, "out")
                                                         .mov(R0, -EPERM)
                                                         .exit()
                                                         .out()
                                                         .build()));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  const Fd link(link_by_btf(prog.get(), BPF_MODIFY_RETURN));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_getppid, 77), SyscallFailsWithErrno(EPERM));
  EXPECT_GE(syscall(SYS_getppid, 78), 0);
}

class KprobeMultiTest : public KprobeTest {
 protected:
  void SetUp() override {
    KprobeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    prog_ = Fd(prog_load({.type = BPF_PROG_TYPE_KPROBE,
                          .insns = ProgramText()
                                       .only_process(getpid())
                                       .count(results_.fd())
                                       .mov(R1, R6)
                                       .call(BPF_FUNC_get_attach_cookie)
                                       .mov(R7, R0)
                                       .map_value(R1, results_.fd(), 8)
                                       .atomic_add(R1, 0, R7)
                                       .out()
                                       .build(),
                          .expected_attach_type = BPF_TRACE_KPROBE_MULTI}));
    ASSERT_THAT(prog_.get(), SyscallSucceeds());
  }
  union bpf_attr attr(const char* const* syms, std::uint32_t count, std::uint32_t flags = 0) const {
    union bpf_attr a = zero_attr();
    a.link_create.prog_fd = static_cast<std::uint32_t>(prog_.get());
    a.link_create.attach_type = BPF_TRACE_KPROBE_MULTI;
    a.link_create.kprobe_multi.syms = user_ptr(syms);
    a.link_create.kprobe_multi.cnt = count;
    a.link_create.kprobe_multi.flags = flags;
    return a;
  }
  Fd prog_;
};

TEST_F(KprobeMultiTest, EachFunctionWithItsCookie) {
  for (const std::uint32_t flags : {0u, static_cast<std::uint32_t>(BPF_F_KPROBE_MULTI_RETURN)}) {
    results_.put(0, 0);
    results_.put(1, 0);
    const char* const syms[] = {"__x64_sys_getppid", "__x64_sys_getuid", "__x64_sys_getpgid"};
    const std::uint64_t cookies[] = {1, 100, 10000};
    union bpf_attr a = attr(syms, 3, flags);
    a.link_create.kprobe_multi.cookies = user_ptr(cookies);
    const Fd link(bpf(BPF_LINK_CREATE, a));
    ASSERT_THAT(link.get(), SyscallSucceeds());
    fire(3);
    syscall(SYS_getuid);
    syscall(SYS_getpgid, 0);
    syscall(SYS_getpgid, 0);
    EXPECT_EQ(results_[0], 6u);
    EXPECT_EQ(results_[1], 3 * 1 + 100 + 2 * 10000u);
    EXPECT_EQ(fdinfo(link.get(), "link_type"), "kprobe_multi");
  }
}

TEST_F(KprobeMultiTest, ManyNames) {
  // As a client that expands a pattern does it: one allocation a name.
  std::vector<std::string> names;
  std::string why;
  std::ifstream functions(tracefs_dir(&why) + "/available_filter_functions");
  for (std::string line; std::getline(functions, line);)
    if (line.starts_with("__x64_sys_get")) names.push_back(line);
  ASSERT_GT(names.size(), 20u);
  std::vector<const char*> syms;
  for (const std::string& n : names) syms.push_back(n.c_str());
  union bpf_attr a = attr(syms.data(), static_cast<std::uint32_t>(syms.size()));
  const Fd link(bpf(BPF_LINK_CREATE, a));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  fire(4);
  EXPECT_GE(results_[0], 4u);
}

TEST_F(KprobeMultiTest, Refusals) {
  const char* const unknown[] = {"__x64_sys_getppid", "no_such_function"};
  union bpf_attr a = attr(unknown, 2);
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(ESRCH));
  const char* const nowhere[] = {static_cast<const char*>(bad_pointer())};
  a = attr(nowhere, 1);
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(EFAULT));
  a = attr(unknown, 0);
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(EINVAL));
  a = attr(unknown, (1u << 20) + 1);
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(E2BIG));
  a = attr(unknown, 1, 2);
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(EINVAL));
  a = attr(unknown, 1);
  a.link_create.attach_type = BPF_PERF_EVENT;
  EXPECT_THAT(bpf(BPF_LINK_CREATE, a), SyscallFailsWithErrno(EINVAL)) << "loaded for many";
}

}  // namespace
}  // namespace skep::test
