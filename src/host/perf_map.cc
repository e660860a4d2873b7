#include "host/perf_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <iterator>

#include "base/unique_fd.h"

namespace skep {
namespace {

std::string line(u64 addr, u64 len, const std::string& name) { return fmt::format("{:x} {:x} {}\n", addr, len, name); }

void write_to(const UniqueFd& fd, const std::string& text) {
  if (fd) (void)!write(fd.get(), text.data(), text.size());
}

}  // namespace

std::string code_symbol(const Prog& prog, std::size_t function) {
  std::string tag;
  for (const u8 b : prog.jited.functions[function].tag) tag += fmt::format("{:02x}", b);
  const std::string name = function == 0 ? prog.name : fmt::format("F{}", function);
  return fmt::format("bpf_prog_{}{}{}", tag, name.empty() ? "" : "_", name);
}

std::string PerfMaps::path_of(pid_t pid) const { return fmt::format("{}/perf-{}.map", dir_, pid); }

void PerfMaps::write_all(pid_t pid) const {
  const std::string path = path_of(pid);
  unlink(path.c_str());
  std::string text;
  for (const auto& [addr, symbol] : symbols_) text += line(addr, symbol.len, symbol.name);
  // Anybody may write in that directory: never through what somebody else has put there.
  write_to(UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)), text);
}

void PerfMaps::add_process(pid_t pid) {
  if (!dir_.empty() && pids_.insert(pid).second) write_all(pid);
}

bool PerfMaps::add(u64 addr, Symbol symbol) {
  auto first = symbols_.upper_bound(addr);
  if (first != symbols_.begin() && std::prev(first)->first + std::prev(first)->second.len > addr) --first;
  const auto last = symbols_.lower_bound(addr + symbol.len);
  const bool replaces = first != last;
  symbols_.erase(first, last);
  symbols_.emplace(addr, std::move(symbol));
  return replaces;
}

void PerfMaps::add_program(const Prog& prog) {
  if (dir_.empty()) return;
  std::string text;
  bool replaces = false;
  for (std::size_t i = 0; i < prog.jited.functions.size(); ++i) {
    const JitedInfo::Function& f = prog.jited.functions[i];
    const std::string name = code_symbol(prog, i);
    text += line(f.addr, f.len, name);
    replaces |= add(f.addr, Symbol{f.len, name});
  }
  for (const pid_t pid : pids_) {
    if (replaces)
      write_all(pid);
    else
      write_to(UniqueFd(open(path_of(pid).c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC)), text);
  }
}

}  // namespace skep
