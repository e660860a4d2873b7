#include "host/patched_libc.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <span>
#include <string>

#include "probes/patched_image.h"
#include "probes/sites.h"

namespace skep {
namespace {

/// Far below the libraries, which are mapped from the top down; within reach of 32-bit displacements.
constexpr s64 STUB_DELTA = -(768LL << 20);

std::string libc_path() {
  std::string path;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        const std::string name = info->dlpi_name;
        if (!name.ends_with("/libc.so.6")) return 0;
        *static_cast<std::string*>(out) = name;
        return 1;
      },
      &path);
  return path;
}

Result<std::vector<u8>> read_file(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!fd || fstat(fd.get(), &st) != 0) return Errno(errno);
  std::vector<u8> bytes(static_cast<std::size_t>(st.st_size));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = read(fd.get(), bytes.data() + at, bytes.size() - at);
    if (n <= 0) return Errno(n < 0 ? errno : ENOEXEC);
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}

bool write_all(int fd, std::span<const u8> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

Result<PatchedLibc> PatchedLibc::build() {
  const std::string path = libc_path();
  if (path.empty()) return Errno(ENOENT);
  const std::vector<u8> elf = TRY(read_file(path));
  const probes::PatchPlan plan = TRY(probes::plan_sites(elf));
  const probes::PatchedImage image = TRY(probes::build_patched_image(elf, plan, STUB_DELTA));
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
  int fd = memfd_create("libc.so.6", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0) fd = memfd_create("libc.so.6", MFD_CLOEXEC | MFD_ALLOW_SEALING);  // before Linux 6.3
  PatchedLibc out;
  out.image = UniqueFd(fd);
  if (!out.image) return Errno(errno);
  if (!write_all(fd, image.text) || !write_all(fd, image.stubs)) return Errno(ENOSPC);
  // Nobody changes code that runs in every process of the session.
  fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  out.text_vaddr = image.text_vaddr;
  out.text_size = image.text.size();
  out.stubs_size = image.stubs.size();
  out.slot_page = image.slot_page;
  out.stub_delta = image.stub_delta;
  out.build_id = plan.build_id;
  return out;
}

}  // namespace skep
