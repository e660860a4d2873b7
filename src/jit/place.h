// jit: puts machine code where every process of the session runs it. Host only.
#pragma once
#include "jit/compile.h"
#include "shm/window.h"

namespace skep {

/// Copies `code` into CODE, fills in its gates, tells the index, and sets image.entry, code and code_size. Nobody else may know the
/// image yet. ENOMEM: no room, or no code here at all; EINVAL: the code names gates or places that are not there. Nothing has changed then.
/// The code goes with WindowHost::code_withdraw(image.code), after a grace period.
Status place_code(WindowHost& window, const JitCode& code, ProgImage* image);

}  // namespace skep
