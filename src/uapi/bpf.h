// uapi: the bytes of bpf(2), pinned at Linux 6.12 (include/uapi/linux/bpf.h). Data only, no logic; asserted against the system's
// headers in uapi_test.cc. Names are the kernel's. These headers are never included together with <linux/bpf.h>.
#pragma once
#include "base/types.h"

namespace skep {

enum bpf_cmd : u32 {
  BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY, BPF_PROG_LOAD, BPF_OBJ_PIN,
  BPF_OBJ_GET, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_TEST_RUN, BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID,
  BPF_MAP_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY, BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD, BPF_BTF_GET_FD_BY_ID,
  BPF_TASK_FD_QUERY, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_FREEZE, BPF_BTF_GET_NEXT_ID, BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH, BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID, BPF_ENABLE_STATS, BPF_ITER_CREATE, BPF_LINK_DETACH, BPF_PROG_BIND_MAP, BPF_TOKEN_CREATE, MAX_BPF_CMD_,
};

enum bpf_map_type : u32 {
  BPF_MAP_TYPE_UNSPEC, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_STACK_TRACE, BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_CGROUP_STORAGE,
  BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_SK_STORAGE,
  BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_STRUCT_OPS, BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_TASK_STORAGE,
  BPF_MAP_TYPE_BLOOM_FILTER, BPF_MAP_TYPE_USER_RINGBUF, BPF_MAP_TYPE_CGRP_STORAGE, BPF_MAP_TYPE_ARENA, MAX_BPF_MAP_TYPE_,
};

enum bpf_prog_type : u32 {
  BPF_PROG_TYPE_UNSPEC, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_CGROUP_SKB, BPF_PROG_TYPE_CGROUP_SOCK,
  BPF_PROG_TYPE_LWT_IN, BPF_PROG_TYPE_LWT_OUT, BPF_PROG_TYPE_LWT_XMIT, BPF_PROG_TYPE_SOCK_OPS, BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_CGROUP_DEVICE, BPF_PROG_TYPE_SK_MSG, BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE_LWT_SEG6LOCAL, BPF_PROG_TYPE_LIRC_MODE2, BPF_PROG_TYPE_SK_REUSEPORT, BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_STRUCT_OPS, BPF_PROG_TYPE_EXT, BPF_PROG_TYPE_LSM, BPF_PROG_TYPE_SK_LOOKUP, BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_NETFILTER, MAX_BPF_PROG_TYPE_,
};

/// Linux: include/uapi/linux/bpf.h:bpf_attach_type
enum bpf_attach_type : u32 {
  BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_SOCK_OPS, BPF_SK_SKB_STREAM_PARSER,
  BPF_SK_SKB_STREAM_VERDICT, BPF_CGROUP_DEVICE, BPF_SK_MSG_VERDICT, BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND,
  BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_INET4_POST_BIND, BPF_CGROUP_INET6_POST_BIND,
  BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_LIRC_MODE2, BPF_FLOW_DISSECTOR, BPF_CGROUP_SYSCTL,
  BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT, BPF_TRACE_RAW_TP,
  BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN, BPF_LSM_MAC, BPF_TRACE_ITER, BPF_CGROUP_INET4_GETPEERNAME,
  BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_XDP_DEVMAP,
  BPF_CGROUP_INET_SOCK_RELEASE, BPF_XDP_CPUMAP, BPF_SK_LOOKUP, BPF_XDP, BPF_SK_SKB_VERDICT, BPF_SK_REUSEPORT_SELECT,
  BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, BPF_PERF_EVENT, BPF_TRACE_KPROBE_MULTI, BPF_LSM_CGROUP, BPF_STRUCT_OPS, BPF_NETFILTER,
  BPF_TCX_INGRESS, BPF_TCX_EGRESS, BPF_TRACE_UPROBE_MULTI, BPF_CGROUP_UNIX_CONNECT, BPF_CGROUP_UNIX_SENDMSG,
  BPF_CGROUP_UNIX_RECVMSG, BPF_CGROUP_UNIX_GETPEERNAME, BPF_CGROUP_UNIX_GETSOCKNAME, BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER,
  BPF_TRACE_KPROBE_SESSION, MAX_BPF_ATTACH_TYPE_,
};

enum bpf_link_type : u32 {
  BPF_LINK_TYPE_UNSPEC, BPF_LINK_TYPE_RAW_TRACEPOINT, BPF_LINK_TYPE_TRACING, BPF_LINK_TYPE_CGROUP, BPF_LINK_TYPE_ITER,
  BPF_LINK_TYPE_NETNS, BPF_LINK_TYPE_XDP, BPF_LINK_TYPE_PERF_EVENT, BPF_LINK_TYPE_KPROBE_MULTI, BPF_LINK_TYPE_STRUCT_OPS,
  BPF_LINK_TYPE_NETFILTER, BPF_LINK_TYPE_TCX, BPF_LINK_TYPE_UPROBE_MULTI, BPF_LINK_TYPE_NETKIT, BPF_LINK_TYPE_SOCKMAP,
};
enum bpf_perf_event_type : u32 {
  BPF_PERF_EVENT_UNSPEC, BPF_PERF_EVENT_UPROBE, BPF_PERF_EVENT_URETPROBE, BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE,
  BPF_PERF_EVENT_TRACEPOINT, BPF_PERF_EVENT_EVENT,
};
enum bpf_task_fd_type : u32 {
  BPF_FD_TYPE_RAW_TRACEPOINT, BPF_FD_TYPE_TRACEPOINT, BPF_FD_TYPE_KPROBE, BPF_FD_TYPE_KRETPROBE, BPF_FD_TYPE_UPROBE, BPF_FD_TYPE_URETPROBE,
};

// BPF_MAP_UPDATE_ELEM flags
constexpr u64 BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2, BPF_F_LOCK = 4;
// BPF_MAP_CREATE flags
constexpr u32 BPF_F_NO_PREALLOC = 1u << 0, BPF_F_NO_COMMON_LRU = 1u << 1, BPF_F_NUMA_NODE = 1u << 2, BPF_F_RDONLY = 1u << 3,
              BPF_F_WRONLY = 1u << 4, BPF_F_STACK_BUILD_ID = 1u << 5, BPF_F_ZERO_SEED = 1u << 6, BPF_F_RDONLY_PROG = 1u << 7,
              BPF_F_WRONLY_PROG = 1u << 8, BPF_F_CLONE = 1u << 9, BPF_F_MMAPABLE = 1u << 10, BPF_F_PRESERVE_ELEMS = 1u << 11,
              BPF_F_INNER_MAP = 1u << 12, BPF_F_LINK = 1u << 13, BPF_F_PATH_FD = 1u << 14, BPF_F_VTYPE_BTF_OBJ_FD = 1u << 15,
              BPF_F_TOKEN_FD = 1u << 16, BPF_F_SEGV_ON_FAULT = 1u << 17, BPF_F_NO_USER_CONV = 1u << 18;
// BPF_PROG_LOAD flags
constexpr u32 BPF_F_STRICT_ALIGNMENT = 1u << 0, BPF_F_ANY_ALIGNMENT = 1u << 1, BPF_F_TEST_RND_HI32 = 1u << 2,
              BPF_F_TEST_STATE_FREQ = 1u << 3, BPF_F_SLEEPABLE = 1u << 4, BPF_F_XDP_HAS_FRAGS = 1u << 5, BPF_F_XDP_DEV_BOUND_ONLY = 1u << 6,
              BPF_F_TEST_REG_INVARIANTS = 1u << 7;
// link flags
constexpr u32 BPF_F_REPLACE = 1u << 2;      // LINK_UPDATE, PROG_ATTACH
constexpr u32 BPF_F_KPROBE_MULTI_RETURN = 1u << 0;
// helper flags
constexpr u64 BPF_F_INDEX_MASK = 0xffffffffULL, BPF_F_CURRENT_CPU = BPF_F_INDEX_MASK, BPF_F_CTXLEN_MASK = 0xfffffULL << 32;
constexpr u64 BPF_F_SKIP_FIELD_MASK = 0xff, BPF_F_USER_STACK = 1u << 8, BPF_F_FAST_STACK_CMP = 1u << 9, BPF_F_REUSE_STACKID = 1u << 10,
              BPF_F_USER_BUILD_ID = 1u << 11;
constexpr u64 BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2;
constexpr u64 BPF_RB_AVAIL_DATA = 0, BPF_RB_RING_SIZE = 1, BPF_RB_CONS_POS = 2, BPF_RB_PROD_POS = 3;
constexpr u32 BPF_RINGBUF_BUSY_BIT = 1u << 31, BPF_RINGBUF_DISCARD_BIT = 1u << 30, BPF_RINGBUF_HDR_SZ = 8;

constexpr u32 BPF_OBJ_NAME_LEN = 16, BPF_TAG_SIZE = 8, MAX_BPF_STACK = 512, BPF_MAXINSNS = 4096, BPF_COMPLEXITY_LIMIT_INSNS = 1000000;
constexpr u32 BPF_LOG_LEVEL1 = 1, BPF_LOG_LEVEL2 = 2, BPF_LOG_STATS = 4, BPF_LOG_FIXED = 8;
constexpr u32 BPF_LOG_MASK = BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2 | BPF_LOG_STATS | BPF_LOG_FIXED;

struct bpf_insn {
  u8 code;
  u8 dst_reg : 4;
  u8 src_reg : 4;
  s16 off;
  s32 imm;
};
static_assert(sizeof(bpf_insn) == 8);

// Instruction classes, sizes, modes and operations. Source: RFC 9669 sections 3 to 5.
constexpr u8 BPF_LD = 0, BPF_LDX = 1, BPF_ST = 2, BPF_STX = 3, BPF_ALU = 4, BPF_JMP = 5, BPF_JMP32 = 6, BPF_ALU64 = 7;
constexpr u8 BPF_W = 0x00, BPF_H = 0x08, BPF_B = 0x10, BPF_DW = 0x18;
constexpr u8 BPF_IMM = 0x00, BPF_ABS = 0x20, BPF_IND = 0x40, BPF_MEM = 0x60, BPF_MEMSX = 0x80, BPF_ATOMIC = 0xc0;
constexpr u8 BPF_K = 0, BPF_X = 8;
constexpr u8 BPF_ADD = 0x00, BPF_SUB = 0x10, BPF_MUL = 0x20, BPF_DIV = 0x30, BPF_OR = 0x40, BPF_AND = 0x50, BPF_LSH = 0x60, BPF_RSH = 0x70,
             BPF_NEG = 0x80, BPF_MOD = 0x90, BPF_XOR = 0xa0, BPF_MOV = 0xb0, BPF_ARSH = 0xc0, BPF_END = 0xd0;
constexpr u8 BPF_JA = 0x00, BPF_JEQ = 0x10, BPF_JGT = 0x20, BPF_JGE = 0x30, BPF_JSET = 0x40, BPF_JNE = 0x50, BPF_JSGT = 0x60,
             BPF_JSGE = 0x70, BPF_CALL = 0x80, BPF_EXIT = 0x90, BPF_JLT = 0xa0, BPF_JLE = 0xb0, BPF_JSLT = 0xc0, BPF_JSLE = 0xd0, BPF_JCOND = 0xe0;
constexpr s32 BPF_FETCH = 0x01, BPF_XCHG = 0xe0 | BPF_FETCH, BPF_CMPXCHG = 0xf0 | BPF_FETCH;
constexpr u8 BPF_PSEUDO_MAP_FD = 1, BPF_PSEUDO_MAP_VALUE = 2, BPF_PSEUDO_BTF_ID = 3, BPF_PSEUDO_FUNC = 4, BPF_PSEUDO_MAP_IDX = 5,
             BPF_PSEUDO_MAP_IDX_VALUE = 6;
constexpr u8 BPF_PSEUDO_CALL = 1, BPF_PSEUDO_KFUNC_CALL = 2;
constexpr u8 bpf_class(u8 code) { return code & 7; }
constexpr u8 bpf_size(u8 code) { return code & 0x18; }
constexpr u8 bpf_mode(u8 code) { return code & 0xe0; }
constexpr u8 bpf_op(u8 code) { return code & 0xf0; }
constexpr u8 bpf_src(u8 code) { return code & 8; }

/// Helper ids that skep names so far (enum bpf_func_id).
enum bpf_func_id : u32 {
  BPF_FUNC_unspec = 0, BPF_FUNC_map_lookup_elem = 1, BPF_FUNC_map_update_elem = 2, BPF_FUNC_map_delete_elem = 3, BPF_FUNC_probe_read = 4,
  BPF_FUNC_ktime_get_ns = 5, BPF_FUNC_trace_printk = 6, BPF_FUNC_get_prandom_u32 = 7, BPF_FUNC_get_smp_processor_id = 8,
  BPF_FUNC_tail_call = 12, BPF_FUNC_get_current_pid_tgid = 14, BPF_FUNC_get_current_uid_gid = 15, BPF_FUNC_get_current_comm = 16,
  BPF_FUNC_perf_event_output = 25, BPF_FUNC_get_current_task = 35, BPF_FUNC_probe_read_str = 45, BPF_FUNC_probe_read_user = 112,
  BPF_FUNC_probe_read_kernel = 113, BPF_FUNC_probe_read_user_str = 114, BPF_FUNC_probe_read_kernel_str = 115, BPF_FUNC_ringbuf_output = 130,
  BPF_FUNC_ringbuf_reserve = 131, BPF_FUNC_ringbuf_submit = 132, BPF_FUNC_ringbuf_discard = 133, BPF_FUNC_ringbuf_query = 134,
  BPF_FUNC_get_attach_cookie = 174, BPF_FUNC_ktime_get_boot_ns = 125, MAX_BPF_FUNC_ID_ = 212,
};

/// attr.test, of BPF_PROG_TEST_RUN.
struct bpf_test_run_attr {
  u32 prog_fd, retval, data_size_in, data_size_out;
  u64 data_in, data_out;
  u32 repeat, duration, ctx_size_in, ctx_size_out;
  u64 ctx_in, ctx_out;
  u32 flags, cpu, batch_size;
};
constexpr u32 BPF_F_TEST_RUN_ON_CPU = 1, BPF_F_TEST_XDP_LIVE_FRAMES = 2, BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 4;

/// union bpf_attr of 6.12: 152 bytes with its tail padding. Only the members that commands of ours decode are named.
union bpf_attr {
  struct {
    u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
    char map_name[BPF_OBJ_NAME_LEN];
    u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
    u64 map_extra;
    s32 value_type_btf_obj_fd, map_token_fd;
  } map_create;
  struct {
    u32 map_fd, pad;
    u64 key;
    u64 value;  ///< also next_key
    u64 flags;
  } elem;
  struct {
    u64 in_batch, out_batch, keys, values;
    u32 count, map_fd;
    u64 elem_flags, flags;
  } batch;
  struct {
    u32 prog_type, insn_cnt;
    u64 insns, license;
    u32 log_level, log_size;
    u64 log_buf;
    u32 kern_version, prog_flags;
    char prog_name[BPF_OBJ_NAME_LEN];
    u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
    u64 func_info;
    u32 func_info_cnt, line_info_rec_size;
    u64 line_info;
    u32 line_info_cnt, attach_btf_id;
    u32 attach_prog_fd;  ///< also attach_btf_obj_fd
    u32 core_relo_cnt;
    u64 fd_array, core_relos;
    u32 core_relo_rec_size, log_true_size;
    s32 prog_token_fd;
  } prog_load;
  struct {
    u64 pathname;
    u32 bpf_fd, file_flags;
    s32 path_fd;
  } obj;
  bpf_test_run_attr test;
  struct {
    u32 id;  ///< start_id, prog_id, map_id, btf_id, link_id
    u32 next_id, open_flags;
  } get_id;
  struct {
    u32 bpf_fd, info_len;
    u64 info;
  } info;
  struct {
    u64 btf, btf_log_buf;
    u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags;
    s32 btf_token_fd;
  } btf_load;
  struct {
    u32 pid, fd, flags, buf_len;
    u64 buf;
    u32 prog_id, fd_type;
    u64 probe_offset, probe_addr;
  } task_fd_query;
  struct {
    u32 prog_fd;  ///< also map_fd
    u32 target_fd, attach_type, flags;
    union {
      u64 bpf_cookie;  ///< perf_event
      struct {
        u32 target_btf_id, pad;
        u64 cookie;
      } tracing;
      struct {
        u32 flags, cnt;
        u64 syms, addrs, cookies;
      } kprobe_multi;
    };
  } link_create;
  struct {
    u32 link_fd;
    u32 new_prog_fd;  ///< also new_map_fd
    u32 flags;
    u32 old_prog_fd;
  } link_update;
  struct {
    u64 name;
    u32 prog_fd, pad;
    u64 cookie;
  } raw_tracepoint;
  struct {
    u32 link_fd;
  } link_detach;
  struct {
    u32 prog_fd, map_fd, flags;
  } prog_bind_map;
  u8 bytes[152];
};

struct bpf_map_info {
  u32 type, id, key_size, value_size, max_entries, map_flags;
  char name[BPF_OBJ_NAME_LEN];
  u32 ifindex, btf_vmlinux_value_type_id;
  u64 netns_dev, netns_ino;
  u32 btf_id, btf_key_type_id, btf_value_type_id, btf_vmlinux_id;
  u64 map_extra;
};
static_assert(sizeof(bpf_map_info) == 88);

struct bpf_prog_info {
  u32 type, id;
  u8 tag[BPF_TAG_SIZE];
  u32 jited_prog_len, xlated_prog_len;
  u64 jited_prog_insns, xlated_prog_insns, load_time;
  u32 created_by_uid, nr_map_ids;
  u64 map_ids;
  char name[BPF_OBJ_NAME_LEN];
  u32 ifindex, gpl_compatible;
  u64 netns_dev, netns_ino;
  u32 nr_jited_ksyms, nr_jited_func_lens;
  u64 jited_ksyms, jited_func_lens;
  u32 btf_id, func_info_rec_size;
  u64 func_info;
  u32 nr_func_info, nr_line_info;
  u64 line_info, jited_line_info;
  u32 nr_jited_line_info, line_info_rec_size, jited_line_info_rec_size, nr_prog_tags;
  u64 prog_tags, run_time_ns, run_cnt, recursion_misses;
  u32 verified_insns, attach_btf_obj_id, attach_btf_id, pad;
};
static_assert(sizeof(bpf_prog_info) == 232);

struct bpf_btf_info {
  u64 btf;
  u32 btf_size, id;
  u64 name;
  u32 name_len, kernel_btf;
};
static_assert(sizeof(bpf_btf_info) == 32);

/// As large as 6.12 has it. Of its union the kinds of links that there are here.
struct bpf_link_info {
  u32 type, id, prog_id, pad;
  union {
    struct {
      u64 tp_name;
      u32 tp_name_len;
    } raw_tracepoint;
    struct {
      u32 attach_type, target_obj_id, target_btf_id;
    } tracing;
    struct {
      u64 addrs;
      u32 count, flags;
      u64 missed, cookies;
    } kprobe_multi;
    struct {
      u32 type, pad;
      union {
        struct {
          u64 func_name;
          u32 name_len, offset;
          u64 addr, missed, cookie;
        } kprobe;
        struct {
          u64 tp_name;
          u32 name_len, pad;
          u64 cookie;
        } tracepoint;
        struct {
          u64 config;
          u32 type, pad;
          u64 cookie;
        } event;
      };
    } perf_event;
  };
};
static_assert(sizeof(bpf_link_info) == 64);

}  // namespace skep
