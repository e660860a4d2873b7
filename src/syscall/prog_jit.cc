#include "syscall/prog_jit.h"

#include <fmt/format.h>

#include <algorithm>

#include "helpers/runnable.h"
#include "jit/place.h"

namespace skep {
namespace {

Result<JitCode> compile(const Kernel& kernel, const VerifierReport& report, const ProgImage& image) {
  JitInput in;
  in.insns = {image.insns, image.insn_cnt};
  in.subprog_starts = report.subprog_starts;
  in.stack_depth = report.stack_depth;
  in.prog_type = image.type;
  in.maps = {image.maps, image.n_maps};
  in.nr_cpus = kernel.nr_cpus();
  return jit_compile(in);
}

/// Linux: verifier.c:jit_subprogs(): each function is a program with a tag of its own.
void note_functions(const JitCode& code, const VerifierReport& report, Prog* prog) {
  const u32 n = static_cast<u32>(prog->xlated.size());
  const bool alone = code.functions.size() == 1;
  for (std::size_t i = 0; i < code.functions.size(); ++i) {
    JitedInfo::Function f{prog->image->code + code.functions[i].begin, code.functions[i].end - code.functions[i].begin, {}};
    const u32 from = report.subprog_starts[i], to = i + 1 < report.subprog_starts.size() ? report.subprog_starts[i + 1] : n;
    // A program of one function is what it was when it came.
    if (alone)
      std::copy(std::begin(prog->tag), std::end(prog->tag), f.tag);
    else
      compute_tag(std::span(prog->xlated).subspan(from, to - from), f.tag);
    prog->jited.functions.push_back(f);
  }
}

constexpr u32 NOWHERE = ~0u;

/// For each instruction, where the first code of it, or of the next one that has some, begins. Code is not laid out in their order.
std::vector<u32> places_of_insns(const JitCode& code, const VerifierReport& report, u32 insn_cnt) {
  std::vector<u32> places(insn_cnt, NOWHERE);
  for (const JitCode::Line& l : code.lines)
    if (l.insn < insn_cnt) places[l.insn] = std::min(places[l.insn], l.at);
  for (std::size_t f = report.subprog_starts.size(), end = insn_cnt; f-- > 0; end = report.subprog_starts[f])
    for (std::size_t i = end; i-- > report.subprog_starts[f];)
      if (places[i] == NOWHERE && i + 1 < end) places[i] = places[i + 1];
  return places;
}

/// Readers want a function's lines ascending, its first at its start. Linux: core.c:bpf_prog_fill_jited_linfo()
void note_lines(const JitCode& code, const VerifierReport& report, Prog* prog) {
  if (report.line_info.empty()) return;
  const auto& starts = report.subprog_starts;
  const std::vector<u32> places = places_of_insns(code, report, prog->image->insn_cnt);
  std::size_t before = starts.size();
  u32 last = 0;
  for (const bpf_line_info& line : report.line_info) {
    const std::size_t now = static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), line.insn_off) - starts.begin()) - 1;
    const JitFunction& f = code.functions[now];
    const u32 at = line.insn_off < places.size() ? places[line.insn_off] : NOWHERE;
    if (now != before)
      last = f.begin;
    else if (at < f.end)
      last = std::max(last, at);
    before = now;
    prog->jited.lines.push_back(prog->image->code + last);
  }
}

void interpreted(Kernel& kernel, const Prog& prog, Errno why) {
  kernel.doctor.note(fmt::format("program \"{}\" of type {} could not be compiled (error {}), which is a fault of skep: it is interpreted",
                                 prog.name, prog.type, why.value()));
}

}  // namespace

Status compile_program(Kernel& kernel, const VerifierReport& report, Prog* prog) {
  if (!kernel.jit || !kernel.window().has_code()) return ok_status();
  if (find_obstacle(*prog->image).kind != ObstacleKind::None || prog->reads_map_structs) return ok_status();
  const Result<JitCode> code = compile(kernel, report, *prog->image);
  if (!code.ok() && code.error() == Errno(E2BIG)) return Errno(ENOMEM);
  const bool whole = code.ok() && code->functions.size() == report.subprog_starts.size();
  const Status placed = whole ? place_code(kernel.window(), *code, prog->image) : Status(code.ok() ? Errno(EINVAL) : code.error());
  if (!placed.ok() && placed.error() == Errno(ENOMEM)) return placed;
  if (!placed.ok()) {
    interpreted(kernel, *prog, placed.error());
    return ok_status();
  }
  note_functions(*code, report, prog);
  note_lines(*code, report, prog);
  return ok_status();
}

}  // namespace skep
