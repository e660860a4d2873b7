// tests/bench: the same bpf(2) call made to the machine's kernel and to a skep of our own, so that a program can be loaded by both
// with the same maps and types. One thread.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "isa/asm_test.h"
#include "syscall/dispatch.h"
#include "verifier/verifier.h"

namespace skep::bench {

/// A program with all that comes along, and nothing that ends with the call that brought it.
struct LoadedProgram {
  std::string name;
  bpf_attr attr;  ///< pointers and fds are put in by arguments()
  std::vector<bpf_insn> insns;
  std::vector<u8> func_info, line_info;
  std::string license = "GPL";
};

class TwoKernels : public FdTable {
 public:
  /// with_linux: the machine's bpf(2) answers. Else the other one is asked alone.
  explicit TwoKernels(bool with_linux);
  ~TwoKernels() override;

  bool with_linux() const { return with_linux_; }
  /// What libbpf calls: answers the machine's kernel, and does the same to ours if that went well. Programs are kept, not loaded
  /// here.
  long call(u32 cmd, bpf_attr* attr, u32 size);
  s32 make_map(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 flags = 0);
  s32 load_btf(const std::vector<u8>& bytes);
  /// Programs that call() was asked to load, since the last time.
  std::vector<LoadedProgram> take_loads() { return std::move(loads_); }
  void close_all();

  /// BPF_PROG_LOAD by one side, to the end: the program is gone again. 0 or -errno.
  int load_on_linux(const LoadedProgram& p, u32 log_level, char* log, u32 log_size);
  int load_on_skep(const LoadedProgram& p);
  /// What our PROG_LOAD hands to verify(). Valid until close_all().
  VerifierInput verifier_input(const LoadedProgram& p);

  Result<FdIdentity> identify(s32 fd) override;

 private:
  s64 skep_call(u32 cmd, bpf_attr& attr);
  void skep_close(s32 fd);
  void mirror_new(u32 cmd, const bpf_attr& attr, s32 fd);
  void mirror_contents(u32 cmd, const bpf_attr& attr);
  void keep_load(const bpf_attr& attr);
  bpf_attr arguments(const LoadedProgram& p) const;
  void add_facts(s32 fd);

  bool with_linux_;
  Kernel kernel_;
  PinStore pins_;
  std::unique_ptr<Btf> machine_btf_;            ///< /sys/kernel/btf/vmlinux: ids of programs made for this machine are ids in there
  std::map<s32, std::shared_ptr<File>> files_;  ///< of ours, by the number that the machine's has
  std::map<s32, VerifierMap> facts_;
  std::vector<LoadedProgram> loads_;
  s32 next_fd_ = 1000;  ///< numbers of our files that no kernel gave
  s32 installing_ = -1;
  u64 next_ino_ = 100;
};

/// The one that libbpf's calls go to; null: none is meant.
inline TwoKernels* g_libbpf_target = nullptr;

/// Loads each program of an object file through g_libbpf_target. Answers how many libbpf could prepare.
u32 load_object(const char* path);

}  // namespace skep::bench
