// uapi: the bytes of perf_event_open(2), its ioctls, its mmap page and its records, pinned at Linux 6.12
// (include/uapi/linux/perf_event.h). Data only; asserted against the system's header in perf_event_test.cc. Names are the kernel's.
// Never included together with <linux/perf_event.h>.
#pragma once
#include "base/types.h"

namespace skep {

enum perf_type_id : u32 {
  PERF_TYPE_HARDWARE, PERF_TYPE_SOFTWARE, PERF_TYPE_TRACEPOINT, PERF_TYPE_HW_CACHE, PERF_TYPE_RAW, PERF_TYPE_BREAKPOINT, PERF_TYPE_MAX,
};

enum perf_sw_ids : u64 {
  PERF_COUNT_SW_CPU_CLOCK, PERF_COUNT_SW_TASK_CLOCK, PERF_COUNT_SW_PAGE_FAULTS, PERF_COUNT_SW_CONTEXT_SWITCHES,
  PERF_COUNT_SW_CPU_MIGRATIONS, PERF_COUNT_SW_PAGE_FAULTS_MIN, PERF_COUNT_SW_PAGE_FAULTS_MAJ, PERF_COUNT_SW_ALIGNMENT_FAULTS,
  PERF_COUNT_SW_EMULATION_FAULTS, PERF_COUNT_SW_DUMMY, PERF_COUNT_SW_BPF_OUTPUT, PERF_COUNT_SW_CGROUP_SWITCHES, PERF_COUNT_SW_MAX,
};

enum perf_event_sample_format : u64 {
  PERF_SAMPLE_IP = 1u << 0, PERF_SAMPLE_TID = 1u << 1, PERF_SAMPLE_TIME = 1u << 2, PERF_SAMPLE_ADDR = 1u << 3, PERF_SAMPLE_READ = 1u << 4,
  PERF_SAMPLE_CALLCHAIN = 1u << 5, PERF_SAMPLE_ID = 1u << 6, PERF_SAMPLE_CPU = 1u << 7, PERF_SAMPLE_PERIOD = 1u << 8,
  PERF_SAMPLE_STREAM_ID = 1u << 9, PERF_SAMPLE_RAW = 1u << 10, PERF_SAMPLE_BRANCH_STACK = 1u << 11, PERF_SAMPLE_REGS_USER = 1u << 12,
  PERF_SAMPLE_STACK_USER = 1u << 13, PERF_SAMPLE_WEIGHT = 1u << 14, PERF_SAMPLE_DATA_SRC = 1u << 15, PERF_SAMPLE_IDENTIFIER = 1u << 16,
  PERF_SAMPLE_TRANSACTION = 1u << 17, PERF_SAMPLE_REGS_INTR = 1u << 18, PERF_SAMPLE_PHYS_ADDR = 1u << 19, PERF_SAMPLE_AUX = 1u << 20,
  PERF_SAMPLE_CGROUP = 1u << 21, PERF_SAMPLE_DATA_PAGE_SIZE = 1u << 22, PERF_SAMPLE_CODE_PAGE_SIZE = 1u << 23,
  PERF_SAMPLE_WEIGHT_STRUCT = 1u << 24, PERF_SAMPLE_MAX = 1u << 25,
};

enum perf_event_read_format : u64 {
  PERF_FORMAT_TOTAL_TIME_ENABLED = 1u << 0, PERF_FORMAT_TOTAL_TIME_RUNNING = 1u << 1, PERF_FORMAT_ID = 1u << 2,
  PERF_FORMAT_GROUP = 1u << 3, PERF_FORMAT_LOST = 1u << 4, PERF_FORMAT_MAX = 1u << 5,
};

constexpr u32 PERF_ATTR_SIZE_VER0 = 64, PERF_ATTR_SIZE_VER1 = 72, PERF_ATTR_SIZE_VER2 = 80, PERF_ATTR_SIZE_VER3 = 96,
              PERF_ATTR_SIZE_VER4 = 104, PERF_ATTR_SIZE_VER5 = 112, PERF_ATTR_SIZE_VER6 = 120, PERF_ATTR_SIZE_VER7 = 128,
              PERF_ATTR_SIZE_VER8 = 136;

struct perf_event_attr {
  u32 type, size;
  u64 config;
  union {
    u64 sample_period, sample_freq;
  };
  u64 sample_type, read_format;
  u64 disabled : 1, inherit : 1, pinned : 1, exclusive : 1, exclude_user : 1, exclude_kernel : 1, exclude_hv : 1, exclude_idle : 1,
      mmap : 1, comm : 1, freq : 1, inherit_stat : 1, enable_on_exec : 1, task : 1, watermark : 1, precise_ip : 2, mmap_data : 1,
      sample_id_all : 1, exclude_host : 1, exclude_guest : 1, exclude_callchain_kernel : 1, exclude_callchain_user : 1, mmap2 : 1,
      comm_exec : 1, use_clockid : 1, context_switch : 1, write_backward : 1, namespaces : 1, ksymbol : 1, bpf_event : 1, aux_output : 1,
      cgroup : 1, text_poke : 1, build_id : 1, inherit_thread : 1, remove_on_exec : 1, sigtrap : 1, __reserved_1 : 26;
  union {
    u32 wakeup_events, wakeup_watermark;
  };
  u32 bp_type;
  union {
    u64 bp_addr, kprobe_func, uprobe_path, config1;
  };
  union {
    u64 bp_len, kprobe_addr, probe_offset, config2;
  };
  u64 branch_sample_type, sample_regs_user;
  u32 sample_stack_user;
  s32 clockid;
  u64 sample_regs_intr;
  u32 aux_watermark;
  u16 sample_max_stack, __reserved_2;
  u32 aux_sample_size, __reserved_3;
  u64 sig_data;
  u64 config3;
};
static_assert(sizeof(perf_event_attr) == PERF_ATTR_SIZE_VER8);

// perf_event_open(2) flags
constexpr u64 PERF_FLAG_FD_NO_GROUP = 1, PERF_FLAG_FD_OUTPUT = 2, PERF_FLAG_PID_CGROUP = 4, PERF_FLAG_FD_CLOEXEC = 8;

// ioctls, as _IO('$', nr) and its kin give them on x86-64 and arm64
constexpr u32 PERF_EVENT_IOC_ENABLE = 0x2400, PERF_EVENT_IOC_DISABLE = 0x2401, PERF_EVENT_IOC_REFRESH = 0x2402,
              PERF_EVENT_IOC_RESET = 0x2403, PERF_EVENT_IOC_PERIOD = 0x40082404, PERF_EVENT_IOC_SET_OUTPUT = 0x2405,
              PERF_EVENT_IOC_SET_FILTER = 0x40082406, PERF_EVENT_IOC_ID = 0x80082407, PERF_EVENT_IOC_SET_BPF = 0x40042408,
              PERF_EVENT_IOC_PAUSE_OUTPUT = 0x40042409, PERF_EVENT_IOC_QUERY_BPF = 0xc008240a,
              PERF_EVENT_IOC_MODIFY_ATTRIBUTES = 0x4008240b;
constexpr u32 PERF_IOC_FLAG_GROUP = 1;

/// PERF_EVENT_IOC_QUERY_BPF
struct perf_event_query_bpf {
  u32 ids_len, prog_cnt;
  u32 ids[];
};

struct perf_event_mmap_page {
  u32 version, compat_version, lock, index;
  s64 offset;
  u64 time_enabled, time_running;
  union {
    u64 capabilities;
    struct {
      u64 cap_bit0 : 1, cap_bit0_is_deprecated : 1, cap_user_rdpmc : 1, cap_user_time : 1, cap_user_time_zero : 1, cap_user_time_short : 1,
          cap_____res : 58;
    };
  };
  u16 pmc_width, time_shift;
  u32 time_mult;
  u64 time_offset, time_zero;
  u32 size, __reserved_1;
  u64 time_cycles, time_mask;
  u8 __reserved[116 * 8];
  u64 data_head, data_tail, data_offset, data_size;
  u64 aux_head, aux_tail, aux_offset, aux_size;
};
static_assert(offsetof(perf_event_mmap_page, __reserved) == 96);
static_assert(offsetof(perf_event_mmap_page, data_head) == 1024);
static_assert(sizeof(perf_event_mmap_page) == 1088);

struct perf_event_header {
  u32 type;
  u16 misc, size;
};
static_assert(sizeof(perf_event_header) == 8);

constexpr u16 PERF_RECORD_MISC_CPUMODE_MASK = 7, PERF_RECORD_MISC_CPUMODE_UNKNOWN = 0, PERF_RECORD_MISC_KERNEL = 1,
              PERF_RECORD_MISC_USER = 2, PERF_RECORD_MISC_HYPERVISOR = 3, PERF_RECORD_MISC_GUEST_KERNEL = 4,
              PERF_RECORD_MISC_GUEST_USER = 5, PERF_RECORD_MISC_EXACT_IP = 1u << 14;

enum perf_event_type : u32 {
  PERF_RECORD_MMAP = 1, PERF_RECORD_LOST, PERF_RECORD_COMM, PERF_RECORD_EXIT, PERF_RECORD_THROTTLE, PERF_RECORD_UNTHROTTLE,
  PERF_RECORD_FORK, PERF_RECORD_READ, PERF_RECORD_SAMPLE, PERF_RECORD_MMAP2, PERF_RECORD_AUX, PERF_RECORD_ITRACE_START,
  PERF_RECORD_LOST_SAMPLES, PERF_RECORD_SWITCH, PERF_RECORD_SWITCH_CPU_WIDE, PERF_RECORD_NAMESPACES, PERF_RECORD_KSYMBOL,
  PERF_RECORD_BPF_EVENT, PERF_RECORD_CGROUP, PERF_RECORD_TEXT_POKE, PERF_RECORD_AUX_OUTPUT_HW_ID, PERF_RECORD_MAX,
};

}  // namespace skep
