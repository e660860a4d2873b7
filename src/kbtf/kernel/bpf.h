// kbtf: bpf's own structs: special fields, iterators' states, maps, programs. Linux: include/uapi/linux/bpf.h, include/linux/bpf.h,
// kernel/bpf/*.c
#pragma once
#include "kbtf/kernel/fs.h"
#include "kbtf/kernel/uapi.h"

struct bpf_spin_lock {
  __u32 val;
} KEEP(bpf_spin_lock);
#define OPAQUE_WORDS(name, n)                      \
  struct name {                                    \
    __u64 __opaque[n];                             \
  } __attribute__((aligned(8))) KEEP(name)
OPAQUE_WORDS(bpf_timer, 2);
OPAQUE_WORDS(bpf_wq, 2);
OPAQUE_WORDS(bpf_dynptr, 2);
OPAQUE_WORDS(bpf_list_head, 2);
OPAQUE_WORDS(bpf_list_node, 3);
OPAQUE_WORDS(bpf_rb_root, 2);
OPAQUE_WORDS(bpf_rb_node, 4);
OPAQUE_WORDS(bpf_iter_num, 1);
OPAQUE_WORDS(bpf_iter_task, 3);
OPAQUE_WORDS(bpf_iter_task_vma, 1);
OPAQUE_WORDS(bpf_iter_css, 3);
OPAQUE_WORDS(bpf_iter_css_task, 1);
OPAQUE_WORDS(bpf_iter_bits, 2);
struct bpf_refcount {
  __u32 __opaque[1];
} __attribute__((aligned(4))) KEEP(bpf_refcount);

struct bpf_dynptr_kern {
  void *data;
  u32 size, offset;
} __attribute__((aligned(8))) KEEP(bpf_dynptr_kern);
struct bpf_cpumask {
  cpumask_t cpumask;
  refcount_t usage;
} KEEP(bpf_cpumask);
struct bpf_crypto_ctx {
  const struct bpf_crypto_type *type;
  void *tfm;
  u32 siv_len;
  struct callback_head rcu;
  refcount_t usage;
} KEEP(bpf_crypto_ctx);
struct bpf_crypto_params {
  char type[14];
  u8 reserved[2];
  char algo[128];
  u8 key[256];
  u32 key_len, authsize;
} KEEP(bpf_crypto_params);
struct bpf_key {
  struct key *key;
  bool has_ref;
} KEEP(bpf_key);

struct btf {
  void *data;
  u32 nr_types, types_size, data_size;
  refcount_t refcnt;
  u32 id;
  struct btf *base_btf;
  u32 start_id, start_str_off;
  char name[56];
  bool kernel_btf;
} KEEP(btf);

struct bpf_map {
  const struct bpf_map_ops *ops;
  struct bpf_map *inner_map_meta;
  void *security;
  enum bpf_map_type map_type;
  u32 key_size, value_size, max_entries;
  u64 map_extra;
  u32 map_flags, id;
  struct btf_record *record;
  int numa_node;
  u32 btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
  struct btf *btf;
  char name[16];
  struct mutex freeze_mutex;
  atomic64_t refcnt, usercnt, writecnt;
  spinlock_t owner_lock;
  bool bypass_spec_v1, frozen;
  atomic64_t sleepable_refcnt;
  s64 __percpu *elem_count;
  u64 cookie;
} KEEP(bpf_map);

struct bpf_array {
  struct bpf_map map;
  u32 elem_size, index_mask;
  struct bpf_array_aux *aux;
  union {
    char value[0];
    void *ptrs[0];
    void __percpu *pptrs[0];
  };
} KEEP(bpf_array);
struct bpf_htab {
  struct bpf_map map;
  struct bucket *buckets;
  void *elems;
  atomic_t count;
  bool use_percpu_counter;
  u32 n_buckets, elem_size, hashrnd;
} KEEP(bpf_htab);
struct bpf_stack_map {
  struct bpf_map map;
  void *elems;
  u32 n_buckets;
} KEEP(bpf_stack_map);
struct lpm_trie {
  struct bpf_map map;
  struct lpm_trie_node __rcu *root;
  size_t n_entries, max_prefixlen, data_size;
} KEEP(lpm_trie);
struct bpf_dtab {
  struct bpf_map map;
  struct list_head list;
  struct hlist_head *dev_index_head;
  unsigned int items;
  u32 n_buckets;
} KEEP(bpf_dtab);
struct bpf_stab {
  struct bpf_map map;
  struct sock **sks;
} KEEP(bpf_stab);
struct bpf_shtab {
  struct bpf_map map;
  struct bpf_shtab_bucket *buckets;
  u32 buckets_num, elem_size;
  atomic_t count;
} KEEP(bpf_shtab);
struct bpf_cpu_map {
  struct bpf_map map;
  struct bpf_cpu_map_entry __rcu **cpu_map;
} KEEP(bpf_cpu_map);
struct xsk_map {
  struct bpf_map map;
  atomic_t count;
  struct xdp_sock __rcu *xsk_map[0];
} KEEP(xsk_map);
struct bpf_cgroup_storage_map {
  struct bpf_map map;
  spinlock_t lock;
  struct rb_root root;
  struct list_head list;
} KEEP(bpf_cgroup_storage_map);
struct reuseport_array {
  struct bpf_map map;
  struct sock __rcu *ptrs[0];
} KEEP(reuseport_array);
struct bpf_queue_stack {
  struct bpf_map map;
  spinlock_t lock;
  u32 head, tail, size;
  char elements[0];
} KEEP(bpf_queue_stack);
struct bpf_local_storage_map {
  struct bpf_map map;
  struct bpf_local_storage_map_bucket *buckets;
  u32 bucket_log;
  u16 elem_size, cache_idx;
} KEEP(bpf_local_storage_map);
struct bpf_struct_ops_map {
  struct bpf_map map;
  struct callback_head rcu;
  struct mutex lock;
  struct bpf_link **links;
} KEEP(bpf_struct_ops_map);
struct bpf_ringbuf_map {
  struct bpf_map map;
  struct bpf_ringbuf *rb;
} KEEP(bpf_ringbuf_map);
struct bpf_bloom_filter {
  struct bpf_map map;
  u32 bitset_mask, hash_seed, nr_hash_funcs;
  unsigned long bitset[0];
} KEEP(bpf_bloom_filter);
struct bpf_arena {
  struct bpf_map map;
  u64 user_vm_start, user_vm_end;
  struct list_head vma_list;
  struct mutex lock;
} KEEP(bpf_arena);

struct bpf_insn {
  __u8 code, dst_reg : 4, src_reg : 4;
  __s16 off;
  __s32 imm;
} KEEP(bpf_insn);
struct bpf_prog_aux {
  atomic64_t refcnt;
  u32 used_map_cnt, used_btf_cnt, max_ctx_offset, max_pkt_offset, max_tp_access, stack_depth, id, func_cnt, real_func_cnt, func_idx,
      attach_btf_id;
  struct btf *attach_btf;
  struct bpf_prog *dst_prog;
  bool attach_tracing_prog, func_proto_unreliable, tail_call_reachable, xdp_has_frags, is_extended;
  const char *attach_func_name;
  struct bpf_prog **func;
  struct bpf_map **used_maps;
  struct bpf_prog *prog;
  struct user_struct *user;
  u64 load_time;
  u32 verified_insns;
  char name[16];
  void *security;
  struct btf *btf;
} KEEP(bpf_prog_aux);
struct bpf_prog {
  u16 pages;
  u16 jited : 1, jit_requested : 1, gpl_compatible : 1, cb_access : 1, dst_needed : 1, blinding_requested : 1, blinded : 1,
      is_func : 1, kprobe_override : 1, has_callchain_buf : 1, enforce_expected_attach_type : 1, call_get_stack : 1,
      call_get_func_ip : 1, tstamp_type_access : 1, sleepable : 1;
  enum bpf_prog_type type;
  enum bpf_attach_type expected_attach_type;
  u32 len, jited_len;
  u8 tag[8];
  int __percpu *active;
  unsigned int (*bpf_func)(const void *ctx, const struct bpf_insn *insn);
  struct bpf_prog_aux *aux;
  struct bpf_insn insnsi[0];
} KEEP(bpf_prog);
struct bpf_link {
  atomic64_t refcnt;
  u32 id;
  enum bpf_link_type type;
  const struct bpf_link_ops *ops;
  struct bpf_prog *prog;
  struct callback_head rcu;
} KEEP(bpf_link);
struct bpf_tracing_link {
  struct bpf_link link;
  enum bpf_attach_type attach_type;
} KEEP(bpf_tracing_link);
struct bpf_token {
  atomic64_t refcnt;
  struct user_namespace *userns;
  u64 allowed_cmds, allowed_maps, allowed_progs, allowed_attachs;
} KEEP(bpf_token);
struct bpf_local_storage {
  void *cache[16];
  struct bpf_local_storage_map __rcu *smap;
  struct hlist_head list;
  void *owner;
  struct callback_head rcu;
} KEEP(bpf_local_storage);

// struct_ops: what may be replaced by programs. Linux: include/linux/bpf.h, include/net/tcp.h
struct bpf_dummy_ops_state {
  int val;
} KEEP(bpf_dummy_ops_state);
struct bpf_dummy_ops {
  int (*test_1)(struct bpf_dummy_ops_state *cb);
  int (*test_2)(struct bpf_dummy_ops_state *cb, int a1, unsigned short a2, char a3, unsigned long a4);
  int (*test_sleepable)(struct bpf_dummy_ops_state *cb);
} KEEP(bpf_dummy_ops);

// Of the kernel's own test functions. Linux: net/bpf/test_run.c
struct bpf_fentry_test_t {
  struct bpf_fentry_test_t *a;
} KEEP(bpf_fentry_test_t);
struct prog_test_member1 {
  int a;
} KEEP(prog_test_member1);
struct prog_test_member {
  struct prog_test_member1 m;
  int c;
} KEEP(prog_test_member);
struct prog_test_ref_kfunc {
  int a, b;
  struct prog_test_member memb;
  struct prog_test_ref_kfunc *next;
  refcount_t cnt;
} KEEP(prog_test_ref_kfunc);

/// That it is there tells clients that there are BPF ring buffers.
struct bpf_ringbuf {
  u64 mask;
  int nr_pages;
  spinlock_t spinlock;
  unsigned long consumer_pos, producer_pos, pending_pos;
} KEEP(bpf_ringbuf);

struct kallsym_iter {
  loff_t pos, pos_mod_end, pos_ftrace_mod_end, pos_bpf_end;
  unsigned long value;
  unsigned int nameoff;
  char type;
  char name[512], module_name[56];
  int exported, show_value;
} KEEP(kallsym_iter);
OPAQUE(key);
OPAQUE(user_key_payload);
