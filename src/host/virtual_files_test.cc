#include "host/virtual_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "host/kernel_files.h"
#include "probes/syscalls.h"

namespace skep {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream f(path);
  return {std::istreambuf_iterator<char>(f), {}};
}

class VirtualFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skep-files-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    top = name;
    files = std::make_unique<VirtualFiles>(top + "/root", KernelFacts{"6.99.0-none", "", true});
    ASSERT_TRUE(files->create());
  }
  void TearDown() override { fs::remove_all(top); }
  std::string look(const std::string& path) { return files->resolve(path, PathUse::Look); }
  std::string enter(const std::string& path) { return files->resolve(path, PathUse::Enter); }
  std::string read(const std::string& path) { return text_of(look(path)); }

  std::string top;
  std::unique_ptr<VirtualFiles> files;
};

TEST_F(VirtualFilesTest, OtherPathsAreTheMachines) {
  for (const char* path : {"/etc/passwd", "/proc/self/status", "/sys/kernel/tracingx", "/sys/fs/bpfx", "/boot/config-6.99.0-other",
                           "/lib/modules/6.99.0-other/build", "/lib/modules/6.99.0-none/kernel", "/sys/kernel/debug/tracing/../x"})
    EXPECT_EQ(look(path), "") << path;
}

TEST_F(VirtualFilesTest, BothNamesOfTracefsAreOne) {
  EXPECT_EQ(look("/sys/kernel/debug/tracing/events"), look("/sys/kernel/tracing/events"));
  EXPECT_EQ(look("/sys/kernel/tracing//events/../trace"), files->root() + "/sys/kernel/tracing/trace");
}

TEST_F(VirtualFilesTest, EventsHaveTheirFiles) {
  const std::string dir = "/sys/kernel/tracing/events/";
  for (const EventName& e : all_events()) {
    const std::string id = read(dir + e.system + "/" + e.name + "/id"), format = read(dir + e.system + "/" + e.name + "/format");
    EXPECT_EQ(format.rfind("name: " + e.name + "\nID: " + id + "format:\n", 0), 0u) << e.system << ":" << e.name << "\n" << format;
  }
}

TEST_F(VirtualFilesTest, UnknownEventsAreNotThere) {
  for (const char* path : {"/sys/kernel/tracing/events/sched/sched_nothing/id", "/sys/kernel/tracing/events/nothing",
                           "/sys/kernel/tracing/uprobe_events", "/sys/kernel/tracing/nothing"}) {
    ASSERT_NE(look(path), "");
    EXPECT_FALSE(fs::exists(look(path))) << path;
  }
}

TEST_F(VirtualFilesTest, ADirectoryThatIsEnteredHasAllItsEntries) {
  const std::string dir = enter("/sys/kernel/tracing/events/sched");
  for (const EventInfo& e : event_table()) {
    const bool here = std::string(e.system) == "sched";
    EXPECT_EQ(fs::exists(dir + "/" + e.name + "/id"), here) << e.name;
  }
  const std::string top_dir = enter("/sys/kernel/tracing");
  for (const std::string& name : trace_file_names()) EXPECT_TRUE(fs::exists(top_dir + "/" + name)) << name;
  std::size_t events = 0;
  for (const auto& system : fs::directory_iterator(top_dir + "/events"))
    if (system.is_directory())
      for (const auto& event : fs::directory_iterator(system.path())) events += event.is_directory();
  EXPECT_EQ(events, all_events().size());
}

TEST_F(VirtualFilesTest, ListsNameWhatIsThere) {
  const std::string events = read("/sys/kernel/tracing/available_events");
  EXPECT_NE(events.find("syscalls:sys_enter_execve\n"), std::string::npos);
  EXPECT_NE(events.find("sched:sched_process_exec\n"), std::string::npos);
  EXPECT_NE(events.find("raw_syscalls:sys_exit\n"), std::string::npos);
  const SyscallInfo* execve = syscall_by_function("__x64_sys_execve");
  ASSERT_NE(execve, nullptr);
  char line[64];
  std::snprintf(line, sizeof line, "%016llx T __x64_sys_execve\n", static_cast<unsigned long long>(syscall_symbol_addr(*execve)));
  EXPECT_NE(read("/proc/kallsyms").find(line), std::string::npos);
  EXPECT_NE(read("/sys/kernel/debug/tracing/available_filter_functions").find("\n__x64_sys_execve\n"), std::string::npos);
}

TEST_F(VirtualFilesTest, ConfigurationAndLimits) {
  const std::string config = read("/boot/config-6.99.0-none");
  EXPECT_NE(config.find("\nCONFIG_BPF_SYSCALL=y\n"), std::string::npos);
  EXPECT_NE(config.find("\n# CONFIG_UPROBE_EVENTS is not set\n"), std::string::npos);
  EXPECT_FALSE(fs::exists(look("/proc/config.gz")));
  EXPECT_EQ(read("/proc/sys/net/core/bpf_jit_enable"), "1\n");
  EXPECT_EQ(read("/proc/sys/kernel/unprivileged_bpf_disabled"), "0\n");
  EXPECT_EQ(kernel_file("/proc/sys/net/core/bpf_jit_enable", "", false), "0\n");
}

/// Where the machine shows these there is nothing of ours, and the other way round.
TEST_F(VirtualFilesTest, EventSourcesOfEveryMachine) {
  for (const char* name : {"software", "tracepoint"}) {
    const std::string path = std::string("/sys/bus/event_source/devices/") + name + "/type", ours = look(path);
    EXPECT_EQ(text_of(ours.empty() ? path : ours), name == std::string("software") ? "1\n" : "2\n");
  }
}

}  // namespace
}  // namespace skep
