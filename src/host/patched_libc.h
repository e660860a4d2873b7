// host: the patched copy of this machine's libc that every process of the session maps over its own.
#pragma once
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/types.h"

namespace skep {

struct PatchedLibc {
  UniqueFd image;  ///< text, then stubs
  u64 text_vaddr = 0, text_size = 0, stubs_size = 0, slot_page = 0;
  s64 stub_delta = 0;
  std::vector<u8> build_id;

  /// Finds the libc this program runs on, plans its sites and builds the image. ENOENT, ENOEXEC, ENOMEM.
  static Result<PatchedLibc> build();
};

}  // namespace skep
