#include "host/patched_objects.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>

#include "probes/markers.h"
#include "probes/patched_image.h"
#include "probes/sites.h"

namespace skep {
namespace {

/// Far below the libraries, which are mapped from the top down; within reach of 32-bit displacements.
constexpr s64 LIBC_STUBS = -(768LL << 20);

struct Paths {
  std::string libc, loader;
};
Paths find_paths() {
  Paths paths;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        const std::string name = info->dlpi_name;
        if (name.ends_with("/libc.so.6")) static_cast<Paths*>(out)->libc = name;
        if (name.ends_with("/ld-linux-x86-64.so.2")) static_cast<Paths*>(out)->loader = name;
        return 0;
      },
      &paths);
  return paths;
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

Result<UniqueFd> executable_memfd() {
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
  int fd = memfd_create("libc.so.6", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0) fd = memfd_create("libc.so.6", MFD_CLOEXEC | MFD_ALLOW_SEALING);  // before Linux 6.3
  if (fd < 0) return Errno(errno);
  return UniqueFd(fd);
}

/// Appends an object's text and stubs to the image.
Result<PatchedObject> add_object(int image_fd, u64* image_size, std::span<const u8> elf, probes::StubPlace place) {
  const probes::PatchPlan plan = TRY(probes::plan_sites(elf));
  const probes::PatchedImage image = TRY(probes::build_patched_image(elf, plan, place));
  if (plan.build_id.empty() || plan.build_id.size() > sizeof WirePatched::build_id) return Errno(ENOEXEC);
  if (!write_all(image_fd, image.text) || !write_all(image_fd, image.stubs)) return Errno(ENOSPC);
  PatchedObject out;
  out.text_vaddr = image.text_vaddr;
  out.text_size = image.text.size();
  out.text_offset = *image_size;
  out.stubs_size = image.stubs.size();
  out.stubs_offset = out.text_offset + out.text_size;
  out.slot_page = image.slot_page;
  out.stub_delta = image.stub_delta;
  out.build_id = plan.build_id;
  *image_size = out.stubs_offset + out.stubs_size;
  return out;
}

/// Those by which gdb hears of libraries. Source: gdb/solib-svr4.c, its probe_info table
std::vector<u32> find_stops(std::span<const u8> elf, const PatchedObject& loader) {
  std::vector<u32> stops;
  for (const probes::Marker& m : probes::find_markers(elf)) {
    const bool of_libraries = m.name.starts_with("init_") || m.name.starts_with("map_") || m.name.starts_with("reloc_") || m.name.starts_with("unmap_");
    if (m.provider == "rtld" && of_libraries && m.addr - loader.text_vaddr < loader.text_size && stops.size() < std::size(WirePatched{}.stops))
      stops.push_back(static_cast<u32>(m.addr));
  }
  return stops;
}

/// ld.so is mapped by the kernel, on top of all libraries: right behind it is room up to the stack's. There, and in the padding of its
/// text, nothing needs page tables of its own, which each process would pay for at its start.
Result<PatchedObject> add_loader(int image_fd, u64* image_size, const std::string& path) {
  const std::vector<u8> elf = TRY(read_file(path));
  const u64 end = TRY(probes::load_end(elf));
  PatchedObject out = TRY(add_object(image_fd, image_size, elf, {static_cast<s64>(round_up(end, PAGE_SIZE)), true}));
  out.stops = find_stops(elf, out);
  return out;
}

}  // namespace

WirePatched PatchedObject::wire() const {
  WirePatched w{};
  w.text_vaddr = text_vaddr;
  w.text_size = text_size;
  w.text_file_offset = text_offset;
  w.stubs_size = stubs_size;
  w.stubs_file_offset = stubs_offset;
  w.stub_delta = stub_delta;
  w.slot_page = slot_page;
  w.build_id_len = static_cast<u32>(build_id.size());
  std::copy(build_id.begin(), build_id.end(), w.build_id);
  w.n_stops = static_cast<u32>(stops.size());
  std::copy(stops.begin(), stops.end(), w.stops);
  return w;
}

Result<PatchedObjects> PatchedObjects::build() {
  const Paths paths = find_paths();
  if (paths.libc.empty()) return Errno(ENOENT);
  PatchedObjects out;
  out.image = TRY(executable_memfd());
  u64 size = 0;
  const std::vector<u8> libc = TRY(read_file(paths.libc));
  out.libc = TRY(add_object(out.image.get(), &size, libc, {LIBC_STUBS}));
  if (Result<PatchedObject> loader = add_loader(out.image.get(), &size, paths.loader); loader.ok()) out.loader = std::move(loader).value();
  // Nobody changes code that runs in every process of the session.
  fcntl(out.image.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return out;
}

}  // namespace skep
