// syscall: PROG_LOAD. Linux: kernel/bpf/syscall.c:bpf_prog_load(), kernel/bpf/verifier.c:bpf_check()
#include <fmt/format.h>
#include <sha1.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "btf/func_info.h"
#include "maps/map_ops.h"
#include "syscall/attr.h"
#include "syscall/commands.h"
#include "verifier/structure.h"

namespace skep {
namespace {

constexpr u32 KNOWN_FLAGS = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE | BPF_F_TEST_RND_HI32 |
                            BPF_F_XDP_HAS_FRAGS | BPF_F_XDP_DEV_BOUND_ONLY | BPF_F_TEST_REG_INVARIANTS | BPF_F_TOKEN_FD;
constexpr u64 LICENSE_LIMIT = 128;
constexpr u32 STEP_LIMIT = 1u << 20;  ///< interpreter: instructions a run, until the verifier bounds them

/// Linux: kernel/module/main.c:license_is_gpl_compatible() via include/linux/license.h
bool gpl_compatible(const std::string& license) {
  static constexpr std::string_view NAMES[] = {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::find(std::begin(NAMES), std::end(NAMES), license) != std::end(NAMES);
}

/// Which expected_attach_type goes with which type. Linux: kernel/bpf/syscall.c:bpf_prog_load_check_attach()
bool attach_type_ok(u32 type, u32 attach) {
  switch (type) {
    case BPF_PROG_TYPE_CGROUP_SOCK: return attach == 2 || attach == 12 || attach == 13 || attach == 34;
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR: {
      static constexpr u32 OK[] = {8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 48, 49, 50, 51, 52};
      return std::find(std::begin(OK), std::end(OK), attach) != std::end(OK);
    }
    case BPF_PROG_TYPE_CGROUP_SKB: return attach <= 1;
    case BPF_PROG_TYPE_CGROUP_SOCKOPT: return attach == 21 || attach == 22;
    case BPF_PROG_TYPE_SK_LOOKUP: return attach == 36;
    case BPF_PROG_TYPE_SK_REUSEPORT: return attach == 39 || attach == 40;
    case BPF_PROG_TYPE_NETFILTER: return attach == 45;
    case BPF_PROG_TYPE_SYSCALL:
    case BPF_PROG_TYPE_EXT: return attach == 0;
    default: return true;
  }
}

/// Types whose loading needs a kernel BTF, a device or a list of kernel functions that are not here yet.
bool needs_more(u32 type) {
  return type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_EXT || type == BPF_PROG_TYPE_STRUCT_OPS;
}

/// What the program came with, copied in before anything is done.
struct Loaded {
  std::vector<bpf_insn> insns;
  bool gpl = false;
  std::string name;
  std::shared_ptr<BtfObject> btf;
  std::vector<u8> func_info, line_info;
  u32 func_rec = 0, line_rec = 0;
  std::vector<s32> fd_array;
  std::vector<std::shared_ptr<Map>> maps;
};

/// Names maps by identity = address of the Map object, and keeps what it named.
struct MapFinder {
  CallContext& ctx;
  std::vector<std::shared_ptr<Map>>& found;
  bool restart = false;

  Result<MapInfo> operator()(s32 fd) {
    const Result<std::shared_ptr<Map>> m = ctx.object<Map>(fd);
    if (!m.ok()) {
      if (m.error() == Errno(ERESTART_CALL)) restart = true;
      return m.error();
    }
    found.push_back(*m);
    const MapDesc& d = *(*m)->desc;
    return MapInfo{reinterpret_cast<u64>((*m).get()), d.type, d.key_size, d.value_size, d.max_entries, d.map_flags};
  }
};

Status copy_btf_parts(CallContext& ctx, const bpf_attr& attr, Loaded* l) {
  const auto& a = attr.prog_load;
  if (a.prog_btf_fd != 0 || a.func_info_cnt != 0 || a.line_info_cnt != 0) {
    if (a.func_info_cnt == 0 && a.line_info_cnt == 0 && a.core_relo_cnt == 0) return ok_status();
    l->btf = TRY(ctx.object<BtfObject>(static_cast<s32>(a.prog_btf_fd)));
  }
  l->func_rec = a.func_info_rec_size;
  l->line_rec = a.line_info_rec_size;
  constexpr u32 MAX_REC = 252;
  if (a.func_info_cnt != 0 && l->func_rec <= MAX_REC && a.func_info_cnt <= BPF_COMPLEXITY_LIMIT_INSNS)
    l->func_info = TRY(read_blob(ctx, a.func_info, u64{l->func_rec} * a.func_info_cnt));
  if (a.line_info_cnt != 0 && l->line_rec <= MAX_REC && a.line_info_cnt <= BPF_COMPLEXITY_LIMIT_INSNS)
    l->line_info = TRY(read_blob(ctx, a.line_info, u64{l->line_rec} * a.line_info_cnt));
  return ok_status();
}

Result<CheckedProg> judge(CallContext& ctx, const bpf_attr& attr, Loaded* l, VerifierLog& log, MapFinder& finder) {
  const auto& a = attr.prog_load;
  StructureInput in;
  in.insns = l->insns;
  in.prog_type = a.prog_type;
  in.gpl_compatible = l->gpl;
  in.has_func_info = a.func_info_cnt != 0;
  in.map_by_fd = [&](s32 fd) { return finder(fd); };
  if (a.fd_array != 0)
    in.fd_array = [&](u32 index) -> Result<s32> {
      const Result<s32> fd = ctx.mem.read_as<s32>(a.fd_array + u64{index} * sizeof(s32));
      if (!fd.ok() && fd.error() == Errno(ERESTART_CALL)) finder.restart = true;
      return fd;
    };
  in.read_frozen = [&](u64 identity, u32 off, u32 size, u64* value) {
    const Map& m = *reinterpret_cast<const Map*>(identity);
    const MapDesc& d = *m.desc;
    if (!m.frozen || m.writable_mappings != 0 || (m.map_flags & BPF_F_RDONLY_PROG) == 0 || d.type != BPF_MAP_TYPE_ARRAY) return false;
    if (size > 8 || off > d.value_size || size > d.value_size - off) return false;
    *value = 0;
    std::memcpy(value, d.elems + off, size);
    return true;
  };
  in.check_btf_early = [&](VerifierLog& lg) -> Status {
    if (a.func_info_cnt == 0) return ok_status();
    (void)TRY(check_func_info_early(*l->btf->btf, l->func_info, l->func_rec, a.func_info_cnt, &lg));
    return ok_status();
  };
  in.check_btf = [&](const std::vector<u32>& starts, VerifierLog& lg) -> Status {
    if (a.func_info_cnt != 0) (void)TRY(check_func_info(*l->btf->btf, l->func_info, l->func_rec, a.func_info_cnt, starts, &lg));
    if (a.line_info_cnt != 0) (void)TRY(check_line_info(*l->btf->btf, l->line_info, l->line_rec, a.line_info_cnt, l->insns, starts, &lg));
    return ok_status();
  };
  return check_structure(in, log);
}

/// Linux: kernel/bpf/core.c:bpf_prog_calc_tag(): SHA-1 over the instructions with what names maps left out.
void compute_tag(const std::vector<bpf_insn>& insns, u8 (&tag)[BPF_TAG_SIZE]) {
  std::vector<bpf_insn> copy = insns;
  for (std::size_t i = 0; i + 1 < copy.size(); ++i) {
    if (copy[i].code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    if (copy[i].src_reg == BPF_PSEUDO_MAP_FD || copy[i].src_reg == BPF_PSEUDO_MAP_VALUE) copy[i].imm = copy[i + 1].imm = 0;
    ++i;
  }
  SHA1_CTX c;
  SHA1Init(&c);
  SHA1Update(&c, reinterpret_cast<const u8*>(copy.data()), copy.size() * sizeof(bpf_insn));
  u8 digest[SHA1_DIGEST_LENGTH];
  SHA1Final(digest, &c);
  std::memcpy(tag, digest, sizeof tag);
}

Map& map_of(const MapInfo& info) { return *reinterpret_cast<Map*>(info.identity); }

/// Writes the runnable form into ROM: instructions with addresses in place of map references.
Status build_image(Kernel& kernel, const CheckedProg& checked, Prog* prog) {
  WindowHost& w = kernel.window();
  const auto& insns = checked.insns();
  const auto& maps = checked.report().used_maps;
  const u64 maps_at = round_up(sizeof(ProgImage), 16), insns_at = round_up(maps_at + maps.size() * sizeof(MapDesc*), 16);
  prog->image_bytes = insns_at + insns.size() * sizeof(bpf_insn);
  prog->stats = reinterpret_cast<ProgStats*>(TRY(w.ram_alloc(sizeof(ProgStats))));
  u8* at = static_cast<u8*>(TRY(w.rom_alloc(prog->image_bytes)));
  auto* image = new (at) ProgImage{};
  prog->image = image;
  auto** map_list = reinterpret_cast<MapDesc**>(at + maps_at);
  auto* code = reinterpret_cast<bpf_insn*>(at + insns_at);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    map_list[i] = map_of(maps[i]).desc;
    if (map_of(maps[i]).ops->per_cpu) image->per_cpu = 1;
  }
  std::copy(insns.begin(), insns.end(), code);
  for (const MapRef& r : checked.report().map_refs) {
    u64 address = reinterpret_cast<u64>(map_list[r.map]);
    if (r.is_value) {
      const Map& m = map_of(maps[r.map]);
      const long rc = m.ops->direct_value_addr == nullptr ? -EINVAL : m.ops->direct_value_addr(*m.desc, &address, r.off);
      if (rc < 0) return Errno(static_cast<int>(-rc));
      address += r.off;
    }
    code[r.insn].imm = static_cast<s32>(address);
    code[r.insn + 1].imm = static_cast<s32>(address >> 32);
  }
  image->id = prog->id;
  image->type = prog->type;
  image->insn_cnt = static_cast<u32>(insns.size());
  image->n_maps = static_cast<u32>(maps.size());
  image->insns = code;
  image->maps = map_list;
  image->stats = prog->stats;
  image->gpl = prog->gpl ? 1 : 0;
  image->step_limit = STEP_LIMIT;
  std::memcpy(image->name, prog->name.c_str(), prog->name.size() + 1);
  return ok_status();
}

/// The program as dumps show it: map fds replaced by ids. Linux: syscall.c:bpf_insn_prepare_dump()
std::vector<bpf_insn> dump_form(const CheckedProg& checked) {
  std::vector<bpf_insn> out = checked.insns();
  for (const MapRef& r : checked.report().map_refs) {
    out[r.insn].src_reg = r.is_value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
    out[r.insn].imm = static_cast<s32>(map_of(checked.report().used_maps[r.map]).id);
    out[r.insn + 1].imm = r.is_value ? static_cast<s32>(r.off) : 0;
  }
  return out;
}

u64 boot_time_ns() {
  timespec ts{};
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return static_cast<u64>(ts.tv_sec) * 1000000000ULL + static_cast<u64>(ts.tv_nsec);
}

Result<s64> accept(CallContext& ctx, const bpf_attr& attr, Loaded& l, const CheckedProg& checked) {
  auto prog = std::make_shared<Prog>();
  prog->kernel = &ctx.kernel;
  prog->type = attr.prog_load.prog_type;
  prog->expected_attach_type = attr.prog_load.expected_attach_type;
  prog->name = l.name;
  prog->gpl = l.gpl;
  prog->load_time_ns = boot_time_ns();
  prog->created_by = ctx.who.uid;
  prog->verified_insns = checked.report().insn_processed;
  prog->btf = l.btf;
  prog->func_info = std::move(l.func_info);
  prog->line_info = std::move(l.line_info);
  prog->nr_func_info = attr.prog_load.func_info_cnt;
  prog->nr_line_info = attr.prog_load.line_info_cnt;
  for (const MapInfo& m : checked.report().used_maps)
    for (const auto& held : l.maps)
      if (reinterpret_cast<u64>(held.get()) == m.identity) {
        prog->maps.push_back(held);
        break;
      }
  compute_tag(checked.insns(), prog->tag);
  prog->xlated = dump_form(checked);
  TRY(build_image(ctx.kernel, checked, prog.get()));
  prog->id = prog->image->id = ctx.kernel.progs.add(prog);
  return ctx.install(prog, FILE_READ | FILE_WRITE);
}

Result<s64> judge_and_accept(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, Loaded& l) {
  const auto& a = attr.prog_load;
  const Status valid = VerifierLog::check_attr(a.log_level, a.log_buf != 0, a.log_size);
  if (!valid.ok()) return valid.error();
  VerifierLog log(a.log_level, a.log_buf != 0 ? a.log_size : 0);
  MapFinder finder{ctx, l.maps};
  Result<CheckedProg> checked = judge(ctx, attr, &l, log, finder);
  if (finder.restart) return Errno(ERESTART_CALL);
  const VerifierLog::Outcome out = std::move(log).finish();
  if (!out.bytes.empty()) TRY(ctx.mem.write(a.log_buf, out.bytes.data(), out.bytes.size()));
  if (uattr.size >= SKEP_ATTR_END(prog_load, log_true_size))
    TRY(ctx.mem.write(uattr.addr + offsetof(bpf_attr, prog_load.log_true_size), &out.true_size, sizeof out.true_size));
  if (out.error != 0) return Errno(out.error);
  if (!checked.ok()) return checked.error();
  return accept(ctx, attr, l, *checked);
}

}  // namespace

Result<s64> prog_load(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  const auto& a = attr.prog_load;
  if ((a.prog_flags & ~KNOWN_FLAGS) != 0) return Errno(EINVAL);
  if ((a.prog_flags & BPF_F_TOKEN_FD) != 0) {
    (void)TRY(ctx.file(a.prog_token_fd));
    return Errno(EINVAL);
  }
  if (a.insn_cnt == 0 || a.insn_cnt > BPF_COMPLEXITY_LIMIT_INSNS) return Errno(E2BIG);
  if (a.prog_type == BPF_PROG_TYPE_UNSPEC || a.prog_type >= MAX_BPF_PROG_TYPE_) return Errno(EINVAL);
  if (a.attach_prog_fd != 0 || a.attach_btf_id != 0 || needs_more(a.prog_type)) {
    ctx.kernel.doctor.note(fmt::format("PROG_LOAD of type {}{}: not here yet: EINVAL", a.prog_type,
                                       a.attach_btf_id != 0 ? " with attach_btf_id" : ""));
    return Errno(EINVAL);
  }
  if (a.expected_attach_type >= MAX_BPF_ATTACH_TYPE_ && a.prog_type != BPF_PROG_TYPE_KPROBE) return Errno(EINVAL);
  u32 attach = a.expected_attach_type;
  // Linux: syscall.c:bpf_prog_load_fixup_attach_type()
  if (a.prog_type == BPF_PROG_TYPE_CGROUP_SOCK && attach == 0) attach = 2;
  if (a.prog_type == BPF_PROG_TYPE_SK_REUSEPORT && attach == 0) attach = 39;
  if (!attach_type_ok(a.prog_type, attach)) return Errno(EINVAL);

  Loaded l;
  l.insns.resize(a.insn_cnt);
  TRY(ctx.mem.read(l.insns.data(), a.insns, u64{a.insn_cnt} * sizeof(bpf_insn)));
  Result<std::string> license = ctx.mem.read_string(a.license, LICENSE_LIMIT - 1);
  if (!license.ok()) {
    if (license.error() != Errno(E2BIG)) return license.error();
    license = std::string();  // longer than any known one
  }
  l.gpl = gpl_compatible(*license);
  if (a.prog_ifindex != 0) return Errno(EINVAL);
  l.name = TRY(copy_object_name(a.prog_name));
  TRY(copy_btf_parts(ctx, attr, &l));
  return judge_and_accept(ctx, attr, uattr, l);
}

/// Linux: kernel/bpf/syscall.c:bpf_prog_bind_map()
Result<s64> prog_bind_map(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.prog_bind_map;
  if (a.flags != 0) return Errno(EINVAL);
  const std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(static_cast<s32>(a.prog_fd)));
  const std::shared_ptr<Map> map = TRY(ctx.object<Map>(static_cast<s32>(a.map_fd)));
  if (std::find(prog->maps.begin(), prog->maps.end(), map) == prog->maps.end()) prog->maps.push_back(map);
  return s64{0};
}

/// Linux: kernel/bpf/btf.c:btf_new_fd(), btf_parse()
Result<s64> btf_load(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  const auto& a = attr.btf_load;
  if ((a.btf_flags & ~BPF_F_TOKEN_FD) != 0) return Errno(EINVAL);
  if ((a.btf_flags & BPF_F_TOKEN_FD) != 0) {
    (void)TRY(ctx.file(a.btf_token_fd));
    return Errno(EINVAL);
  }
  if (a.btf_size > BTF_MAX_SIZE) return Errno(E2BIG);
  const Status valid = VerifierLog::check_attr(a.btf_log_level, a.btf_log_buf != 0, a.btf_log_size);
  if (!valid.ok()) return valid.error();
  VerifierLog log(a.btf_log_level, a.btf_log_buf != 0 ? a.btf_log_size : 0);
  const std::vector<u8> data = TRY(read_blob(ctx, a.btf, a.btf_size));
  Result<std::unique_ptr<Btf>> btf = Btf::parse(data, &log);
  const VerifierLog::Outcome out = std::move(log).finish();
  if (!out.bytes.empty()) TRY(ctx.mem.write(a.btf_log_buf, out.bytes.data(), out.bytes.size()));
  if (uattr.size >= SKEP_ATTR_END(btf_load, btf_log_true_size))
    TRY(ctx.mem.write(uattr.addr + offsetof(bpf_attr, btf_load.btf_log_true_size), &out.true_size, sizeof out.true_size));
  if (out.error != 0) return Errno(out.error);
  if (!btf.ok()) return btf.error();
  auto object = std::make_shared<BtfObject>();
  object->kernel = &ctx.kernel;
  object->btf = std::move(*btf);
  object->id = ctx.kernel.btfs.add(object);
  return ctx.install(object, FILE_READ);
}

}  // namespace skep
