// tests/syscall: what every test of the suite needs to talk to bpf(2) and to judge the answer.
//
// The suite speaks the Linux ABI and nothing else: the same binary runs on Linux and under skep, and Linux is the oracle. Nothing
// of src/ is included here. The ABI is pinned to 6.12; where the machine's own kernel is newer and answers otherwise, the test says
// `drift:`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace skep::test {

/// Internal to the kernel, yet bpf(2) lets it out to user space.
constexpr int kENOTSUPP = 524;

// ---- where we run
// -------------------------------------------------------------------------------------------------------------------

enum class Mode { native, skep };

/// From SKEP_TEST_MODE; native when it is not set.
Mode mode();
inline bool native() { return mode() == Mode::native; }
/// True natively on a kernel above 6.12: the only place where another answer than 6.12's may be drift.
bool drifted();

/// Empty when bpf(2) answers, else why not. Only meaningful natively: under skep a refusal is a failure.
const std::string& bpf_refusal();
/// A directory on a bpffs, made for this run; empty with the reason in `why` when there is none.
const std::string& bpffs_dir(std::string* why);
/// Root of a tracefs, or empty with the reason in `why`.
const std::string& tracefs_dir(std::string* why);

/// Natively skips the test when `missing` is not empty; under skep that is a failure.
#define SKEP_NEEDS(missing)                                                \
  do {                                                                     \
    const std::string skep_missing_ = (missing);                           \
    if (!skep_missing_.empty()) {                                          \
      if (::skep::test::native()) GTEST_SKIP() << skep_missing_;           \
      FAIL() << "not allowed to be missing under skep: " << skep_missing_; \
    }                                                                      \
  } while (false)

// ---- calls
// --------------------------------------------------------------------------------------------------------------------------

/// bpf(2) as it is: the result, and errno when that is -1.
long bpf(int cmd, const void* attr, unsigned size);
inline long bpf(int cmd, union bpf_attr& attr) { return bpf(cmd, &attr, sizeof attr); }

/// perf_event_open(2) with PERF_FLAG_FD_CLOEXEC.
long perf_event_open(const struct perf_event_attr& attr, int pid, int cpu, int group = -1);

/// All bytes zero, padding included: bpf(2) looks at the padding too.
inline union bpf_attr zero_attr() {
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  return attr;
}

inline std::uint64_t user_ptr(const void* p) { return reinterpret_cast<std::uint64_t>(p); }

/// An address nothing is ever mapped at.
inline void* bad_pointer() { return reinterpret_cast<void*>(std::uintptr_t{8}); }

struct MapSpec {
  std::uint32_t type = BPF_MAP_TYPE_HASH;
  std::uint32_t key_size = 4;
  std::uint32_t value_size = 8;
  std::uint32_t max_entries = 4;
  std::uint32_t flags = 0;
  const char* name = "";
};
union bpf_attr map_attr(const MapSpec& spec);
long map_create(const MapSpec& spec);
long map_lookup(int map, const void* key, void* value, std::uint64_t flags = 0);
long map_update(int map, const void* key, const void* value, std::uint64_t flags = BPF_ANY);
long map_delete(int map, const void* key);
long map_lookup_and_delete(int map, const void* key, void* value, std::uint64_t flags = 0);
long map_get_next_key(int map, const void* key, void* next_key);
long map_freeze(int map);
long obj_get_info(int fd, void* info, std::uint32_t* info_len);
long obj_pin(int fd, const std::string& path);
long obj_get(const std::string& path, std::uint32_t file_flags = 0);
/// cmd is one of BPF_{PROG,MAP,BTF,LINK}_GET_FD_BY_ID.
long get_fd_by_id(int cmd, std::uint32_t id, std::uint32_t open_flags = 0);
/// cmd is one of BPF_{PROG,MAP,BTF,LINK}_GET_NEXT_ID.
long get_next_id(int cmd, std::uint32_t start, std::uint32_t* next);
long prog_bind_map(int prog, int map, std::uint32_t flags = 0);
long link_create(int prog, int target, std::uint64_t cookie = 0);

struct ProgSpec {
  std::uint32_t type = BPF_PROG_TYPE_SOCKET_FILTER;
  std::vector<struct bpf_insn> insns;
  const char* license = "GPL";
  const char* name = "";
  std::uint32_t expected_attach_type = 0;
};
/// The attr points into `spec`, which must outlive it.
union bpf_attr prog_attr(const ProgSpec& spec);
long prog_load(const ProgSpec& spec);
/// Loads with log_level 1 and puts the verifier's words into `log`.
long prog_load(const ProgSpec& spec, std::string* log);

/// The smallest BTF worth loading: one `int`.
std::vector<unsigned char> minimal_btf();
long btf_load(const void* data, std::uint32_t size);

// ---- owners
// -------------------------------------------------------------------------------------------------------------------------

/// Owns one file descriptor. Made from a raw result, errno untouched, so that ASSERT_THAT(fd.get(), SyscallSucceeds()) explains.
class Fd {
 public:
  Fd() = default;
  explicit Fd(long fd) : fd_(static_cast<int>(fd)) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

/// Owns one mapping. result() is mmap's own answer as a number, -1 on failure.
class Mapping {
 public:
  Mapping() = default;
  Mapping(int fd, std::uint64_t offset, std::size_t size, int prot, int flags = MAP_SHARED)
      : address_(mmap(nullptr, size, prot, flags, fd, static_cast<off_t>(offset))), size_(size) {}
  Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, MAP_FAILED)), size_(other.size_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      address_ = std::exchange(other.address_, MAP_FAILED);
      size_ = other.size_;
    }
    return *this;
  }
  ~Mapping() { reset(); }
  long result() const { return reinterpret_cast<long>(address_); }
  unsigned char* bytes() const { return static_cast<unsigned char*>(address_); }
  void reset() {
    if (address_ != MAP_FAILED) munmap(std::exchange(address_, MAP_FAILED), size_);
  }

 private:
  void* address_ = MAP_FAILED;
  std::size_t size_ = 0;
};

/// A buffer the kernel writes to, with guard bytes on both sides. A touched guard fails the test when the buffer dies.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::size_t size) : bytes_(size + 2 * kGuard, kFill) {}
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  ~GuardedBuffer() { EXPECT_TRUE(guards_intact()) << "bytes beside a " << size() << " byte buffer were written"; }
  unsigned char* data() { return bytes_.data() + kGuard; }
  std::size_t size() const { return bytes_.size() - 2 * kGuard; }
  bool guards_intact() const;
  /// True when nobody wrote to the buffer itself either.
  bool untouched() const;
  template <typename T>
  T read(std::size_t offset = 0) {
    T value;
    std::memcpy(&value, data() + offset, sizeof value);
    return value;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kFill = 0xa5;
  std::vector<unsigned char> bytes_;
};

/// One T the kernel writes to, zeroed, with guard bytes on both sides.
template <typename T>
class Guarded {
 public:
  Guarded() : buffer_(sizeof(T)) { std::memset(buffer_.data(), 0, sizeof(T)); }
  T* operator->() { return get(); }
  T& operator*() { return *get(); }
  T* get() { return reinterpret_cast<T*>(buffer_.data()); }

 private:
  GuardedBuffer buffer_;  // the guard keeps malloc's alignment
};

// ---- facts
// --------------------------------------------------------------------------------------------------------------------------

std::uint32_t map_id(int map);
std::uint32_t prog_id(int prog);
std::uint32_t link_id(int link);
std::uint32_t btf_id(int btf);
/// True while the id can be turned into an fd (which is closed again). cmd as for get_fd_by_id.
bool id_exists(int cmd, std::uint32_t id);
/// Waits until `done` holds, at most ten seconds. For what Linux finishes in its own time (RCU, work queues); nothing can be
/// awaited there.
bool eventually(const std::function<bool()>& done);
inline bool id_vanishes(int cmd, std::uint32_t id) {
  return eventually([=] { return !id_exists(cmd, id); });
}

unsigned possible_cpus();
std::vector<int> online_cpus();
std::string read_file(const std::string& path);
std::string read_link(const std::string& path);
/// The value of "key:\tvalue" in /proc/self/fdinfo/FD, or "" when the key is not there.
std::string fdinfo(int fd, const std::string& key);

/// Runs the calling thread on one CPU while it lives.
class PinnedToOneCpu {
 public:
  PinnedToOneCpu();
  ~PinnedToOneCpu();

 private:
  std::vector<unsigned char> before_;
};

// ---- matchers
// -----------------------------------------------------------------------------------------------------------------------

class SyscallResultMatcher {
 public:
  using is_gtest_matcher = void;
  /// expected 0: success; else any of the errnos.
  explicit SyscallResultMatcher(std::vector<int> errnos) : errnos_(std::move(errnos)) {}
  bool MatchAndExplain(long result, std::ostream* os) const;
  void DescribeTo(std::ostream* os) const;
  void DescribeNegationTo(std::ostream* os) const;

 private:
  std::vector<int> errnos_;
};

inline testing::Matcher<long> SyscallSucceeds() { return SyscallResultMatcher({}); }
inline testing::Matcher<long> SyscallFailsWithErrno(int error) { return SyscallResultMatcher({error}); }
/// drift: 6.12's answer, and on a newer kernel also that kernel's.
inline testing::Matcher<long> SyscallFailsWithErrnoOrDrift(int error, int newer_error) {
  return drifted() ? SyscallResultMatcher({error, newer_error}) : SyscallResultMatcher({error});
}

// ---- fixtures
// -----------------------------------------------------------------------------------------------------------------------

/// Base of every fixture: bpf(2) must answer.
class BpfTest : public testing::Test {
 protected:
  void SetUp() override { SKEP_NEEDS(bpf_refusal()); }
};

}  // namespace skep::test
