#include "btf/func_info.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>

#include "btf/blob_test.h"

namespace skep::test {
namespace {

// Types: 1 int, 2 proto of int(void), 3 and 4 functions, 5 struct, 6 proto of struct-pointer(void), 7 function of that.
enum : u32 { INT = 1, PROTO, FUNC_A, FUNC_B, STRUCT, STRUCT_PTR, PROTO_PTR, FUNC_PTR };
std::vector<u8> program_btf() {
  Blob b;
  b.int_type("int", 4, 32, BTF_INT_SIGNED);
  b.type(0, info(BTF_KIND_FUNC_PROTO), INT);
  b.type(b.str("a"), info(BTF_KIND_FUNC), PROTO);
  b.type(b.str("b"), info(BTF_KIND_FUNC), PROTO);
  b.type(b.str("s"), info(BTF_KIND_STRUCT), 4);
  b.ptr(STRUCT);
  b.type(0, info(BTF_KIND_FUNC_PROTO), STRUCT_PTR);
  b.type(b.str("c"), info(BTF_KIND_FUNC), PROTO_PTR);
  return b.bytes();
}
constexpr u32 NAME_END = 1 + 4 + 2 + 2 + 2 + 2;  // length of its strings

// call 2; exit; r0 = 0 (two slots); exit. Subprograms at 0 and 2.
constexpr bpf_insn PROGRAM[] = {{0x85, 0, 1, 0, 1}, {0x95, 0, 0, 0, 0}, {0x18, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}};
constexpr u32 STARTS[] = {0, 2};

/// What BPF_PROG_LOAD is told of a program.
struct Info {
  std::vector<u8> funcs, lines;
  u32 func_size = 8, func_cnt = 0, line_size = 16, line_cnt = 0;
};
template <typename T>
void put(std::vector<u8>& out, const T& record, u32 rec_size, u8 tail = 0) {
  const std::size_t at = out.size();
  out.resize(at + rec_size, tail);
  if (rec_size != 0) std::memcpy(out.data() + at, &record, std::min<std::size_t>(sizeof record, rec_size));
}
Info make(std::vector<bpf_func_info> funcs, std::vector<bpf_line_info> lines, u32 func_size = 8, u32 line_size = 16, u8 tail = 0) {
  Info i;
  i.func_size = func_size, i.line_size = line_size;
  i.func_cnt = static_cast<u32>(funcs.size()), i.line_cnt = static_cast<u32>(lines.size());
  for (const auto& f : funcs) put(i.funcs, f, func_size, tail);
  for (const auto& l : lines) put(i.lines, l, line_size, tail);
  return i;
}

struct Answer {
  int error = 0;
  u32 func_size = 0, line_size = 0;  // as they stand afterwards
  std::string log;
};

Answer skep_answer(const Btf& btf, const Info& i) {
  Answer a{0, i.func_size, i.line_size, {}};
  BtfLog log;
  const auto check = [&]() -> Status {
    const auto funcs = TRY(check_func_info_early(btf, i.funcs, a.func_size, i.func_cnt, &log));
    TRY(check_func_info_subprogs(funcs, STARTS, &log));
    TRY(check_line_info(btf, i.lines, a.line_size, i.line_cnt, PROGRAM, STARTS, &log));
    return ok_status();
  };
  const Status s = check();
  a.error = s.ok() ? 0 : s.error().value();
  a.log = log.text();
  return a;
}

struct Case {
  const char* name;
  int error;
  const char* says;
  Info info;
};
const std::vector<bpf_func_info> FUNCS = {{0, FUNC_A}, {2, FUNC_B}};
const std::vector<bpf_line_info> LINES = {{0, 1, 1, 1 << 10}, {1, 1, 1, 2 << 10}, {2, 1, 1, 3 << 10}, {4, 1, 1, 4 << 10}};

std::vector<Case> cases() {
  std::vector<Case> out;
  const auto func = [&out](const char* name, int error, const char* says, std::vector<bpf_func_info> funcs, u32 size = 8,
                           u8 tail = 0) {
    out.push_back({name, error, says, make(std::move(funcs), LINES, size, 16, tail)});
    if (tail != 0) out.back().info.lines = make({}, LINES).lines;
  };
  const auto line = [&out](const char* name, int error, const char* says, std::vector<bpf_line_info> lines, u32 size = 16,
                           u8 tail = 0) {
    out.push_back({name, error, says, make(FUNCS, std::move(lines), 8, size, tail)});
    if (tail != 0) out.back().info.funcs = make(FUNCS, {}).funcs;
  };
  func("good", 0, "", FUNCS);
  out.push_back({"no line info", 0, "", make(FUNCS, {})});
  func("longer records of zeros", 0, "", FUNCS, 252);
  func("size 4", EINVAL, "invalid func info rec size 4", FUNCS, 4);
  func("size 0", EINVAL, "invalid func info rec size 0", FUNCS, 0);
  func("size 10", EINVAL, "invalid func info rec size 10", FUNCS, 10);
  func("size 256", EINVAL, "invalid func info rec size 256", FUNCS, 256);
  func("tail not zero", E2BIG, "nonzero tailing record in func info", FUNCS, 12, 1);
  func("first not at 0", EINVAL, "nonzero insn_off 1 for the first func info record", {{1, FUNC_A}, {2, FUNC_B}});
  func("same offset", EINVAL, "same or smaller insn offset (0) than previous func info record (0)", {{0, FUNC_A}, {0, FUNC_B}});
  func("not a func", EINVAL, "invalid type id 1 in func info", {{0, INT}, {2, FUNC_B}});
  func("type 0", EINVAL, "invalid type id 0 in func info", {{0, 0}, {2, FUNC_B}});
  func("no such type", EINVAL, "invalid type id -1 in func info", {{0, 0xffffffff}, {2, FUNC_B}});
  func("one of two", EINVAL, "number of funcs in func_info doesn't match number of subprogs", {{0, FUNC_A}});
  func("three of two", EINVAL, "number of funcs", {{0, FUNC_A}, {2, FUNC_B}, {4, FUNC_B}});
  func("beyond the program", EINVAL, "func_info BTF section doesn't match subprog layout", {{0, FUNC_A}, {77, FUNC_B}});
  func("beside the start", EINVAL, "func_info BTF section doesn't match subprog layout", {{0, FUNC_A}, {1, FUNC_B}});
  Info cut = make(FUNCS, LINES);
  cut.funcs.resize(12);
  out.push_back({"second record cut", EFAULT, "", cut});
  cut = make(FUNCS, LINES);
  cut.func_cnt = 0x10000000;
  out.push_back({"absurd count", ENOMEM, "", cut});

  line("longer lines of zeros", 0, "", LINES, 20);
  line("line size 12", EINVAL, "", LINES, 12);
  line("line size 18", EINVAL, "", LINES, 18);
  line("line size 256", EINVAL, "", LINES, 256);
  line("line tail not zero", E2BIG, "nonzero tailing record in line_info", LINES, 20, 1);
  line("line not rising", EINVAL, "Invalid line_info[2].insn_off:1 (prev_offset:1 prog->len:5)\n", {LINES[0], LINES[1], LINES[1]});
  line("line beyond", EINVAL, "Invalid line_info[3].insn_off:5 (prev_offset:2 prog->len:5)\n",
       {LINES[0], LINES[1], LINES[2], {5, 1, 1, 0}});
  line("line in a wide insn", EINVAL, "Invalid insn code at line_info[3].insn_off\n", {LINES[0], LINES[1], LINES[2], {3, 1, 1, 0}});
  line("last string", 0, "", {{0, NAME_END - 1, NAME_END - 1, 0}, LINES[2]});
  line("file name beyond", EINVAL, "Invalid line_info[0].line_off or .file_name_off\n", {{0, NAME_END, 1, 0}, LINES[2]});
  line("line text beyond", EINVAL, "Invalid line_info[0].line_off or .file_name_off\n", {{0, 1, NAME_END, 0}, LINES[2]});
  line("no line for func 0", EINVAL, "missing bpf_line_info for func#0\n", {LINES[1], LINES[2]});
  line("no line for func 1", EINVAL, "missing bpf_line_info for func#1\n", {LINES[0], LINES[1], LINES[3]});
  line("lines end before func 1", EINVAL, "missing bpf_line_info for 1 funcs starting from func#1\n", {LINES[0]});
  cut = make(FUNCS, LINES);
  cut.lines.resize(60);
  out.push_back({"last line cut", EFAULT, "", cut});
  cut = make(FUNCS, LINES);
  cut.line_cnt = 0x08000000;
  out.push_back({"absurd count of lines", EINVAL, "", cut});
  return out;
}

TEST(FuncInfo, Cases) {
  const auto btf = Btf::parse(program_btf(), nullptr);
  ASSERT_TRUE(btf.ok());
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Answer a = skep_answer(**btf, c.info);
    EXPECT_EQ(a.error, c.error) << a.log;
    EXPECT_NE(a.log.find(c.says), std::string::npos) << a.log;
  }
}

TEST(FuncInfo, TellsTheSizeToTryWhenATailIsNotZero) {
  const auto btf = Btf::parse(program_btf(), nullptr);
  ASSERT_TRUE(btf.ok());
  const Answer func = skep_answer(**btf, [] {
    Info i = make(FUNCS, {}, 12, 16, 1);
    return i;
  }());
  EXPECT_EQ(func.error, E2BIG);
  EXPECT_EQ(func.func_size, 8u);
  Info lines = make(FUNCS, LINES, 8, 24, 1);
  lines.funcs = make(FUNCS, {}).funcs;
  const Answer line = skep_answer(**btf, lines);
  EXPECT_EQ(line.error, E2BIG);
  EXPECT_EQ(line.line_size, 16u);
}

TEST(FuncInfo, ReturnsTheRecords) {
  const auto btf = Btf::parse(program_btf(), nullptr);
  ASSERT_TRUE(btf.ok());
  const Info i = make(FUNCS, LINES, 12, 20);
  u32 func_size = 12, line_size = 20;
  const auto funcs = check_func_info(**btf, i.funcs, func_size, 2, STARTS, nullptr);
  ASSERT_TRUE(funcs.ok());
  ASSERT_EQ(funcs->size(), 2u);
  EXPECT_EQ((*funcs)[1].insn_off, 2u);
  EXPECT_EQ((*funcs)[1].type_id, FUNC_B);
  std::vector<u32> linfo_idx;
  const auto lines = check_line_info(**btf, i.lines, line_size, 4, PROGRAM, STARTS, nullptr, &linfo_idx);
  ASSERT_TRUE(lines.ok());
  ASSERT_EQ(lines->size(), 4u);
  EXPECT_EQ(BPF_LINE_INFO_LINE_NUM((*lines)[3].line_col), 4u);
  EXPECT_EQ(linfo_idx, (std::vector<u32>{0, 2}));
  EXPECT_TRUE(check_func_info_early(**btf, {}, func_size, 0, nullptr)->empty());
  EXPECT_TRUE(returns_scalar(**btf, {0, FUNC_A}));
  EXPECT_FALSE(returns_scalar(**btf, {0, FUNC_PTR}));
}

/// Bytes that end where readable memory ends, as a caller's address would.
class AtTheEdge {
 public:
  explicit AtTheEdge(const std::vector<u8>& bytes) {
    area_ = static_cast<u8*>(mmap(nullptr, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(area_ + PAGE_SIZE, PAGE_SIZE, PROT_NONE);
    data_ = area_ + PAGE_SIZE - bytes.size();
    std::copy(bytes.begin(), bytes.end(), data_);
  }
  AtTheEdge(const AtTheEdge&) = delete;
  AtTheEdge& operator=(const AtTheEdge&) = delete;
  ~AtTheEdge() { munmap(area_, 2 * PAGE_SIZE); }
  u64 address() const { return reinterpret_cast<uptr>(data_); }

 private:
  u8 *area_, *data_;
};

struct BtfLoad {
  u64 btf, log_buf;
  u32 size, log_size, level, true_size;
};
struct ProgLoad {
  u32 prog_type, insn_cnt;
  u64 insns, license;
  u32 log_level, log_size;
  u64 log_buf;
  u32 kern_version, prog_flags;
  char name[16];
  u32 ifindex, attach_type, btf_fd, func_info_rec_size;
  u64 func_info;
  u32 func_info_cnt, line_info_rec_size;
  u64 line_info;
  u32 line_info_cnt, attach_btf_id;
};
static_assert(sizeof(ProgLoad) == 112);

int load_btf(const std::vector<u8>& bytes) {
  BtfLoad attr{};
  attr.btf = reinterpret_cast<uptr>(bytes.data());
  attr.size = static_cast<u32>(bytes.size());
  return static_cast<int>(syscall(SYS_bpf, 18, &attr, sizeof attr));
}

Answer linux_answer(int btf_fd, const Info& i) {
  const AtTheEdge funcs(i.funcs), lines(i.lines);
  std::string log(1 << 16, '\0');
  ProgLoad attr{};
  attr.prog_type = 1;  // socket filter
  attr.insn_cnt = std::size(PROGRAM);
  attr.insns = reinterpret_cast<uptr>(PROGRAM);
  attr.license = reinterpret_cast<uptr>("GPL");
  attr.log_level = 1;
  attr.log_size = static_cast<u32>(log.size());
  attr.log_buf = reinterpret_cast<uptr>(log.data());
  attr.btf_fd = static_cast<u32>(btf_fd);
  attr.func_info_rec_size = i.func_size;
  attr.func_info = funcs.address();
  attr.func_info_cnt = i.func_cnt;
  attr.line_info_rec_size = i.line_size;
  attr.line_info = lines.address();
  attr.line_info_cnt = i.line_cnt;
  Answer a;
  const long fd = syscall(SYS_bpf, 5, &attr, sizeof attr);
  if (fd < 0)
    a.error = errno;
  else
    close(static_cast<int>(fd));
  a.func_size = attr.func_info_rec_size;
  a.line_size = attr.line_info_rec_size;
  a.log = log.c_str();
  return a;
}

TEST(FuncInfoOracle, Cases) {
  if (const std::string reason = linux_refusal(); !reason.empty()) GTEST_SKIP() << reason;
  const auto btf = Btf::parse(program_btf(), nullptr);
  ASSERT_TRUE(btf.ok());
  const int fd = load_btf(program_btf());
  ASSERT_GE(fd, 0);
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Answer ours = skep_answer(**btf, c.info), theirs = linux_answer(fd, c.info);
    EXPECT_EQ(ours.error, theirs.error) << theirs.log;
    EXPECT_EQ(ours.func_size, theirs.func_size);
    EXPECT_EQ(ours.line_size, theirs.line_size);
    if (ours.error != 0) {
      EXPECT_TRUE(theirs.log.starts_with(ours.log)) << ours.log << " / " << theirs.log;
    }
  }
  close(fd);
}

TEST(FuncInfoOracle, RandomRecords) {
  if (const std::string reason = linux_refusal(); !reason.empty()) GTEST_SKIP() << reason;
  const auto btf = Btf::parse(program_btf(), nullptr);
  ASSERT_TRUE(btf.ok());
  const int fd = load_btf(program_btf());
  ASSERT_GE(fd, 0);
  std::mt19937 random(7);
  const auto below = [&random](u32 n) { return static_cast<u32>(random() % n); };
  int accepted = 0;
  for (int n = 0; n < 4000; ++n) {
    std::vector<bpf_func_info> funcs = FUNCS;
    std::vector<bpf_line_info> lines;
    for (const bpf_line_info& l : LINES)
      if (below(6) != 0) lines.push_back(l);
    if (below(3) == 0) funcs[below(2)] = {below(6), below(10)};
    if (!lines.empty() && below(2) == 0)
      lines[below(static_cast<u32>(lines.size()))] = {below(7), below(NAME_END + 2), below(NAME_END + 2), below(1u << 20)};
    Info i = make(funcs, lines, 8 + 4 * below(3), 16 + 4 * below(3));
    if (below(8) == 0) i.funcs[below(static_cast<u32>(i.funcs.size()))] ^= static_cast<u8>(1u << below(8));
    if (!i.lines.empty() && below(8) == 0) i.lines[below(static_cast<u32>(i.lines.size()))] ^= static_cast<u8>(1u << below(8));
    const Answer ours = skep_answer(**btf, i), theirs = linux_answer(fd, i);
    accepted += ours.error == 0;
    ASSERT_EQ(ours.error, theirs.error) << n << ours.log << " / " << theirs.log;
    ASSERT_EQ(ours.func_size, theirs.func_size);
    ASSERT_EQ(ours.line_size, theirs.line_size);
    ASSERT_TRUE(ours.error == 0 || theirs.log.starts_with(ours.log)) << n << ours.log << " / " << theirs.log;
  }
  EXPECT_GT(accepted, 100);
  close(fd);
}

}  // namespace
}  // namespace skep::test
