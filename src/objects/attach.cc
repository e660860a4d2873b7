#include "objects/attach.h"

#include <algorithm>

namespace skep {
namespace {

constexpr u32 BPF_TRACE_MAX_PROGS = 64;  // Linux: kernel/trace/bpf_trace.c

bool is_exit(ProbeKind k) { return k == ProbeKind::Kretprobe || k == ProbeKind::TpExit; }

/// Builds the list for one syscall and side anew and publishes it; the old one goes after a grace period.
Status publish(Kernel& kernel, u32 nr, bool exit_side) {
  WindowHost& w = kernel.window();
  RomHeader* rom = w.rom();
  std::vector<const Attachment*> mine;
  for (const Attachment& a : kernel.attachments)
    if (a.target.syscall_nr == nr && is_exit(a.target.kind) == exit_side && a.prog->image != nullptr) mine.push_back(&a);
  const ProbeList** slot = exit_side ? &rom->exit[nr] : &rom->enter[nr];
  const u8 bit = exit_side ? INTEREST_EXIT : INTEREST_ENTER;
  ProbeList* list = nullptr;
  const auto bytes = [](u64 n) { return sizeof(ProbeList) + n * sizeof(ProbeEntry); };
  if (!mine.empty()) {
    list = static_cast<ProbeList*>(TRY(w.rom_alloc(bytes(mine.size()))));
    list->count = static_cast<u32>(mine.size());
    for (std::size_t i = 0; i < mine.size(); ++i)
      list->entries[i] = ProbeEntry{mine[i]->prog->image, mine[i]->cookie, mine[i]->target.kind, mine[i]->target.tracepoint_id,
                                    mine[i]->target.symbol_addr};
  }
  const ProbeList* old = *slot;
  // Pairs with the load in probes/fire.cc, made after the run has taken its slot.
  store_seq_cst(slot, list);
  store_release(&rom->interest[nr], static_cast<u8>(list != nullptr ? rom->interest[nr] | bit : rom->interest[nr] & ~bit));
  if (old != nullptr) w.defer([&w, old, n = bytes(old->count)] { w.rom_free(const_cast<ProbeList*>(old), n); });
  return ok_status();
}

}  // namespace

Status attach_event(Kernel& kernel, PerfEvent* event, std::shared_ptr<Prog> prog, u64 cookie) {
  u32 same = 0;
  for (const Attachment& a : kernel.attachments) {
    if (a.owner == event) return Errno(EEXIST);
    if (a.target.syscall_nr == event->probe->syscall_nr && a.target.kind == event->probe->kind) ++same;
  }
  if (same >= BPF_TRACE_MAX_PROGS) return Errno(E2BIG);
  kernel.attachments.push_back(Attachment{*event->probe, std::move(prog), cookie, event});
  const Status s = publish(kernel, event->probe->syscall_nr, is_exit(event->probe->kind));
  if (!s.ok()) kernel.attachments.pop_back();
  return s;
}

void detach_event(Kernel& kernel, const PerfEvent* event) {
  const auto it = std::find_if(kernel.attachments.begin(), kernel.attachments.end(), [&](const auto& a) { return a.owner == event; });
  if (it == kernel.attachments.end()) return;
  const u32 nr = it->target.syscall_nr;
  const bool exit_side = is_exit(it->target.kind);
  const std::shared_ptr<Prog> held = std::move(it->prog);  // released after the list that names it
  kernel.attachments.erase(it);
  // Shrinking needs a smaller list: when ROM is full even for that, take the whole side down rather than leave a dangling program.
  if (!publish(kernel, nr, exit_side).ok()) {
    const ProbeList** slot = exit_side ? &kernel.window().rom()->exit[nr] : &kernel.window().rom()->enter[nr];
    store_seq_cst(slot, nullptr);
  }
}

}  // namespace skep
