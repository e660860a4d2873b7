// progtypes: the context of each program type: which bytes may be read and written, as what, and where they really are.
// Linux: bpf_verifier_ops.is_valid_access, convert_ctx_access; net/core/filter.c, kernel/trace/bpf_trace.c, kernel/bpf/cgroup.c ...
#pragma once
#include <string>
#include <vector>

#include "progtypes/prog_traits.h"
#include "progtypes/types.h"

namespace skep {

/// What an allowed access yields. Linux: bpf_insn_access_aux
struct CtxAccessInfo {
  u32 reg_type = SCALAR_VALUE;       ///< of the loaded register
  u32 ctx_field_size = 0;            ///< != 0: a narrower load of a field that is converted as a whole
  bool is_ldsx = false;              ///< in: the load extends the sign
  bool is_retval = false;            ///< LSM: the hook's return value
  const char* btf_struct = nullptr;  ///< PTR_TO_BTF_ID: the struct's name in vmlinux BTF; none there: the access is refused
  /// The program looks at __sk_buff.tstamp_type, so it knows that tstamp may be a delivery time: to be remembered for the whole
  /// program and handed to convert_ctx_access(). Linux: bpf_prog.tstamp_type_access
  bool tstamp_type_access = false;
};

/// Types whose context layout comes from BTF (TRACING, LSM, STRUCT_OPS) are not judged here: the verifier asks BTF. Nor is EXT as
/// such: judged are EXT programs as what they replace a part of (ProgTraits).
bool ctx_access_is_by_btf(const ProgTraits& prog) noexcept;

/// Whether `size` bytes at `off` of the context may be accessed so; *info is written only then. `log` gets what Linux says there,
/// if it says anything (lines with their newline; 6.12 says nothing for the types judged here, the verifier's own line follows).
/// REQUIRES: !ctx_access_is_by_btf(prog), size in {1, 2, 4, 8}.
bool is_valid_ctx_access(s32 off, u32 size, AccessType type, const ProgTraits& prog, CtxAccessInfo* info, std::string* log);

/// Size of the context as the uapi names it, for types with a fixed one; 0 else.
u32 ctx_size(u32 prog_type) noexcept;

/// Whether loads and stores of this type's context are rewritten after acceptance.
bool ctx_is_converted(u32 prog_type) noexcept;

/// The instructions that stand for one context access, appended to *out; *target_size gets the bytes that the converted load
/// yields. The caller has widened a load narrower than ctx_field_size to that size at the field's start; when the original is
/// narrower than *target_size too, it shifts and masks, and it extends the sign of MEMSX. Our own layouts of the kernel's
/// structures: progtypes/kernel_ctx.h. BPF_REG_AX serves as scratch. False: this access has no conversion; Linux says "bpf verifier
/// is misconfigured" then. Linux: *_convert_ctx_access(), verifier.c:convert_ctx_accesses()
bool convert_ctx_access(AccessType type, const bpf_insn& insn, const ProgTraits& prog, std::vector<bpf_insn>* out, u32* target_size,
                        bool tstamp_type_access = false);
/// The register beside r0 to r10 that converted code uses for itself. Linux: include/linux/filter.h:BPF_REG_AX
constexpr u8 BPF_REG_AX = 11;
/// The same for PTR_TO_SOCKET / SOCK_COMMON, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK accesses (base type given). Two accesses of a
/// bpf_tcp_sock are valid and have no conversion, as in Linux: four bytes at the upper halves of bytes_received and bytes_acked.
bool convert_sock_access(u32 reg_type, AccessType type, const bpf_insn& insn, std::vector<bpf_insn>* out, u32* target_size);
/// Whether a program may access these bytes of a bpf_sock, bpf_tcp_sock, bpf_xdp_sock. Writes never (Linux refuses those before it
/// asks). Linux: bpf_sock_common_is_valid_access() ...
bool is_valid_sock_access(u32 reg_type, s32 off, u32 size, AccessType type, CtxAccessInfo* info);

/// Prologue for programs that write packet data directly (SCHED_CLS, SCHED_ACT, LWT_XMIT, SK_SKB), ended by `first`, the
/// instruction that it stands before: appended to *out; nothing: none needed. Linux: bpf_unclone_prologue()
void gen_prologue(const ProgTraits& prog, bool direct_write, const bpf_insn& first, std::vector<bpf_insn>* out);

/// What gen_ld_abs() calls: (r1 = skb, r2 = offset) -> the byte, half word or word in host order, or a negative number. No helpers
/// of the uapi: numbers of ours beyond it, never accepted in what a program brings. Linux: bpf_skb_load_helper_8_no_cache() ...
constexpr s32 SKB_LOAD_HELPER_8 = 0x10000, SKB_LOAD_HELPER_16 = 0x10001, SKB_LOAD_HELPER_32 = 0x10002;
/// LD_ABS and LD_IND of packet bytes as calls of the skb_load helpers. Linux: net/core/filter.c:bpf_gen_ld_abs()
void gen_ld_abs(const bpf_insn& insn, std::vector<bpf_insn>* out);

struct RetvalRange {
  s32 min, max;
  bool operator==(const RetvalRange&) const = default;
};
/// What a program may return at its outermost exit. `enforced` false: anything. Types whose range comes from BTF (LSM, STRUCT_OPS)
/// are the verifier's; EXT programs keep the rule of what they replace a part of. Linux: verifier.c:check_return_code()
struct ReturnRule {
  bool enforced = false;
  RetvalRange range = {0, 1};
  /// CGROUP_SKB egress: an r0 that lies in [2, 3] as a tnum sets enforce_expected_attach_type.
  bool tracks_attach_type = false;
  /// TRACING of an unknown attach type: -ENOTSUPP, without a word.
  bool unsupported = false;
};
ReturnRule return_rule(const ProgTraits& prog) noexcept;

/// Whether a direct access to packet data may be made (type BPF_WRITE: written). For a helper's argument `helper_with_pkt_access`
/// is its proto's pkt_access, for the program's own accesses true; when one of these of type BPF_WRITE is allowed, the caller notes
/// that packets are written directly (seen_direct_write). Linux: verifier.c:may_access_direct_pkt_data()
bool may_access_direct_pkt_data(const ProgTraits& prog, bool helper_with_pkt_access, AccessType type) noexcept;
/// LD_ABS, LD_IND. Linux: verifier.c:may_access_skb()
bool may_access_skb(u32 prog_type) noexcept;
/// Linux: verifier.c:is_tracing_prog_type()
bool is_tracing_prog_type(u32 prog_type) noexcept;
/// By the program's own type (EXT stays EXT). SYSCALL programs are asked elsewhere. Linux: verifier.c:can_be_sleepable()
bool can_be_sleepable(u32 prog_type, u32 expected_attach_type) noexcept;

}  // namespace skep
