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
  atomic_long_t f_count;
  fmode_t f_mode;
  const struct file_operations *f_op;
  struct address_space *f_mapping;
  void *private_data;
  struct inode *f_inode;
  unsigned int f_flags, f_iocb_flags;
  const struct cred *f_cred;
  struct path f_path;
  loff_t f_pos;
  void *f_security;
} KEEP(file);
OPAQUE(file_operations);

struct inode {
  umode_t i_mode;
  unsigned short i_opflags;
  kuid_t i_uid;
  kgid_t i_gid;
  unsigned int i_flags;
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
  time64_t i_atime_sec, i_mtime_sec, i_ctime_sec;
  u32 i_atime_nsec, i_mtime_nsec, i_ctime_nsec, i_generation;
  unsigned short i_bytes;
  u8 i_blkbits;
  blkcnt_t i_blocks;
  unsigned long i_state;
  atomic64_t i_version;
  atomic_t i_count, i_writecount;
  const struct file_operations *i_fop;
  void *i_private;
} KEEP(inode);

struct dentry {
  unsigned int d_flags;
  struct dentry *d_parent;
  struct qstr d_name;
  struct inode *d_inode;
  unsigned char d_iname[40];
  struct super_block *d_sb;
  unsigned long d_time;
  void *d_fsdata;
} KEEP(dentry);

struct file_system_type {
  const char *name;
  int fs_flags;
} KEEP(file_system_type);
struct super_block {
  struct list_head s_list;
  dev_t s_dev;
  unsigned char s_blocksize_bits;
  unsigned long s_blocksize;
  loff_t s_maxbytes;
  struct file_system_type *s_type;
  unsigned long s_flags, s_iflags, s_magic;
  struct dentry *s_root;
  void *s_security;
  void *s_fs_info;
  char s_id[32];
  const char *s_subtype;
  struct user_namespace *s_user_ns;
} KEEP(super_block);

struct fdtable {
  unsigned int max_fds;
  struct file __rcu **fd;
  unsigned long *close_on_exec, *open_fds, *full_fds_bits;
} KEEP(fdtable);
struct files_struct {
  atomic_t count;
  struct fdtable __rcu *fdt;
  struct fdtable fdtab;
  unsigned int next_fd;
  struct file __rcu *fd_array[64];
} KEEP(files_struct);
struct fs_struct {
  int users, umask, in_exec;
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
