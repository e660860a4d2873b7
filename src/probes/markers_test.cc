// libstdc++ has markers wherever it was built with <sys/sdt.h>; readelf is a second opinion on them.
#include "probes/markers.h"

#include <gtest/gtest.h>
#include <link.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string_view>

namespace skep::probes {
namespace {

std::vector<u8> file_of(const char* name, std::string* path) {
  struct Search {
    std::string_view name;
    std::string* path;
  } search{name, path};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        const auto* s = static_cast<Search*>(out);
        if (std::string_view(info->dlpi_name).find(s->name) != std::string_view::npos) *s->path = info->dlpi_name;
        return 0;
      },
      &search);
  std::ifstream f(*path, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}

std::set<u64> readelf_addresses(const std::string& path) {
  std::set<u64> out;
  FILE* in = popen(("readelf -n " + path + " 2>/dev/null").c_str(), "r");
  if (in == nullptr) return out;
  for (char line[512]; fgets(line, sizeof line, in) != nullptr;)
    if (unsigned long at; std::sscanf(line, " Location: 0x%lx,", &at) == 1) out.insert(at);
  pclose(in);
  return out;
}

TEST(Markers, AreThoseThatReadelfFinds) {
  for (const char* name : {"libstdc++.so.6", "libc.so.6", "ld-linux-x86-64.so.2"}) {
    SCOPED_TRACE(name);
    std::string path;
    const std::vector<u8> elf = file_of(name, &path);
    if (path.empty()) continue;
    std::set<u64> found;
    for (const Marker& m : find_markers(elf)) {
      found.insert(m.addr);
      EXPECT_FALSE(m.provider.empty());
      EXPECT_FALSE(m.name.empty());
    }
    EXPECT_EQ(found, readelf_addresses(path));
  }
}

TEST(Markers, HaveNames) {
  std::string path;
  const std::vector<u8> elf = file_of("libstdc++.so.6", &path);
  if (path.empty() || readelf_addresses(path).empty()) GTEST_SKIP() << "this libstdc++ has none";
  std::set<std::string> names;
  for (const Marker& m : find_markers(elf)) names.insert(m.provider + ":" + m.name);
  EXPECT_EQ(names, (std::set<std::string>{"libstdcxx:catch", "libstdcxx:rethrow", "libstdcxx:throw"}));
}

/// Only that no damage makes it read outside of the file (for the sanitizers) or loop.
TEST(Markers, DamageIsSurvived) {
  std::string path;
  const std::vector<u8> elf = file_of("libstdc++.so.6", &path);
  if (elf.empty()) GTEST_SKIP() << "no libstdc++.so";
  std::mt19937 random(1);
  // The headers and the tail, where the section table and notes' sizes are read from.
  const std::size_t sound = find_markers(elf).size();
  std::size_t different = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<u8> bad(elf.begin(), elf.begin() + static_cast<std::ptrdiff_t>(round % 3 == 0 ? random() % elf.size() : elf.size()));
    for (int i = 0; i < 64 && bad.size() > 4096; ++i) {
      bad[random() % 64] ^= static_cast<u8>(1u << random() % 8);
      bad[bad.size() - 1 - random() % 2048] ^= static_cast<u8>(1u << random() % 8);
    }
    different += find_markers(bad).size() != sound;
  }
  EXPECT_GT(different, 0u);
}

}  // namespace
}  // namespace skep::probes
