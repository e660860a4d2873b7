#include "host/kernel_files.h"

#include <fmt/format.h>

#include "probes/syscalls.h"
#include "shm/layout.h"

namespace skep {
namespace {

enum class Symbols { Kallsyms, Names, NamesWithAddresses };

std::string symbols(Symbols as) {
  std::string out;
  for (const SyscallInfo& s : syscall_table()) {
    const u64 at = syscall_symbol_addr(s);
    if (as == Symbols::Kallsyms)
      out += fmt::format("{:016x} T __x64_sys_{}\n", at, s.name);
    else if (as == Symbols::NamesWithAddresses)
      out += fmt::format("{:x} __x64_sys_{}\n", at, s.name);
    else
      out += fmt::format("__x64_sys_{}\n", s.name);
  }
  return out;
}

std::string event_list() {
  std::string out;
  for (const EventName& e : all_events()) out += fmt::format("{}:{}\n", e.system, e.name);
  return out;
}

struct TraceFile {
  const char* name;
  std::string (*text)();
};
// Probes by writing to kprobe_events and the ring of ftrace's own are not here: the one reads as empty, the other's files as idle.
constexpr TraceFile TRACE_FILES[] = {
    {"available_events", event_list},
    {"available_filter_functions", [] { return symbols(Symbols::Names); }},
    {"available_filter_functions_addrs", [] { return symbols(Symbols::NamesWithAddresses); }},
    {"available_tracers", [] { return std::string("nop\n"); }},
    {"current_tracer", [] { return std::string("nop\n"); }},
    {"kprobe_events", [] { return std::string(); }},
    {"printk_formats", [] { return std::string(); }},
    {"set_event", [] { return std::string(); }},
    {"trace", [] { return std::string("# tracer: nop\n#\n"); }},
    {"tracing_on", [] { return std::string("1\n"); }},
};

/// A configuration as a build of the kernel leaves it, of what tools ask for. Source: Linux 6.12's Kconfig files for the names.
struct Option {
  const char* name;
  const char* value;  ///< null: is not set
};
constexpr Option OPTIONS[] = {
    {"64BIT", "y"},
    {"X86", "y"},
    {"X86_64", "y"},
    {"SMP", "y"},
    {"ARCH_HAS_SYSCALL_WRAPPER", "y"},
    {"HZ", "250"},
    {"BPF", "y"},
    {"BPF_SYSCALL", "y"},
    {"HAVE_EBPF_JIT", "y"},
    {"ARCH_WANT_DEFAULT_BPF_JIT", "y"},
    {"BPF_JIT", "y"},
    {"BPF_JIT_ALWAYS_ON", nullptr},
    {"BPF_UNPRIV_DEFAULT_OFF", nullptr},
    {"BPF_PRELOAD", nullptr},
    {"BPF_LSM", nullptr},
    {"BPF_EVENTS", "y"},
    {"BPF_KPROBE_OVERRIDE", "y"},
    {"FUNCTION_ERROR_INJECTION", "y"},
    {"DEBUG_INFO_BTF", "y"},
    {"DEBUG_INFO_BTF_MODULES", nullptr},
    {"KALLSYMS", "y"},
    {"KPROBES", "y"},
    {"KRETPROBES", "y"},
    {"UPROBES", nullptr},
    {"PERF_EVENTS", "y"},
    {"TRACEPOINTS", "y"},
    {"HAVE_SYSCALL_TRACEPOINTS", "y"},
    {"TRACING", "y"},
    {"EVENT_TRACING", "y"},
    {"FTRACE", "y"},
    {"FTRACE_SYSCALLS", "y"},
    {"FUNCTION_TRACER", nullptr},
    {"KPROBE_EVENTS", "y"},
    {"UPROBE_EVENTS", nullptr},
    {"IKCONFIG", nullptr},
    {"IKHEADERS", nullptr},
    {"SECURITY_LOCKDOWN_LSM", nullptr},
    {"CGROUPS", "y"},
    {"CGROUP_BPF", nullptr},
    {"CGROUP_NET_CLASSID", nullptr},
    {"SOCK_CGROUP_DATA", nullptr},
    {"NET", nullptr},
    {"XDP_SOCKETS", nullptr},
    {"LWTUNNEL_BPF", nullptr},
    {"NET_ACT_BPF", nullptr},
    {"NET_CLS_BPF", nullptr},
    {"NET_CLS_ACT", nullptr},
    {"NET_SCH_INGRESS", nullptr},
    {"XFRM", nullptr},
    {"IP_ROUTE_CLASSID", nullptr},
    {"IPV6_SEG6_BPF", nullptr},
    {"BPF_LIRC_MODE2", nullptr},
    {"BPF_STREAM_PARSER", nullptr},
    {"NETFILTER_XT_MATCH_BPF", nullptr},
    {"BPFILTER", nullptr},
    {"BPFILTER_UMH", nullptr},
    {"TEST_BPF", nullptr},
};

std::string config() {
  // By its second line bpftool knows such a file.
  std::string out = "#\n# Automatically generated file; DO NOT EDIT.\n# What clients under skep may count on\n#\n";
  for (const Option& o : OPTIONS)
    out += o.value != nullptr ? fmt::format("CONFIG_{}={}\n", o.name, o.value) : fmt::format("# CONFIG_{} is not set\n", o.name);
  return out;
}

std::string enter_name(const SyscallInfo& s) { return fmt::format("sys_enter_{}", s.name); }
std::string exit_name(const SyscallInfo& s) { return fmt::format("sys_exit_{}", s.name); }

}  // namespace

std::optional<std::string> kernel_file(const std::string& path, const std::string& release, bool jit) {
  if (path == "/proc/kallsyms") return symbols(Symbols::Kallsyms);
  if (path == "/boot/config-" + release) return config();
  if (path == "/sys/kernel/debug/kprobes/blacklist") return "";
  if (path == "/proc/sys/net/core/bpf_jit_enable") return jit ? "1\n" : "0\n";
  if (path == "/proc/sys/net/core/bpf_jit_harden" || path == "/proc/sys/net/core/bpf_jit_kallsyms") return "0\n";
  if (path == "/proc/sys/net/core/bpf_jit_limit") return fmt::format("{}\n", CODE_SIZE - GATES_SIZE);
  // Each process of a session may do all of it.
  if (path == "/proc/sys/kernel/unprivileged_bpf_disabled" || path == "/proc/sys/kernel/kptr_restrict") return "0\n";
  if (path == "/proc/sys/kernel/perf_event_paranoid") return "-1\n";
  if (path == "/proc/sys/kernel/perf_event_max_stack") return "127\n";
  return std::nullopt;
}

std::optional<std::string> trace_file(const std::string& name) {
  for (const TraceFile& f : TRACE_FILES)
    if (name == f.name) return f.text();
  return std::nullopt;
}

std::vector<std::string> trace_file_names() {
  std::vector<std::string> out;
  for (const TraceFile& f : TRACE_FILES) out.emplace_back(f.name);
  return out;
}

std::vector<EventName> all_events() {
  std::vector<EventName> out;
  for (const EventInfo& e : event_table()) out.push_back({e.system, e.name});
  for (const SyscallInfo& s : syscall_table()) {
    out.push_back({"syscalls", exit_name(s)});
    out.push_back({"syscalls", enter_name(s)});
  }
  return out;
}

}  // namespace skep
