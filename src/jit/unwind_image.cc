// What is known of compiled code, in DWARF's and ELF's bytes. Source: DWARF 5, 6.4; LSB 5.0, core, 10.6 (.eh_frame); System V gABI, chapter 4.
#include <elf.h>

#include <cstring>

#include "jit/unwind.h"

namespace skep {
namespace {

constexpr u8 DW_CFA_advance_loc = 0x40, DW_CFA_offset = 0x80, DW_CFA_restore = 0xc0;
constexpr u8 DW_CFA_advance_loc1 = 0x02, DW_CFA_advance_loc2 = 0x03, DW_CFA_advance_loc4 = 0x04;
constexpr u8 DW_CFA_def_cfa = 0x0c, DW_CFA_def_cfa_offset = 0x0e;
constexpr u8 DW_EH_PE_absptr = 0x00, DW_EH_PE_pcrel_sdata4 = 0x1b;
constexpr u8 DWARF_RSP = 7, DWARF_RETURN_ADDRESS = 16;
constexpr u8 DATA_ALIGN_MINUS_8 = 0x78;

class Bytes {
 public:
  template <typename T>
  void put(T value) {
    const auto* from = reinterpret_cast<const u8*>(&value);
    out.insert(out.end(), from, from + sizeof value);
  }
  void put_uleb(u64 value) {
    for (; value >= 0x80; value >>= 7) put(static_cast<u8>(value | 0x80));
    put(static_cast<u8>(value));
  }
  void pad(std::size_t to, u8 with) {
    while (out.size() % to != 0) put(with);
  }
  /// A word for the length of what follows; end_length() fills it in.
  std::size_t begin_length() {
    put(u32{0});
    return out.size();
  }
  void end_length(std::size_t begin) {
    pad(8, 0);  // DW_CFA_nop
    const u32 length = static_cast<u32>(out.size() - begin);
    std::memcpy(&out[begin - sizeof length], &length, sizeof length);
  }
  std::vector<u8> out;
};

void put_cie(Bytes& b, EhPointer pointer) {
  const std::size_t begin = b.begin_length();
  b.put(u32{0});  // what tells it from an FDE
  b.put(u8{1});   // version
  for (const char c : {'z', 'R', '\0'}) b.put(c);
  b.put_uleb(1);  // code is counted in bytes
  b.put(DATA_ALIGN_MINUS_8);
  b.put(DWARF_RETURN_ADDRESS);
  b.put_uleb(1);  // bytes of augmentation
  b.put(pointer == EhPointer::Absolute ? DW_EH_PE_absptr : DW_EH_PE_pcrel_sdata4);
  for (const u8 x : {DW_CFA_def_cfa, DWARF_RSP, u8{8}}) b.put(x);
  for (const u8 x : {static_cast<u8>(DW_CFA_offset | DWARF_RETURN_ADDRESS), u8{1}}) b.put(x);
  b.end_length(begin);
}

void advance(Bytes& b, u32 by) {
  if (by == 0) return;
  if (by < 0x40) return b.put(static_cast<u8>(DW_CFA_advance_loc | by));
  if (by <= 0xff) return b.put(DW_CFA_advance_loc1), b.put(static_cast<u8>(by));
  if (by <= 0xffff) return b.put(DW_CFA_advance_loc2), b.put(static_cast<u16>(by));
  b.put(DW_CFA_advance_loc4), b.put(by);
}

void put_row(Bytes& b, const UnwindRow& before, const UnwindRow& row) {
  advance(b, row.at - before.at);
  if (row.cfa != before.cfa) b.put(DW_CFA_def_cfa_offset), b.put_uleb(row.cfa);
  for (std::size_t i = 0; i < row.saved.size(); ++i) {
    if (row.saved[i] == before.saved[i]) continue;
    b.put(static_cast<u8>((row.saved[i] != 0 ? DW_CFA_offset : DW_CFA_restore) | UNWIND_REGS[i]));
    if (row.saved[i] != 0) b.put_uleb(row.saved[i] / 8);
  }
}

void put_fde(Bytes& b, const ShownFunction& f, EhPointer pointer, u64 at) {
  const std::size_t begin = b.begin_length();
  b.put(static_cast<u32>(begin));  // back to the CIE, which stands first
  if (pointer == EhPointer::Absolute) {
    b.put(f.addr);
    b.put(u64{f.size});
  } else {
    b.put(static_cast<u32>(f.addr - (at + b.out.size())));
    b.put(f.size);
  }
  b.put_uleb(0);  // bytes of augmentation
  UnwindRow row{0, 8, {}};
  for (const UnwindRow& r : f.rows) {
    put_row(b, row, r);
    row = r;
  }
  b.end_length(begin);
}

/// Sections one after the other, and what names them.
class Elf {
 public:
  explicit Elf(std::size_t n) { headers_.reserve(n + 1), headers_.push_back({}), bytes_.out.resize(sizeof(Elf64_Ehdr)); }

  u16 section(const char* name, u32 type, u64 flags, u64 addr, u64 size, const void* contents) {
    Elf64_Shdr h{};
    h.sh_name = name_of(name);
    h.sh_type = type;
    h.sh_flags = flags;
    h.sh_addr = addr;
    h.sh_size = size;
    h.sh_addralign = 1;
    bytes_.pad(8, 0);
    h.sh_offset = bytes_.out.size();
    if (const auto* from = static_cast<const u8*>(contents)) bytes_.out.insert(bytes_.out.end(), from, from + size);
    headers_.push_back(h);
    return static_cast<u16>(headers_.size() - 1);
  }
  Elf64_Shdr& header(u16 i) { return headers_[i]; }
  u32 name_of(const std::string& name) {
    const u32 at = static_cast<u32>(names_.size());
    names_ += name + '\0';
    return at;
  }

  /// The table of names is last of the sections.
  std::vector<u8> finish(u16 symbols) {
    const u16 strings = section(".strtab", SHT_STRTAB, 0, 0, 0, nullptr);
    headers_[strings].sh_size = names_.size();
    bytes_.out.insert(bytes_.out.end(), names_.begin(), names_.end());
    if (symbols != 0) headers_[symbols].sh_link = strings;
    bytes_.pad(8, 0);
    Elf64_Ehdr e{};
    std::memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_ident[EI_VERSION] = EV_CURRENT;
    e.e_type = ET_EXEC;  // addresses are what they are
    e.e_machine = EM_X86_64;
    e.e_version = EV_CURRENT;
    e.e_shoff = bytes_.out.size();
    e.e_ehsize = sizeof e;
    e.e_shentsize = sizeof(Elf64_Shdr);
    e.e_shnum = static_cast<u16>(headers_.size());
    e.e_shstrndx = strings;
    for (const Elf64_Shdr& h : headers_) bytes_.put(h);
    std::memcpy(bytes_.out.data(), &e, sizeof e);
    return std::move(bytes_.out);
  }

 private:
  Bytes bytes_;
  std::vector<Elf64_Shdr> headers_;
  std::string names_ = std::string(1, '\0');
};

}  // namespace

std::vector<u8> eh_frame(std::span<const ShownFunction> functions, EhPointer pointer, u64 at) {
  Bytes b;
  put_cie(b, pointer);
  for (const ShownFunction& f : functions)
    if (!f.rows.empty()) put_fde(b, f, pointer, at);
  b.put(u32{0});
  return std::move(b.out);
}

std::vector<u8> elf_image(const char* text, u64 addr, u64 size, bool code, std::span<const ShownFunction> functions) {
  Elf elf(4);
  const u16 section = elf.section(text, SHT_NOBITS, code ? SHF_ALLOC | SHF_EXECINSTR : SHF_ALLOC, addr, size, nullptr);
  if (code) {
    const std::vector<u8> frames = eh_frame(functions, EhPointer::Absolute);
    elf.section(".eh_frame", SHT_PROGBITS, 0, 0, frames.size(), frames.data());
  }
  std::vector<Elf64_Sym> symbols(1);
  for (const ShownFunction& f : functions) {
    Elf64_Sym s{};
    s.st_name = elf.name_of(f.name);
    s.st_info = ELF64_ST_INFO(STB_GLOBAL, code ? STT_FUNC : STT_OBJECT);
    s.st_shndx = section;
    s.st_value = f.addr;
    s.st_size = f.size;
    symbols.push_back(s);
  }
  const u16 table = elf.section(".symtab", SHT_SYMTAB, 0, 0, symbols.size() * sizeof(Elf64_Sym), symbols.data());
  elf.header(table).sh_entsize = sizeof(Elf64_Sym);
  elf.header(table).sh_info = 1;  // the first that is global
  return elf.finish(table);
}

}  // namespace skep
