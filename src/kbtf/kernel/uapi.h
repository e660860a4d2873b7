// kbtf: structs of user space that programs read through the kernel's BTF: headers of packets, times, bpf(2)'s own argument.
// Linux: include/uapi/linux/{if_ether,if_vlan,ip,ipv6,tcp,udp,icmp,icmpv6,time_types,uio,bpf}.h
#pragma once
#include "kbtf/kernel/bpf_enums.h"

struct ethhdr {
  unsigned char h_dest[6], h_source[6];
  __be16 h_proto;
} __attribute__((packed)) KEEP(ethhdr);
struct vlan_hdr {
  __be16 h_vlan_TCI, h_vlan_encapsulated_proto;
} KEEP(vlan_hdr);
struct iphdr {
  __u8 ihl : 4, version : 4;
  __u8 tos;
  __be16 tot_len, id, frag_off;
  __u8 ttl, protocol;
  __u16 check;
  __be32 saddr, daddr;
} KEEP(iphdr);
struct in6_addr {
  union {
    __u8 u6_addr8[16];
    __be16 u6_addr16[8];
    __be32 u6_addr32[4];
  } in6_u;
} KEEP(in6_addr);
struct ipv6hdr {
  __u8 priority : 4, version : 4;
  __u8 flow_lbl[3];
  __be16 payload_len;
  __u8 nexthdr, hop_limit;
  struct in6_addr saddr, daddr;
} KEEP(ipv6hdr);
struct tcphdr {
  __be16 source, dest;
  __be32 seq, ack_seq;
  __u16 res1 : 4, doff : 4, fin : 1, syn : 1, rst : 1, psh : 1, ack : 1, urg : 1, ece : 1, cwr : 1;
  __be16 window;
  __u16 check;
  __be16 urg_ptr;
} KEEP(tcphdr);
struct udphdr {
  __be16 source, dest, len;
  __u16 check;
} KEEP(udphdr);
struct icmphdr {
  __u8 type, code;
  __u16 checksum;
  union {
    struct {
      __be16 id, sequence;
    } echo;
    __be32 gateway;
  } un;
} KEEP(icmphdr);
struct icmp6hdr {
  __u8 icmp6_type, icmp6_code;
  __u16 icmp6_cksum;
  __be32 icmp6_dataun;
} KEEP(icmp6hdr);

struct __kernel_timespec {
  __s64 tv_sec;
  long long tv_nsec;
} KEEP(__kernel_timespec);
struct iovec {
  void *iov_base;
  size_t iov_len;
} KEEP(iovec);

/// As 6.12 has it. Commands whose members share their places: elements, ids.
union bpf_attr {
  struct {
    __u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
    char map_name[16];
    __u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
    __u64 map_extra;
    __s32 value_type_btf_obj_fd, map_token_fd;
  };
  struct {
    __u32 map_fd;
    __u64 key __attribute__((aligned(8)));
    union {
      __u64 value, next_key;
    };
    __u64 flags;
  };
  struct {
    __u64 in_batch, out_batch, keys, values;
    __u32 count, map_fd;
    __u64 elem_flags, flags;
  } batch;
  struct {
    __u32 prog_type, insn_cnt;
    __u64 insns, license;
    __u32 log_level, log_size;
    __u64 log_buf;
    __u32 kern_version, prog_flags;
    char prog_name[16];
    __u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
    __u64 func_info;
    __u32 func_info_cnt, line_info_rec_size;
    __u64 line_info;
    __u32 line_info_cnt, attach_btf_id;
    union {
      __u32 attach_prog_fd, attach_btf_obj_fd;
    };
    __u32 core_relo_cnt;
    __u64 fd_array, core_relos;
    __u32 core_relo_rec_size, log_true_size;
    __s32 prog_token_fd;
  };
  struct {
    __u64 pathname;
    __u32 bpf_fd, file_flags;
    __s32 path_fd;
  };
  struct {
    union {
      __u32 target_fd, target_ifindex;
    };
    __u32 attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd;
    union {
      __u32 relative_fd, relative_id;
    };
    __u64 expected_revision;
  };
  struct {
    __u32 prog_fd, retval, data_size_in, data_size_out;
    __u64 data_in, data_out;
    __u32 repeat, duration, ctx_size_in, ctx_size_out;
    __u64 ctx_in, ctx_out;
    __u32 flags, cpu, batch_size;
  } test;
  struct {
    union {
      __u32 start_id, prog_id, map_id, btf_id, link_id;
    };
    __u32 next_id, open_flags;
  };
  struct {
    __u32 bpf_fd, info_len;
    __u64 info;
  } info;
  struct {
    __u64 name;
    __u32 prog_fd;
    __u64 cookie __attribute__((aligned(8)));
  } raw_tracepoint;
  struct {
    __u64 btf, btf_log_buf;
    __u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags;
    __s32 btf_token_fd;
  };
  struct {
    __u32 pid, fd, flags, buf_len;
    __u64 buf;
    __u32 prog_id, fd_type;
    __u64 probe_offset, probe_addr;
  } task_fd_query;
  struct {
    union {
      __u32 prog_fd, map_fd;
    };
    union {
      __u32 target_fd, target_ifindex;
    };
    __u32 attach_type, flags;
    union {
      __u32 target_btf_id;
      struct {
        __u64 iter_info;
        __u32 iter_info_len;
      };
      struct {
        __u64 bpf_cookie;
      } perf_event;
      struct {
        __u32 target_btf_id;
        __u64 cookie;
      } tracing;
    };
  } link_create;
  struct {
    __u32 link_fd;
    union {
      __u32 new_prog_fd, new_map_fd;
    };
    __u32 flags;
    union {
      __u32 old_prog_fd, old_map_fd;
    };
  } link_update;
  struct {
    __u32 link_fd;
  } link_detach;
  struct {
    __u32 type;
  } enable_stats;
  struct {
    __u32 link_fd, flags;
  } iter_create;
  struct {
    __u32 prog_fd, map_fd, flags;
  } prog_bind_map;
  struct {
    __u32 flags, bpffs_fd;
  } token_create;
} __attribute__((aligned(8))) KEEP(bpf_attr);

#ifndef __cplusplus
// Names that headers made of this BTF, with uapi headers beside them, cannot do without.
typedef long __kernel_long_t;
typedef unsigned long __kernel_ulong_t;
typedef __u64 __aligned_u64;
__kernel_long_t kept___kernel_long_t;
__kernel_ulong_t kept___kernel_ulong_t;
__aligned_u64 kept___aligned_u64;
enum { false = 0, true = 1 } kept_truth;
#endif
