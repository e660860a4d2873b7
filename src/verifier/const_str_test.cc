// Formats of bpf_snprintf() and its kin: which of them a program may use.
#include "verifier/const_str.h"

#include <gtest/gtest.h>

namespace skep::test {
namespace {

struct Format {
  const char* text;
  u32 args;
  bool valid;
};

// Verdicts as helpers.c:bpf_bprintf_prepare() of Linux 6.12.117 gives them.
constexpr Format FORMATS[] = {
    {"", 0, true},          {"plain text\n", 0, true}, {"%d", 1, true},      {"%d", 0, false},      {"%d %d", 1, false},
    {"100%%", 0, true},     {"%", 1, false},           {"%lld|%-5lx", 2, true}, {"%llld", 1, false}, {"%ld", 1, true},
    {"%hd", 1, false},      {"%08x", 1, true},         {"%+-3u", 1, true},   {"%c", 1, true},       {"%s", 1, true},
    {"%sx", 1, false},      {"%s,", 1, true},          {"%p", 1, true},      {"%p4", 1, false},     {"%pi4", 1, true},
    {"%pI6", 1, true},      {"%pi5", 1, false},        {"%pks", 1, true},    {"%pus", 1, true},     {"%pusx", 1, false},
    {"%pK", 1, true},       {"%pB", 1, true},          {"%px", 1, true},     {"%pS", 1, true},      {"%pE", 1, false},
    {"\x01", 0, false},     {"\xc3\xa9", 0, true},     {"%\xc3", 1, false},  {"%f", 1, false},      {"%.3d", 1, false},
    {"%0", 1, false},       {"%10", 1, false},         {"%d", 5, true},      {"%i%u%x%X", 4, true}, {"\t%d\v", 1, true},
};

TEST(ConstStr, FormatsAreTakenAsByLinux) {
  for (const Format& f : FORMATS) EXPECT_EQ(format_valid(f.text, f.args), f.valid) << '"' << f.text << "\" with " << f.args;
}

}  // namespace
}  // namespace skep::test
