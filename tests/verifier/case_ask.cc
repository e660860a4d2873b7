#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "case_btf.h"
#include "case_run.h"

namespace skep::cases {
namespace {

constexpr std::size_t kLogSize = 16u << 20;

/// bpf(2)'s own argument, only as far as it is used here: the machine's header may be older than its kernel.
struct MapCreateAttr {
  __u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
  char map_name[16];
  __u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
};
struct ProgLoadAttr {
  __u32 prog_type, insn_cnt;
  __u64 insns, license;
  __u32 log_level, log_size;
  __u64 log_buf;
  __u32 kern_version, prog_flags;
  char prog_name[16];
  __u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
  __u64 func_info;
  __u32 func_info_cnt, line_info_rec_size;
  __u64 line_info;
  __u32 line_info_cnt, attach_btf_id, attach_prog_fd, core_relo_cnt;
};
struct FuncInfo {
  __u32 insn_off, type_id;
};

template <typename T>
T zeroed() {
  T value;
  std::memset(&value, 0, sizeof value);
  return value;
}

__u64 address(const void* p) { return reinterpret_cast<__u64>(p); }

template <typename T>
long bpf(int cmd, T& attr) {
  return syscall(SYS_bpf, cmd, &attr, sizeof attr);
}

class Fd {
 public:
  explicit Fd(long fd) : fd_(static_cast<int>(fd)) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

class Question {
 public:
  explicit Question(const Case& c) : case_(c) {}

  Answer ask() {
    if (needs_btf(case_) && !load_btf()) return answer_;
    for (std::size_t i = 0; i < case_.maps.size(); i++)
      if (!create_map(i)) return answer_;
    load();
    return std::move(answer_);
  }

 private:
  bool fail(const std::string& what) {
    answer_.setup_problem = what + ": " + std::strerror(errno);
    return false;
  }

  bool load_btf() {
    types_ = make_btf(case_);
    auto attr = zeroed<union bpf_attr>();
    std::string log(65536, '\0');
    attr.btf = address(types_.blob.data());
    attr.btf_size = static_cast<__u32>(types_.blob.size());
    attr.btf_log_buf = address(log.data());
    attr.btf_log_size = static_cast<__u32>(log.size());
    attr.btf_log_level = 1;
    btf_ = Fd(bpf(BPF_BTF_LOAD, attr));
    return btf_ ? true : fail("BPF_BTF_LOAD: " + std::string(log.c_str()));
  }

  bool create_map(std::size_t index) {
    const MapSpec& map = case_.maps[index];
    auto attr = zeroed<MapCreateAttr>();
    attr.map_type = map.kind;
    attr.key_size = map.key_size;
    attr.value_size = map.value_size;
    attr.max_entries = map.entries;
    attr.map_flags = map.flags;
    std::strncpy(attr.map_name, map.name.c_str(), sizeof attr.map_name - 1);
    if (!map.fields.empty()) {
      attr.btf_fd = static_cast<__u32>(btf_.get());
      attr.btf_key_type_id = types_.key_type;
      attr.btf_value_type_id = types_.value_types[index];
    }
    maps_.emplace_back(bpf(BPF_MAP_CREATE, attr));
    return maps_.back() ? true : fail("map " + map.name);
  }

  std::vector<struct bpf_insn> insns_with_maps() const {
    std::vector<struct bpf_insn> insns = case_.text.insns;
    for (const MapUse& use : case_.text.map_uses)
      for (std::size_t i = 0; i < case_.maps.size(); i++)
        if (case_.maps[i].name == use.map) insns[use.insn].imm = maps_[i].get();
    return insns;
  }

  std::vector<FuncInfo> func_info() const {
    std::vector<FuncInfo> out;
    for (std::size_t i = 0; i < case_.funcs.size(); i++) {
      const auto label = case_.text.labels.find(case_.funcs[i].label);
      const std::size_t at = label == case_.text.labels.end() ? 0 : label->second;
      out.push_back({static_cast<__u32>(at), types_.function_types[i]});
    }
    return out;
  }

  void load() {
    const std::vector<struct bpf_insn> insns = insns_with_maps();
    const std::vector<FuncInfo> infos = func_info();
    std::vector<char> log(kLogSize);
    auto attr = zeroed<ProgLoadAttr>();
    attr.prog_type = case_.type;
    attr.expected_attach_type = case_.attach_type;
    attr.insn_cnt = static_cast<__u32>(insns.size());
    attr.insns = address(insns.data());
    attr.license = address(case_.license.c_str());
    attr.prog_flags = case_.flags;
    attr.log_level = case_.level;
    attr.log_size = case_.level == 0 ? 0 : static_cast<__u32>(log.size());
    attr.log_buf = case_.level == 0 ? 0 : address(log.data());
    if (!infos.empty()) {
      attr.prog_btf_fd = static_cast<__u32>(btf_.get());
      attr.func_info_rec_size = sizeof(FuncInfo);
      attr.func_info = address(infos.data());
      attr.func_info_cnt = static_cast<__u32>(infos.size());
    }
    const Fd program(bpf(BPF_PROG_LOAD, attr));
    answer_.load_errno = program ? 0 : errno;
    answer_.log = log.data();
    if (program)
      for (const Run& run : case_.runs) answer_.run_results.push_back(run_once(program, run));
  }

  static std::string run_once(const Fd& program, const Run& run) {
    auto attr = zeroed<union bpf_attr>();
    std::vector<unsigned char> out(run.data.size() + 256);
    attr.test.prog_fd = static_cast<__u32>(program.get());
    attr.test.repeat = 1;
    attr.test.data_in = address(run.data.data());
    attr.test.data_size_in = static_cast<__u32>(run.data.size());
    attr.test.data_out = address(out.data());
    attr.test.data_size_out = static_cast<__u32>(out.size());
    if (bpf(BPF_PROG_TEST_RUN, attr) != 0) return std::strerror(errno);
    return std::to_string(attr.test.retval);
  }

  const Case& case_;
  Answer answer_;
  CaseBtf types_;
  Fd btf_{-1};
  std::vector<Fd> maps_;
};

}  // namespace

Answer ask(const Case& c) { return Question(c).ask(); }

}  // namespace skep::cases
