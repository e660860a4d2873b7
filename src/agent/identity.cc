// agent: who the calling thread is. Kept in its TLS, and good only while
//   1. it stands where it was written: not in TLS that somebody copied for a thread of his own;
//   2. the process page still is the one it was written beside: a fork child finds a wiped page, and its epoch is one that no TLS it has
//      inherited can name (Session::last_epoch only grows, and is inherited too);
//   3. no vfork child may be on this TLS. Its parent, the only other user, sleeps meanwhile: whoever asks and gets other numbers than
//      those kept is the child; who gets the same is the parent again.
#include "agent/identity.h"

#include "agent/agent.h"
#include "base/atomic.h"

namespace skep::agent {
namespace {

struct Kept {
  const Kept* self;  ///< written last, cleared first: a signal handler may look in between
  u64 epoch;
  u64 pid_tgid;
  bool shared;
};
__thread Kept kept __attribute__((tls_model("initial-exec")));

/// The worker's runs are those of idle tasks, whose number is 0.
u64 ask() { return session.worker ? 0 : static_cast<u64>(sys(NR_getpid)) << 32 | static_cast<u32>(sys(NR_gettid)); }

/// This process's, made when it is first asked for.
u64 epoch() {
  u64 now = load_relaxed(&process->epoch);
  if (now != 0) return now;
  const u64 fresh = fetch_add(&session.last_epoch, 1) + 1;
  return compare_exchange(&process->epoch, now, fresh) ? fresh : now;
}

void keep(u64 pid_tgid, u64 at_epoch) {
  store_relaxed(&kept.self, nullptr);
  asm volatile("" : : : "memory");
  kept.epoch = at_epoch;
  kept.pid_tgid = pid_tgid;
  kept.shared = false;
  asm volatile("" : : : "memory");
  store_relaxed(&kept.self, &kept);
}

[[gnu::noinline]] u64 ask_and_keep() {
  if (session.shared_tls) return ask();
  // First: a fork in a signal handler between the two leaves the parent's epoch with the parent's numbers.
  const u64 at_epoch = epoch();
  const u64 now = ask();
  const bool written_here = load_relaxed(&kept.self) == &kept && kept.epoch == at_epoch;
  if (!written_here)
    keep(now, at_epoch);
  else if (now == kept.pid_tgid)
    kept.shared = false;
  return now;
}

}  // namespace

bool identity_is_certain() {
  return load_relaxed(&kept.self) == &kept && kept.epoch == load_relaxed(&process->epoch) && !kept.shared && !session.shared_tls;
}

u64 current_pid_tgid() { return identity_is_certain() ? kept.pid_tgid : ask_and_keep(); }

void identity_before_vfork() {
  current_pid_tgid();
  kept.shared = true;
}

}  // namespace skep::agent
