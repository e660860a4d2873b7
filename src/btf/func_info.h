// btf: do a program's func info and line info fit its BTF and its instructions?
#pragma once
#include <span>
#include <vector>

#include "base/result.h"
#include "btf/btf.h"
#include "btf/log.h"
#include "uapi/bpf.h"
#include "uapi/btf.h"

namespace skep {

/// `raw` is what lies at the address the caller gave, as much of it as is readable: too few bytes for a record give EFAULT at that
/// record. `rec_size` is the caller's size of a record; when a record has bytes that we do not know and that are not zero, the
/// answer is E2BIG and rec_size becomes the size to write back into the attr, so that a loader can try again with less. `log` may
/// be null. A count of 0 gives an empty vector.

/// The part of BPF_PROG_LOAD before subprograms are known. Errors: EINVAL (rec_size), ENOMEM (count absurd), then for each record
/// E2BIG, EFAULT, EINVAL (first insn_off not 0, not rising, type is no FUNC). Linux: verifier.c:check_btf_func_early()
Result<std::vector<bpf_func_info>> check_func_info_early(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                         BtfLog* log);

/// The part after: one record for each subprogram, at its start; else EINVAL. Linux: verifier.c:check_btf_func()
Status check_func_info_subprogs(std::span<const bpf_func_info> infos, std::span<const u32> subprog_starts, BtfLog* log);

/// Both in one.
Result<std::vector<bpf_func_info>> check_func_info(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                   std::span<const u32> subprog_starts, BtfLog* log);

/// Does the function of this record return an int of at most 8 bytes, or an enum? Only such a subprogram may use LD_ABS or tail
/// calls.
bool returns_scalar(const Btf& btf, const bpf_func_info& info);

/// `insns` is the program. Errors: EINVAL (count absurd, rec_size), then for each record E2BIG, EFAULT, EINVAL (insn_off not
/// rising, beyond the program or in the middle of a wide instruction; a string that is not there; a subprogram without a record at
/// its start). `linfo_idx`, if given, gets each subprogram's first record. Linux: verifier.c:check_btf_line()
Result<std::vector<bpf_line_info>> check_line_info(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                   std::span<const bpf_insn> insns, std::span<const u32> subprog_starts,
                                                   BtfLog* log, std::vector<u32>* linfo_idx = nullptr);

}  // namespace skep
