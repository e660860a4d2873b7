#include "probes/sites.h"

#include <Zydis/Zydis.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "probes/markers.h"

namespace skep::probes {
namespace detail {
namespace {

constexpr s32 NR_rt_sigreturn = 15;  // an unwinder knows it by its bytes, and the frame under it is the kernel's
constexpr u32 ENDBR64_SIZE = 4;
constexpr u8 ENDBR64[ENDBR64_SIZE] = {0xf3, 0x0f, 0x1e, 0xfa};
/// How far back an instruction that loads rax is looked for.
constexpr u32 MAX_BACK = 64;
/// Entries of one jump table that are followed.
constexpr u32 MAX_TABLE = 4096;

const ZydisDecoder& decoder() {
  static const ZydisDecoder d = [] {
    ZydisDecoder x;
    ZydisDecoderInit(&x, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return x;
  }();
  return d;
}

void sort_unique(std::vector<u32>& v) {
  std::sort(v.begin(), v.end());
  v.erase(std::unique(v.begin(), v.end()), v.end());
}

Flow branch_flow(const ZydisDecodedInstruction& in, bool relative) {
  switch (in.meta.category) {
    case ZYDIS_CATEGORY_CALL:
      return Flow::Call;
    case ZYDIS_CATEGORY_UNCOND_BR:
      if (!relative) return Flow::Indirect;
      return in.raw.prefix_count == 0 ? Flow::Jmp : Flow::Other;
    case ZYDIS_CATEGORY_COND_BR: {
      const bool jcc = (in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in.opcode & 0xf0) == 0x70) ||
                       (in.opcode_map == ZYDIS_OPCODE_MAP_0F && (in.opcode & 0xf0) == 0x80);
      return jcc && in.raw.prefix_count == 0 ? Flow::Jcc : Flow::Other;  // the others are loop, jrcxz and transactions
    }
    default:
      return relative ? Flow::Other : Flow::Next;
  }
}

Flow flow_of(const ZydisDecodedInstruction& in, bool relative) {
  switch (in.meta.category) {
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_INTERRUPT:
      return Flow::Other;
    case ZYDIS_CATEGORY_SYSCALL:
      return in.mnemonic == ZYDIS_MNEMONIC_SYSCALL ? Flow::Syscall : Flow::Other;
    default:
      break;
  }
  switch (in.mnemonic) {
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_INT3:
      return Flow::Other;
    default:
      return branch_flow(in, relative);
  }
}

}  // namespace

Insn decode_insn(std::span<const u8> code, u32 addr) {
  Insn out{.addr = addr};
  ZydisDecodedInstruction in;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder(), nullptr, code.data(), code.size(), &in))) return out;
  out.len = in.length;
  const bool relative = in.raw.imm[0].is_relative != 0;
  out.flow = flow_of(in, relative);
  if (relative) {
    out.branch = true;
    out.target = static_cast<u32>(out.end() + static_cast<u64>(in.raw.imm[0].value.s));
    if (out.flow == Flow::Jcc) out.cond = in.opcode & 0x0f;
  } else if ((in.attributes & ZYDIS_ATTRIB_HAS_MODRM) && in.raw.modrm.mod == 0 && in.raw.modrm.rm == 5 && in.raw.disp.size == 32) {
    out.rip_disp = in.raw.disp.offset;
    out.target = static_cast<u32>(out.end() + static_cast<u64>(in.raw.disp.value));
    out.lea = in.mnemonic == ZYDIS_MNEMONIC_LEA;
    // With an address-size prefix the sum wraps at 32 bits: it cannot be moved.
    if (in.address_width != 64) out.flow = out.flow == Flow::Next ? Flow::Other : out.flow;
  }
  out.add64 = in.mnemonic == ZYDIS_MNEMONIC_ADD && in.operand_width == 64;
  return out;
}

namespace {

/// The instructions of the code and every known way into it.
class CodeMap {
 public:
  explicit CodeMap(CodeFacts facts) : facts_(std::move(facts)) {
    sort_unique(facts_.starts);
    std::sort(facts_.functions.begin(), facts_.functions.end(), [](Range a, Range b) { return a.begin < b.begin; });
    for (const Bytes& code : facts_.code) decode(code);
    collect_entries();
  }

  const std::vector<Insn>& insns() const { return insns_; }
  /// True when code at an address of [begin, end) may be entered other than from the instruction before it.
  bool entered(u32 begin, u32 end) const {
    const auto it = std::lower_bound(entries_.begin(), entries_.end(), begin);
    return it != entries_.end() && *it < end;
  }
  /// True when a function ends at an address of [begin, end).
  bool crossed(u32 begin, u32 end) const {
    const auto it = std::lower_bound(ends_.begin(), ends_.end(), begin);
    return it != ends_.end() && *it < end;
  }
  bool in_frame(u32 addr) const {
    return std::any_of(facts_.frames.begin(), facts_.frames.end(), [&](Range f) { return f.begin <= addr && addr < f.end; });
  }
  /// True when the function around addr jumps through a register to places that are not known.
  bool opaque(u32 addr) const {
    const Range* f = function_of(addr);
    return f != nullptr && std::binary_search(opaque_.begin(), opaque_.end(), f->begin);
  }
  std::span<const u8> bytes_at(u32 addr) const { return bytes_in(facts_.code, addr); }

 private:
  static std::span<const u8> bytes_in(const std::vector<Bytes>& blocks, u32 addr) {
    for (const Bytes& b : blocks)
      if (addr >= b.vaddr && addr - b.vaddr < b.bytes.size()) return b.bytes.subspan(addr - b.vaddr);
    return {};
  }
  const Range* function_of(u32 addr) const {
    auto it =
        std::upper_bound(facts_.functions.begin(), facts_.functions.end(), addr, [](u32 a, const Range& r) { return a < r.begin; });
    if (it == facts_.functions.begin()) return nullptr;
    --it;
    return addr < it->end ? &*it : nullptr;
  }
  bool begins_insn(u32 addr) const {
    const auto it = std::lower_bound(insns_.begin(), insns_.end(), addr, [](const Insn& i, u32 a) { return i.addr < a; });
    return it != insns_.end() && it->addr == addr;
  }

  /// Linear sweep that begins anew wherever an instruction is known to begin.
  void decode(const Bytes& code) {
    const u32 end = code.vaddr + static_cast<u32>(code.bytes.size());
    auto start = std::lower_bound(facts_.starts.begin(), facts_.starts.end(), code.vaddr);
    u32 other = 0;  // where the other of two readings is, 0 while there is one
    for (u32 addr = code.vaddr; addr < end;) {
      while (start != facts_.starts.end() && *start <= addr) ++start;
      const u32 limit = start != facts_.starts.end() && *start < end ? *start : end;
      Insn in = decode_insn(code.bytes.subspan(addr - code.vaddr), addr);
      // Where a start falls into an instruction, one of the two is wrong: go on from the start, and trust nothing until both agree.
      if (in.end() > limit) {
        other = std::max(other, in.end());
        in = Insn{.addr = addr, .len = static_cast<u8>(limit - addr)};
      }
      while (other != 0 && other < addr) other += decode_insn(code.bytes.subspan(other - code.vaddr), other).len;
      in.certain = other == 0 || other == addr;
      if (in.certain) other = 0;
      insns_.push_back(in);
      addr = in.end();
    }
    note_endbr(code);
  }
  void note_endbr(const Bytes& code) {
    for (u32 at = round_up(code.vaddr, 16) - code.vaddr; at + ENDBR64_SIZE <= code.bytes.size(); at += 16)
      if (std::memcmp(code.bytes.data() + at, ENDBR64, ENDBR64_SIZE) == 0) facts_.entries.push_back(code.vaddr + at);
  }

  void collect_entries() {
    entries_ = facts_.starts;
    entries_.insert(entries_.end(), facts_.entries.begin(), facts_.entries.end());
    for (Range f : facts_.functions) {
      entries_.push_back(f.begin);
      ends_.push_back(f.end);
    }
    sort_unique(ends_);
    for (const Insn& in : insns_)
      if (in.branch || in.lea) entries_.push_back(in.target);
    sort_unique(entries_);
    const std::vector<u32> with_table = follow_tables();
    find_opaque(with_table);
    sort_unique(entries_);
  }

  /// Adds what the tables of offsets that code takes the address of lead to (compilers: table + table[i], 32-bit signed). Anything
  /// that could be a table counts as one: an entry too many only costs a site another form. Returns the functions that use one.
  std::vector<u32> follow_tables() {
    std::vector<u32> tables, users, found;
    for (const Insn& in : insns_)
      if (in.lea && !bytes_in(facts_.rodata, in.target).empty()) tables.push_back(in.target);
    sort_unique(tables);
    for (u32 table : tables)
      if (follow_table(table)) found.push_back(table);
    for (const Insn& in : insns_)
      if (in.lea && std::binary_search(found.begin(), found.end(), in.target))
        if (const Range* f = function_of(in.addr)) users.push_back(f->begin);
    sort_unique(users);
    return users;
  }
  bool follow_table(u32 table) {
    const std::span<const u8> bytes = bytes_in(facts_.rodata, table);
    u32 n = 0;
    for (; n < MAX_TABLE && (n + 1) * 4 <= bytes.size(); ++n) {
      s32 offset;
      std::memcpy(&offset, bytes.data() + n * 4, 4);
      const u32 target = table + static_cast<u32>(offset);
      if (!begins_insn(target)) break;
      entries_.push_back(target);
    }
    return n > 0;
  }

  /// A function with a jump through a register is opaque when the register was computed and no table was found for it, or when it
  /// takes addresses of labels of its own (computed goto: offsets from a label, not from their table). A plain jump through a
  /// register is a call at the end of a function.
  void find_opaque(const std::vector<u32>& with_table) {
    std::vector<u32> jumpers;
    for (std::size_t i = 0; i < insns_.size(); ++i) {
      if (insns_[i].flow != Flow::Indirect || insns_[i].rip_disp != 0) continue;
      const Range* f = function_of(insns_[i].addr);
      if (f == nullptr) continue;
      jumpers.push_back(f->begin);
      const bool explained = std::binary_search(with_table.begin(), with_table.end(), f->begin);
      for (std::size_t k = 1; k <= 4 && k <= i && !explained; ++k)
        if (insns_[i - k].add64 && insns_[i - k].addr >= f->begin) opaque_.push_back(f->begin);
    }
    sort_unique(jumpers);
    for (const Insn& in : insns_) {
      if (!in.lea) continue;
      const Range* f = function_of(in.addr);
      if (f != nullptr && in.target > f->begin && in.target < f->end &&
          std::binary_search(jumpers.begin(), jumpers.end(), f->begin))
        opaque_.push_back(f->begin);
    }
    sort_unique(opaque_);
  }

  CodeFacts facts_;
  std::vector<Insn> insns_;
  std::vector<u32> entries_, ends_, opaque_;
};

/// Chooses a form for each site.
class Planner {
 public:
  explicit Planner(CodeFacts facts) : map_(std::move(facts)), insns_(map_.insns()) {}

  SitePlan run() {
    std::vector<std::size_t> rest;
    for (std::size_t i = 0; i < insns_.size(); ++i)
      if (insns_[i].flow == Flow::Syscall && !plan_in_place(i)) rest.push_back(i);
    for (std::size_t i : rest)
      if (!plan_after(i)) skip(i, "before: " + before_why_[insns_[i].addr] + "; after: " + why_);
    const auto by_insn = [](const auto& a, const auto& b) { return a.insn < b.insn; };
    std::sort(out_.sites.begin(), out_.sites.end(), by_insn);
    std::sort(out_.skipped.begin(), out_.skipped.end(), by_insn);
    return std::move(out_);
  }

 private:
  void skip(std::size_t i, std::string why) { out_.skipped.push_back({insns_[i].addr, constant_nr(i), std::move(why)}); }

  /// The forms that leave the syscall where it is, and the sites that are not touched at all. True when the site is done with.
  bool plan_in_place(std::size_t i) {
    if (constant_nr(i) == NR_rt_sigreturn || map_.in_frame(insns_[i].addr)) {
      skip(i, "rt_sigreturn");
      return true;
    }
    if (insns_[i].len != SYSCALL_SIZE) {
      skip(i, "it has a prefix");
      return true;
    }
    if (!insns_[i].certain) {
      skip(i, "where instructions begin around it is not certain");
      return true;
    }
    if (map_.opaque(insns_[i].addr)) {
      skip(i, "its function jumps through a table that cannot be read");
      return true;
    }
    if (plan_mov_nr(i) || plan_before(i, false) || plan_before(i, true)) return true;
    before_why_[insns_[i].addr] = why_;
    return false;
  }

  bool follows(std::size_t i) const { return i > 0 && insns_[i - 1].end() == insns_[i].addr; }
  static bool movable(const Insn& in, bool jumps) {
    return in.certain && (in.flow == Flow::Next || (jumps && (in.flow == Flow::Jcc || in.flow == Flow::Jmp)));
  }
  bool fail(const char* why) {
    why_ = why;
    return false;
  }

  bool plan_mov_nr(std::size_t i) {
    if (!follows(i)) return false;
    const Insn& mov = insns_[i - 1];
    if (!mov.certain || mov.len != JUMP_SIZE || map_.bytes_at(mov.addr)[0] != 0xb8) return false;
    if (map_.entered(mov.addr + 1, insns_[i].addr + 1)) return false;
    const s32 nr = constant_nr(i);
    if (nr < 0) return false;
    out_.sites.push_back({insns_[i].addr, mov.addr, JUMP_SIZE, SiteKind::MovNr, nr, {}});
    return true;
  }

  /// Linux restarts at the syscall and unwinders look at what is around it: with conditional jumps encoded anew in the stub this
  /// form is still better than the next one.
  bool plan_before(std::size_t i, bool jumps) {
    std::size_t first = i;
    while (insns_[i].addr - insns_[first].addr < JUMP_SIZE) {
      if (map_.entered(insns_[first].addr, insns_[first].addr + 1)) return fail("a branch may enter behind the jump");
      if (!follows(first)) return fail("nothing before it");
      if (insns_[first - 1].flow == Flow::Jmp || !movable(insns_[first - 1], jumps)) return fail("an instruction cannot be moved");
      --first;
    }
    return place(i, first, i, SiteKind::MovedBefore);
  }

  /// Takes as few instructions before the syscall as possible, and none behind a jump: something unknown would have to enter there.
  bool plan_after(std::size_t i) {
    for (std::size_t first = i;; --first) {
      std::size_t end = i + 1;
      while (end < insns_.size() && insns_[end - 1].end() - insns_[first].addr < JUMP_SIZE && insns_[end - 1].flow != Flow::Jmp &&
             follows(end) && movable(insns_[end], true))
        ++end;
      if (insns_[end - 1].end() - insns_[first].addr >= JUMP_SIZE && place(i, first, end, SiteKind::MovedAfter)) return true;
      if (insns_[end - 1].end() - insns_[first].addr < JUMP_SIZE) fail("an instruction cannot be moved");
      if (i - first >= JUMP_SIZE || !follows(first) || !movable(insns_[first - 1], true) || insns_[first - 1].flow == Flow::Jmp)
        return false;
    }
  }

  /// Replaces the instructions [first, end) of site i, unless a branch enters them or another site has them.
  bool place(std::size_t i, std::size_t first, std::size_t end, SiteKind kind) {
    const u32 begin = insns_[first].addr;
    const u32 limit = insns_[end - 1].end();
    if (map_.entered(begin + 1, kind == SiteKind::MovedAfter ? limit : insns_[i].addr + 1))
      return fail("a branch may enter behind the jump");
    if (map_.crossed(begin + 1, limit)) return fail("its function ends there");
    for (const SyscallSite& s : out_.sites)
      if (begin < s.patch + s.patch_len && s.patch < limit) return fail("another site has these bytes");
    SyscallSite site{insns_[i].addr, begin, limit - begin, kind, constant_nr(i), {}};
    for (std::size_t k = first; k < end; ++k) {
      const std::span<const u8> bytes = map_.bytes_at(insns_[k].addr).first(insns_[k].len);
      if (k != i) site.moved.insert(site.moved.end(), bytes.begin(), bytes.end());
    }
    out_.sites.push_back(std::move(site));
    return true;
  }

  /// The number that eax has at syscall i, when the straight line of code before it shows it, else -1.
  s32 constant_nr(std::size_t i) const {
    ZydisRegister want = ZYDIS_REGISTER_RAX;
    for (std::size_t k = i; i - k < MAX_BACK; --k) {
      if (map_.entered(insns_[k].addr, insns_[k].addr + 1) || !follows(k)) return -1;
      const Insn& in = insns_[k - 1];
      if (!in.certain || (in.flow != Flow::Next && in.flow != Flow::Jcc)) return -1;
      ZydisDecodedInstruction full;
      ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
      const std::span<const u8> bytes = map_.bytes_at(in.addr).first(in.len);
      if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), bytes.data(), bytes.size(), &full, ops))) return -1;
      if (!writes(full, ops, want)) continue;
      if (full.operand_width < 32) return -1;
      if (full.mnemonic == ZYDIS_MNEMONIC_XOR && ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ops[0].reg.value == ops[1].reg.value)
        return 0;
      if (full.mnemonic != ZYDIS_MNEMONIC_MOV) return -1;
      if (ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        const u64 value = full.operand_width == 32 ? static_cast<u32>(ops[1].imm.value.u) : ops[1].imm.value.u;
        return value <= 0x7fffffff ? static_cast<s32>(value) : -1;
      }
      if (ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(ops[1].reg.value)) return -1;
      want = whole(ops[1].reg.value);
    }
    return -1;
  }
  static ZydisRegister whole(ZydisRegister r) { return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r); }
  static bool is_gpr(ZydisRegister r) { return ZydisRegisterGetClass(whole(r)) == ZYDIS_REGCLASS_GPR64; }
  static bool writes(const ZydisDecodedInstruction& in, const ZydisDecodedOperand* ops, ZydisRegister reg) {
    for (u32 k = 0; k < in.operand_count; ++k)
      if (ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER && (ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
          whole(ops[k].reg.value) == reg)
        return true;
    return false;
  }

  CodeMap map_;
  const std::vector<Insn>& insns_;
  SitePlan out_;
  std::map<u32, std::string> before_why_;
  std::string why_;
};

}  // namespace

SitePlan plan_code(CodeFacts facts) { return Planner(std::move(facts)).run(); }

// --- ELF
// ---------------------------------------------------------------------------------------------------------------------------

namespace {

/// Reads from bytes that are at an address, with every read checked: a read past the end gives 0 and sets failed().
class Cursor {
 public:
  Cursor(std::span<const u8> bytes, u64 vaddr) : bytes_(bytes), vaddr_(vaddr) {}

  template <typename T>
  T get() {
    T v{};
    if (failed_ || bytes_.size() - pos_ < sizeof(T)) {
      failed_ = true;
      return v;
    }
    std::memcpy(&v, bytes_.data() + pos_, sizeof(T));
    pos_ += sizeof(T);
    return v;
  }
  u64 uleb() {
    u64 v = 0;
    for (u32 shift = 0;; shift += 7) {
      const u8 b = get<u8>();
      if (shift < 64) v |= static_cast<u64>(b & 0x7f) << shift;
      if (!(b & 0x80)) return v;
    }
  }
  /// A pointer as .eh_frame encodes it (DW_EH_PE_*, Linux Standard Base). 0 for encodings that shared objects do not use there.
  u64 encoded(u8 enc) {
    const u64 at = addr();
    u64 v = 0;
    switch (enc & 0x0f) {
      case 0x00:
      case 0x04:
      case 0x0c:
        v = get<u64>();
        break;
      case 0x01:
        v = uleb();
        break;
      case 0x02:
        v = get<u16>();
        break;
      case 0x03:
        v = get<u32>();
        break;
      case 0x0a:
        v = static_cast<u64>(static_cast<s64>(get<s16>()));
        break;
      case 0x0b:
        v = static_cast<u64>(static_cast<s64>(get<s32>()));
        break;
      default:
        failed_ = true;
        break;
    }
    if (v != 0 && (enc & 0x70) == 0x10) v += at;  // DW_EH_PE_pcrel
    return v;
  }
  bool failed() const { return failed_; }
  u64 addr() const { return vaddr_ + pos_; }
  std::size_t pos() const { return pos_; }
  std::size_t left() const { return bytes_.size() - pos_; }
  void seek(std::size_t pos) {
    if (pos > bytes_.size())
      failed_ = true;
    else
      pos_ = pos;
  }

 private:
  std::span<const u8> bytes_;
  u64 vaddr_;
  std::size_t pos_ = 0;
  bool failed_ = false;
};

/// An x86-64 shared object whose program headers have been checked; section headers are left out when they make no sense.
class Elf {
 public:
  static Result<Elf> open(std::span<const u8> bytes) {
    Elf elf(bytes);
    if (!elf.read_header() || !elf.read_segments()) return Errno(ENOEXEC);
    elf.read_sections();
    return elf;
  }

  std::span<const u8> bytes() const { return bytes_; }
  const Elf64_Phdr& text() const { return text_; }
  const std::vector<Elf64_Phdr>& segments() const { return phdrs_; }
  const std::vector<Elf64_Shdr>& sections() const { return shdrs_; }
  /// The bytes of a part of the file, none when it is not all there.
  std::span<const u8> file_range(u64 offset, u64 size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return {};
    return bytes_.subspan(offset, size);
  }
  /// The bytes from vaddr to the end of its segment's part of the file.
  std::span<const u8> at(u64 vaddr) const {
    for (const Elf64_Phdr& p : phdrs_)
      if (p.p_type == PT_LOAD && vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz)
        return file_range(p.p_offset, p.p_filesz).subspan(vaddr - p.p_vaddr);
    return {};
  }
  bool in_text(u64 vaddr) const { return vaddr >= text_.p_vaddr && vaddr - text_.p_vaddr < text_.p_filesz; }

 private:
  explicit Elf(std::span<const u8> bytes) : bytes_(bytes) {}

  bool read_header() {
    if (bytes_.size() < sizeof ehdr_) return false;
    std::memcpy(&ehdr_, bytes_.data(), sizeof ehdr_);
    return std::memcmp(ehdr_.e_ident, ELFMAG, SELFMAG) == 0 && ehdr_.e_ident[EI_CLASS] == ELFCLASS64 &&
           ehdr_.e_ident[EI_DATA] == ELFDATA2LSB && ehdr_.e_machine == EM_X86_64 && ehdr_.e_type == ET_DYN &&
           ehdr_.e_phentsize == sizeof(Elf64_Phdr);
  }
  bool read_segments() {
    const std::span<const u8> table = file_range(ehdr_.e_phoff, u64{ehdr_.e_phnum} * sizeof(Elf64_Phdr));
    if (table.empty()) return false;
    phdrs_.resize(ehdr_.e_phnum);
    std::memcpy(phdrs_.data(), table.data(), table.size());
    u32 texts = 0;
    u64 end = 0;
    for (const Elf64_Phdr& p : phdrs_) {
      if (p.p_type != PT_LOAD) continue;
      // Addresses are kept in 32 bits, with room for displacements.
      if (p.p_vaddr > 0x7fffffff || p.p_memsz > 0x7fffffff - p.p_vaddr || p.p_filesz > p.p_memsz) return false;
      if (p.p_vaddr < end) return false;  // the ELF specification wants them ascending
      end = p.p_vaddr + p.p_memsz;
      if (p.p_filesz != 0 && file_range(p.p_offset, p.p_filesz).empty()) return false;
      if (!(p.p_flags & PF_X)) continue;
      ++texts;
      text_ = p;
    }
    return texts == 1 && text_.p_filesz != 0 && text_.p_filesz == text_.p_memsz && !(text_.p_flags & PF_W) &&
           text_.p_vaddr % PAGE_SIZE == text_.p_offset % PAGE_SIZE;
  }
  void read_sections() {
    if (ehdr_.e_shentsize != sizeof(Elf64_Shdr)) return;
    const std::span<const u8> table = file_range(ehdr_.e_shoff, u64{ehdr_.e_shnum} * sizeof(Elf64_Shdr));
    if (table.empty()) return;
    shdrs_.resize(ehdr_.e_shnum);
    std::memcpy(shdrs_.data(), table.data(), table.size());
  }

  std::span<const u8> bytes_;
  Elf64_Ehdr ehdr_{};
  std::vector<Elf64_Phdr> phdrs_;
  std::vector<Elf64_Shdr> shdrs_;
  Elf64_Phdr text_{};
};

std::vector<u8> build_id_of(const Elf& elf) {
  for (const Elf64_Phdr& p : elf.segments()) {
    if (p.p_type != PT_NOTE) continue;
    const std::span<const u8> bytes = elf.file_range(p.p_offset, p.p_filesz);
    Cursor c(bytes, 0);
    while (c.left() >= sizeof(Elf64_Nhdr)) {
      const auto n = c.get<Elf64_Nhdr>();
      const u64 name = c.pos();
      const u64 desc = name + round_up(u64{n.n_namesz}, 4);
      if (desc > bytes.size() || n.n_descsz > bytes.size() - desc) break;
      if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && std::memcmp(bytes.data() + name, "GNU", 4) == 0) {
        const std::span<const u8> id = bytes.subspan(desc, n.n_descsz);
        return {id.begin(), id.end()};
      }
      c.seek(desc + round_up(u64{n.n_descsz}, p.p_align == 8 ? 8 : 4));
      if (c.failed()) break;
    }
  }
  return {};
}

/// Gathers what an object's tables say about its code.
class FactReader {
 public:
  explicit FactReader(const Elf& elf) : elf_(elf) {}

  CodeFacts read() {
    read_code();
    read_rodata();
    read_symbols();
    read_relocations();
    read_pointers();
    read_unwind();
    for (const Marker& m : find_markers(elf_.bytes())) add_entry(m.addr);  // debuggers write there
    return std::move(facts_);
  }

 private:
  void add_start(u64 vaddr) {
    if (elf_.in_text(vaddr)) facts_.starts.push_back(static_cast<u32>(vaddr));
  }
  void add_entry(u64 vaddr) {
    if (elf_.in_text(vaddr)) facts_.entries.push_back(static_cast<u32>(vaddr));
  }

  void read_code() {
    for (const Elf64_Shdr& s : elf_.sections()) {
      if (s.sh_type != SHT_PROGBITS || !(s.sh_flags & SHF_EXECINSTR) || s.sh_size == 0 || !elf_.in_text(s.sh_addr)) continue;
      const std::span<const u8> bytes = elf_.at(s.sh_addr);
      if (s.sh_size <= bytes.size()) facts_.code.push_back({static_cast<u32>(s.sh_addr), bytes.first(s.sh_size)});
    }
    std::vector<Bytes>& code = facts_.code;
    std::sort(code.begin(), code.end(), [](const Bytes& a, const Bytes& b) { return a.vaddr < b.vaddr; });
    bool overlap = false;
    for (std::size_t i = 1; i < code.size(); ++i) overlap |= code[i].vaddr - code[i - 1].vaddr < code[i - 1].bytes.size();
    if (code.empty() || overlap) code = {{static_cast<u32>(elf_.text().p_vaddr), elf_.at(elf_.text().p_vaddr)}};
  }
  void read_rodata() {
    for (const Elf64_Phdr& p : elf_.segments())
      if (p.p_type == PT_LOAD && !(p.p_flags & (PF_X | PF_W)) && p.p_filesz != 0)
        facts_.rodata.push_back({static_cast<u32>(p.p_vaddr), elf_.at(p.p_vaddr)});
  }
  void read_symbols() {
    for (const Elf64_Shdr& s : elf_.sections()) {
      if (s.sh_type != SHT_DYNSYM && s.sh_type != SHT_SYMTAB) continue;
      Cursor c(elf_.file_range(s.sh_offset, s.sh_size), 0);
      while (c.left() >= sizeof(Elf64_Sym)) {
        const auto sym = c.get<Elf64_Sym>();
        const u32 type = ELF64_ST_TYPE(sym.st_info);
        if (sym.st_shndx != SHN_UNDEF && sym.st_shndx < SHN_LORESERVE &&
            (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE))
          add_start(sym.st_value);
      }
    }
  }
  void read_relocations() {
    for (const Elf64_Shdr& s : elf_.sections()) {
      if (s.sh_type != SHT_RELA) continue;
      Cursor c(elf_.file_range(s.sh_offset, s.sh_size), 0);
      while (c.left() >= sizeof(Elf64_Rela)) add_entry(static_cast<u64>(c.get<Elf64_Rela>().r_addend));
    }
  }
  /// Words of the data segments that could be addresses in the text (tables of functions and labels; packed relocations too).
  void read_pointers() {
    for (const Elf64_Phdr& p : elf_.segments()) {
      if (p.p_type != PT_LOAD || !(p.p_flags & PF_W)) continue;
      Cursor c(elf_.file_range(p.p_offset, p.p_filesz), p.p_vaddr);
      c.seek(round_up(p.p_vaddr, 8) - p.p_vaddr);
      while (!c.failed() && c.left() >= 8) add_entry(c.get<u64>());
    }
  }

  // .eh_frame: where functions begin and end, and their landing pads. Layout: Linux Standard Base, "Exception Frames".
  struct Cie {
    u8 fde_enc = 0;
    u8 lsda_enc = 0xff;
    bool sized = false;   ///< has augmentation data
    bool signal = false;  ///< of a signal frame
    bool good = false;
  };

  void read_unwind() {
    for (const Elf64_Phdr& p : elf_.segments()) {
      if (p.p_type != PT_GNU_EH_FRAME) continue;
      Cursor hdr(elf_.at(p.p_vaddr), p.p_vaddr);
      const u8 version = hdr.get<u8>();
      const u8 enc = hdr.get<u8>();
      hdr.get<u16>();
      const u64 frames = hdr.encoded(enc);
      if (!hdr.failed() && version == 1) read_frames(frames);
    }
  }
  void read_frames(u64 vaddr) {
    const std::span<const u8> bytes = elf_.at(vaddr);
    std::map<std::size_t, Cie> cies;
    for (std::size_t pos = 0; bytes.size() - pos >= 8;) {
      Cursor c(bytes, vaddr);
      c.seek(pos);
      const u32 size = c.get<u32>();
      if (size == 0 || size == 0xffffffff || size > c.left()) return;
      const std::size_t id_pos = c.pos();
      const u32 id = c.get<u32>();
      Cursor entry(bytes.first(id_pos + size), vaddr);
      entry.seek(id_pos + 4);
      if (id == 0)
        cies[pos] = read_cie(entry);
      else if (const auto it = cies.find(id_pos - id); it != cies.end() && it->second.good)
        read_fde(entry, it->second);
      pos = id_pos + size;
    }
  }
  static Cie read_cie(Cursor& c) {
    Cie cie;
    const u8 version = c.get<u8>();
    char aug[8] = {};
    for (u32 n = 0;; ++n) {
      const u8 ch = c.get<u8>();
      if (ch == 0) break;
      if (n + 1 >= sizeof aug) return cie;
      aug[n] = static_cast<char>(ch);
    }
    c.uleb();  // code alignment
    c.uleb();  // data alignment: signed, and skipped alike
    if (version == 1)
      c.get<u8>();
    else
      c.uleb();  // return address register
    if (aug[0] != 0 && aug[0] != 'z') return cie;
    cie.sized = aug[0] == 'z';
    if (cie.sized) c.uleb();
    for (u32 n = 1; cie.sized && aug[n] != 0; ++n) {
      if (aug[n] == 'R')
        cie.fde_enc = c.get<u8>();
      else if (aug[n] == 'L')
        cie.lsda_enc = c.get<u8>();
      else if (aug[n] == 'P')
        c.encoded(c.get<u8>());
      else if (aug[n] == 'S')
        cie.signal = true;
      else if (aug[n] != 'B')
        return cie;
    }
    cie.good = !c.failed();
    return cie;
  }
  void read_fde(Cursor& c, const Cie& cie) {
    const u64 begin = c.encoded(cie.fde_enc);
    const u64 size = c.encoded(cie.fde_enc & 0x0f);
    if (c.failed() || !elf_.in_text(begin) || size > elf_.text().p_filesz || size == 0) return;
    if (cie.signal) {  // begins a byte early, for an unwinder looks at the byte before a return address
      facts_.frames.push_back({static_cast<u32>(begin), static_cast<u32>(begin + size)});
      return;
    }
    add_start(begin);
    facts_.functions.push_back({static_cast<u32>(begin), static_cast<u32>(begin + size)});
    if (!cie.sized || cie.lsda_enc == 0xff) return;
    c.uleb();
    const u64 lsda = c.encoded(cie.lsda_enc);
    if (!c.failed() && lsda != 0) read_landing_pads(lsda, begin);
  }
  void read_landing_pads(u64 lsda, u64 function) {
    Cursor c(elf_.at(lsda), lsda);
    const u8 base_enc = c.get<u8>();
    const u64 base = base_enc == 0xff ? function : c.encoded(base_enc);
    if (c.get<u8>() != 0xff) c.uleb();  // type table
    const u8 enc = c.get<u8>();
    const u64 size = c.uleb();
    if (c.failed() || size > c.left()) return;
    for (const std::size_t end = c.pos() + size; c.pos() < end && !c.failed();) {
      c.encoded(enc);
      c.encoded(enc);
      const u64 pad = c.encoded(enc);
      c.uleb();
      if (pad != 0) add_entry(base + pad);
    }
  }

  const Elf& elf_;
  CodeFacts facts_;
};

}  // namespace

}  // namespace detail

Result<u64> load_end(std::span<const u8> bytes) {
  const detail::Elf elf = TRY(detail::Elf::open(bytes));
  u64 end = 0;
  for (const Elf64_Phdr& p : elf.segments())
    if (p.p_type == PT_LOAD) end = std::max(end, p.p_vaddr + p.p_memsz);
  return end;
}

Result<PatchPlan> plan_sites(std::span<const u8> bytes) {
  const detail::Elf elf = TRY(detail::Elf::open(bytes));
  detail::SitePlan sites = detail::plan_code(detail::FactReader(elf).read());
  const Elf64_Phdr& text = elf.text();
  return PatchPlan{std::move(sites.sites),
                   std::move(sites.skipped),
                   detail::build_id_of(elf),
                   text.p_vaddr,
                   text.p_offset,
                   text.p_filesz,
                   text.p_memsz};
}

}  // namespace skep::probes
