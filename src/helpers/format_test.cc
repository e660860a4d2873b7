// Format strings against snprintf where both mean the same, and Linux's own rules where they do not.
#include "helpers/format.h"

#include <cstdio>

#include "helpers/run_fixture_test.h"

namespace skep::test {
namespace {

class Format : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    prepare({exit_()});
  }
  long format(const std::string& fmt, u64 a = 0, u64 b = 0, u64 c = 0) {
    const u64 args[] = {a, b, c};
    std::memset(out_, 'x', sizeof out_);
    return format_bpf(*run_, out_, 1024, fmt.c_str(), fmt.size() + 1, args, 3);
  }
  std::string text(const std::string& fmt, u64 a = 0, u64 b = 0, u64 c = 0) {
    const long n = format(fmt, a, b, c);
    return n < 0 ? std::to_string(n) : std::string(out_);
  }
  static u64 ptr(const void* p) { return reinterpret_cast<u64>(p); }
  char out_[1025];
};

// The formats are made at run time: that is the point.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

TEST_F(Format, IntegersPrintAsSnprintfDoes) {
  const u64 values[] = {
      0, 1, 9, 10, 255, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ~0ULL};
  for (const char* flags : {"", "0", "-", "+", " ", "-0", "+0", " 0", "+-", "+ ", "- "})
    for (const char* width : {"", "1", "5", "25"})
      for (const char* conv : {"d", "i", "u", "x", "X", "ld", "lu", "lx", "lld", "lli", "llu", "llX"})
        for (u64 v : values) {
          const std::string fmt = std::string("<%") + flags + width + conv + ">";
          char want[128];
          const int n = conv[0] == 'l' ? std::snprintf(want, sizeof want, fmt.c_str(), v)
                                       : std::snprintf(want, sizeof want, fmt.c_str(), static_cast<u32>(v));
          ASSERT_EQ(text(fmt, v), want) << fmt << " of " << v;
          ASSERT_EQ(format(fmt, v), n) << fmt;
        }
}

TEST_F(Format, StringsAndCharactersPrintAsSnprintfDoes) {
  for (const char* flags : {"", "-"})
    for (const char* width : {"", "3", "20"}) {
      const std::string s = std::string("[%") + flags + width + "s]", c = std::string("[%") + flags + width + "c]";
      char want[128];
      std::snprintf(want, sizeof want, s.c_str(), "hello");
      EXPECT_EQ(text(s, ptr("hello")), want) << s;
      std::snprintf(want, sizeof want, c.c_str(), 'q');
      EXPECT_EQ(text(c, 'q'), want) << c;
    }
  EXPECT_EQ(text("%s, %s and %s.", ptr("a"), ptr(""), ptr("c")), "a,  and c.");
}
#pragma GCC diagnostic pop

TEST_F(Format, PlainText) {
  EXPECT_EQ(text("no arguments\n\t"), "no arguments\n\t");
  EXPECT_EQ(text("100%% of %d%%", 5), "100% of 5%");
  EXPECT_EQ(text(""), "");
  EXPECT_EQ(text("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST_F(Format, WhatLinuxRefuses) {
  for (const char* fmt : {"%",     "%d %d %d %d", "%f",  "%n",  "%o",  "%5",   "%*d",  "%.3s",      "%#x",  "%hd",
                          "%zu",   "%lld%",       "%lc", "%ls", "% %", "%q",   "%5-d", "%sx",       "%pkq", "%pus1",
                          "%pksx", "%pI5",        "%pi", "%pM", "%pz", "\x01", "\x7f", "%\xc3\xa9", "%llld"})
    EXPECT_EQ(format(fmt, 1, 2, 3), -EINVAL) << fmt;
  const u64 args[3] = {};
  EXPECT_EQ(format_bpf(*run_, out_, 16, "abc", 3, args, 3), -EINVAL);  // no NUL in its size
  EXPECT_EQ(format_bpf(*run_, out_, 16, "%d", 3, args, 0), -EINVAL);   // no argument for it
}

TEST_F(Format, StringsEndAtPunctuation) {
  EXPECT_EQ(text("%s:%s,%s", ptr("a"), ptr("b"), ptr("c")), "a:b,c");
  EXPECT_EQ(text("%s_", ptr("a")), "a_");
  EXPECT_EQ(text("%pus%%", ptr("a")), "a%");
}

TEST_F(Format, BadStringsPrintNothing) {
  EXPECT_EQ(text("<%s>", 0), "<>");
  EXPECT_EQ(text("<%s>", 8), "<>");
  EXPECT_EQ(text("<%pus>", 8), "<>");
  EXPECT_EQ(text("<%pks>", ptr("user memory")), "<>");
  EXPECT_EQ(text("<%pus>", ptr("user memory")), "<user memory>");
  std::memcpy(ctx_.data(), "kernel", 7);
  EXPECT_EQ(text("<%pks>", ptr(ctx_.data())), "<kernel>");
  EXPECT_EQ(text("<%pus>", ptr(ctx_.data())), "<>");
  EXPECT_EQ(text("<%s>", ptr(ctx_.data())), "<kernel>");
  EXPECT_EQ(text("<%10pks>", ptr(ctx_.data())), "<kernel>");  // the width is lost in Linux's second pass
}

TEST_F(Format, Pointers) {
  EXPECT_EQ(text("%p", 0x1234), "0000000000001234");
  EXPECT_EQ(text("%px|", 0xffff888000000000), "ffff888000000000|");
  EXPECT_EQ(text("%pK", 1), "0000000000000001");
  EXPECT_EQ(text("%20px", 0x12), "                  12");
  EXPECT_EQ(text("%-20p|", 0x12), "12                  |");
  EXPECT_EQ(text("%ps %pS", 0x1000, 0x2000), "0x1000 0x2000");
  EXPECT_EQ(text("%pB", 0x1000), "0x1000");
  EXPECT_EQ(text("%pxabc def", 0x12), "0000000000000012 def");  // letters behind %p are taken for its own
}

TEST_F(Format, IpAddresses) {
  const u8 v4[] = {127, 0, 10, 1};
  const u8 v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  std::memcpy(ctx_.data(), v4, 4);
  std::memcpy(ctx_.data() + 16, v6, 16);
  EXPECT_EQ(text("%pI4", ptr(ctx_.data())), "127.0.10.1");
  EXPECT_EQ(text("%pi4", ptr(ctx_.data())), "127.000.010.001");
  EXPECT_EQ(text("%pI6", ptr(ctx_.data() + 16)), "2001:0db8:0000:0000:0000:0000:0000:0001");
  EXPECT_EQ(text("%pi6", ptr(ctx_.data() + 16)), "20010db8000000000000000000000001");
  EXPECT_EQ(text("%pI4", ptr(v4)), "0.0.0.0");  // not the kernel's memory
}

TEST_F(Format, LongOutputIsCutButCounted) {
  EXPECT_EQ(format("%2000d", 5), 2000);
  EXPECT_EQ(std::string(out_), std::string(1023, ' '));
  EXPECT_EQ(out_[1024], 'x');
  EXPECT_EQ(format("%99999999999999999999d", 5), (1 << 23) - 1);
  const std::string long_text(400, 'a');
  EXPECT_EQ(format(long_text + "%s", ptr(long_text.c_str())), 800);
}

TEST_F(Format, ArgumentsShare512Bytes) {
  const std::string s511(511, 'a'), s600(600, 'b');
  EXPECT_EQ(text("%s", ptr(s600.c_str())), std::string(511, 'b'));
  EXPECT_EQ(format("%s%s", ptr(s511.c_str()), ptr("x")), -ENOSPC);
  EXPECT_EQ(format("%s %s", ptr(s511.c_str()), ptr("x")), -ENOSPC);
  EXPECT_EQ(format("%s %d", ptr(s511.c_str()), 1), -ENOSPC);
  EXPECT_EQ(format("%s %c", ptr(s511.c_str()), 1), -ENOSPC);
  const std::string s503(503, 'c');
  EXPECT_EQ(format("%s %llu", ptr(s503.c_str()), 1), 505);
  EXPECT_EQ(format("%s %llu %c", ptr(s503.c_str()), 1, 'x'), -ENOSPC);
}

}  // namespace
}  // namespace skep::test
