// probes: the static markers of a shared object (SystemTap's <sys/sdt.h>): nops whose addresses stand in its notes. Debuggers put
// breakpoints on some of them; in ld.so gdb does, to hear of libraries.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace skep::probes {

struct Marker {
  std::string provider, name;
  u64 addr;  ///< relative to the load base
};

/// Those that can be read; none of what is no x86-64 ELF file, or is damaged. Pure over bytes.
std::vector<Marker> find_markers(std::span<const u8> elf);

}  // namespace skep::probes
