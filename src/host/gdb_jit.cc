#include "host/gdb_jit.h"

#include <algorithm>

#include "base/atomic.h"
#include "host/perf_map.h"

namespace skep {
namespace {

/// Where loads of the block at `addr` may go on elsewhere.
std::span<const CodeFault> faults_of(const WindowHost& w, u64 addr) {
  const CodeIndex* index = w.rom()->code_index;
  for (u32 i = 0; index != nullptr && i < index->count; ++i)
    if (const CodeBlock& b = index->blocks[i]; b.addr == addr && b.size != 0) return {b.faults, b.n_faults};
  return {};
}

}  // namespace

std::vector<ShownFunction> shown_functions(const WindowHost& w, const Prog& prog) {
  std::vector<ShownFunction> out;
  const ProgImage& image = *prog.image;
  const std::span<const u8> code(w.code_writable(image.code), image.code_size);
  const std::span<const CodeFault> faults = faults_of(w, image.code);
  for (std::size_t i = 0; i < prog.jited.functions.size(); ++i) {
    const JitedInfo::Function& f = prog.jited.functions[i];
    const u32 begin = static_cast<u32>(f.addr - image.code);
    Result<std::vector<UnwindRow>> rows = unwind_rows(code, begin, begin + f.len, faults);
    out.push_back({f.addr, f.len, code_symbol(prog, i), rows.ok() ? std::move(*rows) : std::vector<UnwindRow>()});
    for (UnwindRow& r : out.back().rows) r.at -= begin;
  }
  return out;
}

Status GdbJit::open(Kernel& kernel) {
  WindowHost& w = kernel.window();
  if (!w.has_code()) return ok_status();
  shown_ = TRY(w.rom_new<ShownCode>());
  kernel_ = &kernel;
  progs_.resize(MAX_SHOWN_CODE);
  // The first entry is for ever: what code calls through, so that a disassembler names it.
  const ShownFunction gates[] = {{w.rom()->code_base, GATES_SIZE, "skep_gates", {}}};
  TRY(show(0, elf_image(".gates", w.rom()->code_base, GATES_SIZE, false, gates)));
  w.rom()->shown_code = shown_;
  tell_all();
  return ok_status();
}

void GdbJit::tell_all() {
  // Processes look at it with their rings; so it costs those nothing that are in sessions without.
  u32* const generation = &kernel_->window().rom()->ring_generation;
  store_release(generation, *generation + 1);
}

/// Entries are used in turn: an image is kept as long as there is room. 0: there is none.
u32 GdbJit::free_entry() {
  for (u32 n = 1; n < MAX_SHOWN_CODE; ++n) {
    const u32 i = last_ + n < MAX_SHOWN_CODE ? last_ + n : last_ + n - (MAX_SHOWN_CODE - 1);
    if (shown_->entries[i].serial == 0) return i;
  }
  return 0;
}

Status GdbJit::show(u32 i, const std::vector<u8>& image) {
  WindowHost& w = kernel_->window();
  ShownCode::Entry& e = shown_->entries[i];
  void* const to = TRY(w.rom_alloc(image.size()));
  std::copy(image.begin(), image.end(), static_cast<u8*>(to));
  if (e.image != 0) w.rom_free(reinterpret_cast<void*>(e.image), e.size);
  store_relaxed(&e.image, reinterpret_cast<u64>(to));
  store_relaxed(&e.size, image.size());
  store_release(&e.serial, ++serial_);
  store_release(&shown_->used, std::max(shown_->used, i + 1));
  return ok_status();
}

void GdbJit::add_program(const std::shared_ptr<Prog>& prog) {
  if (kernel_ == nullptr || prog->jited.functions.empty()) return;
  drop_dead();
  const u32 i = free_entry();
  const ProgImage& image = *prog->image;
  if (i == 0 || !show(i, elf_image(".text", image.code, image.code_size, true, shown_functions(kernel_->window(), *prog))).ok()) {
    kernel_->doctor.note("gdb is not told of all programs: there is no room for more");
    return;
  }
  last_ = i;
  progs_[i] = prog;
  tell_all();
}

void GdbJit::drop_dead() {
  if (kernel_ == nullptr) return;
  bool any = false;
  for (u32 i = 1; i < shown_->used; ++i) {
    if (shown_->entries[i].serial == 0 || !progs_[i].expired()) continue;
    store_release(&shown_->entries[i].serial, u64{0});
    progs_[i].reset();
    any = true;
  }
  if (any) tell_all();
}

}  // namespace skep
