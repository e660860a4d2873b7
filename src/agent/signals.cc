// agent: guarded copies need SIGSEGV and SIGBUS deliverable, always; the program must not notice.
//
// The kernel's disposition for both is our handler, with the program's flags and mask, so that the kernel builds the very frame the
// program asked for; a fault that is not ours goes on to the program's handler, or to the default action. Masks that would block the two
// are passed on without them, and what the program believes is kept per thread.
#include "agent/agent.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "jit/fault.h"

namespace skep::agent {
namespace {

constexpr int SIGBUS_ = 7, SIGSEGV_ = 11;
constexpr int BOTH[] = {SIGSEGV_, SIGBUS_};
constexpr u64 OUR_BITS = 1ULL << (SIGSEGV_ - 1) | 1ULL << (SIGBUS_ - 1);
constexpr u64 SA_SIGINFO_ = 4, SA_RESTORER_ = 0x04000000, SA_ONSTACK_ = 0x08000000, SA_RESETHAND_ = 0x80000000, SA_NODEFER_ = 0x40000000;
constexpr u64 SIG_DFL_ = 0, SIG_IGN_ = 1;

struct KernelSigaction {
  u64 handler, flags, restorer, mask;
};

KernelSigaction shown[2];  ///< what the program believes of SIGSEGV, SIGBUS

KernelSigaction* shown_of(u64 sig) { return sig == SIGSEGV_ ? &shown[0] : sig == SIGBUS_ ? &shown[1] : nullptr; }

// Offsets in the signal frame: ucontext_t::uc_mcontext.gregs[REG_RIP]. Source: arch/x86/include/uapi/asm/sigcontext.h
constexpr u64 UC_RSP = 160, UC_RIP = 168;

void raise_default(int sig) {
  KernelSigaction dfl{};
  sys(NR_rt_sigaction, sig, &dfl, 0, 8);
}

/// A fault of a program's machine code: it goes on elsewhere, or its run is over.
bool resume_code(u8* uc, u64 rip) {
  // Asked first: what a run that was left by siglongjmp has noted is not to be looked at for the program's own faults.
  const RomHeader* rom = session.window.rom;
  if (rom == nullptr || rip - rom->code_base >= rom->code_size) return false;
  u64 rsp;
  copy_bytes(&rsp, uc + UC_RSP, sizeof rsp);
  const Resume to = code_fault(rip, rsp);
  if (to.rip == 0) return false;
  copy_bytes(uc + UC_RIP, &to.rip, sizeof to.rip);
  copy_bytes(uc + UC_RSP, &to.rsp, sizeof to.rsp);
  return true;
}

void on_fault(int sig, void* info, u8* uc) {
  u64 rip;
  copy_bytes(&rip, uc + UC_RIP, sizeof rip);
  s32 code;
  copy_bytes(&code, static_cast<u8*>(info) + 8, sizeof code);
  const u64 begin = reinterpret_cast<u64>(skep_guarded_begin), end = reinterpret_cast<u64>(skep_guarded_end);
  if (code > 0 && rip >= begin && rip < end) {
    rip = reinterpret_cast<u64>(skep_guarded_fail);
    copy_bytes(uc + UC_RIP, &rip, sizeof rip);
    return;
  }
  if (code > 0 && resume_code(uc, rip)) return;
  KernelSigaction* app = shown_of(static_cast<u64>(sig));
  const u64 bit = 1ULL << (sig - 1);
  if ((thread.blocked & bit) != 0) {
    // The program believes it blocked: what was sent waits, and a fault kills. Linux: kernel/signal.c:force_sig_info_to_task()
    if (code <= 0)
      thread.pending |= bit;
    else
      raise_default(sig);
    return;
  }
  const u64 handler = load_acquire(&app->handler);
  if (handler == SIG_DFL_ || handler == SIG_IGN_) {
    if (code <= 0 && handler == SIG_IGN_) return;  // sent by someone, ignored
    // Linux: kernel/signal.c:force_sig_info_to_task(): a fault is not to be ignored. The default action, at the same instruction.
    raise_default(sig);
    if (code <= 0) sys(NR_tgkill, sys(NR_getpid), sys(NR_gettid), sig);
    return;
  }
  if ((app->flags & SA_RESETHAND_) != 0) store_release(&app->handler, SIG_DFL_);
  // While its handler runs the program believes the signal blocked, unless it asked for SA_NODEFER: a fault in there kills.
  const u64 before = thread.blocked;
  if ((app->flags & SA_NODEFER_) == 0) thread.blocked |= bit;
  reinterpret_cast<void (*)(int, void*, void*)>(handler)(sig, info, uc);
  thread.blocked = before;
}

void install(int sig, const KernelSigaction& app) {
  KernelSigaction k = app;
  const bool own = app.handler == SIG_DFL_ || app.handler == SIG_IGN_;
  k.handler = reinterpret_cast<u64>(&on_fault);
  // Unwinders know a signal frame by its return address: the program's own, where it gave one.
  const bool has_restorer = !own && (app.flags & SA_RESTORER_) != 0 && app.restorer != 0;
  k.restorer = has_restorer ? app.restorer : reinterpret_cast<u64>(&skep_sigreturn);
  k.flags = (own ? SA_ONSTACK_ : app.flags & ~SA_RESETHAND_) | SA_SIGINFO_ | SA_RESTORER_;
  k.mask = own ? 0 : app.mask & ~OUR_BITS;
  // A fault inside the program's handler must still reach us when that handler makes a guarded copy happen.
  k.flags |= SA_NODEFER_;
  sys(NR_rt_sigaction, sig, &k, 0, 8);
}

}  // namespace

void inherit_signals(const char* digit) {
  if (digit == nullptr) return;
  const u32 bits = static_cast<u32>(*digit - 'a') & 15;
  if ((bits & 1) != 0) thread.blocked |= 1ULL << (SIGSEGV_ - 1);
  if ((bits & 2) != 0) thread.blocked |= 1ULL << (SIGBUS_ - 1);
  if ((bits & 4) != 0) shown[0].handler = SIG_IGN_;
  if ((bits & 8) != 0) shown[1].handler = SIG_IGN_;
}

char inheritable_signals() {
  const u32 bits = (thread.blocked >> (SIGSEGV_ - 1) & 1) | (thread.blocked >> (SIGBUS_ - 1) & 1) << 1 |
                   (shown[0].handler == SIG_IGN_ ? 4u : 0u) | (shown[1].handler == SIG_IGN_ ? 8u : 0u);
  return bits == 0 ? '\0' : static_cast<char>('a' + bits);
}

void take_fault_signals() {
  for (const int sig : BOTH) {
    KernelSigaction old{};
    sys(NR_rt_sigaction, sig, 0, &old, 8);
    *shown_of(static_cast<u64>(sig)) = old;
    install(sig, old);
  }
  u64 mask = 0;
  sys(NR_rt_sigprocmask, 0, 0, &mask, 8);
  if ((mask & OUR_BITS) != 0) {
    thread.blocked = mask & OUR_BITS;
    const u64 ours = OUR_BITS;
    sys(NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &ours, 0, 8);
  }
}

void on_rt_sigaction(TrapFrame* f) {
  KernelSigaction* app = shown_of(f->di);
  if (app == nullptr) {
    // Other signals: their handlers must leave our two deliverable.
    KernelSigaction act;
    if (f->si == 0 || f->r10 != 8 || read_user(&act, f->si, sizeof act) != 0 || (act.mask & OUR_BITS) == 0) return;
    act.mask &= ~OUR_BITS;
    f->answer(sys(NR_rt_sigaction, f->di, &act, f->dx, 8));
    return;
  }
  if (f->r10 != 8) return f->answer(-EINVAL_);
  KernelSigaction next{};
  if (f->si != 0 && read_user(&next, f->si, sizeof next) != 0) return f->answer(-EFAULT_);
  const KernelSigaction old = *app;
  // A vfork child's dispositions are its own and end with its exec; what is kept here is its parent's.
  if (f->si != 0 && !in_vfork_child()) {
    *app = next;
    install(static_cast<int>(f->di), next);
  }
  if (f->dx != 0 && write_user(f->dx, &old, sizeof old) != 0) return f->answer(-EFAULT_);
  f->answer(0);
}

void on_rt_sigprocmask(TrapFrame* f) {
  u64 set = 0;
  if (f->r10 != 8 || (f->si != 0 && read_user(&set, f->si, sizeof set) != 0)) return;  // the kernel's own errno
  if ((set & OUR_BITS) == 0 && thread.blocked == 0) return;
  const u64 believed = thread.blocked;
  const u64 pass = set & ~OUR_BITS;
  u64 old = 0;
  const s64 rc = sys(NR_rt_sigprocmask, f->di, f->si != 0 ? &pass : nullptr, &old, 8);
  if (rc != 0) return f->answer(rc);
  if (f->si != 0) {
    if (f->di == 0) thread.blocked |= set & OUR_BITS;
    if (f->di == 1) thread.blocked &= ~set;
    if (f->di == 2) thread.blocked = set & OUR_BITS;
  }
  old |= believed;
  const u64 due = thread.pending & ~thread.blocked;
  thread.pending &= ~due;
  for (const int sig : BOTH)
    if ((due >> (sig - 1) & 1) != 0) sys(NR_tgkill, sys(NR_getpid), sys(NR_gettid), sig);
  if (f->dx != 0 && write_user(f->dx, &old, sizeof old) != 0) return f->answer(-EFAULT_);
  f->answer(0);
}

void widen_mask(TrapFrame* f, int i) {
  u64 mask;
  if (f->arg(i) == 0 || read_user(&mask, f->arg(i), sizeof mask) != 0 || (mask & OUR_BITS) == 0) return;
  f->mask = mask & ~OUR_BITS;
  f->replace(i, reinterpret_cast<u64>(&f->mask));
}

void on_rt_sigsuspend(TrapFrame* f) {
  if (f->si == 8) widen_mask(f, 0);
}

}  // namespace skep::agent
