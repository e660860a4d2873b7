#include "objects/attach.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <set>

namespace skep {

void clocks_changed(Kernel& kernel) {
  u32* generation = &kernel.window().rom()->clock_generation;
  fetch_add(generation, 1);
  syscall(SYS_futex, generation, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

namespace {

constexpr u32 BPF_TRACE_MAX_PROGS = 64;  // Linux: kernel/trace/bpf_trace.c

/// One list of RomHeader.
struct Place {
  bool of_syscall = false;
  bool exit_side = false;
  u32 index = 0;  ///< system call, or EventPlace
  auto operator<=>(const Place&) const = default;
};

bool is_exit(ProbeKind k) { return k == ProbeKind::Kretprobe || k == ProbeKind::TpExit || k == ProbeKind::Fexit || k == ProbeKind::ModifyReturn; }

Place place_of(const ProbeTarget& t) {
  if (t.kind >= ProbeKind::Tracepoint) return {false, false, static_cast<u32>(t.place)};
  // What modifies a return value runs before the call that it may forbid.
  return {true, is_exit(t.kind) && t.kind != ProbeKind::ModifyReturn, t.syscall_nr};
}

const ProbeList** list_at(RomHeader* rom, const Place& p) {
  if (!p.of_syscall) return &rom->events[p.index];
  return p.exit_side ? &rom->exit[p.index] : &rom->enter[p.index];
}

/// In what order the kinds of one place come about: a tracepoint stands around the function, so first at its entry, last at its exit.
u32 turn_of(ProbeKind k) { return k == ProbeKind::TpEnter ? 0 : k == ProbeKind::TpExit ? 2 : 1; }
constexpr u32 TURNS = 3;

void set_interest(RomHeader* rom, u32 nr) {
  const bool enter = rom->enter[nr] != nullptr || rom->events[static_cast<u32>(EventPlace::SysEnter)] != nullptr;
  const bool exit = rom->exit[nr] != nullptr || rom->events[static_cast<u32>(EventPlace::SysExit)] != nullptr;
  store_release(&rom->interest[nr], static_cast<u8>((enter ? INTEREST_ENTER : 0) | (exit ? INTEREST_EXIT : 0)));
}

void set_list(Kernel& kernel, const Place& p, const ProbeList* list) {
  WindowHost& w = kernel.window();
  const ProbeList** slot = list_at(w.rom(), p);
  const ProbeList* old = *slot;
  // Pairs with the load in agent/fire.cc, made after the run has taken its slot.
  store_seq_cst(slot, list);
  if (p.of_syscall) {
    set_interest(w.rom(), p.index);
  } else if ((old == nullptr) != (list == nullptr) && p.index <= static_cast<u32>(EventPlace::SysExit)) {
    for (u32 nr = 0; nr < MAX_SYSCALLS; ++nr) set_interest(w.rom(), nr);
  }
  if (!p.of_syscall && p.index == static_cast<u32>(EventPlace::Clock)) {
    clocks_changed(kernel);
    if (list != nullptr && kernel.clock_attached) kernel.clock_attached();
  }
  if (old == nullptr) return;
  w.defer([&w, old, n = sizeof(ProbeList) + old->count * sizeof(ProbeEntry)] { w.rom_free(const_cast<ProbeList*>(old), n); });
}

std::vector<const Attachment*> attached_at(const Kernel& kernel, const Place& p) {
  std::vector<const Attachment*> found;
  for (u32 turn = 0; turn < TURNS; ++turn)
    for (const Attachment& a : kernel.attachments)
      if (a.enabled && a.prog->image != nullptr && turn_of(a.target.kind) == turn && place_of(a.target) == p) found.push_back(&a);
  return found;
}

/// Builds the list of one place anew and publishes it; the old one goes after a grace period.
Status publish(Kernel& kernel, const Place& p) {
  const std::vector<const Attachment*> mine = attached_at(kernel, p);
  ProbeList* list = nullptr;
  if (!mine.empty()) {
    list = static_cast<ProbeList*>(TRY(kernel.window().rom_alloc(sizeof(ProbeList) + mine.size() * sizeof(ProbeEntry))));
    list->count = static_cast<u32>(mine.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const ProbeTarget& t = mine[i]->target;
      list->entries[i] = ProbeEntry{mine[i]->prog->image, mine[i]->cookie, t.kind, t.tracepoint_id, t.symbol_addr, t.tgid, 0};
    }
  }
  set_list(kernel, p, list);
  return ok_status();
}

/// A smaller list needs memory too: when ROM is full even for that, the whole place goes rather than leave a program that is none.
void publish_less(Kernel& kernel, const Place& p) {
  if (!publish(kernel, p).ok()) set_list(kernel, p, nullptr);
}

bool is_full(const Kernel& kernel, const ProbeTarget& t) {
  const auto same = [&](const Attachment& a) { return a.target.kind == t.kind && place_of(a.target) == place_of(t); };
  return std::count_if(kernel.attachments.begin(), kernel.attachments.end(), same) >= BPF_TRACE_MAX_PROGS;
}

}  // namespace

Status attach_points(Kernel& kernel, const void* owner, const std::shared_ptr<Prog>& prog, std::span<const AttachPoint> points, bool enabled) {
  const std::size_t before = kernel.attachments.size();
  std::set<Place> places, published;
  Status status = ok_status();
  for (const AttachPoint& p : points) {
    if (is_full(kernel, p.target)) status = Errno(E2BIG);
    if (!status.ok()) break;
    kernel.attachments.push_back(Attachment{p.target, prog, p.cookie, owner, enabled});
    places.insert(place_of(p.target));
  }
  for (const Place& p : places) {
    if (status.ok()) status = publish(kernel, p);
    if (status.ok()) published.insert(p);
  }
  if (status.ok()) return status;
  // The lists of places that were not reached are as they were.
  kernel.attachments.erase(kernel.attachments.begin() + static_cast<std::ptrdiff_t>(before), kernel.attachments.end());
  for (const Place& p : published) publish_less(kernel, p);
  return status;
}

Status attach_event(Kernel& kernel, PerfEvent* event, std::shared_ptr<Prog> prog, u64 cookie) {
  for (const Attachment& a : kernel.attachments)
    if (a.owner == event) return Errno(EEXIST);
  const AttachPoint point{*event->probe, cookie};
  TRY(attach_points(kernel, event, prog, {&point, 1}, event->probe->kind != ProbeKind::Clock || event->enabled));
  return ok_status();
}

void detach_owner(Kernel& kernel, const void* owner) {
  std::set<Place> places;
  std::vector<std::shared_ptr<Prog>> held;  // released after the lists that name them
  std::erase_if(kernel.attachments, [&](Attachment& a) {
    if (a.owner != owner) return false;
    places.insert(place_of(a.target));
    held.push_back(std::move(a.prog));
    return true;
  });
  for (const Place& p : places) publish_less(kernel, p);
}

void set_owner_enabled(Kernel& kernel, const void* owner, bool enabled) {
  std::set<Place> places;
  for (Attachment& a : kernel.attachments) {
    if (a.owner != owner || a.enabled == enabled) continue;
    a.enabled = enabled;
    places.insert(place_of(a.target));
  }
  for (const Place& p : places) publish_less(kernel, p);
}

}  // namespace skep
