// memory/hash-8/1M: what a full map takes. On Linux what it says of itself in fdinfo. Under skep, maps lie in shared memory that
// the window's memfds hold: the blocks of those, before and after; and what it says of itself, beside.
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "map_fill.h"
#include "rows.h"

namespace skep::bench {
namespace {

/// Bytes of all memfds that this process has mapped; 0 under Linux, where it has none.
double shared_bytes() {
  std::ifstream maps("/proc/self/maps");
  std::set<std::pair<dev_t, ino_t>> seen;
  double sum = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:") == std::string::npos) continue;
    struct stat st;
    const std::string link = "/proc/self/map_files/" + line.substr(0, line.find(' '));
    if (stat(link.c_str(), &st) != 0) throw Skip("the window's size is root's to see");
    if (seen.emplace(st.st_dev, st.st_ino).second) sum += static_cast<double>(st.st_blocks) * 512;
  }
  return sum;
}

double fdinfo_memlock(int fd) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  std::string word;
  while (info >> word) {
    double value;
    if (word == "memlock:" && info >> value) return value;
  }
  return 0;
}

class Memory : public Group {
 public:
  explicit Memory(const std::string&) {}

  Figures measure(const std::string& operation) override {
    const std::uint32_t entries = operation == "1M" ? 1u << 20 : 1u << 10;
    const double before = shared_bytes();
    const FilledMap map = filled_map({"map_ops_8", BPF_MAP_TYPE_HASH, 0, entries}, entries);
    const double shared = shared_bytes() - before, memlock = fdinfo_memlock(map.map);
    return {{"ns", (shared > 0 ? shared : memlock) / entries}, {"memlock", memlock / entries}};
  }

  void check() override {
    if (measure("1K")[0].second < 16) throw Wrong("less memory than the keys and values take");
  }
};

}  // namespace

void add_memory_rows(std::vector<GroupSpec>* rows) {
  rows->push_back(
      {"memory/hash-8", {"1M"}, [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<Memory>(name); }});
}

}  // namespace skep::bench
