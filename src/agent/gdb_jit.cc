// agent: GDB's JIT interface: a list of ELF images of what was compiled, and a function in which a debugger stops to look at it.
// Source: GDB's manual, "JIT Compilation Interface". Only in sessions that were asked for it.
//
// The images are the host's and stand in ROM; the list is this process's own, since it is to say what the debugger has been told here, event
// by event: one that comes later reads the list instead. It moves on where a process looks for new rings, before it runs any program that may
// have come with them.
//
// Both names are hidden: gdb finds them in the symbol table. Other libraries (LLVM, Mono) have symbols of the same names, which they must
// not find here first.
#include "agent/agent.h"
#include "base/atomic.h"

extern "C" {
struct JitCodeEntry {
  JitCodeEntry *next, *prev;
  skep::u64 image, size;
};
enum JitAction : skep::u32 { JIT_NOACTION = 0, JIT_REGISTER = 1, JIT_UNREGISTER = 2 };
struct JitDescriptor {
  skep::u32 version;
  JitAction action;
  JitCodeEntry *relevant, *first;
};

[[gnu::visibility("hidden"), gnu::used]] constinit JitDescriptor __jit_debug_descriptor{1, JIT_NOACTION, nullptr, nullptr};
/// Debuggers have a breakpoint here.
[[gnu::visibility("hidden"), gnu::used, gnu::noinline]] void __jit_debug_register_code() { asm volatile("" ::: "memory"); }
}

namespace skep::agent {
namespace {

/// What the debugger has been told, by the number of ShownCode's entry.
JitCodeEntry told[MAX_SHOWN_CODE];
u64 told_serial[MAX_SHOWN_CODE];

void tell(JitAction action, JitCodeEntry* entry) {
  __jit_debug_descriptor.relevant = entry;
  __jit_debug_descriptor.action = action;
  __jit_debug_register_code();
  __jit_debug_descriptor.action = JIT_NOACTION;
}

void code_came(u32 i, const ShownCode::Entry& e, u64 serial) {
  JitCodeEntry* const entry = &told[i];
  *entry = {__jit_debug_descriptor.first, nullptr, load_relaxed(&e.image), load_relaxed(&e.size)};
  // The host has changed it meanwhile: the generation has moved, so it is looked at again.
  if (load_acquire(&e.serial) != serial) return;
  told_serial[i] = serial;
  if (entry->next != nullptr) entry->next->prev = entry;
  __jit_debug_descriptor.first = entry;
  tell(JIT_REGISTER, entry);
}

void code_went(u32 i) {
  JitCodeEntry* const entry = &told[i];
  told_serial[i] = 0;
  (entry->prev != nullptr ? entry->prev->next : __jit_debug_descriptor.first) = entry->next;
  if (entry->next != nullptr) entry->next->prev = entry->prev;
  tell(JIT_UNREGISTER, entry);
}

}  // namespace

bool tell_debugger() {
  const ShownCode* code = session.window.rom->shown_code;
  if (code == nullptr) return true;
  // A vfork child has its parent's list, and no debugger of the parent's would hear of it.
  if (in_vfork_child() || exchange(&process->telling, 1u) != 0) return false;
  const u32 used = load_acquire(&code->used);
  const u32 n = used < MAX_SHOWN_CODE ? used : MAX_SHOWN_CODE;
  // First what went: other code may stand in its place.
  for (u32 i = 0; i < n; ++i)
    if (told_serial[i] != 0 && load_acquire(&code->entries[i].serial) != told_serial[i]) code_went(i);
  for (u32 i = 0; i < n; ++i)
    if (const u64 serial = load_acquire(&code->entries[i].serial); serial != 0 && told_serial[i] == 0) code_came(i, code->entries[i], serial);
  store_release(&process->telling, 0u);
  return true;
}

}  // namespace skep::agent
