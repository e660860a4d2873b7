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

/// Whether the process is told that it is root. Once it has become another user it is not, nor are its children.
enum class FakeRoot : u8 { Off, On, GivenUp };

struct Session {
  Window window;
  bool active;         ///< connected at start: all below is valid
  bool shared_tls;
  FakeRoot fake_root;
  bool worker;         ///< this process is the session's worker: what runs here runs for an idle processor
  bool seccomp;        ///< the process filters its own syscalls: make none that it might not allow
  char dir[96];        ///< session directory: control socket `ctl`, private files
  char virtual_root[256];
  const char* agent_path;  ///< of this shared object, for children (in the environment block, lives as long as the image)
  char agent_path_buf[512];
  u64 ring_generation;
  u64 last_epoch;         ///< of Process::epoch, here and in the processes that this one descends from
  OwnerId last_owner;     ///< ours, or in a fork child its parent's
  s32 inherited_control;  ///< the parent's connection, closed in a fork child
  s32 liveness;        ///< fd number of the inherited liveness pipe, -1 when there is none
  char liveness_var[32];  ///< SKEP_LIVENESS=N and SKEP_TOKEN=..., to be put back into environments that lost them
  char token_var[64];
  u64 token[2];        ///< shows the host that we were told of this session
};
extern Session session;

struct Process {
  u32 lock;            ///< control connection: 0 free, 1 taken
  u32 dead;            ///< the host is gone or refused
  s32 control;         ///< fd + 1
  s32 pid;             ///< whose page this is; 0 in a child that came by a way not seen. A vfork child finds its parent's here
  OwnerId owner;       ///< 0 until the host has said hello
  u32 telling;         ///< gdb_jit.cc: 0 free, 1 taken
  u64 epoch;           ///< tells this process from those it was forked from and those it forks; 0: none yet. See identity.cc
  struct alignas(64) {
    u32 taken;
  } stacks[32];        ///< one an agent stack, and a cache line: threads stay with theirs
};
extern Process* process;

struct Thread {
  u32 stack;           ///< innermost agent stack in use, index + 1
  u32 in_run;          ///< run slot index + 1 while a program runs
  u64 in_run_seq;
  u64 blocked;         ///< SIGSEGV/SIGBUS bits that the program believes blocked
  u64 pending;         ///< of those, sent meanwhile
  u64 alt_sp, alt_size;  ///< the alternate signal stack, size 0: none
};
extern __thread Thread thread __attribute__((tls_model("initial-exec")));

constexpr u32 AGENT_STACKS = 32;
/// Signal handlers of the program that interrupt us run here too. Only what is touched costs memory.
constexpr u64 AGENT_STACK_SIZE = 1 << 20;

}  // namespace skep::agent
