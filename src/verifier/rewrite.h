// verifier: the passes of rewriting that have files of their own. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Loads and stores of contexts and sockets go to the real structures. Linux: verifier.c:convert_ctx_accesses() (rewrite_ctx.cc)
Status convert_ctx_accesses(VerifierEnv& env);
/// Divisions, LD_ABS, may_goto, exceptions, calls. Linux: verifier.c:do_misc_fixups() (rewrite_misc.cc)
Status do_misc_fixups(VerifierEnv& env);

}  // namespace skep
