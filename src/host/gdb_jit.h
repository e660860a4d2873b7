// host: what gdb is shown of compiled programs: their names, and how to unwind through them.
#pragma once
#include <memory>
#include <vector>

#include "jit/unwind.h"
#include "objects/objects.h"

namespace skep {

/// A program's functions in its code, as names and unwind rows.
std::vector<ShownFunction> shown_functions(const WindowHost& window, const Prog& prog);

/// Makes an image (jit/unwind.h) of each program's code and lists it in ROM, where the agents look (agent/gdb_jit.cc).
class GdbJit {
 public:
  /// Nothing is shown, nothing costs anything.
  GdbJit() = default;
  /// REQUIRES: no process has the window yet. ENOMEM.
  Status open(Kernel& kernel);
  /// Of a program that was just loaded.
  void add_program(const std::shared_ptr<Prog>& prog);
  /// Takes programs that are gone off the list. To be called before their code's place can be another's: before the next load.
  void drop_dead();

 private:
  u32 free_entry();
  /// The image that stood there stays until now: a debugger may have been reading it.
  Status show(u32 entry, const std::vector<u8>& image);
  void tell_all();

  Kernel* kernel_ = nullptr;
  ShownCode* shown_ = nullptr;
  std::vector<std::weak_ptr<Prog>> progs_;  ///< of ShownCode's entries
  u64 serial_ = 0;
  u32 last_ = 0;  ///< entry that was filled last
};

}  // namespace skep
