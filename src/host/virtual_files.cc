#include "host/virtual_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/unique_fd.h"
#include "kbtf/kernel_btf.h"
#include "probes/syscalls.h"
#include "probes/pmu.h"

namespace skep {
namespace {

constexpr const char* TRACING = "/sys/kernel/tracing";
constexpr const char* DEBUG_TRACING = "/sys/kernel/debug/tracing";
constexpr const char* KPROBE = "/sys/bus/event_source/devices/kprobe";
constexpr const char* EVENTS = "/sys/kernel/tracing/events/syscalls/";

bool make_dirs(const std::string& path) {
  std::error_code ec;
  std::filesystem::create_directories(path, ec);
  return !ec;
}

/// Whole or not at all: written beside and renamed, so that no reader sees half a file.
void write_file(const std::string& path, const std::string& text, mode_t mode = 0444) {
  make_dirs(path.substr(0, path.rfind('/')));
  const std::string temp = path + ".new";
  const UniqueFd fd(open(temp.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode));
  if (!fd) return;
  const bool whole = ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!whole || rename(temp.c_str(), path.c_str()) != 0) unlink(temp.c_str());
}

bool starts_with_dir(const std::string& path, const std::string& dir) {
  return path.compare(0, dir.size(), dir) == 0 && (path.size() == dir.size() || path[dir.size()] == '/');
}

std::string symbols(bool addresses) {
  std::string out;
  for (const SyscallInfo& s : syscall_table())
    out += addresses ? fmt::format("{:016x} T __x64_sys_{}\n", syscall_symbol_addr(s), s.name) : fmt::format("__x64_sys_{}\n", s.name);
  return out;
}

}  // namespace

bool VirtualFiles::create() {
  umask(0);
  if (!make_dirs(bpffs()) || chmod(bpffs().c_str(), 01777) != 0) return false;
  if (!make_dirs(root_ + TRACING + "/events/syscalls") || !make_dirs(root_ + "/sys/kernel/btf") || !make_dirs(root_ + "/proc")) return false;
  write_file(root_ + KPROBE + "/type", fmt::format("{}\n", PERF_TYPE_KPROBE));
  write_file(root_ + KPROBE + "/format/retprobe", "config:0\n");
  const auto btf = kernel_btf_bytes();
  write_file(root_ + "/sys/kernel/btf/vmlinux", {reinterpret_cast<const char*>(btf.data()), btf.size()});
  make_dirs(root_ + "/sys/bus/event_source/devices");
  return mkfifo(trace_pipe().c_str(), 0644) == 0 || errno == EEXIST;
}

void VirtualFiles::materialize(const std::string& path) {
  const std::string real = root_ + path;
  if (access(real.c_str(), F_OK) == 0 && path + "/" != EVENTS) return;
  if (path == std::string(TRACING) + "/available_filter_functions") return write_file(real, symbols(false), 0440);
  if (path == std::string(TRACING) + "/printk_formats") return write_file(real, "");
  if (path == "/proc/kallsyms") return write_file(real, symbols(true));
  if (path + "/" == EVENTS && !all_events_) {
    all_events_ = true;
    for (const SyscallInfo& s : syscall_table())
      for (const char* side : {"sys_enter_", "sys_exit_"}) make_dirs(root_ + EVENTS + side + s.name);
    return;
  }
  if (path.compare(0, std::char_traits<char>::length(EVENTS), EVENTS) != 0) return;
  const std::string rest = path.substr(std::char_traits<char>::length(EVENTS));
  const std::string event = rest.substr(0, rest.find('/'));
  for (const char* file : {"id", "format"}) {
    const std::string text = tracepoint_file(event, file);
    if (!text.empty()) write_file(root_ + EVENTS + event + "/" + file, text, 0440 | 0004);
  }
}

std::string VirtualFiles::resolve(const std::string& given) {
  std::string path = std::filesystem::path(given).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  if (starts_with_dir(path, DEBUG_TRACING)) path = TRACING + path.substr(std::char_traits<char>::length(DEBUG_TRACING));
  static const char* const PREFIXES[] = {"/sys/fs/bpf", TRACING, KPROBE, "/sys/bus/event_source/devices/uprobe", "/sys/kernel/btf",
                                         "/proc/kallsyms"};
  for (const char* p : PREFIXES) {
    if (!starts_with_dir(path, p)) continue;
    materialize(path);
    return root_ + path;
  }
  return {};
}

}  // namespace skep
