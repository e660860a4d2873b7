// syscall: PROG_LOAD. Linux: kernel/bpf/syscall.c:bpf_prog_load(), kernel/bpf/verifier.c:bpf_check()
#include <fmt/format.h>
#include <sha1.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "maps/map_ops.h"
#include "objects/map_elems.h"
#include "progtypes/func_ids.h"
#include "syscall/attr.h"
#include "syscall/commands.h"
#include "syscall/prog_jit.h"
#include "verifier/refusal.h"
#include "verifier/verifier.h"

namespace skep {
namespace {

constexpr u32 KNOWN_FLAGS = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE | BPF_F_TEST_RND_HI32 |
                            BPF_F_XDP_HAS_FRAGS | BPF_F_XDP_DEV_BOUND_ONLY | BPF_F_TEST_REG_INVARIANTS | BPF_F_TOKEN_FD;
constexpr u64 LICENSE_LIMIT = 128;
constexpr u32 STEP_LIMIT = ~0u;  ///< instructions a run: the verifier has proved an end, this only keeps the count from wrapping

/// Linux: kernel/module/main.c:license_is_gpl_compatible() via include/linux/license.h
bool gpl_compatible(const std::string& license) {
  static constexpr std::string_view NAMES[] = {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::find(std::begin(NAMES), std::end(NAMES), license) != std::end(NAMES);
}

bool is_one_of(u32 attach, std::initializer_list<bpf_attach_type> types) {
  return std::find(types.begin(), types.end(), attach) != types.end();
}

/// Which expected_attach_type goes with which type. Linux: kernel/bpf/syscall.c:bpf_prog_load_check_attach()
bool attach_type_ok(u32 type, u32 attach) {
  switch (type) {
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return is_one_of(attach, {BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_POST_BIND,
                                BPF_CGROUP_INET6_POST_BIND});
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return is_one_of(attach, {BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
                                BPF_CGROUP_UNIX_CONNECT, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME,
                                BPF_CGROUP_UNIX_GETPEERNAME, BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME,
                                BPF_CGROUP_UNIX_GETSOCKNAME, BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UNIX_SENDMSG,
                                BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_UNIX_RECVMSG});
    case BPF_PROG_TYPE_CGROUP_SKB: return is_one_of(attach, {BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS});
    case BPF_PROG_TYPE_CGROUP_SOCKOPT: return is_one_of(attach, {BPF_CGROUP_SETSOCKOPT, BPF_CGROUP_GETSOCKOPT});
    case BPF_PROG_TYPE_SK_LOOKUP: return attach == BPF_SK_LOOKUP;
    case BPF_PROG_TYPE_SK_REUSEPORT: return is_one_of(attach, {BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE});
    case BPF_PROG_TYPE_NETFILTER: return attach == BPF_NETFILTER;
    case BPF_PROG_TYPE_SYSCALL:
    case BPF_PROG_TYPE_EXT: return attach == 0;
    default: return true;
  }
}

/// What the program came with, copied in before anything is done.
struct Loaded {
  std::vector<bpf_insn> insns;
  ProgTraits traits;
  std::string name;
  std::shared_ptr<BtfObject> btf;
  int btf_errno = 0;
  std::vector<u8> func_info, line_info;
};

/// What the verifier sees of a map, and of the inner maps of one.
struct MapView {
  std::shared_ptr<Map> map;
  VerifierMap facts, inner;
};

/// Names maps by the address of the Map object, and keeps what it named.
struct MapFinder {
  CallContext& ctx;
  std::map<const Map*, std::unique_ptr<MapView>> found = {};
  bool restart = false;

  Result<const VerifierMap*> operator()(s32 fd) {
    const Result<std::shared_ptr<Map>> m = ctx.object<Map>(fd);
    if (!m.ok()) {
      if (m.error() == Errno(ERESTART_CALL)) restart = true;
      return m.error();
    }
    std::unique_ptr<MapView>& view = found[m->get()];
    if (view == nullptr) view = make_view(*m);
    return &view->facts;
  }

  static std::unique_ptr<MapView> make_view(const std::shared_ptr<Map>& map) {
    auto view = std::make_unique<MapView>();
    view->map = map;
    const Map& m = *map;
    const MapDesc& d = *m.desc;
    VerifierMap& f = view->facts;
    f.identity = reinterpret_cast<u64>(&m);
    f.id = m.id;
    f.type = d.type;
    f.key_size = d.key_size;
    f.value_size = d.value_size;
    f.max_entries = d.max_entries;
    f.map_flags = m.map_flags;
    f.frozen = m.frozen && m.writable_mappings == 0;
    f.record = m.record.field_mask != 0 ? &m.record : nullptr;
    f.btf = m.btf != nullptr ? m.btf->btf.get() : nullptr;
    f.btf_key_type_id = m.btf_key_type_id;
    f.btf_value_type_id = m.btf_value_type_id;
    f.name = m.name;
    if (m.inner_meta.has_value()) {
      f.inner_map_meta = &view->inner;
      view->inner = inner_facts(*m.inner_meta, f.identity);
    }
    return view;
  }

  static VerifierMap inner_facts(const InnerMapMeta& meta, u64 outer) {
    VerifierMap f;
    f.identity = outer + 1;
    f.type = meta.map_type;
    f.key_size = meta.key_size;
    f.value_size = meta.value_size;
    f.max_entries = meta.max_entries;
    f.map_flags = meta.map_flags;
    f.record = meta.record.field_mask != 0 ? &meta.record : nullptr;
    f.btf = meta.btf != nullptr ? meta.btf->btf.get() : nullptr;
    return f;
  }
};

Status copy_btf_parts(CallContext& ctx, const bpf_attr& attr, Loaded* l) {
  const auto& a = attr.prog_load;
  if (a.func_info_cnt == 0 && a.line_info_cnt == 0) return ok_status();
  const Result<std::shared_ptr<BtfObject>> btf = ctx.object<BtfObject>(static_cast<s32>(a.prog_btf_fd));
  if (btf.ok())
    l->btf = *btf;
  else if (btf.error() == Errno(ERESTART_CALL))
    return btf.error();
  else
    l->btf_errno = btf.error().value();
  constexpr u32 MAX_REC = 252;
  if (a.func_info_cnt != 0 && a.func_info_rec_size <= MAX_REC && a.func_info_cnt <= BPF_COMPLEXITY_LIMIT_INSNS)
    l->func_info = TRY(read_blob(ctx, a.func_info, u64{a.func_info_rec_size} * a.func_info_cnt));
  if (a.line_info_cnt != 0 && a.line_info_rec_size <= MAX_REC && a.line_info_cnt <= BPF_COMPLEXITY_LIMIT_INSNS)
    l->line_info = TRY(read_blob(ctx, a.line_info, u64{a.line_info_rec_size} * a.line_info_cnt));
  return ok_status();
}

Map& map_of(const VerifierMap& facts) { return *reinterpret_cast<Map*>(facts.identity); }

/// Linux: bpf_map_ops::map_direct_value_addr
Status direct_value(const VerifierMap& facts, u32 off) {
  const Map& m = map_of(facts);
  u64 address = 0;
  const long rc = m.ops->direct_value_addr == nullptr ? -ENOTSUPP_ : m.ops->direct_value_addr(*m.desc, &address, off);
  return rc < 0 ? Status(Errno(static_cast<int>(-rc))) : ok_status();
}

/// Linux: verifier.c:bpf_map_direct_read()
bool read_frozen(const VerifierMap& facts, u32 off, u32 size, u64* value) {
  const MapDesc& d = *map_of(facts).desc;
  if (!facts.frozen || (facts.map_flags & BPF_F_RDONLY_PROG) == 0 || d.type != BPF_MAP_TYPE_ARRAY) return false;
  if (size > 8 || off > d.value_size || size > d.value_size - off) return false;
  *value = 0;
  std::memcpy(value, d.elems + off, size);
  return true;
}

/// For `skep explain`.
void keep_refusal(Kernel& kernel, const Loaded& l, const VerifierInput& in, Errno error) {
  const Refusal refusal = explain_refusal(in, error);
  kernel.refusals.add(refusal_text(refusal, l.name, l.traits.type), refusal_json(refusal, l.name, l.traits.type));
}

Result<VerifiedProg> judge(const bpf_attr& attr, const Loaded& l, VerifierLog& log, MapFinder& finder) {
  const auto& a = attr.prog_load;
  VerifierInput in;
  in.insns = l.insns;
  in.prog = l.traits;
  in.prog_flags = a.prog_flags;
  in.btf = l.btf != nullptr ? l.btf->btf.get() : nullptr;
  in.btf_errno = l.btf_errno;
  in.func_info = l.func_info;
  in.line_info = l.line_info;
  in.func_info_cnt = a.func_info_cnt;
  in.line_info_cnt = a.line_info_cnt;
  in.func_info_rec_size = a.func_info_rec_size;
  in.line_info_rec_size = a.line_info_rec_size;
  in.core_relo_cnt = a.core_relo_cnt;
  in.map_by_fd = [&](s32 fd) { return finder(fd); };
  if (a.fd_array != 0)
    in.fd_array = [&](u32 index) -> Result<s32> {
      const Result<s32> fd = finder.ctx.mem.read_as<s32>(a.fd_array + u64{index} * sizeof(s32));
      if (!fd.ok() && fd.error() == Errno(ERESTART_CALL)) finder.restart = true;
      return fd;
    };
  in.direct_value = direct_value;
  in.read_frozen = read_frozen;
  in.vmlinux = finder.ctx.kernel.vmlinux;
  in.nr_cpu_ids = finder.ctx.kernel.nr_cpus();
  // All that vmlinux BTF names can be judged; a program that calls one is not run, see runnable().
  in.kfunc_there = [](std::string_view) { return true; };
  Result<VerifiedProg> verdict = verify(in, log);
  if (!verdict.ok() && !finder.restart) keep_refusal(finder.ctx.kernel, l, in, verdict.error());
  return verdict;
}

}  // namespace

/// Linux: kernel/bpf/core.c:bpf_prog_calc_tag()
void compute_tag(std::span<const bpf_insn> insns, u8 (&tag)[BPF_TAG_SIZE]) {
  std::vector<bpf_insn> copy(insns.begin(), insns.end());
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

namespace {

/// Per-CPU values, and maps that may lead to some: programs called by tail calls, inner maps.
bool needs_virtual_cpu(const Map& map) {
  return map.ops->per_cpu || map.desc->type == BPF_MAP_TYPE_PROG_ARRAY || (map.inner_meta.has_value() && map.inner_meta->ops->per_cpu);
}

bool calls_one_of(const VerifierReport& report, std::initializer_list<u32> helpers) {
  return std::any_of(helpers.begin(), helpers.end(), [&](u32 id) { return std::binary_search(report.helpers.begin(), report.helpers.end(), id); });
}

/// A run that ends in the middle may hold something, and so may one that went on in another program.
bool may_end_holding(const VerifierReport& report) {
  return calls_one_of(report, {func::tail_call, func::spin_lock, func::ringbuf_reserve, func::ringbuf_reserve_dynptr});
}

/// Writes the runnable form into ROM: instructions with addresses in place of map references.
Status build_image(Kernel& kernel, const VerifiedProg& verified, Prog* prog) {
  WindowHost& w = kernel.window();
  const auto& insns = verified.insns();
  const auto& maps = verified.report().used_maps;
  const u64 maps_at = round_up(sizeof(ProgImage), 16), insns_at = round_up(maps_at + maps.size() * sizeof(MapDesc*), 16);
  prog->image_bytes = insns_at + insns.size() * sizeof(bpf_insn);
  prog->stats = TRY(w.stats_alloc());
  u8* at = static_cast<u8*>(TRY(w.rom_alloc(prog->image_bytes)));
  auto* image = new (at) ProgImage{};
  prog->image = image;
  auto** map_list = reinterpret_cast<MapDesc**>(at + maps_at);
  auto* code = reinterpret_cast<bpf_insn*>(at + insns_at);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    map_list[i] = map_of(*maps[i]).desc;
    if (needs_virtual_cpu(map_of(*maps[i]))) image->per_cpu = 1;
  }
  std::copy(insns.begin(), insns.end(), code);
  for (const MapRef& r : verified.report().map_refs) {
    u64 address = reinterpret_cast<u64>(map_list[r.map]);
    code[r.insn].src_reg = r.is_value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
    if (r.is_value) {
      const Map& m = map_of(*maps[r.map]);
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
  image->cleanup = may_end_holding(verified.report()) ? 1 : 0;
  std::memcpy(image->name, prog->name.c_str(), prog->name.size() + 1);
  return ok_status();
}

/// The program as dumps show it: map ids in place of fds, faulting loads as plain ones. Linux: syscall.c:bpf_insn_prepare_dump()
std::vector<bpf_insn> dump_form(const VerifiedProg& verified) {
  std::vector<bpf_insn> out = verified.insns();
  for (bpf_insn& insn : out) {
    if (bpf_class(insn.code) != BPF_LDX) continue;
    const u8 mode = bpf_mode(insn.code);
    if (mode == BPF_PROBE_MEM) insn.code = static_cast<u8>(BPF_LDX | BPF_MEM | bpf_size(insn.code));
    if (mode == BPF_PROBE_MEMSX) insn.code = static_cast<u8>(BPF_LDX | BPF_MEMSX | bpf_size(insn.code));
  }
  for (const MapRef& r : verified.report().map_refs) {
    out[r.insn].src_reg = r.is_value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
    out[r.insn].imm = static_cast<s32>(map_of(*verified.report().used_maps[r.map]).id);
    out[r.insn + 1].imm = r.is_value ? static_cast<s32>(r.off) : 0;
  }
  return out;
}

u64 boot_time_ns() {
  timespec ts{};
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return static_cast<u64>(ts.tv_sec) * 1000000000ULL + static_cast<u64>(ts.tv_nsec);
}

template <typename T>
std::vector<u8> bytes_of(const std::vector<T>& records) {
  const auto* p = reinterpret_cast<const u8*>(records.data());
  return {p, p + records.size() * sizeof(T)};
}

void keep_info(const VerifierReport& report, Prog* prog) {
  prog->verified_insns = report.insn_processed;
  prog->max_ctx_offset = report.max_ctx_offset;
  prog->max_tp_access = report.max_tp_access;
  prog->reads_map_structs = report.reads_map_structs;
  prog->func_info = bytes_of(report.func_info);
  prog->line_info = bytes_of(report.line_info);
  prog->nr_func_info = static_cast<u32>(report.func_info.size());
  prog->nr_line_info = static_cast<u32>(report.line_info.size());
}

/// Linux: kernel/bpf/core.c:bpf_check_tail_call()
Status check_tail_call_maps(const Prog& prog) {
  for (const auto& map : prog.maps)
    if (map->desc->type == BPF_MAP_TYPE_PROG_ARRAY && !prog_map_compatible(*map, prog)) return Errno(EINVAL);
  return ok_status();
}

Result<s64> accept(CallContext& ctx, const bpf_attr& attr, Loaded& l, const MapFinder& finder, const VerifiedProg& verified) {
  auto prog = std::make_shared<Prog>();
  prog->kernel = &ctx.kernel;
  prog->type = attr.prog_load.prog_type;
  prog->expected_attach_type = l.traits.expected_attach_type;
  prog->prog_flags = attr.prog_load.prog_flags;
  prog->attach_btf_id = l.traits.attach_btf_id;
  prog->name = l.name;
  prog->gpl = l.traits.gpl_compatible;
  prog->load_time_ns = boot_time_ns();
  prog->created_by = ctx.who.uid;
  prog->btf = l.btf;
  keep_info(verified.report(), prog.get());
  for (const VerifierMap* m : verified.report().used_maps) prog->maps.push_back(finder.found.at(&map_of(*m))->map);
  TRY(check_tail_call_maps(*prog));
  compute_tag(l.insns, prog->tag);
  prog->xlated = dump_form(verified);
  TRY(build_image(ctx.kernel, verified, prog.get()));
  TRY(compile_program(ctx.kernel, verified.report(), prog.get()));
  prog->id = prog->image->id = ctx.kernel.progs.add(prog);
  return ctx.install(prog, FILE_READ | FILE_WRITE);
}

Result<s64> judge_and_accept(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, Loaded& l) {
  const auto& a = attr.prog_load;
  const Status valid = VerifierLog::check_attr(a.log_level, a.log_buf != 0, a.log_size);
  if (!valid.ok()) return valid.error();
  VerifierLog log(a.log_level, a.log_buf != 0 ? a.log_size : 0);
  MapFinder finder{ctx};
  Result<VerifiedProg> verified = judge(attr, l, log, finder);
  if (finder.restart) return Errno(ERESTART_CALL);
  const VerifierLog::Outcome out = std::move(log).finish();
  if (!out.bytes.empty()) TRY(ctx.mem.write(a.log_buf, out.bytes.data(), out.bytes.size()));
  if (uattr.size >= SKEP_ATTR_END(prog_load, log_true_size))
    TRY(ctx.mem.write(uattr.addr + offsetof(bpf_attr, prog_load.log_true_size), &out.true_size, sizeof out.true_size));
  if (out.error != 0) return Errno(out.error);
  if (!verified.ok()) return verified.error();
  return accept(ctx, attr, l, finder, *verified);
}

/// What the program will be attached to, as far as that is named at load. Linux: bpf_prog_load(), bpf_prog_load_check_attach()
Status check_attach(CallContext& ctx, const bpf_attr& attr, ProgTraits* traits) {
  const auto& a = attr.prog_load;
  const bool by_btf = a.prog_type == BPF_PROG_TYPE_TRACING || a.prog_type == BPF_PROG_TYPE_LSM || a.prog_type == BPF_PROG_TYPE_STRUCT_OPS ||
                      a.prog_type == BPF_PROG_TYPE_EXT;
  if (a.attach_prog_fd != 0 || (a.attach_btf_id != 0 && ctx.kernel.vmlinux == nullptr)) {
    ctx.kernel.doctor.note(fmt::format("PROG_LOAD of type {} with attach_{}: not here yet: EINVAL", a.prog_type,
                                       a.attach_prog_fd != 0 ? "prog_fd" : "btf_id"));
    return Errno(EINVAL);
  }
  constexpr u32 BTF_MAX_TYPE = 0x000fffff;
  if (a.attach_btf_id > BTF_MAX_TYPE || (a.attach_btf_id != 0 && !by_btf)) return Errno(EINVAL);
  traits->attach_btf_id = a.attach_btf_id;
  if (!attach_type_ok(a.prog_type, traits->expected_attach_type)) return Errno(EINVAL);
  return ok_status();
}

/// Linux: kernel/bpf/syscall.c:bpf_prog_load_fixup_attach_type()
u32 fixed_attach_type(u32 prog_type, u32 attach) {
  if (prog_type == BPF_PROG_TYPE_CGROUP_SOCK && attach == 0) return BPF_CGROUP_INET_SOCK_CREATE;
  if (prog_type == BPF_PROG_TYPE_SK_REUSEPORT && attach == 0) return BPF_SK_REUSEPORT_SELECT;
  return attach;
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
  Loaded l;
  l.traits.type = a.prog_type;
  l.traits.expected_attach_type = fixed_attach_type(a.prog_type, a.expected_attach_type);
  l.traits.sleepable = (a.prog_flags & BPF_F_SLEEPABLE) != 0;
  l.traits.xdp_has_frags = (a.prog_flags & BPF_F_XDP_HAS_FRAGS) != 0;
  TRY(check_attach(ctx, attr, &l.traits));
  l.insns.resize(a.insn_cnt);
  TRY(ctx.mem.read(l.insns.data(), a.insns, u64{a.insn_cnt} * sizeof(bpf_insn)));
  Result<std::string> license = ctx.mem.read_string(a.license, LICENSE_LIMIT - 1);
  if (!license.ok()) {
    if (license.error() != Errno(E2BIG)) return license.error();
    license = std::string();  // longer than any known one
  }
  l.traits.gpl_compatible = gpl_compatible(*license);
  if (a.prog_ifindex != 0) return Errno(EINVAL);
  if (a.prog_type == BPF_PROG_TYPE_UNSPEC || a.prog_type >= MAX_BPF_PROG_TYPE_) return Errno(EINVAL);
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
  const KernelTypes kernel = ctx.kernel.kernel_types();
  Result<std::unique_ptr<Btf>> btf = Btf::parse(data, &log, &kernel);
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
