#include "host/virtual_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/unique_fd.h"
#include "host/kernel_files.h"
#include "host/kernel_headers.h"
#include "kbtf/kernel_btf.h"
#include "probes/pmu.h"

namespace skep {
namespace {

constexpr const char* TRACING = "/sys/kernel/tracing";
constexpr const char* DEBUG_TRACING = "/sys/kernel/debug/tracing";
constexpr const char* NOT_ENABLED = "0\n";  // for the ring of ftrace's own, which is not here
constexpr const char* EVENT_SOURCES = "/sys/bus/event_source/devices";

bool make_dirs(const std::string& path) {
  std::error_code ec;
  std::filesystem::create_directories(path, ec);
  return !ec;
}

bool is_there(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool write_file(const std::string& path, const std::string& text) {
  const UniqueFd fd(open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0444));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Once; its directories with it. Whole or not at all: written beside and renamed, so that no reader sees half a file.
void make_file(const std::string& path, const std::string& text) {
  if (is_there(path)) return;
  make_dirs(path.substr(0, path.rfind('/')));
  const std::string temp = path + ".new";
  if (!write_file(temp, text) || rename(temp.c_str(), path.c_str()) != 0) unlink(temp.c_str());
}

bool is_under(const std::string& path, const std::string& dir) {
  return path.compare(0, dir.size(), dir) == 0 && (path.size() == dir.size() || path[dir.size()] == '/');
}

/// `path` behind `dir`, without a slash in front; empty: `dir` itself.
std::string inside_of(const std::string& path, const std::string& dir) {
  return path.size() > dir.size() ? path.substr(dir.size() + 1) : std::string();
}

}  // namespace

bool VirtualFiles::create() {
  umask(0);
  if (!make_dirs(bpffs()) || chmod(bpffs().c_str(), 01777) != 0) return false;
  if (!make_dirs(root_ + TRACING + "/events") || !make_dirs(root_ + "/sys/kernel/btf") || !make_dirs(root_ + "/proc")) return false;
  const std::string kprobe = root_ + EVENT_SOURCES + "/kprobe";
  make_file(kprobe + "/type", fmt::format("{}\n", PERF_TYPE_KPROBE));
  make_file(kprobe + "/format/retprobe", "config:0\n");
  const auto btf = kernel_btf_bytes();
  if (!write_file(root_ + "/sys/kernel/btf/vmlinux", {reinterpret_cast<const char*>(btf.data()), btf.size()})) return false;
  return mkfifo(trace_pipe().c_str(), 0644) == 0 || errno == EEXIST;
}

void VirtualFiles::make_event(const std::string& system, const std::string& name) {
  const std::string system_dir = root_ + TRACING + "/events/" + system, dir = system_dir + "/" + name;
  if (is_there(dir)) return;
  const std::string id = event_file(system, name, "id");
  if (id.empty()) return;
  // Under another name until it has its files.
  const std::string temp = root_ + "/event.new", enable = system_dir + "/enable";
  make_file(enable, NOT_ENABLED);
  mkdir(temp.c_str(), 0755);
  write_file(temp + "/id", id);
  write_file(temp + "/format", event_file(system, name, "format"));
  if (link(enable.c_str(), (temp + "/enable").c_str()) != 0) write_file(temp + "/enable", NOT_ENABLED);
  rename(temp.c_str(), dir.c_str());
}

/// All of one system, or of all.
void VirtualFiles::make_events(const std::string& system) {
  if (whole_.contains(system) || whole_.contains("")) return;
  bool any = false;
  for (const EventName& e : all_events()) {
    if (!system.empty() && e.system != system) continue;
    make_event(e.system, e.name);
    any = true;
  }
  if (any) whole_.insert(system);
  if (system.empty()) make_file(root_ + TRACING + "/events/enable", NOT_ENABLED);
}

void VirtualFiles::make_trace_root() {
  for (const std::string& name : trace_file_names()) make_file(root_ + TRACING + "/" + name, *trace_file(name));
  make_events("");
}

/// `inside`: the path behind /sys/kernel/tracing.
void VirtualFiles::make_trace_file(const std::string& inside, PathUse use) {
  if (inside.empty()) {
    if (use == PathUse::Enter) make_trace_root();
    return;
  }
  if (!is_under(inside, "events")) {
    if (const auto text = trace_file(inside)) make_file(root_ + TRACING + "/" + inside, *text);
    return;
  }
  const std::string event = inside_of(inside, "events");
  if (const std::size_t slash = event.find('/'); slash != std::string::npos) {
    const std::string system = event.substr(0, slash), name = event.substr(slash + 1, event.find('/', slash + 1) - slash - 1);
    return name == "enable" ? make_events(system) : make_event(system, name);
  }
  if (use == PathUse::Enter || event == "enable") return make_events(event == "enable" ? "" : event);
  for (const EventName& e : all_events())
    if (e.system == event) return void(make_dirs(root_ + TRACING + "/events/" + event));
}

void VirtualFiles::look_for_headers() {
  const KernelHeaders found = find_kernel_headers("", facts_.headers, facts_.release);
  const std::string tree = "/lib/modules/" + facts_.release + "/build";
  headers_ = !found.build.empty() && join_headers(found, root_ + tree) ? Headers::Ours : Headers::Machine;
  if (!facts_.headers.empty() && !found.wanted) note_ = facts_.headers + " (SKEP_KERNEL_HEADERS) is no tree of kernel headers: not used";
  const bool any = headers_ == Headers::Ours || usable_headers(tree);
  if (!any) headers_ = Headers::Unknown;  // they may be installed yet
  if (!any)
    note_ = "kernel headers: none were found; bcc needs them: apt-get install linux-headers-amd64 (SKEP_KERNEL_HEADERS names another tree)";
  else if (!found.ours && !found.wanted)
    note_ = "kernel headers: not those of Debian 12: what a script reads of task_struct by their offsets is not there";
}

std::string VirtualFiles::resolve_headers(const std::string& path) {
  const std::string dir = "/lib/modules/" + facts_.release;
  const bool build = is_under(path, dir + "/build");
  if (!build && !is_under(path, dir + "/source")) return {};
  if (headers_ == Headers::Unknown) look_for_headers();
  // One tree is enough, and clients that find no other compile inside of it, by short names. So `source` is not there.
  return headers_ == Headers::Ours ? root_ + path : std::string();
}

std::string VirtualFiles::resolve(const std::string& given, PathUse use) {
  std::string path = std::filesystem::path(given).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  if (is_under(path, "/lib/modules")) return resolve_headers(path);
  if (is_under(path, DEBUG_TRACING)) path = TRACING + path.substr(std::char_traits<char>::length(DEBUG_TRACING));
  if (is_under(path, TRACING)) {
    make_trace_file(inside_of(path, TRACING), use);
    return root_ + path;
  }
  if (const auto text = kernel_file(path, facts_.release, facts_.jit)) {
    make_file(root_ + path, *text);
    return root_ + path;
  }
  // These are the same everywhere; only a machine that hides them needs ours.
  for (const auto& [name, type] : {std::pair{"software", 1}, {"tracepoint", 2}}) {
    const std::string dir = fmt::format("{}/{}", EVENT_SOURCES, name);
    if (!is_under(path, dir)) continue;
    if (is_there(dir + "/type")) return {};
    make_file(root_ + dir + "/type", fmt::format("{}\n", type));
    return root_ + path;
  }
  static const char* const OURS[] = {"/sys/fs/bpf",
                                     "/sys/kernel/btf",
                                     "/sys/kernel/debug/kprobes",
                                     "/sys/kernel/security/lockdown",
                                     "/sys/bus/event_source/devices/kprobe",
                                     "/sys/bus/event_source/devices/uprobe",
                                     "/proc/config.gz"};
  for (const char* dir : OURS)
    if (is_under(path, dir)) return root_ + path;
  return {};
}

}  // namespace skep
