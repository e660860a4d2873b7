#include "host/kernel_headers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace skep {
namespace {

namespace fs = std::filesystem;

/// A machine's "/", made of empty files.
class KernelHeadersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skep-headers-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root = name;
  }
  void TearDown() override { fs::remove_all(root); }
  void file(const std::string& path, const std::string& text = "") {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void debian(const std::string& version) {
    file("usr/src/linux-headers-" + version + "-amd64/include/generated/autoconf.h", "of " + version);
    file("usr/src/linux-headers-" + version + "-amd64/arch/x86/include/generated/asm/errno.h");
    file("usr/src/linux-headers-" + version + "-amd64/Makefile", "amd64");
    file("usr/src/linux-headers-" + version + "-common/include/linux/kconfig.h");
    file("usr/src/linux-headers-" + version + "-common/arch/x86/include/asm/ptrace.h");
    file("usr/src/linux-headers-" + version + "-common/arch/arm/include/asm/ptrace.h");
    file("usr/src/linux-headers-" + version + "-common/Makefile", "common");
  }
  KernelHeaders find(const std::string& wanted = "") { return find_kernel_headers(root.string(), wanted, "6.18.1"); }

  fs::path root;
};

TEST_F(KernelHeadersTest, NoneAreThere) { EXPECT_EQ(find().build, ""); }

TEST_F(KernelHeadersTest, NewestOfDebian12ComesFirst) {
  debian("6.1.0-9");
  debian("6.1.0-56");
  debian("6.12.9");
  file("lib/modules/6.18.1/build/include/linux/kconfig.h");
  file("lib/modules/6.18.1/build/include/generated/autoconf.h");
  const KernelHeaders h = find();
  EXPECT_EQ(h.release(), "6.1.0-56-amd64");
  EXPECT_TRUE(h.ours);
}

TEST_F(KernelHeadersTest, TheMachinesOwnComeBeforeOthers) {
  debian("6.12.9");
  EXPECT_EQ(find().release(), "6.12.9-amd64");
  EXPECT_FALSE(find().ours);
  file("lib/modules/6.18.1/build/include/linux/kconfig.h");
  EXPECT_EQ(find().release(), "6.12.9-amd64") << "half a tree is none";
  file("lib/modules/6.18.1/build/include/generated/autoconf.h");
  EXPECT_EQ(find().build, "");
}

TEST_F(KernelHeadersTest, AHalfWithoutTheOtherIsNone) {
  debian("6.1.0-56");
  fs::remove_all(root / "usr/src/linux-headers-6.1.0-56-common");
  EXPECT_EQ(find().build, "");
}

TEST_F(KernelHeadersTest, AnotherFlavourIsNotOurs) {
  debian("6.1.0-56-rt");
  fs::rename(root / "usr/src/linux-headers-6.1.0-56-rt-common", root / "usr/src/linux-headers-6.1.0-56-common-rt");
  EXPECT_EQ(find().build, "");
}

TEST_F(KernelHeadersTest, WantedComesBeforeAll) {
  debian("6.1.0-56");
  debian("6.1.0-9");
  file("tree/include/linux/kconfig.h");
  file("tree/include/generated/autoconf.h");
  EXPECT_EQ(find((root / "tree").string()).build, (root / "tree").string());
  EXPECT_EQ(find((root / "usr/src/linux-headers-6.1.0-9-amd64").string()).release(), "6.1.0-9-amd64");
  EXPECT_EQ(find((root / "nothing").string()).release(), "6.1.0-56-amd64");
}

TEST_F(KernelHeadersTest, HalvesAreJoined) {
  debian("6.1.0-56");
  const std::string tree = (root / "session/lib/modules/6.18.1/build").string();
  ASSERT_TRUE(join_headers(find(), tree));
  EXPECT_TRUE(usable_headers(tree));
  for (const char* path : {"arch/x86/include/asm/ptrace.h", "arch/x86/include/generated/asm/errno.h", "arch/arm/include/asm/ptrace.h"})
    EXPECT_TRUE(fs::exists(fs::path(tree) / path)) << path;
  std::string text;
  std::ifstream(tree + "/Makefile") >> text;
  EXPECT_EQ(text, "amd64") << "of two files the one for this processor";
  EXPECT_TRUE(join_headers(find(), tree)) << "a second time changes nothing";
}

TEST_F(KernelHeadersTest, AWholeTreeIsOneLink) {
  file("tree/include/linux/kconfig.h");
  file("tree/include/generated/autoconf.h");
  const std::string tree = (root / "session/build").string();
  ASSERT_TRUE(join_headers(find((root / "tree").string()), tree));
  EXPECT_TRUE(fs::is_symlink(tree));
  EXPECT_TRUE(usable_headers(tree));
}

}  // namespace
}  // namespace skep
