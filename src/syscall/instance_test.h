// syscall: for tests: bpf(2) without host, sockets or agent, for a caller that is this very process.
#pragma once
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "syscall/dispatch.h"

namespace skep {

/// The caller is this very process.
class LocalMemory : public UserMemory {
 public:
  /// As another process reads it: what is not there is EFAULT, and a sanitizer has nothing to say about whole pages.
  Status read(void* dst, u64 addr, u64 len) override {
    const iovec to{dst, len}, from{reinterpret_cast<void*>(addr), len};
    if (len != 0 && process_vm_readv(getpid(), &to, 1, &from, 1, 0) != static_cast<ssize_t>(len)) return Errno(EFAULT);
    return ok_status();
  }
  Result<std::string> read_string(u64 addr, u64 max) override {
    if (addr == 0) return Errno(EFAULT);
    const auto* s = reinterpret_cast<const char*>(addr);
    const std::size_t n = strnlen(s, max);
    if (n == max) return Errno(E2BIG);
    return std::string(s, n);
  }
  Status write(u64 addr, const void* src, u64 len) override {
    if (addr == 0 && len != 0) return Errno(EFAULT);
    std::memcpy(reinterpret_cast<void*>(addr), src, len);
    return ok_status();
  }
};

/// One private bpf(2) with an fd table of its own.
class Instance : public FdTable {
 public:
  Instance() : kernel_(std::move(WindowHost::create(2)).value()), pins_("") {}
  Result<FdIdentity> identify(s32 fd) override {
    if (fd < 3 || static_cast<std::size_t>(fd) >= files_.size() + 3 || files_[static_cast<std::size_t>(fd) - 3] == nullptr) return Errno(EBADF);
    return FdIdentity{0, files_[static_cast<std::size_t>(fd) - 3]->ino, 0};
  }
  s64 bpf(u32 cmd, bpf_attr& attr, u32 size = sizeof(bpf_attr)) {
    return with([&](CallContext& ctx) { return skep_bpf(ctx, cmd, reinterpret_cast<u64>(&attr), size); });
  }
  template <typename F>
  s64 with(F&& call) {
    LocalMemory mem;
    RunSlot* slot = slot_acquire_client(kernel_.window().view(), kernel_.host_owner(), 0);
    CallContext ctx{kernel_, Credentials{1, 0, 0}, mem, *this, pins_, OpCtx{kernel_.window().view(), slot, 0}, nullptr};
    s64 rc = call(ctx);
    slot_release(slot);
    if (rc < 0 || ctx.new_file == nullptr) return rc;
    ctx.new_file->ino = 100 + files_.size();
    kernel_.files[ctx.new_file->ino] = ctx.new_file;
    files_.push_back(ctx.new_file);
    return static_cast<s64>(files_.size()) + 2;
  }
  void close(s64 fd) {
    auto& f = files_[static_cast<std::size_t>(fd) - 3];
    const u64 ino = f->ino;
    f = nullptr;
    kernel_.file_released(ino);
  }
  s64 create_hash(const char* name, u32 entries = 4) {
    bpf_attr a{};
    a.map_create.map_type = BPF_MAP_TYPE_HASH;
    a.map_create.key_size = a.map_create.value_size = 4;
    a.map_create.max_entries = entries;
    std::strcpy(a.map_create.map_name, name);
    return bpf(BPF_MAP_CREATE, a);
  }
  s64 elem(u32 cmd, s64 map, u32* key, u32* value, u64 flags = 0) {
    bpf_attr a{};
    a.elem.map_fd = static_cast<u32>(map);
    a.elem.key = reinterpret_cast<u64>(key);
    a.elem.value = reinterpret_cast<u64>(value);
    a.elem.flags = flags;
    return bpf(cmd, a);
  }
  s64 load(std::vector<bpf_insn> insns, u32 type = BPF_PROG_TYPE_TRACEPOINT, u32 attach_type = 0, u32 btf_id = 0) {
    bpf_attr a{};
    a.prog_load.prog_type = type;
    a.prog_load.expected_attach_type = attach_type;
    a.prog_load.attach_btf_id = btf_id;
    a.prog_load.insn_cnt = static_cast<u32>(insns.size());
    a.prog_load.insns = reinterpret_cast<u64>(insns.data());
    a.prog_load.license = reinterpret_cast<u64>("GPL");
    return bpf(BPF_PROG_LOAD, a);
  }
  Kernel& kernel() { return kernel_; }

 private:
  Kernel kernel_;
  PinStore pins_;
  std::vector<std::shared_ptr<File>> files_;
};

inline bpf_insn mov0() { return bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}; }
inline bpf_insn exit_insn() { return bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0}; }

}  // namespace skep
