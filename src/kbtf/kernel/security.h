// kbtf: what only the hooks of LSM programs name. Linux: include/linux/{security,key,ipc,msg,audit}.h
#pragma once
#include "kbtf/kernel/trace.h"

enum lsm_integrity_type { LSM_INT_DMVERITY_SIG_VALID, LSM_INT_DMVERITY_ROOTHASH, LSM_INT_FSVERITY_BUILTINSIG_VALID };
enum kernel_read_file_id {
  READING_UNKNOWN, READING_FIRMWARE, READING_MODULE, READING_KEXEC_IMAGE, READING_KEXEC_INITRAMFS, READING_POLICY,
  READING_X509_CERTIFICATE, READING_MAX_ID,
};
enum kernel_load_data_id {
  LOADING_UNKNOWN, LOADING_FIRMWARE, LOADING_MODULE, LOADING_KEXEC_IMAGE, LOADING_KEXEC_INITRAMFS, LOADING_POLICY,
  LOADING_X509_CERTIFICATE, LOADING_MAX_ID,
};
enum key_need_perm {
  KEY_NEED_UNSPECIFIED, KEY_NEED_VIEW, KEY_NEED_READ, KEY_NEED_WRITE, KEY_NEED_SEARCH, KEY_NEED_LINK, KEY_NEED_SETATTR,
  KEY_NEED_UNLINK, KEY_SYSADMIN_OVERRIDE, KEY_AUTHTOKEN_OVERRIDE, KEY_DEFER_PERM_CHECK,
};
enum lockdown_reason { LOCKDOWN_NONE };

typedef struct __key_reference_with_attributes *key_ref_t;
typedef struct {
  union {
    void *kernel;
    void __user *user;
  };
  bool is_kernel : 1;
} sockptr_t;

struct timezone {
  int tz_minuteswest, tz_dsttime;
} KEEP(timezone);
struct kern_ipc_perm {
  spinlock_t lock;
  bool deleted;
  int id, key;
  kuid_t uid;
  kgid_t gid;
  kuid_t cuid;
  kgid_t cgid;
  umode_t mode;
  unsigned long seq;
  void *security;
} KEEP(kern_ipc_perm);
struct msg_msg {
  struct list_head m_list;
  long m_type;
  size_t m_ts;
  void *security;
} KEEP(msg_msg);
struct sembuf {
  unsigned short sem_num;
  short sem_op, sem_flg;
} KEEP(sembuf);
struct audit_krule {
  u32 pflags, flags, listnr, action;
} KEEP(audit_krule);
OPAQUE(flowi_common);
OPAQUE(io_uring_cmd);
OPAQUE(lsm_ctx);
OPAQUE(sctp_association);
OPAQUE(watch_notification);
OPAQUE(xfrm_policy);
OPAQUE(xfrm_sec_ctx);
OPAQUE(xfrm_state);
OPAQUE(xfrm_user_sec_ctx);
