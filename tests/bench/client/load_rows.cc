// load/NAME: one BPF_PROG_LOAD as its caller sees it (verify, compile), and the close of what it gave.
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>

#include "bpf_calls.h"
#include "rows.h"

namespace skep::bench {
namespace {

/// The last BPF_PROG_LOAD that libbpf made for a program of this name, with what it points to.
struct Captured {
  std::string program;
  bpf_attr attr;
  std::vector<bpf_insn> insns;
  std::vector<char> func_info, line_info;
  std::string license;
};
Captured* g_capture = nullptr;

std::vector<char> bytes_at(std::uint64_t address, std::uint64_t size) {
  const char* p = reinterpret_cast<const char*>(address);
  return p == nullptr ? std::vector<char>() : std::vector<char>(p, p + size);
}

void capture(const bpf_attr& attr) {
  if (g_capture == nullptr || g_capture->program != attr.prog_name) return;
  Captured& c = *g_capture;
  c.attr = attr;
  const auto* insns = reinterpret_cast<const bpf_insn*>(attr.insns);
  c.insns.assign(insns, insns + attr.insn_cnt);
  c.func_info = bytes_at(attr.func_info, std::uint64_t{attr.func_info_cnt} * attr.func_info_rec_size);
  c.line_info = bytes_at(attr.line_info, std::uint64_t{attr.line_info_cnt} * attr.line_info_rec_size);
  c.license = reinterpret_cast<const char*>(attr.license);
}

using Code = std::vector<bpf_insn>;

bpf_insn insn(int code, int dst, int src, int off, int imm) {
  bpf_insn i;
  std::memset(&i, 0, sizeof i);
  i.code = static_cast<__u8>(code);
  i.dst_reg = static_cast<__u8>(dst & 15);
  i.src_reg = static_cast<__u8>(src & 15);
  i.off = static_cast<__s16>(off);
  i.imm = imm;
  return i;
}

/// Two unknown numbers in r7 and r8.
Code beginning() { return {insn(BPF_LDX | BPF_MEM | BPF_W, 7, 1, 0, 0), insn(BPF_LDX | BPF_MEM | BPF_W, 8, 1, 4, 0)}; }
void end(Code* code) {
  code->push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0));
  code->push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

Code straight(int insns) {
  constexpr int OPERATIONS[] = {BPF_ADD, BPF_XOR, BPF_MUL, BPF_OR, BPF_SUB};
  Code code = beginning();
  for (int i = 0; i < insns; ++i) {
    const int width = i % 3 == 0 ? BPF_ALU : BPF_ALU64, dst = 7 + i % 2;
    if (i % 2 == 0)
      code.push_back(insn(width | OPERATIONS[i % 5] | BPF_X, dst, 15 - dst, 0, 0));
    else
      code.push_back(insn(width | OPERATIONS[i % 5] | BPF_K, dst, 0, 0, i));
  }
  end(&code);
  return code;
}

/// Branches on unknown bits that come together again.
Code branches(int count) {
  Code code = beginning();
  for (int i = 0; i < count; ++i) {
    code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0));
    code.push_back(insn(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 1 << i % 31));
    code.push_back(insn(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 2, 0));
    code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_X, 3, 8, 0, 0));
    code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, i));
    code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0));
  }
  end(&code);
  return code;
}

class Load : public Group {
 public:
  explicit Load(const std::string&) {}

  Figures measure(const std::string& operation) override {
    prepare(operation);
    std::vector<double> samples;
    const double stop = now_ns() + 2 * g_effort.total_ns;
    while (static_cast<int>(samples.size()) < g_effort.min_samples || now_ns() < stop) {
      const double start = now_ns();
      once();
      samples.push_back(now_ns() - start);
    }
    return {{"ns", median(std::move(samples))}, {"insns", static_cast<double>(load_.insns.size())}};
  }

  void check() override {
    for (const char* operation : {"two-insns", "straight-4000", "branches-500", "packet", "sha256", "map-lookups"}) {
      prepare(operation);
      once();
      once();
    }
  }

 private:
  void prepare(const std::string& operation) {
    if (operation == prepared_) return;
    prepared_.clear();
    if (operation == "two-insns") {
      generated(straight(0));
    } else if (operation.starts_with("straight-")) {
      generated(straight(std::stoi(operation.substr(9))));
    } else if (operation.starts_with("branches-")) {
      generated(branches(std::stoi(operation.substr(9))));
    } else {
      of_object(operation == "map-lookups" ? "map_ops_8" : operation, operation == "map-lookups" ? "lookup" : "bench");
    }
    prepared_ = operation;
  }

  void generated(Code code) {
    load_ = Captured();
    std::memset(&load_.attr, 0, sizeof load_.attr);
    load_.attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    load_.insns = std::move(code);
    load_.license = "GPL";
  }

  void of_object(const std::string& name, const char* program) {
    load_ = Captured();
    load_.program = program;
    object_ = open_object(name);
    if (bpf_map* map = bpf_object__find_map_by_name(object_.get(), "map"); map != nullptr)
      bpf_map__set_type(map, BPF_MAP_TYPE_HASH);
    g_capture = &load_;
    try {
      load(object_);
    } catch (...) {
      g_capture = nullptr;
      throw;
    }
    g_capture = nullptr;
    if (load_.insns.empty()) throw Wrong("libbpf loaded no program of this name");
  }

  void once() {
    bpf_attr attr = load_.attr;
    attr.insns = reinterpret_cast<std::uint64_t>(load_.insns.data());
    attr.insn_cnt = static_cast<std::uint32_t>(load_.insns.size());
    attr.license = reinterpret_cast<std::uint64_t>(load_.license.c_str());
    if (attr.func_info_cnt != 0) attr.func_info = reinterpret_cast<std::uint64_t>(load_.func_info.data());
    if (attr.line_info_cnt != 0) attr.line_info = reinterpret_cast<std::uint64_t>(load_.line_info.data());
    attr.log_level = attr.log_size = 0;
    attr.log_buf = 0;
    const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (fd < 0) throw Skip(with_errno("BPF_PROG_LOAD", errno));
    close(static_cast<int>(fd));
  }

  std::string prepared_;
  Captured load_;
  Object object_;  ///< the maps and the BTF that load_ names
};

}  // namespace

void add_load_rows(std::vector<GroupSpec>* rows) {
  rows->push_back(
      {"load",
       {"two-insns", "straight-4000", "branches-500", "packet", "sha256", "state_machine", "insertion_sort", "map-lookups"},
       [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<Load>(name); }});
}

}  // namespace skep::bench

/// libbpf's way to bpf(2), and ours: the calls pass through here, so that a load can be made again.
extern "C" long syscall(long number, ...) {
  using Function = long (*)(long, ...);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "syscall"));
  va_list list;
  va_start(list, number);
  long args[6];
  for (long& arg : args) arg = va_arg(list, long);
  va_end(list);
  if (number == SYS_bpf && args[0] == BPF_PROG_LOAD) {
    bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    std::memcpy(&attr, reinterpret_cast<const void*>(args[1]), std::min(sizeof attr, static_cast<std::size_t>(args[2])));
    skep::bench::capture(attr);
  }
  return next(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
