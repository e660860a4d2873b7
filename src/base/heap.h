// base: the process's heap, where it is one's own. Not for code that runs in other people's processes.
#pragma once
#include <malloc.h>

namespace skep {

/// Memory that was freed is kept for the next time, up to some: a program that is loaded asks for about as much as the one before, and
/// getting pages from the system, zeroed one fault at a time, takes as long as judging and compiling it.
inline void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_TOP_PAD, 1 << 20);
}

}  // namespace skep
