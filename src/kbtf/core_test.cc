// kbtf: libbpf relocates programs by the BTF. bpftool's `gen min_core_btf` is libbpf's relocation without a kernel: what it keeps
// of a BTF is what the program's relocations have found there.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "kbtf/kernel_btf.h"

namespace skep {
namespace {

u32 bit_offset(const Btf& btf, const char* in, const char* field) {
  const Result<u32> id = btf.find_by_name_kind(in, BTF_KIND_STRUCT);
  const btf_type* t = id.ok() ? btf.type_by_id(*id) : nullptr;
  for (u32 i = 0; t != nullptr && i < btf_vlen(t); ++i)
    if (const btf_member& m = btf_members(t)[i]; btf.name_is(m.name_off, field))
      return btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m.offset) : m.offset;
  return ~0u;
}

TEST(KernelBtfCore, LibbpfFindsTheFields) {
  char path[] = "/tmp/skep-kbtf-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  close(fd);
  const std::string command =
      std::string(SKEP_BPFTOOL " gen min_core_btf " SKEP_KBTF_DIR "/kernel.btf ") + path + " " SKEP_KBTF_DIR "/core_test.bpf.o";
  ASSERT_EQ(system(command.c_str()), 0) << command;
  std::ifstream in(path, std::ios::binary);
  const std::vector<u8> bytes{std::istreambuf_iterator<char>(in), {}};
  unlink(path);
  const auto kept = Btf::parse(bytes, nullptr), whole = load_kernel_btf();
  ASSERT_TRUE(kept.ok() && whole.ok());
  const struct {
    const char *in, *field;
  } rows[] = {{"task_struct", "pid"},
              {"task_struct", "tgid"},
              {"task_struct", "comm"},
              {"task_struct", "real_parent"},
              {"task_struct", "cred"},
              {"task_struct", "start_time"},
              {"task_struct", "nsproxy"},
              {"nsproxy", "pid_ns_for_children"},
              {"cred", "uid"},
              {"pt_regs", "di"},
              {"trace_event_raw_sys_enter", "id"},
              {"trace_event_raw_sys_enter", "args"}};
  for (const auto& row : rows) {
    EXPECT_NE(bit_offset(**kept, row.in, row.field), ~0u) << row.in << "." << row.field;
    EXPECT_EQ(bit_offset(**kept, row.in, row.field), bit_offset(**whole, row.in, row.field)) << row.in << "." << row.field;
  }
  EXPECT_EQ(bit_offset(**kept, "task_struct", "tasks"), ~0u) << "only what the program asks for is kept";
}

}  // namespace
}  // namespace skep
