#include "host/kernel_headers.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <vector>

namespace skep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view PREFIX = "linux-headers-", FLAVOUR = "-amd64", OURS = "6.1.0-";

bool is_file(const fs::path& p) {
  std::error_code ec;
  return fs::is_regular_file(p, ec);
}
bool is_dir(const fs::path& p) {
  std::error_code ec;
  return fs::is_directory(p, ec);
}

/// "6.1.0-56" as {6, 1, 0, 56}, for comparing; anything else in it ends the list.
std::vector<int> numbers(std::string_view version) {
  std::vector<int> out;
  const char *at = version.data(), *end = at + version.size();
  while (at < end) {
    int n = 0;
    const auto [next, error] = std::from_chars(at, end, n);
    if (error != std::errc()) break;
    out.push_back(n);
    at = next == end ? end : next + 1;
  }
  return out;
}

/// Debian's headers for one processor: DIR, with DIR's common half beside it.
KernelHeaders debian_pair(const fs::path& build) {
  std::string leaf = build.filename().string();
  if (!leaf.starts_with(PREFIX) || !leaf.ends_with(FLAVOUR)) return {};
  const std::string version = leaf.substr(PREFIX.size(), leaf.size() - PREFIX.size() - FLAVOUR.size());
  // "6.1.0-56-rt-amd64" has "6.1.0-56-common-rt" beside it: another layout, and nobody's default.
  const fs::path common = build.parent_path() / (std::string(PREFIX) + version + "-common");
  if (!is_file(build / "include/generated/autoconf.h") || !is_file(common / "include/linux/kconfig.h")) return {};
  return {build.string(), common.string(), version.starts_with(OURS), false};
}

KernelHeaders wanted_headers(const std::string& dir) {
  std::error_code ec;
  KernelHeaders h = usable_headers(dir) ? KernelHeaders{dir, "", false, false} : debian_pair(fs::canonical(dir, ec));
  h.wanted = true;
  return h;
}

}  // namespace

std::string KernelHeaders::release() const {
  const std::string leaf = fs::path(build).filename().string();
  return leaf.starts_with(PREFIX) ? leaf.substr(PREFIX.size()) : "";
}

std::string running_release() {
  utsname u{};
  return uname(&u) == 0 ? u.release : "";
}

bool usable_headers(const std::string& build) {
  return is_file(build + "/include/linux/kconfig.h") && is_file(build + "/include/generated/autoconf.h");
}

KernelHeaders find_kernel_headers(const std::string& root, const std::string& wanted, const std::string& release) {
  if (!wanted.empty())
    if (KernelHeaders h = wanted_headers(wanted); !h.build.empty()) return h;
  std::map<std::vector<int>, KernelHeaders> ours, others;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(root + "/usr/src", ec)) {
    KernelHeaders h = debian_pair(e.path());
    if (h.build.empty()) continue;
    auto& list = h.ours ? ours : others;
    list[numbers(h.release())] = h;
  }
  if (!ours.empty()) return ours.rbegin()->second;
  const std::string own = root + "/lib/modules/" + release;
  // Debian's own pair counts too: clients look into both halves there.
  if (usable_headers(own + "/build") || (is_dir(own + "/build") && usable_headers(own + "/source"))) return {};
  return others.empty() ? KernelHeaders{} : others.rbegin()->second;
}

namespace {

bool join(const fs::path& to, const std::vector<fs::path>& halves) {
  std::map<std::string, std::vector<fs::path>> entries;
  std::error_code ec;
  for (const fs::path& half : halves)
    for (const auto& e : fs::directory_iterator(half, ec)) entries[e.path().filename().string()].push_back(e.path());
  fs::create_directory(to, ec);
  for (const auto& [name, from] : entries) {
    const bool both = from.size() > 1 && is_dir(from[0]) && is_dir(from[1]) && !fs::equivalent(from[0], from[1], ec);
    if (both ? !join(to / name, from) : symlink(from.back().c_str(), (to / name).c_str()) != 0 && errno != EEXIST) return false;
  }
  return true;
}

}  // namespace

bool join_headers(const KernelHeaders& headers, const std::string& tree) {
  std::error_code ec;
  fs::create_directories(fs::path(tree).parent_path(), ec);
  if (headers.common.empty()) return symlink(headers.build.c_str(), tree.c_str()) == 0 || errno == EEXIST;
  return join(tree, {headers.common, headers.build});
}

}  // namespace skep
