// kbtf: the whole of the kernel's BTF, compiled for BPF to get it: no code of this runs.
#include "kbtf/kernel/attach.h"
#include "kbtf/kernel/kfuncs.h"
#include "kbtf/kernel/lsm_hooks.h"
