// The same bytes to skep and to bpf(BPF_BTF_LOAD) of the machine: verdict and log must be the same. Linux moved on after 6.12; what
// is known to have changed is counted and bounded, anything else fails.
#include <gtest/gtest.h>

#include "btf/cases_test.h"
#include "btf/mutate_test.h"

namespace skep::test {
namespace {

class BtfOracle : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = linux_refusal(); !reason.empty()) GTEST_SKIP() << reason;
    if (machine_.vmlinux == nullptr) GTEST_SKIP() << "no readable /sys/kernel/btf/vmlinux, which kptrs are looked up in";
  }
  const MachineTypes machine_ = machine_types();
};

/// The reason for a difference that is drift between 6.12 and the machine's kernel; empty if there is none.
std::string drift(const Verdict& skep, const Verdict& linux_says) {
  const std::string_view log = skep.log;
  if (log.ends_with(" Invalid btf_info kind_flag\n")) {
    const std::size_t line = log.rfind('\n', log.size() - 2);
    if (log.substr(line + 1).find("_TAG ") != std::string_view::npos) return "6.14: kind_flag on tags marks an attribute";
  }
  if (skep.log != linux_says.log) return "";
  if (skep.error == ELOOP && linux_says.error == 0) return "6.12.y: kptrs count as ownership, whose depth is bounded";
  const bool two = skep.error == E2BIG && (linux_says.error == 0 || linux_says.error == EINVAL);
  if (two && log.find("bpf_refcount") != std::string_view::npos) return "6.16: more than one bpf_refcount in a struct";
  if (two && log.find("bpf_spin_lock") != std::string_view::npos)
    return "6.12.y: locks are counted across the structs inside a struct";
  return "";
}

TEST_F(BtfOracle, Cases) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Verdict ours = skep_verdict(c.bytes, &machine_.types), theirs = linux_verdict(c.bytes);
    if (ours == theirs || !drift(ours, theirs).empty()) continue;
    EXPECT_EQ(ours.error, theirs.error);
    EXPECT_EQ(ours.log, theirs.log);
  }
}

void compare_mutations(const std::vector<u8>& seed, u32 random_seed, int n, const KernelTypes* kernel) {
  Mutator mutator(seed, random_seed, kernel);
  ASSERT_TRUE(mutator.usable());
  int drifted = 0, accepted = 0, failures = 0;
  for (int i = 0; i < n && failures < 5; ++i) {
    const std::vector<u8> blob = mutator.next();
    const Verdict ours = skep_verdict(blob, kernel), theirs = linux_verdict(blob);
    accepted += ours.error == 0;
    if (ours == theirs) continue;
    if (!drift(ours, theirs).empty()) {
      ++drifted;
      continue;
    }
    ++failures;
    ADD_FAILURE() << "random seed " << random_seed << ", blob " << i << ": skep " << ours.error << ", Linux " << theirs.error
                  << "\nskep's log:\n"
                  << ours.log << "\nLinux's log:\n"
                  << theirs.log;
  }
  EXPECT_LT(drifted, n / 25);
  EXPECT_GT(accepted, n / 50);
}

TEST_F(BtfOracle, DamagedBtfOfClang) { compare_mutations(clang_seed(), 1, 20000, &machine_.types); }

TEST_F(BtfOracle, DamagedCases) {
  u32 random_seed = 100;
  for (const Case& c : cases()) {
    if (c.error != 0 || c.bytes.size() < 100) continue;
    SCOPED_TRACE(c.name);
    Mutator mutator(c.bytes, ++random_seed, &machine_.types);
    ASSERT_TRUE(mutator.usable());
    for (int i = 0; i < 60; ++i) {
      const std::vector<u8> blob = mutator.next();
      const Verdict ours = skep_verdict(blob, &machine_.types), theirs = linux_verdict(blob);
      if (ours == theirs || !drift(ours, theirs).empty()) continue;
      ADD_FAILURE() << "blob " << i << ": skep " << ours.error << ", Linux " << theirs.error << "\nskep's log:\n"
                    << ours.log << "\nLinux's log:\n"
                    << theirs.log;
    }
  }
}

TEST_F(BtfOracle, EveryTruncation) {
  const std::vector<u8> whole = clang_seed();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const std::span<const u8> part(whole.data(), n);
    ASSERT_EQ(skep_verdict(part, &machine_.types), linux_verdict(part)) << n;
  }
}

TEST_F(BtfOracle, TheKernelsOwn) {
  std::vector<u8> blob = file_bytes("/sys/kernel/btf/vmlinux");
  clear_tag_kflags(blob);
  const auto ours = Btf::parse(blob, nullptr, &machine_.types);
  EXPECT_EQ(ours.ok() ? 0 : ours.error().value(), linux_verdict(blob, 0).error);
}

TEST_F(BtfOracle, MoreTypesThanIds) {
  for (u32 n : {BTF_MAX_TYPE - 1, BTF_MAX_TYPE, BTF_MAX_TYPE + 5}) {
    Blob b;
    b.int_type();
    for (u32 i = 1; i < n; ++i) b.ptr(1);
    const std::vector<u8> blob = b.bytes();
    const auto ours = Btf::parse(blob, nullptr);
    EXPECT_EQ(ours.ok() ? 0 : ours.error().value(), linux_verdict(blob, 0).error) << n;
  }
}

}  // namespace
}  // namespace skep::test
