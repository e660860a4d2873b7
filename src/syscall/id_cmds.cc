// syscall: walking objects by id, and what they tell of themselves. Linux: kernel/bpf/syscall.c
#include <algorithm>
#include <cstring>

#include "maps/map_ops.h"
#include "syscall/attr.h"
#include "syscall/commands.h"

namespace skep {
namespace {

/// Linux: syscall.c:bpf_obj_get_next_id()
template <typename T>
Result<s64> next_id(CallContext& ctx, const IdTable<T>& table, const bpf_attr& attr, const UserAttr& uattr) {
  if (attr.get_id.id >= 0x7fffffff) return Errno(EINVAL);
  const u32 id = TRY(table.next_after(attr.get_id.id));
  TRY(ctx.mem.write(uattr.addr + offsetof(bpf_attr, get_id.next_id), &id, sizeof id));
  return s64{0};
}

template <typename T>
Result<s64> open_by_id(CallContext& ctx, const IdTable<T>& table, u32 id, u32 mode) {
  return ctx.install(TRY(table.find(id)), mode);
}

}  // namespace

// Linux: syscall.c:bpf_check_uarg_tail_zero() and the info_len rules
Result<u32> info_length(CallContext& ctx, const bpf_attr& attr, u32 ours) {
  const u32 theirs = attr.info.info_len;
  if (theirs > PAGE_SIZE) return Errno(E2BIG);
  if (theirs > ours) {
    std::vector<u8> tail = TRY(read_blob(ctx, attr.info.info + ours, theirs - ours));
    if (std::any_of(tail.begin(), tail.end(), [](u8 b) { return b != 0; })) return Errno(E2BIG);
  }
  return std::min(theirs, ours);
}

Result<s64> give_info(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const void* info, u32 len) {
  TRY(ctx.mem.write(attr.info.info, info, len));
  TRY(ctx.mem.write(uattr.addr + offsetof(bpf_attr, info.info_len), &len, sizeof len));
  return s64{0};
}

namespace {

void copy_name(char (&to)[BPF_OBJ_NAME_LEN], const std::string& name) { std::memcpy(to, name.c_str(), std::min<std::size_t>(name.size() + 1, sizeof to)); }

Result<s64> map_info(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const Map& m) {
  const u32 len = TRY(info_length(ctx, attr, sizeof(bpf_map_info)));
  bpf_map_info i{};
  i.type = m.desc->type;
  i.id = m.id;
  i.key_size = m.desc->key_size;
  i.value_size = m.desc->value_size;
  i.max_entries = m.desc->max_entries;
  i.map_flags = m.map_flags;
  i.map_extra = m.map_extra;
  copy_name(i.name, m.name);
  if (m.btf != nullptr) {
    i.btf_id = m.btf->id;
    i.btf_key_type_id = m.btf_key_type_id;
    i.btf_value_type_id = m.btf_value_type_id;
  }
  return give_info(ctx, attr, uattr, &i, len);
}

/// Copies min(given, there) entries out and reports how many there are.
template <typename T>
Status give_array(CallContext& ctx, u64 to, u32* count, const T* from, u32 there, u32 rec = sizeof(T)) {
  const u32 given = *count;
  *count = there;
  if (given != 0 && there != 0 && to != 0) TRY(ctx.mem.write(to, from, u64{std::min(given, there)} * rec));
  return ok_status();
}

/// The machine code of all functions, one behind the other.
Status give_code(CallContext& ctx, const bpf_prog_info& in, const JitedInfo& jited) {
  u32 left = in.jited_prog_len;
  u64 to = in.jited_prog_insns;
  for (const JitedInfo::Function& f : jited.functions) {
    const u32 n = std::min(f.len, left);
    if (n == 0) break;
    TRY(ctx.mem.write(to, reinterpret_cast<const void*>(f.addr), n));
    to += n;
    left -= n;
  }
  return ok_status();
}

/// An interpreted program has one function, of no length. Linux: syscall.c:bpf_prog_get_info_by_fd(). DIFFERS: machine code and addresses
/// are for everybody: within a session every process may do what root may.
Status jited_info(CallContext& ctx, const bpf_prog_info& in, const Prog& p, bpf_prog_info* out) {
  std::vector<u64> addrs;
  std::vector<u32> lens;
  std::vector<u8> tags;
  for (const JitedInfo::Function& f : p.jited.functions) {
    addrs.push_back(f.addr);
    lens.push_back(f.len);
    tags.insert(tags.end(), std::begin(f.tag), std::end(f.tag));
    out->jited_prog_len += f.len;
  }
  if (addrs.empty()) {
    addrs.push_back(0);
    lens.push_back(0);
    tags.assign(std::begin(p.tag), std::end(p.tag));
  }
  const u32 n = static_cast<u32>(addrs.size());
  out->jited_prog_insns = in.jited_prog_insns;
  TRY(give_code(ctx, in, p.jited));
  out->jited_ksyms = in.jited_ksyms;
  out->nr_jited_ksyms = in.nr_jited_ksyms;
  TRY(give_array(ctx, in.jited_ksyms, &out->nr_jited_ksyms, addrs.data(), n));
  out->jited_func_lens = in.jited_func_lens;
  out->nr_jited_func_lens = in.nr_jited_func_lens;
  TRY(give_array(ctx, in.jited_func_lens, &out->nr_jited_func_lens, lens.data(), n));
  out->jited_line_info = in.jited_line_info;
  out->nr_jited_line_info = in.nr_jited_line_info;
  TRY(give_array(ctx, in.jited_line_info, &out->nr_jited_line_info, p.jited.lines.data(), static_cast<u32>(p.jited.lines.size())));
  out->prog_tags = in.prog_tags;
  out->nr_prog_tags = in.nr_prog_tags;
  return give_array(ctx, in.prog_tags, &out->nr_prog_tags, tags.data(), n, BPF_TAG_SIZE);
}

/// Linux: syscall.c:bpf_prog_get_info_by_fd()
Result<s64> prog_info(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const Prog& p) {
  const u32 len = TRY(info_length(ctx, attr, sizeof(bpf_prog_info)));
  bpf_prog_info in{};
  TRY(ctx.mem.read(&in, attr.info.info, len));
  bpf_prog_info i{};
  i.type = p.type;
  i.id = p.id;
  std::memcpy(i.tag, p.tag, sizeof i.tag);
  i.load_time = p.load_time_ns;
  i.created_by_uid = p.created_by;
  i.gpl_compatible = p.gpl ? 1 : 0;
  copy_name(i.name, p.name);
  i.verified_insns = p.verified_insns;
  i.attach_btf_id = p.attach_btf_id;
  if (p.attach_btf_id != 0) i.attach_btf_obj_id = VMLINUX_BTF_ID;
  if (p.stats != nullptr) i.recursion_misses = p.stats->recursion_misses;
  if (p.btf != nullptr) i.btf_id = p.btf->id;

  std::vector<u32> ids;
  for (const auto& m : p.maps) ids.push_back(m->id);
  i.map_ids = in.map_ids;
  i.nr_map_ids = in.nr_map_ids;
  TRY(give_array(ctx, in.map_ids, &i.nr_map_ids, ids.data(), static_cast<u32>(ids.size())));

  const u32 xlated = static_cast<u32>(p.xlated.size() * sizeof(bpf_insn));
  i.xlated_prog_insns = in.xlated_prog_insns;
  if (in.xlated_prog_len != 0 && in.xlated_prog_insns != 0)
    TRY(ctx.mem.write(in.xlated_prog_insns, p.xlated.data(), std::min(in.xlated_prog_len, xlated)));
  i.xlated_prog_len = xlated;

  i.func_info_rec_size = 8;
  i.line_info_rec_size = 16;
  i.jited_line_info_rec_size = 8;
  i.func_info = in.func_info;
  i.nr_func_info = in.nr_func_info;
  TRY(give_array(ctx, in.func_info, &i.nr_func_info, p.func_info.data(), p.nr_func_info, 8));
  i.line_info = in.line_info;
  i.nr_line_info = in.nr_line_info;
  TRY(give_array(ctx, in.line_info, &i.nr_line_info, p.line_info.data(), p.nr_line_info, 16));
  TRY(jited_info(ctx, in, p, &i));
  return give_info(ctx, attr, uattr, &i, len);
}

/// Linux: kernel/bpf/btf.c:btf_get_info_by_fd()
Result<s64> btf_info(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const BtfObject& b) {
  const u32 len = TRY(info_length(ctx, attr, sizeof(bpf_btf_info)));
  bpf_btf_info in{};
  TRY(ctx.mem.read(&in, attr.info.info, len));
  bpf_btf_info i{};
  const auto data = b.btf->data();
  i.id = b.id;
  i.btf = in.btf;
  i.btf_size = static_cast<u32>(data.size());
  const u32 n = std::min(in.btf_size, i.btf_size);
  if (n != 0) TRY(ctx.mem.write(in.btf, data.data(), n));
  i.name = in.name;
  if ((in.name == 0) != (in.name_len == 0)) return Errno(EINVAL);
  // Programs' BTF has no name.
  const bool own = b.btf.get() == ctx.kernel.vmlinux;
  const std::string name = own ? "vmlinux" : "";
  i.kernel_btf = own ? 1 : 0;
  i.name_len = static_cast<u32>(name.size());
  bool cut = false;
  if (in.name_len != 0) {
    const std::string text = name.substr(0, in.name_len - 1);
    cut = text.size() < name.size();
    TRY(ctx.mem.write(in.name, text.c_str(), text.size() + 1));
  }
  TRY(give_info(ctx, attr, uattr, &i, len));
  if (cut) return Errno(ENOSPC);
  return s64{0};
}

}  // namespace

Result<s64> prog_get_next_id(CallContext& ctx, const bpf_attr& a, const UserAttr& u) { return next_id(ctx, ctx.kernel.progs, a, u); }
Result<s64> map_get_next_id(CallContext& ctx, const bpf_attr& a, const UserAttr& u) { return next_id(ctx, ctx.kernel.maps, a, u); }
Result<s64> btf_get_next_id(CallContext& ctx, const bpf_attr& a, const UserAttr& u) { return next_id(ctx, ctx.kernel.btfs, a, u); }
Result<s64> link_get_next_id(CallContext& ctx, const bpf_attr& a, const UserAttr& u) { return next_id(ctx, ctx.kernel.links, a, u); }

Result<s64> prog_get_fd_by_id(CallContext& ctx, const bpf_attr& a, const UserAttr&) {
  return open_by_id(ctx, ctx.kernel.progs, a.get_id.id, FILE_READ | FILE_WRITE);
}
Result<s64> map_get_fd_by_id(CallContext& ctx, const bpf_attr& a, const UserAttr&) {
  if ((a.get_id.open_flags & ~(BPF_F_RDONLY | BPF_F_WRONLY)) != 0) return Errno(EINVAL);
  const u32 mode = TRY(file_mode_of(a.get_id.open_flags));
  return open_by_id(ctx, ctx.kernel.maps, a.get_id.id, mode);
}
Result<s64> btf_get_fd_by_id(CallContext& ctx, const bpf_attr& a, const UserAttr&) {
  return open_by_id(ctx, ctx.kernel.btfs, a.get_id.id, FILE_READ);
}
Result<s64> link_get_fd_by_id(CallContext& ctx, const bpf_attr& a, const UserAttr&) {
  return open_by_id(ctx, ctx.kernel.links, a.get_id.id, FILE_READ | FILE_WRITE);
}

Result<s64> obj_get_info_by_fd(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  const Result<std::shared_ptr<File>> file = ctx.file(static_cast<s32>(attr.info.bpf_fd));
  if (!file.ok()) return file.error() == Errno(EBADF) ? Errno(EBADFD) : file.error();
  const std::shared_ptr<File> f = *file;
  if (const auto m = object_as<Map>(f->object)) return map_info(ctx, attr, uattr, *m);
  if (const auto p = object_as<Prog>(f->object)) return prog_info(ctx, attr, uattr, *p);
  if (const auto b = object_as<BtfObject>(f->object)) return btf_info(ctx, attr, uattr, *b);
  if (const auto l = object_as<Link>(f->object)) return link_info(ctx, attr, uattr, *l);
  return Errno(EINVAL);
}

}  // namespace skep
