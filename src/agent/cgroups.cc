#include "agent/cgroups.h"

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/task_facts.h"
#include "agent/vdso.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u64 CGROUP2_MAGIC = 0x63677270, GOOD_FOR_NS = 1'000'000;

struct Kept {
  u64 until, pid_tgid;
  CgroupPath path;
};
__thread Kept kept __attribute__((tls_model("initial-exec")));

/// Source: arch/x86/include/uapi/asm/stat.h, as far as it is looked at
struct Stat {
  u64 dev, ino;
  u64 rest[16];
};
static_assert(sizeof(Stat) == 144);

bool stat_path(const char* path, Stat* out) { return sys(NR_newfstatat, AT_FDCWD_, path, out, 0) == 0; }

bool is_cgroup2(const char* at) {
  u64 fs[15];
  return sys(NR_statfs, at, fs) == 0 && fs[0] == CGROUP2_MAGIC;
}

/// Where version 2 is mounted: alone, or beside version 1. Null: nowhere we know.
const char* find_mount() {
  const char* const alone = "/sys/fs/cgroup";
  const char* const beside = "/sys/fs/cgroup/unified";
  return is_cgroup2(alone) ? alone : is_cgroup2(beside) ? beside : nullptr;
}

/// The line of version 2 is "0::PATH". Cuts it out; null: there is none.
char* path_in(char* text) {
  for (char* line = text; *line != '\0';) {
    char* end = line;
    while (*end != '\0' && *end != '\n') ++end;
    const bool last = *end == '\0';
    *end = '\0';
    if (starts_with(line, "0::/")) return line + 3;
    if (last) return nullptr;
    line = end + 1;
  }
  return nullptr;
}

/// One directory more, while they are all of that file system: a path that leads out of what the process can see ends there.
bool add_level(CgroupPath* out, const char* dir, u64 dev) {
  Stat s;
  if (out->levels == MAX_CGROUP_LEVELS || !stat_path(dir, &s) || s.dev != dev) return false;
  out->ids[out->levels++] = s.ino;
  return true;
}

void find_levels(CgroupPath* out) {
  constexpr u64 ROOM = 2048;
  char text[ROOM], dir[ROOM];
  const char* mount = find_mount();
  Stat root;
  out->levels = 0;
  if (mount == nullptr || !stat_path(mount, &root) || !read_file("/proc/thread-self/cgroup", text, sizeof text)) return;
  const char* path = path_in(text);
  dir[0] = '\0';
  append(dir, sizeof dir, mount);
  u64 at = length_of(dir);
  if (path == nullptr || !add_level(out, dir, root.dev)) return;
  while (*path == '/' && path[1] != '\0') {
    do {
      if (at + 1 >= sizeof dir) return;
      dir[at++] = *path++;
    } while (*path != '/' && *path != '\0');
    dir[at] = '\0';
    if (!add_level(out, dir, root.dev)) return;
  }
}

}  // namespace

const CgroupPath* current_cgroups() {
  const u64 now = clock_ns(1 /* CLOCK_MONOTONIC */), who = current_pid_tgid();
  if (now >= kept.until || kept.pid_tgid != who) {
    find_levels(&kept.path);
    kept.pid_tgid = who;
    kept.until = now + GOOD_FOR_NS;
  }
  return &kept.path;
}

bool current_pid_namespace(u64* dev, u64* ino) {
  Stat s;
  if (!stat_path("/proc/self/ns/pid", &s)) return false;
  *dev = s.dev;
  *ino = s.ino;
  return true;
}

}  // namespace skep::agent
