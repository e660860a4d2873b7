// btf: makes BTF blobs for tests, good ones and broken ones, and asks Linux for its verdict on them.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "btf/btf.h"
#include "btf/seed_test.h"

namespace skep::test {

constexpr u32 info(u32 kind, u32 vlen = 0, bool kflag = false) { return (kflag ? 1u << 31 : 0) | kind << 24 | vlen; }
constexpr u32 int_data(u32 bits, u32 encoding = 0, u32 offset = 0) { return encoding << 24 | offset << 16 | bits; }

/// Types and strings in order of calls; ids count from 1.
class Blob {
 public:
  u32 str(std::string_view s) {
    const u32 off = static_cast<u32>(strings_.size());
    strings_.append(s).push_back('\0');
    return off;
  }
  /// Appends one type and the words behind it; returns its id.
  u32 type(u32 name_off, u32 type_info, u32 size_or_type, std::initializer_list<u32> tail = {}) {
    words_.insert(words_.end(), {name_off, type_info, size_or_type});
    words_.insert(words_.end(), tail);
    return ++nr_types_;
  }
  void word(u32 w) { words_.push_back(w); }
  u32 int_type(std::string_view name = "int", u32 size = 4, u32 bits = 32, u32 encoding = 0, u32 offset = 0) {
    return type(str(name), info(BTF_KIND_INT), size, {int_data(bits, encoding, offset)});
  }
  u32 ref(u32 kind, u32 to, std::string_view name = {}) { return type(name.empty() ? 0 : str(name), info(kind), to); }
  u32 ptr(u32 to) { return ref(BTF_KIND_PTR, to); }
  u32 array(u32 elem, u32 index, u32 nelems) { return type(0, info(BTF_KIND_ARRAY), 0, {elem, index, nelems}); }

  btf_header header() const {
    const u32 len = static_cast<u32>(words_.size() * 4);
    return {BTF_MAGIC, BTF_VERSION, 0, sizeof(btf_header), 0, len, len, static_cast<u32>(strings_.size())};
  }
  std::vector<u8> bytes() const { return bytes(header()); }
  /// With another header, and zero bytes up to hdr_len.
  std::vector<u8> bytes(const btf_header& h) const {
    const std::size_t types_at = std::max<std::size_t>(h.hdr_len, sizeof h), strings_at = types_at + words_.size() * 4;
    std::vector<u8> out(strings_at + strings_.size(), 0);
    std::memcpy(out.data(), &h, sizeof h);
    if (!words_.empty()) std::memcpy(out.data() + types_at, words_.data(), words_.size() * 4);
    std::memcpy(out.data() + strings_at, strings_.data(), strings_.size());
    return out;
  }

 private:
  std::vector<u32> words_;
  std::string strings_ = std::string(1, '\0');
  u32 nr_types_ = 0;
};

inline std::vector<u8> clang_seed() { return {std::begin(CLANG_SEED), std::end(CLANG_SEED)}; }

struct Verdict {
  int error = 0;  // 0: accepted
  std::string log;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

inline Verdict skep_verdict(std::span<const u8> data, const KernelTypes* kernel = nullptr) {
  BtfLog log;
  const auto btf = Btf::parse(data, &log, kernel);
  return {btf.ok() ? 0 : btf.error().value(), log.text()};
}

/// bpf(BPF_BTF_LOAD) of the machine. The log is kept from its beginning on (BPF_LOG_FIXED), `log_size` bytes of it; 0 for none.
inline Verdict linux_verdict(std::span<const u8> data, u32 log_size = 1u << 16) {
  struct {
    u64 btf, log_buf;
    u32 size, log_size, level, true_size;
  } attr = {};
  static_assert(sizeof attr == 32);
  std::string log(log_size, '\0');
  attr.btf = reinterpret_cast<uptr>(data.data());
  attr.size = static_cast<u32>(data.size());
  if (log_size != 0) {
    attr.log_buf = reinterpret_cast<uptr>(log.data());
    attr.log_size = log_size;
    attr.level = 1 | 8;
  }
  constexpr int BTF_LOAD = 18;
  const long fd = syscall(SYS_bpf, BTF_LOAD, &attr, sizeof attr);
  Verdict v;
  if (fd < 0)
    v.error = errno;
  else
    close(static_cast<int>(fd));
  v.log = log.c_str();
  return v;
}

/// Empty when the machine's bpf(2) answers, else the reason for a skip.
inline std::string linux_refusal() {
  Blob b;
  b.int_type();
  const Verdict v = linux_verdict(b.bytes());
  return v.error == 0 ? "" : std::string("bpf(BPF_BTF_LOAD) of this machine: ") + std::strerror(v.error);
}

inline std::vector<u8> file_bytes(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A kernel that has a task_struct with a destructor and a file without one.
struct FakeKernel {
  FakeKernel() {
    Blob b;
    for (const char* name : {"task_struct", "file"}) b.type(b.str(name), info(BTF_KIND_STRUCT), 64);
    auto btf = Btf::parse(b.bytes(), nullptr);
    if (btf.ok()) vmlinux = std::move(*btf);
    types = {vmlinux.get(), WITH_DTOR};
  }
  static constexpr std::string_view WITH_DTOR[] = {"task_struct"};
  std::unique_ptr<Btf> vmlinux;
  KernelTypes types;
};

/// The types of the machine's kernel, for kptr targets; vmlinux is null where there are none.
struct MachineTypes {
  std::unique_ptr<Btf> vmlinux;
  KernelTypes types;
};
/// Kernels after 6.12 mark attributes with kind_flag on tags, which 6.12 refuses: clears it, so that names can be looked up.
inline void clear_tag_kflags(std::vector<u8>& blob) {
  static constexpr u32 TAIL[NR_BTF_KINDS] = {0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 4, 0, 0};
  static constexpr u32 PER_VLEN[NR_BTF_KINDS] = {0, 0, 0, 0, 12, 12, 8, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 0, 0, 12};
  btf_header h;
  if (blob.size() < sizeof h) return;
  std::memcpy(&h, blob.data(), sizeof h);
  const std::size_t end = h.hdr_len + h.type_off + h.type_len;
  for (std::size_t at = h.hdr_len + h.type_off; at + sizeof(btf_type) <= end;) {
    btf_type t;
    std::memcpy(&t, blob.data() + at, sizeof t);
    const u32 kind = BTF_INFO_KIND(t.info);
    if (kind == BTF_KIND_TYPE_TAG || kind == BTF_KIND_DECL_TAG) t.info &= ~(1u << 31);
    std::memcpy(blob.data() + at, &t, sizeof t);
    if (kind >= NR_BTF_KINDS) return;
    at += sizeof t + TAIL[kind] + PER_VLEN[kind] * BTF_INFO_VLEN(t.info);
  }
}
inline MachineTypes machine_types() {
  static constexpr std::string_view WITH_DTOR[] = {"task_struct", "cgroup", "bpf_cpumask", "bpf_crypto_ctx"};
  MachineTypes out;
  std::vector<u8> blob = file_bytes("/sys/kernel/btf/vmlinux");
  clear_tag_kflags(blob);
  auto btf = Btf::parse(blob, nullptr);
  if (btf.ok()) out.vmlinux = std::move(*btf);
  out.types = {out.vmlinux.get(), WITH_DTOR};
  return out;
}

}  // namespace skep::test
