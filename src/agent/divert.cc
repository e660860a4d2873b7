#include "agent/divert.h"

#include "agent/agent.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

// What ld.so shows of itself and its list of objects. Source: <link.h>
struct LinkMap {
  u64 addr;
  const char* name;
  void* dynamic;
  LinkMap* next;
};
struct RDebug {
  s32 version;  ///< above 1: there are other namespaces, with lists of their own
  LinkMap* map;
  u64 brk;  ///< a function that debuggers stop at
};
extern "C" RDebug _r_debug __attribute__((weak));

bool same_build(u64 base, const WirePatched& copy) {
  const auto* ehdr = reinterpret_cast<const u8*>(base);
  u64 phoff;
  u16 phnum;
  copy_bytes(&phoff, ehdr + 32, 8);
  copy_bytes(&phnum, ehdr + 56, 2);
  for (u32 i = 0; i < phnum; ++i) {
    const u8* ph = ehdr + phoff + i * 56u;
    u32 type;
    u64 vaddr, size;
    copy_bytes(&type, ph, 4);
    copy_bytes(&vaddr, ph + 16, 8);
    copy_bytes(&size, ph + 40, 8);
    if (type != 4 /* PT_NOTE */) continue;
    for (u64 at = 0; at + 12 <= size;) {
      u32 head[3];  // name size, desc size, type
      copy_bytes(head, reinterpret_cast<const u8*>(base) + vaddr + at, sizeof head);
      const u8* name = reinterpret_cast<const u8*>(base) + vaddr + at + 12;
      const u8* desc = name + round_up(u64{head[0]}, 4);
      if (head[2] == 3 && head[0] == 4 && name[0] == 'G' && head[1] == copy.build_id_len)
        return equal_bytes(desc, copy.build_id, copy.build_id_len);
      at += 12 + round_up(u64{head[0]}, 4) + round_up(u64{head[1]}, 4);
    }
  }
  return false;
}

u64 find_libc() {
  if (&_r_debug == nullptr) return 0;
  for (const LinkMap* m = _r_debug.map; m != nullptr; m = m->next) {
    const u64 n = length_of(m->name);
    if (n >= 9 && same(m->name + n - 9, "libc.so.6")) return m->addr;
  }
  return 0;
}

/// All or nothing: the jumps come last. The text may be replaced under functions that wait for a call of theirs to return (ld.so's,
/// which called us): its bytes differ only at sites, and no call is ever moved, so no return address lies inside one.
bool divert(u64 base, const WirePatched& copy, s32 image) {
  const u64 stubs = base + static_cast<u64>(copy.stub_delta), slots = base + copy.slot_page, text = base + copy.text_vaddr;
  constexpr u64 PRIVATE = 2, PRIVATE_ANON_POPULATE = 0x8022;  // the slot is written at once
  if (copy.stubs_size != 0 && !map_at(stubs, copy.stubs_size, 5 /* READ | EXEC */, PRIVATE, image, copy.stubs_file_offset)) return false;
  if (!map_at(slots, PAGE_SIZE, 3, PRIVATE_ANON_POPULATE, -1, 0)) {
    if (copy.stubs_size != 0) sys(NR_munmap, stubs, copy.stubs_size);
    return false;
  }
  *reinterpret_cast<u64*>(slots) = reinterpret_cast<u64>(&skep_trap_entry);
  sys(NR_mprotect, slots, PAGE_SIZE, 1);
  return static_cast<u64>(sys(NR_mmap, text, copy.text_size, 5, 0x12 /* PRIVATE | FIXED */, image, copy.text_file_offset)) == text;
}

bool is_debugged(u64 base, const WirePatched& copy) {
  constexpr u8 INT3 = 0xcc;
  bool found = _r_debug.brk != 0 && *reinterpret_cast<const volatile u8*>(_r_debug.brk) == INT3;
  for (u32 i = 0; i < copy.n_stops; ++i) found |= *reinterpret_cast<const volatile u8*>(base + copy.stops[i]) == INT3;
  return found;
}

}  // namespace

bool divert_libc(const WirePatched& copy, s32 image) {
  const u64 base = find_libc();
  return base != 0 && copy.text_size != 0 && same_build(base, copy) && divert(base, copy, image);
}

void divert_loader(u64 base, const WirePatched& copy, s32 image) {
  if (copy.text_size == 0) return;  // the host has told doctor
  if (base == 0)  // it was started as a program, and its heap may begin right behind it
    note("dlopen's system calls are not seen in a process that was started through ld.so");
  else if (!same_build(base, copy))
    note("dlopen's system calls are not seen in a process whose ld.so is not the one this session knows");
  else if (_r_debug.version > 1)  // an auditor's threads may be in ld.so
    note("dlopen's system calls are not seen in a process with auditors (LD_AUDIT)");
  else if (is_debugged(base, copy))  // our copy would not have its breakpoints
    note("dlopen's system calls are not seen in a process that a debugger watches from its start");
  else if (!divert(base, copy, image))
    note("dlopen's system calls are not seen in a process whose memory leaves no room for stubs");
}

}  // namespace skep::agent
