#include "probes/markers.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace skep::probes {
namespace {

constexpr u32 NT_STAPSDT = 3;
constexpr std::string_view OWNER{"stapsdt\0", 8};

template <typename T>
bool read_at(std::span<const u8> bytes, u64 at, T* out) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return false;
  std::memcpy(out, bytes.data() + at, sizeof(T));
  return true;
}

std::span<const u8> range(std::span<const u8> bytes, u64 at, u64 size) {
  if (at > bytes.size() || size > bytes.size() - at) return {};
  return bytes.subspan(at, size);
}

std::string text_at(std::span<const u8> bytes, u64 at) {
  const std::span<const u8> rest = range(bytes, at, bytes.size() - std::min<u64>(at, bytes.size()));
  return {rest.begin(), std::find(rest.begin(), rest.end(), u8{0})};
}

/// A note's description: address, the address that .stapsdt.base had at that time, a semaphore, provider, name, arguments.
void read_marker(std::span<const u8> desc, std::vector<Marker>* out) {
  Marker m;
  constexpr u64 WORDS = 24;
  if (desc.size() <= WORDS || !read_at(desc, 0, &m.addr)) return;
  m.provider = text_at(desc, WORDS);
  m.name = text_at(desc, WORDS + m.provider.size() + 1);
  out->push_back(std::move(m));
}

void read_notes(std::span<const u8> notes, std::vector<Marker>* out) {
  Elf64_Nhdr n;
  for (u64 at = 0; read_at(notes, at, &n);) {
    const u64 name = at + sizeof n, desc = name + round_up(u64{n.n_namesz}, 4);
    const std::span<const u8> owner = range(notes, name, n.n_namesz), body = range(notes, desc, n.n_descsz);
    if (n.n_type == NT_STAPSDT && std::equal(owner.begin(), owner.end(), OWNER.begin(), OWNER.end())) read_marker(body, out);
    at = desc + round_up(u64{n.n_descsz}, 4);
  }
}

}  // namespace

std::vector<Marker> find_markers(std::span<const u8> elf) {
  std::vector<Marker> out;
  Elf64_Ehdr ehdr;
  if (!read_at(elf, 0, &ehdr) || std::memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64) return out;
  Elf64_Shdr s;
  for (u64 i = 0; i < ehdr.e_shnum && ehdr.e_shoff < elf.size() && read_at(elf, ehdr.e_shoff + i * sizeof s, &s); ++i)
    if (s.sh_type == SHT_NOTE) read_notes(range(elf, s.sh_offset, s.sh_size), &out);
  return out;
}

}  // namespace skep::probes
