// agent: the kernel's clock without a system call: __vdso_clock_gettime() of the image that the kernel maps into each process. Linux
// builds it with the kernel's own flags, general registers only. Others that serve Linux programs need not: so it must say that it is
// Linux's. Source: arch/x86/entry/vdso/note.S, vdso(7)
#include "agent/vdso.h"

#include "agent/sys.h"
#include "agent/text.h"

namespace skep::agent {
namespace {

constexpr u64 AT_NULL_ = 0, AT_SYSINFO_EHDR_ = 33;
constexpr u32 PT_LOAD_ = 1, PT_DYNAMIC_ = 2, PT_NOTE_ = 4;
constexpr u64 DT_HASH_ = 4, DT_STRTAB_ = 5, DT_SYMTAB_ = 6;

struct Ehdr {
  u8 ident[16];
  u16 type, machine;
  u32 version;
  u64 entry, phoff, shoff;
  u32 flags;
  u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct Phdr {
  u32 type, flags;
  u64 offset, vaddr, paddr, filesz, memsz, align;
};
struct Dyn {
  u64 tag, value;
};
struct Sym {
  u32 name;
  u8 info, other;
  u16 shndx;
  u64 value, size;
};

s32 ask_kernel(s32 clock, s64 (*ts)[2]) {
  constexpr u32 NR_clock_gettime = 228;
  return static_cast<s32>(sys(NR_clock_gettime, clock, ts));
}

const Phdr* find_segment(const Ehdr& e, u32 type) {
  const auto* p = reinterpret_cast<const Phdr*>(reinterpret_cast<u64>(&e) + e.phoff);
  for (u32 i = 0; i < e.phnum; ++i)
    if (p[i].type == type) return &p[i];
  return nullptr;
}

/// Addresses in the image are offsets from where its first segment was to be.
u64 bias_of(const Ehdr& e) {
  const Phdr* load = find_segment(e, PT_LOAD_);
  return load == nullptr ? 0 : reinterpret_cast<u64>(&e) + load->offset - load->vaddr;
}

/// A note of the name "Linux" and the type 0 holds the version of the kernel.
bool is_linux(const Ehdr& e) {
  const Phdr* notes = find_segment(e, PT_NOTE_);
  if (notes == nullptr) return false;
  const u64 begin = reinterpret_cast<u64>(&e) + notes->offset;
  for (u64 at = 0; at + 12 <= notes->filesz;) {
    const auto* head = reinterpret_cast<const u32*>(begin + at);  // name size, desc size, type
    if (head[0] == 6 && head[2] == 0 && starts_with(reinterpret_cast<const char*>(head + 3), "Linux")) return true;
    at += 12 + round_up(u64{head[0]}, 4) + round_up(u64{head[1]}, 4);
  }
  return false;
}

u64 find_symbol(const Ehdr& e, const char* name) {
  const Phdr* dynamic = find_segment(e, PT_DYNAMIC_);
  const u64 bias = bias_of(e);
  if (dynamic == nullptr || bias == 0) return 0;
  const u32* hash = nullptr;
  const Sym* symbols = nullptr;
  const char* strings = nullptr;
  // The kernel's own image is not relocated by anybody: what stands there is what the linker wrote.
  for (auto* d = reinterpret_cast<const Dyn*>(bias + dynamic->vaddr); d->tag != 0; ++d) {
    if (d->tag == DT_HASH_) hash = reinterpret_cast<const u32*>(bias + d->value);
    if (d->tag == DT_SYMTAB_) symbols = reinterpret_cast<const Sym*>(bias + d->value);
    if (d->tag == DT_STRTAB_) strings = reinterpret_cast<const char*>(bias + d->value);
  }
  if (hash == nullptr || symbols == nullptr || strings == nullptr) return 0;
  for (u32 i = 0; i < hash[1] /* chains: as many as symbols */; ++i)
    if (symbols[i].shndx != 0 && same(strings + symbols[i].name, name)) return bias + symbols[i].value;
  return 0;
}

}  // namespace

constinit ClockGettime* clock_gettime_fn = ask_kernel;

void find_vdso(const char* const* envp) {
  while (*envp != nullptr) ++envp;
  auto* aux = reinterpret_cast<const u64*>(envp + 1);
  while (aux[0] != AT_NULL_ && aux[0] != AT_SYSINFO_EHDR_) aux += 2;
  if (aux[0] == AT_NULL_) return;
  const auto& image = *reinterpret_cast<const Ehdr*>(aux[1]);
  if (!is_linux(image)) return;
  if (const u64 fn = find_symbol(image, "__vdso_clock_gettime"); fn != 0) clock_gettime_fn = reinterpret_cast<ClockGettime*>(fn);
}

u64 ask_clock_ns(s32 clock) {
  s64 ts[2] = {};
  ask_kernel(clock, &ts);
  return ns_of(ts);
}

}  // namespace skep::agent
