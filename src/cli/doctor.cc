// cli: `skep doctor`: what this machine allows, and what was asked of sessions and refused.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "cli/run.h"
#include "cli/session.h"
#include "host/kernel_headers.h"
#include "host/patched_objects.h"
#include "shm/window.h"

namespace skep::cli {
namespace {

void row(const char* what, bool good, const std::string& text) { fmt::print("{:<22}{:<5}{}\n", what, good ? "ok" : "no", text); }

std::string first_line(const char* path) {
  std::ifstream f(path);
  std::string line;
  std::getline(f, line);
  return line;
}

/// What `bcc` and `bpftrace` would compile with in a session started now.
void headers_row(const std::string& release) {
  const char* wanted = getenv("SKEP_KERNEL_HEADERS");
  const KernelHeaders h = find_kernel_headers("", wanted != nullptr ? wanted : "", release);
  const std::string own = "/lib/modules/" + release + "/build";
  if (wanted != nullptr && *wanted != '\0' && !h.wanted)
    return row("kernel headers", false, fmt::format("SKEP_KERNEL_HEADERS: {} is no tree of them", wanted));
  if (h.build.empty() && !usable_headers(own))
    return row("kernel headers", false, "none; bcc needs them: apt-get install linux-headers-amd64");
  const std::string& dir = h.build.empty() ? own : h.build;
  row("kernel headers", true, h.ours || h.wanted ? dir : dir + ": not Debian 12's, by which tasks are laid out (linux-headers-amd64)");
}

void machine() {
  utsname u{};
  uname(&u);
  row("processor", std::string(u.machine) == "x86_64", u.machine);
  row("kernel", true, fmt::format("Linux {}", u.release));
  const std::string agent = agent_path();
  row("agent", !agent.empty(), agent.empty() ? "libskep-agent.so is not beside this program" : agent);
  const auto window = WindowHost::create(1);
  row("session window", window.ok(), window.ok() ? "can be mapped" : "cannot be mapped: address space limit (ulimit -v), or memfd_create refused");
  const bool code = window.ok() && (*window)->has_code();
  row("machine code", code, code ? "programs are compiled" : "nothing executable can be mapped: programs are interpreted");
  const auto libc = PatchedObjects::build();
  row("libc", libc.ok(), libc.ok() ? "its system calls can be diverted" : "its system calls cannot be diverted: not a glibc for x86-64?");
  headers_row(u.release);
  const std::string unpriv = first_line("/proc/sys/kernel/unprivileged_bpf_disabled");
  row("machine's bpf(2)", true,
      unpriv == "0" ? "open to everybody: untraced programs get no_new_privs and a filter"
                    : "closed to ordinary users; untraced programs started by root get a filter");
}

}  // namespace

int run_doctor(const std::string& session) {
  machine();
  bool found = false;
  for (const std::string& dir : live_sessions()) {
    if (!session.empty() && session_name(dir) != session) continue;
    found = true;
    std::string text;
    fmt::print("\nsession {}\n", session_name(dir));
    if (ask_host(dir, WireOp::Doctor, &text, nullptr) != 0)
      fmt::print("  does not answer\n");
    else if (text.empty())
      fmt::print("  nothing was refused\n");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      fmt::print("  {}\n", text.substr(at, end - at));
      at = end == std::string::npos ? text.size() : end + 1;
    }
  }
  if (!session.empty() && !found) {
    fmt::print(stderr, "skep: there is no session {} (skep doctor lists them)\n", session);
    return 1;
  }
  if (!found) fmt::print("\nno session is running\n");
  return 0;
}

}  // namespace skep::cli
