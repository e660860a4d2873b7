#include "jit/place.h"

#include <algorithm>
#include <cstring>

#include "jit/gates.h"

namespace skep {
namespace {

/// What the compiler says of its code is looked at before any of it is believed.
bool whole(const JitCode& code) {
  const u64 size = code.bytes.size();
  if (size == 0 || size >= CODE_SIZE || code.functions.empty() || code.functions[0].begin >= size) return false;
  const auto gate_ok = [&](const GateRef& g) { return g.gate < NR_GATES && u64{g.at} + sizeof(s32) <= size; };
  const auto fault_ok = [&](const CodeFault& f) { return f.at < size && f.fixup < size; };
  const auto before = [](const CodeFault& a, const CodeFault& b) { return a.at < b.at; };
  return std::all_of(code.gates.begin(), code.gates.end(), gate_ok) && std::all_of(code.faults.begin(), code.faults.end(), fault_ok) &&
         std::is_sorted(code.faults.begin(), code.faults.end(), before);
}

void write_code(WindowHost& w, const JitCode& code, u64 at) {
  u8* to = w.code_writable(at);
  std::memcpy(to, code.bytes.data(), code.bytes.size());
  for (const GateRef& g : code.gates) {
    // CODE is smaller than a displacement reaches.
    const u64 target = w.rom()->code_base + g.gate * sizeof(u64), from = at + g.at + sizeof(s32);
    const s32 distance = static_cast<s32>(static_cast<s64>(target - from));
    std::memcpy(to + g.at, &distance, sizeof distance);
  }
}

Result<const CodeFault*> copy_faults(WindowHost& w, const std::vector<CodeFault>& faults) {
  if (faults.empty()) return static_cast<const CodeFault*>(nullptr);
  auto* table = static_cast<CodeFault*>(TRY(w.rom_alloc(faults.size() * sizeof(CodeFault))));
  std::copy(faults.begin(), faults.end(), table);
  return static_cast<const CodeFault*>(table);
}

}  // namespace

Status place_code(WindowHost& w, const JitCode& code, ProgImage* image) {
  if (!whole(code)) return Errno(EINVAL);
  TRY(w.open_gates(fill_gates));
  const u32 size = static_cast<u32>(code.bytes.size());
  const u64 at = TRY(w.code_alloc(size));
  const Result<const CodeFault*> faults = copy_faults(w, code.faults);
  if (!faults.ok()) {
    w.code_free(at, size);
    return faults.error();
  }
  write_code(w, code, at);
  const Status listed = w.code_publish(CodeBlock{at, size, static_cast<u32>(code.faults.size()), *faults, image});
  if (!listed.ok()) {
    w.rom_free(const_cast<CodeFault*>(*faults), code.faults.size() * sizeof(CodeFault));
    w.code_free(at, size);
    return listed;
  }
  image->code = at;
  image->code_size = size;
  image->entry = at + code.functions[0].begin;
  return ok_status();
}

}  // namespace skep
