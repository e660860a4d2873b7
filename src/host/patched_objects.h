// host: the patched copies of this machine's libc and ld.so that every process of the session maps over its own.
#pragma once
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "base/unique_fd.h"
#include "wire/wire.h"

namespace skep {

/// One object: what to map where. All of it lies in PatchedObjects::image.
struct PatchedObject {
  u64 text_vaddr = 0, text_size = 0, text_offset = 0;  ///< text_size 0: there is none
  u64 stubs_size = 0, stubs_offset = 0, slot_page = 0;  ///< stubs_size 0: they are in the text's padding
  s64 stub_delta = 0;
  std::vector<u8> build_id;
  std::vector<u32> stops;  ///< ld.so: markers that debuggers stop at

  WirePatched wire() const;
};

struct PatchedObjects {
  UniqueFd image;  ///< of each object its text, then its stubs; sealed
  PatchedObject libc;
  PatchedObject loader;  ///< ld.so, without which processes are traced all the same

  /// Finds the objects this program runs on, plans their sites and builds the image. ENOENT, ENOEXEC, ENOSPC: of libc.
  static Result<PatchedObjects> build();
};

}  // namespace skep
