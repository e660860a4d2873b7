// kbtf: files, and what exec and seq_file hand on. Linux: include/linux/{fs,dcache,path,mount,fdtable,fs_struct,binfmts,seq_file}.h
#pragma once
#include "kbtf/kernel/task.h"

struct address_space;
struct dentry;
struct inode;
struct seq_file;
struct super_block;
struct vfsmount;

struct path {
  struct vfsmount *mnt;
  struct dentry *dentry;
} KEEP(path);
struct qstr {
  union {
    struct {
      u32 hash, len;
    };
    u64 hash_len;
  };
  const unsigned char *name;
} KEEP(qstr);
struct vfsmount {
  struct dentry *mnt_root;
  struct super_block *mnt_sb;
  int mnt_flags;
  struct mnt_idmap *mnt_idmap;
} KEEP(vfsmount);
struct mount {
  struct hlist_node mnt_hash;
  struct mount *mnt_parent;
  struct dentry *mnt_mountpoint;
  struct vfsmount mnt;
  struct mnt_namespace *mnt_ns;
  int mnt_id;
} KEEP(mount);

struct file {
  unsigned int f_iocb_flags;
  TO(16, 12);
  struct path f_path;
  struct inode *f_inode;
  const struct file_operations *f_op;
  spinlock_t f_lock;
  atomic_long_t f_count;
  unsigned int f_flags;
  fmode_t f_mode;
  struct mutex f_pos_lock;
  loff_t f_pos;
  TO(144, 32);
  const struct cred *f_cred;
  TO(192, 40);
  void *f_security, *private_data;
  TO(216, 8);
  struct address_space *f_mapping;
  TO(232, 8);
} KEEP(file);
OPAQUE(file_operations);

struct inode {
  umode_t i_mode;
  unsigned short i_opflags;
  kuid_t i_uid;
  kgid_t i_gid;
  unsigned int i_flags;
  TO(32, 16);
  const struct inode_operations *i_op;
  struct super_block *i_sb;
  struct address_space *i_mapping;
  void *i_security;
  unsigned long i_ino;
  union {
    const unsigned int i_nlink;
    unsigned int __i_nlink;
  };
  dev_t i_rdev;
  loff_t i_size;
  time64_t i_atime_sec;
  u32 i_atime_nsec;
  time64_t i_mtime_sec;
  u32 i_mtime_nsec;
  time64_t i_ctime_sec;
  u32 i_ctime_nsec;
  TO(140, 8);
  unsigned short i_bytes;
  u8 i_blkbits;
  blkcnt_t i_blocks;
  unsigned long i_state;
  TO(328, 168);
  atomic64_t i_version;
  TO(344, 8);
  atomic_t i_count;
  TO(352, 4);
  atomic_t i_writecount;
  const struct file_operations *i_fop;
  TO(592, 224);
  u32 i_generation;
  TO(624, 28);
  void *i_private;
} KEEP(inode);

struct dentry {
  unsigned int d_flags;
  TO(24, 20);
  struct dentry *d_parent;
  struct qstr d_name;
  struct inode *d_inode;
  unsigned char d_iname[32];
  TO(104, 16);
  struct super_block *d_sb;
  unsigned long d_time;
  void *d_fsdata;
  TO(192, 64);
} KEEP(dentry);

struct file_system_type {
  const char *name;
  int fs_flags;
  TO(72, 60);
} KEEP(file_system_type);
struct super_block {
  struct list_head s_list;
  dev_t s_dev;
  unsigned char s_blocksize_bits;
  unsigned long s_blocksize;
  loff_t s_maxbytes;
  struct file_system_type *s_type;
  TO(80, 32);
  unsigned long s_flags, s_iflags, s_magic;
  struct dentry *s_root;
  TO(160, 48);
  void *s_security;
  TO(920, 752);
  void *s_fs_info;
  TO(968, 40);
  char s_id[32];
  TO(1056, 56);
  const char *s_subtype;
  TO(1176, 112);
  struct user_namespace *s_user_ns;
  TO(1472, 288);
} KEEP(super_block);

struct fdtable {
  unsigned int max_fds;
  struct file __rcu **fd;
  unsigned long *close_on_exec, *open_fds, *full_fds_bits;
  TO(56, 16);
} KEEP(fdtable);
struct files_struct {
  atomic_t count;
  TO(32, 28);
  struct fdtable __rcu *fdt;
  struct fdtable fdtab;
  TO(132, 36);
  unsigned int next_fd;
  TO(160, 24);
  struct file __rcu *fd_array[64];
  TO(704, 32);
} KEEP(files_struct);
struct fs_struct {
  int users;
  TO(12, 8);
  int umask, in_exec;
  struct path root, pwd;
} KEEP(fs_struct);

struct linux_binprm {
  struct vm_area_struct *vma;
  unsigned long vma_pages;
  struct mm_struct *mm;
  unsigned long p, argmin;
  unsigned int have_execfd : 1, execfd_creds : 1, secureexec : 1, point_of_no_return : 1;
  struct file *executable, *interpreter, *file;
  struct cred *cred;
  int unsafe;
  unsigned int per_clear;
  int argc, envc;
  const char *filename, *interp, *fdpath;
  unsigned int interp_flags;
  int execfd;
  unsigned long loader, exec;
  struct rlimit rlim_stack;
  char buf[256];
} KEEP(linux_binprm);

struct seq_operations {
  void *(*start)(struct seq_file *, loff_t *);
  void (*stop)(struct seq_file *, void *);
  void *(*next)(struct seq_file *, void *, loff_t *);
  int (*show)(struct seq_file *, void *);
} KEEP(seq_operations);
struct seq_file {
  char *buf;
  size_t size, from, count, pad_until;
  loff_t index, read_pos;
  struct mutex lock;
  const struct seq_operations *op;
  int poll_event;
  const struct file *file;
#ifdef __cplusplus
  void *private_;
#else
  void *private;
#endif
} KEEP(seq_file);

struct iattr {
  unsigned int ia_valid;
  umode_t ia_mode;
  kuid_t ia_uid;
  kgid_t ia_gid;
  loff_t ia_size;
  struct timespec64 ia_atime, ia_mtime, ia_ctime;
  struct file *ia_file;
} KEEP(iattr);
struct xattr {
  const char *name;
  void *value;
  size_t value_len;
} KEEP(xattr);
OPAQUE(mnt_idmap);
OPAQUE(posix_acl);
OPAQUE(fs_context);
OPAQUE(fs_parameter);
OPAQUE(fown_struct);
OPAQUE(file_lock);
OPAQUE(block_device);
OPAQUE(bio);
OPAQUE(request);
