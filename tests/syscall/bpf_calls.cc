#include "bpf_calls.h"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace skep::test {
namespace {

void copy_name(char (&dst)[BPF_OBJ_NAME_LEN], const char* name) {
  for (std::size_t i = 0; i < sizeof dst && name[i] != '\0'; ++i) dst[i] = name[i];
}

long element_call(int cmd, int map, const void* key, const void* value, std::uint64_t flags) {
  union bpf_attr attr = zero_attr();
  attr.map_fd = static_cast<std::uint32_t>(map);
  attr.key = user_ptr(key);
  attr.value = user_ptr(value);
  attr.flags = flags;
  return bpf(cmd, attr);
}

/// "0-3,5" as the numbers in it.
std::vector<int> cpu_list(const std::string& path) {
  std::vector<int> cpus;
  std::istringstream in(read_file(path));
  for (std::string part; std::getline(in, part, ',');) {
    const std::size_t dash = part.find('-');
    const int first = std::atoi(part.c_str());
    const int last = dash == std::string::npos ? first : std::atoi(part.c_str() + dash + 1);
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

template <typename Info>
std::uint32_t id_of(int fd) {
  Info info;
  std::memset(&info, 0, sizeof info);
  std::uint32_t len = sizeof info;
  const long result = obj_get_info(fd, &info, &len);
  EXPECT_THAT(result, SyscallSucceeds());
  return result == 0 ? info.id : 0;
}

}  // namespace

Mode mode() {
  const char* text = std::getenv("SKEP_TEST_MODE");
  return text != nullptr && std::string(text) == "skep" ? Mode::skep : Mode::native;
}

bool drifted() {
  struct utsname name {};
  int major = 0, minor = 0;
  return native() && uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor > 12));
}

long bpf(int cmd, const void* attr, unsigned size) { return syscall(SYS_bpf, cmd, attr, size); }

long perf_event_open(const struct perf_event_attr& attr, int pid, int cpu, int group) {
  return syscall(SYS_perf_event_open, &attr, pid, cpu, group, PERF_FLAG_FD_CLOEXEC);
}

union bpf_attr map_attr(const MapSpec& spec) {
  union bpf_attr attr = zero_attr();
  attr.map_type = spec.type;
  attr.key_size = spec.key_size;
  attr.value_size = spec.value_size;
  attr.max_entries = spec.max_entries;
  attr.map_flags = spec.flags;
  copy_name(attr.map_name, spec.name);
  return attr;
}

long map_create(const MapSpec& spec) {
  union bpf_attr attr = map_attr(spec);
  return bpf(BPF_MAP_CREATE, attr);
}

long map_lookup(int map, const void* key, void* value, std::uint64_t flags) {
  return element_call(BPF_MAP_LOOKUP_ELEM, map, key, value, flags);
}

long map_update(int map, const void* key, const void* value, std::uint64_t flags) {
  return element_call(BPF_MAP_UPDATE_ELEM, map, key, value, flags);
}

long map_delete(int map, const void* key) { return element_call(BPF_MAP_DELETE_ELEM, map, key, nullptr, 0); }

long map_lookup_and_delete(int map, const void* key, void* value, std::uint64_t flags) {
  return element_call(BPF_MAP_LOOKUP_AND_DELETE_ELEM, map, key, value, flags);
}

long map_get_next_key(int map, const void* key, void* next_key) {
  return element_call(BPF_MAP_GET_NEXT_KEY, map, key, next_key, 0);
}

long map_freeze(int map) { return element_call(BPF_MAP_FREEZE, map, nullptr, nullptr, 0); }

long obj_get_info(int fd, void* info, std::uint32_t* info_len) {
  union bpf_attr attr = zero_attr();
  attr.info.bpf_fd = static_cast<std::uint32_t>(fd);
  attr.info.info_len = *info_len;
  attr.info.info = user_ptr(info);
  const long result = bpf(BPF_OBJ_GET_INFO_BY_FD, attr);
  *info_len = attr.info.info_len;
  return result;
}

long obj_pin(int fd, const std::string& path) {
  union bpf_attr attr = zero_attr();
  attr.pathname = user_ptr(path.c_str());
  attr.bpf_fd = static_cast<std::uint32_t>(fd);
  return bpf(BPF_OBJ_PIN, attr);
}

long obj_get(const std::string& path, std::uint32_t file_flags) {
  union bpf_attr attr = zero_attr();
  attr.pathname = user_ptr(path.c_str());
  attr.file_flags = file_flags;
  return bpf(BPF_OBJ_GET, attr);
}

long get_fd_by_id(int cmd, std::uint32_t id, std::uint32_t open_flags) {
  union bpf_attr attr = zero_attr();
  attr.map_id = id;
  attr.open_flags = open_flags;
  return bpf(cmd, attr);
}

long get_next_id(int cmd, std::uint32_t start, std::uint32_t* next) {
  union bpf_attr attr = zero_attr();
  attr.start_id = start;
  const long result = bpf(cmd, attr);
  *next = attr.next_id;
  return result;
}

long prog_bind_map(int prog, int map, std::uint32_t flags) {
  union bpf_attr attr = zero_attr();
  attr.prog_bind_map.prog_fd = static_cast<std::uint32_t>(prog);
  attr.prog_bind_map.map_fd = static_cast<std::uint32_t>(map);
  attr.prog_bind_map.flags = flags;
  return bpf(BPF_PROG_BIND_MAP, attr);
}

long link_create(int prog, int target, std::uint64_t cookie) {
  union bpf_attr attr = zero_attr();
  attr.link_create.prog_fd = static_cast<std::uint32_t>(prog);
  attr.link_create.target_fd = static_cast<std::uint32_t>(target);
  attr.link_create.attach_type = BPF_PERF_EVENT;
  attr.link_create.perf_event.bpf_cookie = cookie;
  return bpf(BPF_LINK_CREATE, attr);
}

union bpf_attr prog_attr(const ProgSpec& spec) {
  union bpf_attr attr = zero_attr();
  attr.prog_type = spec.type;
  attr.insn_cnt = static_cast<std::uint32_t>(spec.insns.size());
  attr.insns = user_ptr(spec.insns.data());
  attr.license = user_ptr(spec.license);
  attr.expected_attach_type = spec.expected_attach_type;
  copy_name(attr.prog_name, spec.name);
  return attr;
}

long prog_load(const ProgSpec& spec) {
  union bpf_attr attr = prog_attr(spec);
  return bpf(BPF_PROG_LOAD, attr);
}

long prog_load(const ProgSpec& spec, std::string* log) {
  std::vector<char> buffer(1 << 16);
  union bpf_attr attr = prog_attr(spec);
  attr.log_level = 1;
  attr.log_size = static_cast<std::uint32_t>(buffer.size());
  attr.log_buf = user_ptr(buffer.data());
  const long result = bpf(BPF_PROG_LOAD, attr);
  const int error = errno;
  log->assign(buffer.data());
  errno = error;
  return result;
}

std::vector<unsigned char> minimal_btf() {
  struct Blob {
    std::uint16_t magic = 0xeb9f;
    std::uint8_t version = 1;
    std::uint8_t flags = 0;
    std::uint32_t hdr_len = 24;
    std::uint32_t type_off = 0, type_len = 16;
    std::uint32_t str_off = 16, str_len = 5;
    std::uint32_t name_off = 1, info = 1u << 24, size = 4, encoding = (1u << 24) | 32;  // a signed 32 bit BTF_KIND_INT
    char strings[5] = {'\0', 'i', 'n', 't', '\0'};
  };
  const Blob blob;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&blob);
  return {bytes, bytes + offsetof(Blob, strings) + sizeof blob.strings};
}

long btf_load(const void* data, std::uint32_t size) {
  union bpf_attr attr = zero_attr();
  attr.btf = user_ptr(data);
  attr.btf_size = size;
  return bpf(BPF_BTF_LOAD, attr);
}

void Fd::reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

bool GuardedBuffer::guards_intact() const {
  const auto is_fill = [](unsigned char byte) { return byte == kFill; };
  return std::all_of(bytes_.begin(), bytes_.begin() + kGuard, is_fill) && std::all_of(bytes_.end() - kGuard, bytes_.end(), is_fill);
}

bool GuardedBuffer::untouched() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](unsigned char byte) { return byte == kFill; });
}

std::uint32_t map_id(int map) { return id_of<struct bpf_map_info>(map); }
std::uint32_t prog_id(int prog) { return id_of<struct bpf_prog_info>(prog); }
std::uint32_t link_id(int link) { return id_of<struct bpf_link_info>(link); }
std::uint32_t btf_id(int btf) { return id_of<struct bpf_btf_info>(btf); }

bool id_exists(int cmd, std::uint32_t id) {
  const Fd fd(get_fd_by_id(cmd, id));
  if (fd.get() >= 0) return true;
  EXPECT_EQ(errno, ENOENT);
  return false;
}

bool eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

unsigned possible_cpus() {
  const std::vector<int> cpus = cpu_list("/sys/devices/system/cpu/possible");
  return cpus.empty() ? 1 : static_cast<unsigned>(cpus.back()) + 1;
}

std::vector<int> online_cpus() { return cpu_list("/sys/devices/system/cpu/online"); }

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string read_link(const std::string& path) {
  char target[4096];
  const ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? std::string() : std::string(target, static_cast<std::size_t>(n));
}

std::string fdinfo(int fd, const std::string& key) {
  std::istringstream in(read_file("/proc/self/fdinfo/" + std::to_string(fd)));
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key + ":\t", 0) == 0) return line.substr(key.size() + 2);
  return {};
}

PinnedToOneCpu::PinnedToOneCpu() : before_(sizeof(cpu_set_t)) {
  auto* before = reinterpret_cast<cpu_set_t*>(before_.data());
  EXPECT_EQ(sched_getaffinity(0, sizeof *before, before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, before)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

PinnedToOneCpu::~PinnedToOneCpu() {
  EXPECT_EQ(sched_setaffinity(0, before_.size(), reinterpret_cast<cpu_set_t*>(before_.data())), 0);
}

bool SyscallResultMatcher::MatchAndExplain(long result, std::ostream* os) const {
  const int error = errno;  // of the call: nothing ran since that sets it
  const bool succeeded = result != -1;
  if (os != nullptr && succeeded) *os << "succeeded with " << result;
  if (os != nullptr && !succeeded) *os << "failed with errno " << error << " (" << std::strerror(error) << ")";
  errno = error;  // gMock asks a second time for the words
  if (succeeded) return errnos_.empty() && result >= 0;
  return std::find(errnos_.begin(), errnos_.end(), error) != errnos_.end();
}

void SyscallResultMatcher::DescribeTo(std::ostream* os) const {
  if (errnos_.empty()) {
    *os << "succeeds";
    return;
  }
  *os << "fails with";
  const char* separator = " ";
  for (const int error : errnos_)
    *os << std::exchange(separator, " or ") << "errno " << error << " (" << std::strerror(error) << ")";
}

void SyscallResultMatcher::DescribeNegationTo(std::ostream* os) const {
  *os << "not: ";
  DescribeTo(os);
}

}  // namespace skep::test
