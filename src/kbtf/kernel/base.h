// kbtf: the small types of the kernel, and how a declaration gets into BTF. Read by clang as C; by C++ inside of a namespace, for
// offsets.
#pragma once

#ifdef __cplusplus
#define KEEP(name)
#else
/// Behind a struct's brace: the compiler describes what an object is made of, and only mentions what pointers lead to.
#define KEEP(name) kept_##name
typedef _Bool bool;
#endif
/// For readers only. Type tags in BTF decide what programs may do with a pointer; the reference kernel is built by gcc, which emits
/// none, and verdicts are to be its.
#define __user
#define __percpu
#define __rcu
/// Up to the byte where the next member stands, or where the struct ends: see kbtf/kernel_offsets.inc.
#define TO(offset, bytes) unsigned char __to_##offset[bytes]
/// A struct that is there by name, with nothing in it that programs read.
#define OPAQUE(name)         \
  struct name {              \
    unsigned long opaque__;  \
  } KEEP(name)

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u64 __addrpair;
typedef __u32 __portpair;

typedef unsigned long size_t;
typedef long ssize_t;
typedef long long loff_t;
typedef int pid_t;
typedef unsigned int uid_t;
typedef unsigned int gid_t;
typedef unsigned short umode_t;
typedef unsigned int fmode_t;
typedef unsigned int gfp_t;
typedef unsigned int dev_t;
typedef __s64 ktime_t;
typedef long long time64_t;
typedef u64 blkcnt_t;
typedef u64 netdev_features_t;
typedef unsigned long vm_flags_t;
typedef unsigned int sk_buff_data_t;
typedef unsigned short sa_family_t;

typedef struct {
  int counter;
} atomic_t;
typedef struct {
  s64 counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;
typedef struct refcount_struct {
  atomic_t refs;
} refcount_t;
typedef struct {
  uid_t val;
} kuid_t;
typedef struct {
  gid_t val;
} kgid_t;
/// 6.1 makes it of two words of 32 bits, so it stands at multiples of 4.
typedef struct {
  u64 val;
} __attribute__((packed, aligned(4))) kernel_cap_t;
typedef struct {
  unsigned long sig[1];
} sigset_t;
struct qspinlock {
  atomic_t val;
};
typedef struct raw_spinlock {
  struct qspinlock raw_lock;
} raw_spinlock_t;
typedef struct spinlock {
  struct raw_spinlock rlock;
} spinlock_t;

struct timer_list;

struct list_head {
  struct list_head *next, *prev;
} KEEP(list_head);
struct hlist_node {
  struct hlist_node *next, **pprev;
} KEEP(hlist_node);
struct hlist_head {
  struct hlist_node *first;
} KEEP(hlist_head);
struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node *rb_right, *rb_left;
} KEEP(rb_node);
struct rb_root {
  struct rb_node *rb_node;
} KEEP(rb_root);
struct callback_head {
  struct callback_head *next;
  void (*func)(struct callback_head *);
} KEEP(callback_head);
struct mutex {
  atomic_long_t owner;
  TO(32, 24);
} KEEP(mutex);
struct timer_list {
  struct hlist_node entry;
  unsigned long expires;
  void (*function)(struct timer_list *);
  u32 flags;
} KEEP(timer_list);
struct timespec64 {
  time64_t tv_sec;
  long tv_nsec;
} KEEP(timespec64);

/// 64 processors to a word, as many words as NR_CPUS of the pinned configuration needs.
typedef struct cpumask {
  unsigned long bits[128];
} cpumask_t;
#ifndef __cplusplus
cpumask_t kept_cpumask;
#endif
