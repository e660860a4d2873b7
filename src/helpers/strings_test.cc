// Numbers from text and comparisons, at the edges. Linux: kernel/bpf/helpers.c, lib/kstrtox.c
#include "helpers/helper.h"
#include "helpers/run_fixture_test.h"
#include "progtypes/func_ids.h"

namespace skep::test {
namespace {

class Strings : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    prepare({exit_()});
  }
  struct Parsed {
    s64 rc;
    u64 value;
    bool operator==(const Parsed&) const = default;
  };
  Parsed parse(u32 id, const std::string& text, u64 flags = 0) {
    u64 value = 77;
    const u64 rc = helper_fn(id)(*run_, reinterpret_cast<u64>(text.data()), text.size(), flags, reinterpret_cast<u64>(&value), 0);
    return {static_cast<s64>(rc), value};
  }
  Parsed strtol_(const std::string& text, u64 flags = 0) { return parse(func::strtol, text, flags); }
  Parsed strtoul_(const std::string& text, u64 flags = 0) { return parse(func::strtoul, text, flags); }
};

TEST_F(Strings, Numbers) {
  EXPECT_EQ(strtoul_("123"), (Parsed{3, 123}));
  EXPECT_EQ(strtoul_(" \t42x"), (Parsed{4, 42}));
  EXPECT_EQ(strtoul_("0x1Fg"), (Parsed{4, 31}));
  EXPECT_EQ(strtoul_("017"), (Parsed{3, 15}));
  EXPECT_EQ(strtoul_("08"), (Parsed{1, 0}));
  EXPECT_EQ(strtoul_("0x"), (Parsed{1, 0})) << "no digit behind the x: octal";
  EXPECT_EQ(strtoul_("0x", 16), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtoul_("ff", 16), (Parsed{2, 255}));
  EXPECT_EQ(strtoul_("12", 8), (Parsed{2, 10}));
  EXPECT_EQ(strtoul_("18446744073709551615"), (Parsed{20, ~0ULL}));
  EXPECT_EQ(strtoul_("18446744073709551616"), (Parsed{-ERANGE, 0}));
  EXPECT_EQ(strtoul_("-1"), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtoul_("x"), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtoul_("   "), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtoul_("1", 2), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtoul_("1", 32), (Parsed{-EINVAL, 0}));
  EXPECT_EQ(strtol_("-12"), (Parsed{3, static_cast<u64>(-12)}));
  EXPECT_EQ(strtol_("-9223372036854775808"), (Parsed{20, 1ULL << 63}));
  EXPECT_EQ(strtol_("-9223372036854775809"), (Parsed{-ERANGE, 0}));
  EXPECT_EQ(strtol_("9223372036854775808"), (Parsed{-ERANGE, 0}));
  EXPECT_EQ(strtoul_(std::string(70, '0')), (Parsed{63, 0})) << "63 characters are looked at";
}

TEST_F(Strings, Comparison) {
  const auto cmp = [this](const char* a, u64 n, const char* b) {
    return static_cast<s64>(helper_fn(func::strncmp)(*run_, reinterpret_cast<u64>(a), n, reinterpret_cast<u64>(b), 0, 0));
  };
  EXPECT_EQ(cmp("abc", 4, "abc"), 0);
  EXPECT_EQ(cmp("abd", 4, "abc"), 1);
  EXPECT_EQ(cmp("ab", 3, "abc"), -1);
  EXPECT_EQ(cmp("abx", 2, "abc"), 0);
  EXPECT_EQ(cmp("a\0x", 4, "a\0y"), 0);
}

TEST_F(Strings, FormattedText) {
  char out[8];
  const u64 args[] = {5, 1000};
  const auto print = [&](u64 size, const char* fmt, u64 bytes) {
    return static_cast<s64>(helper_fn(func::snprintf)(*run_, reinterpret_cast<u64>(out), size, reinterpret_cast<u64>(fmt),
                                                      reinterpret_cast<u64>(args), bytes));
  };
  EXPECT_EQ(print(8, "%d-%d", 16), 7);
  EXPECT_STREQ(out, "5-1000");
  EXPECT_EQ(print(4, "%d-%d", 16), 7) << "what the whole text needs";
  EXPECT_STREQ(out, "5-1");
  EXPECT_EQ(print(0, "%d", 8), 2);
  EXPECT_EQ(print(8, "%d", 7), -EINVAL);
  EXPECT_EQ(print(8, "%d", 13 * 8), -EINVAL);
  EXPECT_EQ(print(8, "%d%d", 8), -EINVAL);
}

}  // namespace
}  // namespace skep::test
