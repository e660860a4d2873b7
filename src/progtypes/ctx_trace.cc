// progtypes: contexts of tracing programs, of SYSCALL and LIRC_MODE2 programs.
// Linux: bpf_trace.c:kprobe_prog_is_valid_access() and the like, include/linux/bpf.h:bpf_tracing_ctx_access(),
// syscall.c:syscall_prog_is_valid_access(), bpf-lirc.c:lirc_mode2_is_valid_access()
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

constexpr u32 PERF_MAX_TRACE_SIZE = 8192, MAX_BPF_FUNC_ARGS = 12, MAX_SYSCALL_CTX = 0xffff;

constexpr CtxField KPROBE_FIELDS[] = {field({0, sizeof(PtRegs)}).reads(ANY_SIZE)};
/// The first eight bytes of a record are the kernel's. DIFFERS: Linux compares the offset with a size_t and so lets a program read
/// bytes before the record; here there is nothing to be read, such programs are refused.
constexpr CtxField TRACEPOINT_FIELDS[] = {field({8, PERF_MAX_TRACE_SIZE}).reads(ANY_SIZE)};
constexpr CtxField RAW_TRACEPOINT_FIELDS[] = {field({0, MAX_BPF_FUNC_ARGS * 8}).reads(ANY_SIZE)};
/// The first argument is the buffer that may be written.
constexpr CtxField RAW_TRACEPOINT_WRITABLE_FIELDS[] = {
    dword({0, 8}).only_at_start().as(PTR_TO_TP_BUFFER),
    field({1, MAX_BPF_FUNC_ARGS * 8}).reads(ANY_SIZE),
};
constexpr CtxField SYSCALL_FIELDS[] = {field({0, MAX_SYSCALL_CTX}).reads(ANY_SIZE).writes(ANY_SIZE)};
constexpr CtxField LIRC_FIELDS[] = {field({0, 4}).reads(4).only_at_start()};

#define SAMPLE(member) via(SKEP_KERN(PerfEventDataKern, data), SKEP_KERN(PerfSampleData, member))
constexpr CtxField PERF_EVENT_FIELDS[] = {
    dword(SKEP_UAPI(bpf_perf_event_data, regs)).is(via(SKEP_KERN(PerfEventDataKern, regs), {0, 8})),
    field(SKEP_UAPI(bpf_perf_event_data, sample_period)).reads(ANY_SIZE, 8).is(SAMPLE(period)),
    field(SKEP_UAPI(bpf_perf_event_data, addr)).reads(ANY_SIZE, 8).is(SAMPLE(addr)),
};

}  // namespace

CtxKind trace_ctx(u32 prog_type) {
  switch (prog_type) {
    case BPF_PROG_TYPE_KPROBE:
      return {sizeof(PtRegs), false, KPROBE_FIELDS};
    case BPF_PROG_TYPE_TRACEPOINT:
      return {0, false, TRACEPOINT_FIELDS};
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return {0, false, RAW_TRACEPOINT_FIELDS};
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return {0, false, RAW_TRACEPOINT_WRITABLE_FIELDS};
    case BPF_PROG_TYPE_PERF_EVENT:
      return {sizeof(bpf_perf_event_data), true, PERF_EVENT_FIELDS};
    case BPF_PROG_TYPE_SYSCALL:
      return {0, false, SYSCALL_FIELDS};
    case BPF_PROG_TYPE_LIRC_MODE2:
      return {4, false, LIRC_FIELDS};
    default:
      return {};
  }
}

}  // namespace skep
