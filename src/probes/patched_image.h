// probes: the bytes that carry out a PatchPlan: a copy of the object's text with its jumps, and the stubs they lead to.
//
// Relative to the load base of the object:
//
//      stub_delta                slot_page                  text_vaddr
//      | stubs (r-x, shared) ... | slots (one rw- page)     | patched text (r-x)
//
// Both code parts are position independent as long as the three keep their distances, so one memfd serves every process.
//
// Contract of a stub. It is reached by the jump at its site with every register and the stack as at the site. It does what the
// replaced instructions before the syscall did, so that rax has the syscall's number; puts the address of a `syscall` instruction
// into rcx (rcx and r11 are free: the instruction itself clobbers them); and jumps through slot 0. It uses no stack and touches no
// flags of its own. Whoever is behind slot 0 goes on with all registers as it found them by jumping to rcx (the kernel then does
// the call), or, for a call that it has answered itself, sets rax and jumps to rcx + 2.
#pragma once
#include <span>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "probes/sites.h"

namespace skep::probes {

/// Slots of the data page, 8 bytes each.
constexpr u32 SLOT_TRAP_ENTRY = 0;  ///< the address that stubs jump to

struct PatchedImage {
  std::vector<u8> text;   ///< whole pages, to be mapped at text_vaddr
  u64 text_vaddr;         ///< relative to the load base, page-aligned
  std::vector<u8> stubs;  ///< whole pages, to be mapped at stub_delta; none when they are in the text's padding
  s64 stub_delta;         ///< relative to the load base, page-aligned
  /// The data page behind the stubs, = stub_delta + stubs.size(): an address relative to the load base, modulo 2^64.
  u64 slot_page;
};

/// Where the stubs and the slots go.
struct StubPlace {
  s64 stubs;                ///< PatchedImage::stub_delta
  bool in_padding = false;  ///< the stubs in what the text's last page has left, as far as they fit, and the slots at `stubs`
};

/// Builds text and stubs for the sites of `plan`, which must be plan_sites(elf) or the same with sites left out.
/// EINVAL when place.stubs is not page-aligned, when stubs or slots would overlap the object, or when the plan does not fit `elf`;
/// ERANGE when the stubs would be too far from the text for 32-bit displacements.
Result<PatchedImage> build_patched_image(std::span<const u8> elf, const PatchPlan& plan, StubPlace place);

}  // namespace skep::probes
