// agent: what the agent knows of its process.
//
// Three kinds of state, by what fork does to it:
//   Session    set once when the image starts, the same in fork children: where the window is, what was asked in the environment.
//   Process    one page that the kernel wipes in a fork child (MADV_WIPEONFORK): the control connection, the identity towards the host.
//              All zero means: not connected yet; connecting is done when it is first needed.
//   Thread     initial-exec TLS. A vfork child shares it with its parent, who sleeps; a clone(CLONE_VM) without its own TLS makes
//              `shared_tls` true and the agent then keeps nothing in it.
#pragma once
#include "shm/layout.h"
#include "shm/slot.h"

namespace skep::agent {

struct Session {
  Window window;
  bool active;         ///< connected at start: all below is valid
  bool shared_tls;
  bool seccomp;        ///< the process filters its own syscalls: make none that it might not allow
  char dir[96];        ///< session directory: control socket `ctl`, private files
  char virtual_root[256];
  const char* agent_path;  ///< of this shared object, for children (in the environment block, lives as long as the image)
  char agent_path_buf[512];
  u64 ring_generation;
  s32 inherited_control;  ///< the parent's connection, closed in a fork child
  s32 liveness;        ///< fd number of the inherited liveness pipe, -1 when there is none
};
extern Session session;

struct Process {
  u32 lock;            ///< control connection: 0 free, 1 taken
  u32 dead;            ///< the host is gone or refused
  s32 control;         ///< fd + 1
  u32 pad;
  OwnerId owner;       ///< 0 until the host has said hello
  u64 stacks_taken;    ///< bit mask
};
extern Process* process;

struct Thread {
  u32 stack;           ///< innermost agent stack in use, index + 1
  u32 in_run;          ///< run slot index + 1 while a program runs
  u64 in_run_seq;
  u64 blocked;         ///< SIGSEGV/SIGBUS bits that the program believes blocked
};
extern __thread Thread thread __attribute__((tls_model("initial-exec")));

constexpr u32 AGENT_STACKS = 32;
constexpr u64 AGENT_STACK_SIZE = 64 << 10;

}  // namespace skep::agent
