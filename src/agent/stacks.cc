// agent: stacks of its own, since programs may be on small ones.
//
// Invariants:
//  1. Process::stacks[i].taken is set while stack i has a user. The innermost stack of a thread is Thread::stack; below it
//     stack_below[] leads to what a signal handler interrupted.
//  2. A thread that enters with its stack pointer outside all agent stacks, and not on its alternate signal stack, can be in the middle
//     of nothing: what Thread::stack names was left by siglongjmp, or by a vfork child that exec'ed, and is given back.
#include "agent/agent.h"

namespace skep::agent {
namespace {

u8* area;  // AGENT_STACKS * (guard page + stack)
u8 stack_below[AGENT_STACKS];
constexpr u64 STRIDE = AGENT_STACK_SIZE + PAGE_SIZE;

bool on_agent_stack(u64 sp) { return area != nullptr && sp - reinterpret_cast<u64>(area) < STRIDE * AGENT_STACKS; }

static_assert(sizeof process->stacks / sizeof process->stacks[0] == AGENT_STACKS && sizeof(Process) <= PAGE_SIZE);
/// Where this thread looks first: the stack it had last, whose lines are in its processor's cache and in nobody else's.
__thread u32 last_stack __attribute__((tls_model("initial-exec")));

// Pairs with the exchange in take(): the taker comes after all that the last user did there.
void give(u32 index) { store_release(&process->stacks[index].taken, 0); }
bool take(u32 index) { return load_relaxed(&process->stacks[index].taken) == 0 && exchange(&process->stacks[index].taken, 1) == 0; }

/// Below each stack stays a page that nobody may touch. The others are closed until they are first used.
bool open_stack(u32 index, u8* base) {
  static u32 opened;
  if ((load_relaxed(&opened) >> index & 1) != 0) return true;
  if (session.seccomp || sys(NR_mprotect, base, AGENT_STACK_SIZE, 3) != 0) return false;
  fetch_or(&opened, 1u << index);
  return true;
}

bool on_alternate_stack(u64 sp) { return sp - thread.alt_sp < thread.alt_size; }

}  // namespace

bool map_stacks() {
  const s64 p = sys(NR_mmap, 0, STRIDE * AGENT_STACKS, 0, 0x4022 /* PRIVATE|ANONYMOUS|NORESERVE */, -1, 0);
  if (p < 0 && p > -4096) return false;
  area = reinterpret_cast<u8*>(p);
  return true;
}

AddrRange agent_stacks() { return {reinterpret_cast<u64>(area), area == nullptr ? 0 : STRIDE * AGENT_STACKS}; }

bool left_behind(u64 sp) { return !session.shared_tls && !on_agent_stack(sp) && !on_alternate_stack(sp); }

void after_sigaltstack(TrapFrame* f) {
  struct {
    u64 sp;
    s32 flags, pad;
    u64 size;
  } ss;
  if (f->ax != 0 || f->di == 0 || read_user(&ss, f->di, sizeof ss) != 0) return;
  thread.alt_sp = ss.sp;
  thread.alt_size = (ss.flags & 2 /* SS_DISABLE */) != 0 ? 0 : ss.size;
}
void on_sigaltstack(TrapFrame* f) { f->action = Action::Watched; }

/// A handler on the alternate stack has called us and we have left that stack: the kernel must not start the next handler at its top.
bool leave_alternate_stack(const TrapFrame* f) {
  if (thread.alt_size == 0 || f->stack == 0 || !on_alternate_stack(f->sp)) return false;
  struct {
    u64 sp;
    s32 flags, pad;
    u64 size;
  } off{0, 2 /* SS_DISABLE */, 0, 0};
  return sys(NR_sigaltstack, &off, 0) == 0;
}
void return_to_alternate_stack() {
  struct {
    u64 sp;
    s32 flags, pad;
    u64 size;
  } on{thread.alt_sp, 0, 0, thread.alt_size};
  sys(NR_sigaltstack, &on, 0);
}

}  // namespace skep::agent

using namespace skep;
using namespace skep::agent;

/// This thread is on one of our stacks already, or has left it without giving it back.
[[gnu::noinline]] static void settle(u64 sp) {
  const bool left = left_behind(sp);
  for (u32 s = thread.stack; s != 0;) {
    const u32 below = stack_below[s - 1];
    // Still in use: marked again, since a fork from a signal handler has wiped the page, and what the handler interrupted lies there.
    store_release(&process->stacks[s - 1].taken, left ? 0 : 1);
    s = below;
  }
  if (left) thread.stack = 0;
}

void* skep_stack_take(TrapFrame* f) {
  f->stack = 0;
  if (area == nullptr) return nullptr;
  const bool own_tls = !session.shared_tls;
  if (own_tls && thread.stack != 0) [[unlikely]] settle(f->sp);
  const u32 first = own_tls ? last_stack : 0;
  for (u32 n = 0; n < AGENT_STACKS; ++n) {
    const u32 i = (first + n) % AGENT_STACKS;
    if (!take(i)) continue;
    u8* base = area + i * STRIDE + PAGE_SIZE;
    if (!open_stack(i, base)) {
      give(i);
      return nullptr;
    }
    if (own_tls) {
      stack_below[i] = static_cast<u8>(thread.stack);
      thread.stack = i + 1;
      last_stack = i;
    }
    f->stack = i + 1;
    return base + AGENT_STACK_SIZE;
  }
  return nullptr;  // the program's own stack has to do
}

void skep_stack_give(TrapFrame* f) {
  if (f->stack == 0) return;
  const u32 i = static_cast<u32>(f->stack - 1);
  if (!session.shared_tls) thread.stack = stack_below[i];
  give(i);
}
