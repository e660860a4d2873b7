#include "probes/patched_image.h"

#include <algorithm>
#include <cstring>

namespace skep::probes {
namespace {

constexpr u8 INT3 = 0xcc;  // fills what is never executed
constexpr u32 STUB_ALIGN = 16;

/// Appends code that will run at addresses relative to the load base.
class Emitter {
 public:
  explicit Emitter(s64 base) : base_(base) {}

  s64 here() const { return base_ + static_cast<s64>(out_.size()); }
  void bytes(std::span<const u8> b) { out_.insert(out_.end(), b.begin(), b.end()); }
  void bytes(std::initializer_list<u8> b) { out_.insert(out_.end(), b); }
  void imm32(u32 v) {
    const std::size_t at = out_.size();
    out_.resize(at + 4);
    std::memcpy(out_.data() + at, &v, 4);
  }
  /// A displacement to `target` that ends its instruction.
  void rel32(s64 target) { imm32(displacement(target, here() + 4)); }
  void align(u32 to) { out_.resize(round_up(out_.size(), to), INT3); }

  /// lea target(%rip),%rcx
  void lea_rcx(s64 target) {
    bytes({0x48, 0x8d, 0x0d});
    rel32(target);
  }
  /// jmp *slot0(%rip): where the slots are is known when all stubs are emitted.
  void jmp_slot() {
    bytes({0xff, 0x25});
    slot_refs_.push_back(out_.size());
    imm32(0);
  }
  void jmp(s64 target) {
    bytes({0xe9});
    rel32(target);
  }
  /// Instructions that stood at `addr`, made to do the same here. False when one cannot be moved.
  bool moved(std::span<const u8> code, u32 addr) {
    while (!code.empty()) {
      const detail::Insn in = detail::decode_insn(code, addr);
      if (!move_one(in, code.first(in.len))) return false;
      code = code.subspan(in.len);
      addr = in.end();
    }
    return true;
  }

  std::size_t size() const { return out_.size(); }
  /// With the slots behind the whole pages of what was emitted.
  std::vector<u8> finish() {
    align(PAGE_SIZE);
    return finish(here());
  }
  std::vector<u8> finish(s64 slots) {
    for (std::size_t at : slot_refs_) patch(at, displacement(slots + 8 * SLOT_TRAP_ENTRY, base_ + static_cast<s64>(at) + 4));
    return std::move(out_);
  }
  bool overflow() const { return overflow_; }

 private:
  u32 displacement(s64 target, s64 from) {
    const s64 d = target - from;
    if (d != static_cast<s32>(d)) overflow_ = true;
    return static_cast<u32>(d);
  }
  void patch(std::size_t at, u32 v) { std::memcpy(out_.data() + at, &v, 4); }
  bool move_one(const detail::Insn& in, std::span<const u8> code) {
    switch (in.flow) {
      case detail::Flow::Next: {
        const s64 end = here() + in.len;
        const std::size_t at = out_.size();
        bytes(code);
        if (in.rip_disp != 0) patch(at + in.rip_disp, displacement(in.target, end));
        return true;
      }
      case detail::Flow::Jcc:
        bytes({0x0f, static_cast<u8>(0x80 | in.cond)});
        rel32(in.target);
        return true;
      case detail::Flow::Jmp:
        jmp(in.target);
        return true;
      default:
        return false;
    }
  }

  s64 base_;
  std::vector<u8> out_;
  std::vector<std::size_t> slot_refs_;
  bool overflow_ = false;
};

/// Writes the stub of a site. The shapes are those of sites.h.
bool emit_stub(Emitter& e, const SyscallSite& site, std::span<const u8> moved) {
  const u32 before = site.kind == SiteKind::MovNr ? 0 : site.insn - site.patch;
  switch (site.kind) {
    case SiteKind::MovNr:
      e.bytes({0xb8});
      e.imm32(static_cast<u32>(site.nr));
      e.lea_rcx(site.insn);
      e.jmp_slot();
      return true;
    case SiteKind::MovedBefore:
      if (!e.moved(moved, site.patch)) return false;
      e.lea_rcx(site.insn);
      e.jmp_slot();
      return true;
    case SiteKind::MovedAfter: {
      if (!e.moved(moved.first(before), site.patch)) return false;
      constexpr s64 lea_and_jmp = 7 + 6;
      e.lea_rcx(e.here() + lea_and_jmp);
      e.jmp_slot();
      e.bytes({0x0f, 0x05});
      if (!e.moved(moved.subspan(before), site.insn + SYSCALL_SIZE)) return false;
      e.jmp(s64{site.patch} + site.patch_len);
      return true;
    }
  }
  return false;
}

/// True when what a site says is what stands in the text. `text` is at `vaddr`.
bool matches(const SyscallSite& site, std::span<const u8> text, u64 vaddr) {
  const u64 patch = site.patch - vaddr;
  const u64 insn = site.insn - vaddr;
  const u64 size = site.patch_len;
  if (site.patch < vaddr || site.insn < vaddr || insn > text.size() - SYSCALL_SIZE || text[insn] != 0x0f || text[insn + 1] != 0x05)
    return false;
  if (size < JUMP_SIZE || size > text.size() || patch > text.size() - size) return false;
  if (site.kind == SiteKind::MovNr) {
    s32 nr;
    std::memcpy(&nr, text.data() + patch + 1, 4);
    return size == JUMP_SIZE && patch + size == insn && text[patch] == 0xb8 && nr == site.nr && site.moved.empty();
  }
  std::vector<u8> original(text.begin() + static_cast<s64>(patch), text.begin() + static_cast<s64>(patch + size));
  if (site.kind == SiteKind::MovedBefore) return patch + size == insn && original == site.moved;
  if (insn < patch || insn + SYSCALL_SIZE > patch + size) return false;
  const auto syscall = original.begin() + static_cast<s64>(insn - patch);
  original.erase(syscall, syscall + SYSCALL_SIZE);
  return original == site.moved;
}

/// False when the stub is out of a jump's reach.
bool write_jump(std::span<u8> text, u64 vaddr, const SyscallSite& site, s64 stub) {
  const std::span<u8> at = text.subspan(site.patch - vaddr, site.patch_len);
  std::fill(at.begin(), at.end(), INT3);
  const s64 distance = stub - (s64{site.patch} + JUMP_SIZE);
  const s32 rel = static_cast<s32>(distance);
  at[0] = 0xe9;
  std::memcpy(at.data() + 1, &rel, 4);
  return rel == distance;
}

/// The pages of the text as the kernel maps them: with what the file has around the segment.
std::vector<u8> mapped_text(std::span<const u8> elf, const PatchPlan& plan) {
  const u64 begin = plan.text_offset & ~u64{PAGE_SIZE - 1};
  const u64 end = round_up(plan.text_offset + plan.text_filesz, PAGE_SIZE);
  std::vector<u8> text(end - begin, 0);
  const u64 have = std::min<u64>(end, elf.size()) - begin;
  std::copy_n(elf.begin() + static_cast<s64>(begin), have, text.begin());
  return text;
}

/// The stubs of all sites, and the jumps to them.
Result<Emitter> emit_stubs(PatchedImage& image, const PatchPlan& plan, s64 base) {
  Emitter stubs(base);
  u64 patched_to = 0;
  for (const SyscallSite& site : plan.sites) {
    if (site.patch < patched_to || !matches(site, image.text, image.text_vaddr)) return Errno(EINVAL);
    patched_to = u64{site.patch} + site.patch_len;
    stubs.align(STUB_ALIGN);
    const s64 stub = stubs.here();
    if (!emit_stub(stubs, site, site.moved)) return Errno(EINVAL);
    if (!write_jump(image.text, image.text_vaddr, site, stub)) return Errno(ERANGE);
  }
  return stubs;
}

/// What is never used of the text's last page: nothing but the kernel's whole pages puts bytes there.
s64 padding_begin(const PatchPlan& plan) { return static_cast<s64>(round_up(plan.text_vaddr + plan.text_filesz, STUB_ALIGN)); }

/// False when the stubs do not fit; the image is of no use then.
bool put_in_padding(PatchedImage& image, const PatchPlan& plan) {
  const s64 begin = padding_begin(plan);
  Result<Emitter> stubs = emit_stubs(image, plan, begin);
  const u64 at = static_cast<u64>(begin) - image.text_vaddr;
  if (!stubs.ok() || plan.text_memsz != plan.text_filesz || at > image.text.size() || stubs->size() > image.text.size() - at) return false;
  const std::vector<u8> code = stubs->finish(static_cast<s64>(image.slot_page));
  std::copy(code.begin(), code.end(), image.text.begin() + static_cast<s64>(at));
  return !stubs->overflow();
}

}  // namespace

Result<PatchedImage> build_patched_image(std::span<const u8> elf, const PatchPlan& plan, StubPlace place) {
  const u64 object_end = TRY(load_end(elf));
  const s64 stub_delta = place.stubs;
  if (stub_delta % static_cast<s64>(PAGE_SIZE) != 0 || plan.text_filesz == 0 || plan.text_offset > elf.size() ||
      plan.text_filesz > elf.size() - plan.text_offset || plan.text_vaddr % PAGE_SIZE != plan.text_offset % PAGE_SIZE)
    return Errno(EINVAL);
  if (stub_delta != static_cast<s32>(stub_delta)) return Errno(ERANGE);

  PatchedImage image{mapped_text(elf, plan), plan.text_vaddr & ~u64{PAGE_SIZE - 1}, {}, stub_delta, static_cast<u64>(stub_delta)};
  const bool below = stub_delta < static_cast<s64>(object_end);
  if (below && stub_delta + static_cast<s64>(PAGE_SIZE) > 0) return Errno(EINVAL);
  if (place.in_padding)
    if (PatchedImage padded = image; put_in_padding(padded, plan)) return padded;
  Emitter stubs = TRY(emit_stubs(image, plan, stub_delta));
  image.stubs = stubs.finish();
  const s64 slots = stub_delta + static_cast<s64>(image.stubs.size());
  image.slot_page = static_cast<u64>(slots);
  if (stubs.overflow()) return Errno(ERANGE);
  if (below && slots + static_cast<s64>(PAGE_SIZE) > 0) return Errno(EINVAL);
  return image;
}

}  // namespace skep::probes
