// kbtf: one layout for programs that relocate by skep's BTF and for those that bcc compiles by the kernel headers of Debian 12:
// where the structs' members stand here, in the BTF and in those headers is what kernel_offsets.inc says.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <optional>
#include <string>

#include "kbtf/kernel_btf.h"

namespace skep::kernel {
#include "kbtf/kernel/security.h"
}  // namespace skep::kernel

namespace skep {
namespace {

struct Row {
  const char *in, *member;
  u64 offset;
};
constexpr Row ROWS[] = {
#define OFFSET(in, member, offset) {#in, #member, offset},
#define RENAMED(in, member, name_in_6_1, offset) {#in, #member, offset},
#include "kbtf/kernel_offsets.inc"
#undef OFFSET
#undef RENAMED
};

#define OFFSET(in, member, offset) static_assert(offsetof(kernel::in, member) == offset, #in "." #member);
#define RENAMED(in, member, name_in_6_1, offset) OFFSET(in, member, offset)
#include "kbtf/kernel_offsets.inc"
#undef OFFSET
#undef RENAMED

/// Byte offset of a member, anonymous structs and unions looked through.
std::optional<u64> offset_in(const Btf& btf, u32 id, std::string_view name, u64 base = 0) {
  const btf_type* t = btf.type_by_id(id);
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_member& m = btf_members(t)[i];
    const u64 at = base + (btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m.offset) : m.offset) / 8;
    if (m.name_off != 0) {
      if (btf.name_is(m.name_off, name)) return at;
    } else if (const auto inner = offset_in(btf, btf.resolve_modifiers(m.type), name, at)) {
      return inner;
    }
  }
  return std::nullopt;
}

TEST(KernelOffsets, BtfHasThem) {
  const auto btf = load_kernel_btf();
  ASSERT_TRUE(btf.ok());
  for (const Row& row : ROWS) {
    const Result<u32> id = (*btf)->find_by_name_kind(row.in, BTF_KIND_STRUCT);
    ASSERT_TRUE(id.ok()) << row.in;
    EXPECT_EQ(offset_in(**btf, *id, row.member), row.offset) << row.in << "." << row.member;
  }
}

// What bcc's own compiler includes before a program that names these structs.
constexpr const char* HEADERS[] = {"linux/sched.h",
                                   "linux/sched/signal.h",
                                   "linux/cred.h",
                                   "linux/nsproxy.h",
                                   "linux/pid_namespace.h",
                                   "linux/utsname.h",
                                   "linux/ipc_namespace.h",
                                   "linux/user_namespace.h",
                                   "linux/time_namespace.h",
                                   "linux/cgroup.h",
                                   "linux/kernfs.h",
                                   "linux/mm_types.h",
                                   "linux/fs.h",
                                   "linux/fs_struct.h",
                                   "linux/fdtable.h",
                                   "linux/mount.h",
                                   "linux/binfmts.h",
                                   "linux/seq_file.h",
                                   "linux/tty.h",
                                   "net/net_namespace.h"};

/// The folders that Debian's two packages make, without the slash; empty: not installed.
struct Debian {
  std::string common, arch;
};
Debian debian_headers() {
  const Debian d{"/usr/src/linux-headers-6.1.0-56-common", "/usr/src/linux-headers-6.1.0-56-amd64"};
  const bool there = access((d.common + "/include/linux/sched.h").c_str(), R_OK) == 0 &&
                     access((d.arch + "/include/generated/autoconf.h").c_str(), R_OK) == 0;
  return there ? d : Debian{};
}

std::string flags_for(const Debian& d) {
  std::string flags = " -D__KERNEL__ -DKBUILD_MODNAME=\\\"probe\\\" -nostdinc -w";
  for (const char* sub : {"/arch/x86/include", "/arch/x86/include/generated", "/include", "/arch/x86/include/uapi",
                          "/arch/x86/include/generated/uapi", "/include/uapi", "/include/generated/uapi"})
    flags += " -I" + d.common + sub + " -I" + d.arch + sub;
  return flags + " -include " + d.common + "/include/linux/kconfig.h -include " + d.common + "/include/linux/compiler_types.h";
}

/// The compiler's verdict on one probe; its words go to `log`.
bool compiles(const std::string& source, const Debian& d, const std::string& log) {
  const std::string include = "$(" SKEP_BPF_CLANG " -print-resource-dir)/include";
  return system((std::string(SKEP_BPF_CLANG) + flags_for(d) + " -isystem " + include + " -I" SKEP_SRC " -fsyntax-only " + source +
                 " 2>" + log)
                    .c_str()) == 0;
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(KernelOffsets, AreThoseOfDebiansHeaders) {
  const Debian d = debian_headers();
  if (d.common.empty()) GTEST_SKIP() << "package linux-headers-6.1.0-56-amd64 is not installed";
  char dir[] = "/tmp/skep-offsets-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string probe = std::string(dir) + "/probe.c", log = std::string(dir) + "/log";
  std::string text;
  for (const char* header : HEADERS) text += std::string("#include <") + header + ">\n";
  text +=
      "#define OFFSET(in, member, offset) _Static_assert(__builtin_offsetof(struct in, member) == offset, #in \".\" #member);\n"
      "#define RENAMED(in, member, name, offset) OFFSET(in, name, offset)\n"
      "#include \"kbtf/kernel_offsets.inc\"\n";
  std::ofstream(probe) << text;
  EXPECT_TRUE(compiles(probe, d, log)) << text_of(log);
  // The probe does look.
  std::ofstream(probe) << text << "OFFSET(task_struct, pid, 1)\n";
  EXPECT_FALSE(compiles(probe, d, log));
  EXPECT_NE(text_of(log).find("task_struct.pid"), std::string::npos) << text_of(log);
  unlink(probe.c_str());
  unlink(log.c_str());
  rmdir(dir);
}

}  // namespace
}  // namespace skep
