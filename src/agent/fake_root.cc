// agent: `skep run --fake-root`. Some clients refuse to begin when they are not root, though in a session everybody may do what they want
// to do. They are told that they are. Nothing else changes: files, signals and what programs see of a process stay the user's own.
#include "agent/agent.h"
#include "agent/task.h"

namespace skep::agent {
namespace {

constexpr u32 ALL_BITS_LOW = ~0u, ALL_BITS_HIGH = 0x1ff;  // 41 capabilities. Linux: include/uapi/linux/capability.h:CAP_LAST_CAP
constexpr u32 CAPABILITY_VERSION_1 = 0x19980330;

struct CapHeader {
  u32 version;
  s32 pid;
};
struct CapData {
  u32 effective, permitted, inheritable;
};

bool faking() { return session.fake_root == FakeRoot::On; }

bool is_self(s32 pid) { return pid == 0 || pid == static_cast<s32>(sys(NR_getpid)) || pid == static_cast<s32>(sys(NR_gettid)); }

void answer_three_zeros(TrapFrame* f) {
  if (!faking()) return;
  constexpr u32 ROOT = 0;
  for (int i = 0; i < 3; ++i)
    if (write_user(f->arg(i), &ROOT, sizeof ROOT) != 0) return f->answer(-EFAULT_);
  f->answer(0);
}

/// "Become root" has been done. Becoming somebody else is the kernel's business: who succeeds is the user from then on.
void change_ids(TrapFrame* f, int n) {
  after_task_change(f);
  if (!faking()) return;
  bool only_root = true;
  for (int i = 0; i < n; ++i) only_root = only_root && (static_cast<u32>(f->arg(i)) == 0 || static_cast<u32>(f->arg(i)) == ~0u);
  if (only_root) return f->answer(0);
  const s64 rc = sys(f->nr, f->di, f->si, f->dx);
  if (rc == 0 && !in_vfork_child()) session.fake_root = FakeRoot::GivenUp;
  f->answer(rc);
}

}  // namespace

void on_get_id(TrapFrame* f) {
  if (faking()) f->answer(0);
}
void on_get_three_ids(TrapFrame* f) { answer_three_zeros(f); }
void on_set_id(TrapFrame* f) { change_ids(f, 1); }
void on_set_two_ids(TrapFrame* f) { change_ids(f, 2); }
void on_set_three_ids(TrapFrame* f) { change_ids(f, 3); }

/// The kernel judges the call; of its answer the two sets that say what one may do are filled up.
void on_capget(TrapFrame* f) {
  CapHeader head;
  if (!faking() || f->si == 0 || read_user(&head, f->di, sizeof head) != 0 || !is_self(head.pid)) return;
  const s64 rc = sys(f->nr, f->di, f->si);
  CapData sets[2];
  const u64 n = head.version == CAPABILITY_VERSION_1 ? sizeof sets[0] : sizeof sets;
  if (rc != 0 || read_user(sets, f->si, n) != 0) return f->answer(rc);
  sets[0].effective = sets[0].permitted = ALL_BITS_LOW;
  if (n == sizeof sets) sets[1].effective = sets[1].permitted = ALL_BITS_HIGH;
  f->answer(write_user(f->si, sets, n) != 0 ? -EFAULT_ : 0);
}

/// What the kernel lets it have it gets; what it was only told of it may put down and take up as it likes.
void on_capset(TrapFrame* f) {
  after_task_change(f);
  if (!faking()) return;
  const s64 rc = sys(f->nr, f->di, f->si);
  f->answer(rc == -EPERM_ ? 0 : rc);
}

}  // namespace skep::agent
