// helpers: guarded reads of addresses that programs compute. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// Which half of the address space a read may touch. Kernel: what kernel_range() knows. User: everything else.
enum class Space { User, Kernel, Either };

/// Copies size bytes from src: 0, or -EFAULT with dst zeroed. Linux: mm/maccess.c:copy_from_{user,kernel}_nofault() and its callers
long read_bytes(RunCtx& run, void* dst, u64 size, u64 src, Space space) noexcept;
/// Copies size bytes to user memory: 0 or -EFAULT. Linux: mm/maccess.c:copy_to_user_nofault()
long write_user_bytes(RunCtx& run, u64 dst, const void* src, u64 size) noexcept;
/// Copies a string of at most size bytes with its NUL: its length with the NUL (cut ones: size), or -EFAULT. dst is then left as it
/// may be.
long read_string(RunCtx& run, void* dst, u64 size, u64 src, Space space) noexcept;

}  // namespace skep
