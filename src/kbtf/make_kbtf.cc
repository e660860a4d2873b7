// kbtf: a step of the build: from the BTF that clang wrote for kernel/kernel.c to that of a kernel. Takes out what only made clang
// write it, gives functions with more than five parameters the rest of them, and names one function for each system call.
//
//   make_kbtf kernel.o kernel.btf
#include <elf.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "kbtf/type_words.h"

namespace skep::kbtf {
namespace {

constexpr std::string_view MORE = "__more", SYSCALL_MODEL = "__x64_sys_";

std::vector<u8> read_file(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The section .BTF of an object file; empty: there is none.
std::vector<u8> btf_section(const std::vector<u8>& file) {
  Elf64_Ehdr e;
  if (file.size() < sizeof e) return {};
  std::memcpy(&e, file.data(), sizeof e);
  std::vector<Elf64_Shdr> sections(e.e_shnum);
  if (std::memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_shoff + sections.size() * sizeof(Elf64_Shdr) > file.size()) return {};
  std::memcpy(sections.data(), file.data() + e.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  if (e.e_shstrndx >= sections.size()) return {};
  const char* names = reinterpret_cast<const char*>(file.data()) + sections[e.e_shstrndx].sh_offset;
  for (const Elf64_Shdr& s : sections)
    if (std::string_view(names + s.sh_name) == ".BTF" && s.sh_offset + s.sh_size <= file.size())
      return {file.begin() + static_cast<s64>(s.sh_offset), file.begin() + static_cast<s64>(s.sh_offset + s.sh_size)};
  return {};
}

bool is_func(const Type& t) { return t.kind() == BTF_KIND_FUNC; }
bool is_more(const TypeList& list, const Type& t) { return is_func(t) && list.name_of(t).ends_with(MORE); }

/// Appends the parameters of each f__more to those of f. False: there is no f.
bool join_parameters(TypeList& list) {
  std::map<std::string, u32> proto_of;
  for (const Type& t : list.types)
    if (is_func(t)) proto_of[list.name_of(t)] = t.words[2];
  for (const auto& [name, id] : proto_of) {
    if (!name.ends_with(MORE)) continue;
    const auto whole = proto_of.find(name.substr(0, name.size() - MORE.size()));
    if (whole == proto_of.end()) return false;
    Type& first = list.types[whole->second];
    const Type& rest = list.types[id];
    first.words.insert(first.words.end(), rest.words.begin() + 3, rest.words.end());
    first.words[1] += rest.vlen();
  }
  return true;
}

/// One function of the model's prototype for each system call. False: there is no model.
bool name_syscalls(TypeList& list) {
  constexpr const char* NAMES[] = {
#define SKEP_SYSCALL(nr, name, ...) name,
#include "probes/syscall_table.inc"
#undef SKEP_SYSCALL
  };
  for (const Type& t : list.types) {
    if (!is_func(t) || list.name_of(t) != SYSCALL_MODEL) continue;
    const u32 proto = t.words[2];
    for (const char* name : NAMES) {
      const u32 name_index = list.intern(std::string(SYSCALL_MODEL) + name);
      list.types.push_back(Type{{name_index, BTF_KIND_FUNC << 24, proto}});
    }
    return true;
  }
  return false;
}

/// Without the objects that made structs come in, the models, and the prototypes of the rest parameters.
void drop_scaffolding(TypeList& list) {
  std::vector<bool> drop(list.types.size());
  for (std::size_t id = 1; id < drop.size(); ++id) {
    const Type& t = list.types[id];
    if (t.kind() == BTF_KIND_VAR || t.kind() == BTF_KIND_DATASEC) drop[id] = true;
    if (is_func(t) && list.name_of(t) == SYSCALL_MODEL) drop[id] = true;
    if (is_more(list, t)) drop[id] = drop[t.words[2]] = true;
  }
  std::vector<u32> new_id(drop.size());
  std::vector<Type> kept(1, list.types[0]);
  for (std::size_t id = 1; id < drop.size(); ++id) {
    if (drop[id]) continue;
    new_id[id] = static_cast<u32>(kept.size());
    kept.push_back(std::move(list.types[id]));
  }
  for (Type& t : kept) each_ref(t, [&](u32& ref) { ref = new_id[ref]; });
  list.types = std::move(kept);
}

/// The kernel's functions are all static in its BTF.
void make_functions_static(TypeList& list) {
  for (Type& t : list.types)
    if (is_func(t)) t.words[1] = BTF_KIND_FUNC << 24;
}

int run(const char* object, const char* out_path) {
  TypeList list;
  if (!list.read(btf_section(read_file(object)))) return std::fprintf(stderr, "make_kbtf: no BTF in %s\n", object), 1;
  if (!join_parameters(list) || !name_syscalls(list)) return std::fprintf(stderr, "make_kbtf: a function is missing\n"), 1;
  drop_scaffolding(list);
  make_functions_static(list);
  const std::vector<u8> blob = list.write();
  std::ofstream out(out_path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(blob.data()), static_cast<std::streamsize>(blob.size()));
  return out.flush() ? 0 : 1;
}

}  // namespace
}  // namespace skep::kbtf

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: make_kbtf OBJECT OUT\n"), 2;
  return skep::kbtf::run(argv[1], argv[2]);
}
