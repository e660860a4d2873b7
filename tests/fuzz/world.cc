#include "world.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "isa/asm_test.h"
#include "jit/place.h"
#include "jit/run.h"
#include "maps/map_ops.h"
#include "maps/object_maps.h"
#include "progtypes/func_ids.h"
#include "stepped_interp.h"

namespace skep::fuzz {
namespace {

constexpr u32 CPUS = 4;

u64 g_clock = 1;  ///< what the helpers' clocks show: prandom follows from it

RunEnv fake_env() {
  RunEnv env{};
  env.pid_tgid = [](RunEnv*) noexcept { return u64{1000} << 32 | 1001; };
  env.uid_gid = [](RunEnv*) noexcept { return u64{6} << 32 | 5; };
  env.comm = [](RunEnv*, char out[16]) noexcept { std::snprintf(out, 16, "fuzzed"); };
  env.current_task = [](RunEnv*) noexcept { return u64{0x7000}; };
  env.ktime_ns = env.boot_ns = env.coarse_ns = env.tai_ns = [](RunEnv*) noexcept { return g_clock; };
  env.numa_node = [](RunEnv*) noexcept { return 0u; };
  env.read_memory = [](RunEnv*, void*, const void*, u64) noexcept -> long { return -EFAULT; };
  env.read_string = [](RunEnv*, void*, u64, const void*) noexcept -> long { return -EFAULT; };
  env.futex_wake_host = [](RunEnv*) noexcept {};
  return env;
}

/// Linux: the packet's room is followed by the shared info.
constexpr u64 OTHER_ROOM = round_up(sizeof(RunCtx) + PAGE_SIZE, PAGE_SIZE);
constexpr u32 ROOM = PACKET_HEADROOM + PACKET_MAX + PACKET_TAILROOM;

}  // namespace

World::World() : env_(fake_env()), run_(std::make_unique<RunCtx>()), kernel_(std::make_unique<Kernel>()), room_(ROOM + 512) {
  host_ = std::move(WindowHost::create(CPUS)).value();
  slot_ = slot_acquire_cpu(host_->view(), 77, 2);
  stats_ = reinterpret_cast<ProgStats*>(host_->ram_alloc(4096).value());
  make_maps();
  Rng rng(1);
  disturb(rng);
}

World::~World() {
  munmap(other_room_, OTHER_ROOM);
  slot_release(slot_);
}

void World::disturb(Rng& rng) {
  if (other_room_ != nullptr) munmap(other_room_, OTHER_ROOM);
  // Anywhere in the lower half; the kernel takes another place where that one is not free.
  void* const wish = reinterpret_cast<void*>((rng.next() >> 17) & ~u64{PAGE_SIZE - 1});
  other_room_ = mmap(wish, OTHER_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (other_room_ == MAP_FAILED) std::abort();
  other_run_ = new (static_cast<u8*>(other_room_) + 16 * rng.below(PAGE_SIZE / 16)) RunCtx;
}

MapDesc* World::make_map(const MapShape& shape) {
  const MapSpec spec{.type = shape.type,
                     .key_size = shape.key_size,
                     .value_size = shape.value_size,
                     .max_entries = shape.max_entries,
                     .map_flags = shape.map_flags,
                     .map_extra = 0,
                     .numa_node = NUMA_NO_NODE};
  const MapOps* ops = map_ops(shape.type);
  MapDesc* d = host_->rom_new<MapDesc>().value();
  if (ops == nullptr || ops->alloc_check(spec) != 0 || ops->layout(spec, CPUS, d) != 0) std::abort();
  if (d->ram_bytes != 0) d->ram = host_->ram_alloc(d->ram_bytes).value();
  if (const u64 bytes = object_map_rom_bytes(*d); bytes != 0) d->elems = static_cast<u8*>(host_->rom_alloc(bytes).value());
  if (shape.type == BPF_MAP_TYPE_RINGBUF) {
    d->ring = host_->ring_register(RingKind::Bpf).value();
    u8* pages = d->ram != nullptr ? d->ram : host_->ram_alloc(2 * 4096 + u64{shape.max_entries}).value();
    if (!host_->ring_map_doubled(d->ring, pages, shape.max_entries).ok()) std::abort();
  }
  ops->init(host_->view(), d);
  return d;
}

void World::make_maps() {
  for (const MapShape& shape : MAP_SHAPES) {
    maps_.push_back(make_map(shape));
    VerifierMap facts;
    facts.identity = facts.id = static_cast<u32>(maps_.size());
    facts.type = shape.type;
    facts.key_size = shape.key_size;
    facts.value_size = shape.value_size;
    facts.max_entries = shape.max_entries;
    facts.map_flags = shape.map_flags;
    facts_.push_back(facts);
  }
  facts_[MAP_CONSTANT].frozen = true;
  inner_ = make_map(MAP_SHAPES[MAP_ARRAY16]);
  inner_facts_ = facts_[MAP_ARRAY16];
  inner_facts_.identity = 1000;
  facts_[MAP_OUTER].inner_map_meta = &inner_facts_;
  set_object_at(*maps_[MAP_OUTER], 0, inner_);
  for (u32 i = 0; i < MAP_SHAPES[MAP_CONSTANT].value_size; ++i) maps_[MAP_CONSTANT]->elems[i] = static_cast<u8>(i * 3);
  callee_ = {test::mov(0, 2), test::exit_()};
  callee_image_.id = 9;
  callee_image_.insn_cnt = static_cast<u32>(callee_.size());
  callee_image_.insns = callee_.data();
  callee_image_.stats = stats_;
  callee_image_.gpl = 1;
  callee_image_.step_limit = STEP_LIMIT;
  set_object_at(*maps_[MAP_PROGS], 0, &callee_image_);  // slot 1 stays empty
}

VerifierInput World::input(const Program& program) const {
  VerifierInput in;
  in.insns = program.insns;
  in.prog.type = program.type;
  in.prog.gpl_compatible = true;
  in.prog.bpf_capable = in.prog.perfmon = program.privileged;
  in.prog_flags = program.flags;
  in.nr_cpu_ids = CPUS;
  in.map_by_fd = [this](s32 fd) -> Result<const VerifierMap*> {
    if (fd < MAP_FD_BASE || fd >= MAP_FD_BASE + static_cast<s32>(MAP_COUNT)) return Errno(EBADF);
    return &facts_[static_cast<u32>(fd - MAP_FD_BASE)];
  };
  in.direct_value = [](const VerifierMap& map, u32 off) -> Status {
    if (map.type != BPF_MAP_TYPE_ARRAY || map.max_entries != 1) return Errno(ENOTSUPP_);
    if (off >= map.value_size) return Errno(EINVAL);
    return ok_status();
  };
  in.read_frozen = [this](const VerifierMap& map, u32 off, u32 size, u64* value) {
    if (&map != &facts_[MAP_CONSTANT] || size > 8 || off > map.value_size || size > map.value_size - off) return false;
    *value = 0;
    std::memcpy(value, maps_[MAP_CONSTANT]->elems + off, size);
    return true;
  };
  return in;
}

const MapDesc* World::desc_of(const VerifierMap* facts) const {
  if (facts == &inner_facts_) return inner_;
  return facts >= facts_.data() && facts < facts_.data() + facts_.size() ? maps_[static_cast<u32>(facts - facts_.data())] : nullptr;
}

std::unique_ptr<Runnable> World::link(const VerifiedProg& verified) {
  auto out = std::make_unique<Runnable>();
  out->insns = verified.insns();
  for (const VerifierMap* map : verified.report().used_maps) out->maps.push_back(maps_[map->identity - 1]);
  for (const MapRef& ref : verified.report().map_refs) {
    MapDesc* const map = out->maps[ref.map];
    u64 address = reinterpret_cast<u64>(map);
    if (ref.is_value) address = reinterpret_cast<u64>(map->elems) + map->elem_value_off + ref.off;
    bpf_insn* const insn = &out->insns[ref.insn];
    insn->src_reg = ref.is_value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
    insn[0].imm = static_cast<s32>(address);
    insn[1].imm = static_cast<s32>(address >> 32);
  }
  out->subprog_starts = verified.report().subprog_starts;
  out->stack_depth = verified.report().stack_depth;
  out->image.id = 1;
  out->image.type = verified.prog().type;
  out->image.insns = out->insns.data();
  out->image.insn_cnt = static_cast<u32>(out->insns.size());
  out->image.maps = out->maps.data();
  out->image.n_maps = static_cast<u32>(out->maps.size());
  out->image.stats = stats_;
  out->image.gpl = 1;
  out->image.step_limit = STEP_LIMIT;
  return out;
}

void World::fill_value(Rng& rng, u8* value, u32 size) {
  for (u32 i = 0; i + 8 <= size; i += 8) {
    const u64 word = rng.coin() ? rng.edge() : rng.below(48) | u64{rng.below(48)} << 32;
    std::memcpy(value + i, &word, 8);
  }
}

void World::fill_hash(Rng& rng, MapDesc* map) {
  const MapOps* ops = map_ops(map->type);
  for (u64 key = 0; key < 5; ++key) {
    u8 value[64] = {};
    fill_value(rng, value, map->value_size);
    if (rng.coin())
      ops->update(op(), map, &key, value, 0);
    else
      ops->erase(op(), map, &key);
  }
}

void World::empty_hash(MapDesc* map) {
  u64 key = 0;
  while (map_ops(map->type)->get_next_key(op(), map, nullptr, &key) == 0 && map_ops(map->type)->erase(op(), map, &key) == 0) {
  }
}

/// As if nothing had ever been in it: a reservation shows what its place held before.
void World::empty_ring() {
  RingDesc& ring = *maps_[MAP_RINGBUF]->ring;
  std::memset(ring.user_page, 0, PAGE_SIZE);
  std::memset(ring.prod_page, 0, PAGE_SIZE);
  std::memset(ring.data, 0, ring.data_size);
  std::memset(static_cast<void*>(ring.ctl), 0, sizeof *ring.ctl);
}

void World::fill(Rng& rng) {
  empty_hash(maps_[MAP_HASH8]);
  empty_hash(maps_[MAP_HASH24]);
  empty_ring();
  for (MapDesc* map : {maps_[MAP_ARRAY16], maps_[MAP_ARRAY1], inner_})
    for (u32 i = 0; i < map->n_elems; ++i)
      fill_value(rng, map->elems + u64{i} * map->elem_size + map->elem_value_off, map->value_size);
  fill_hash(rng, maps_[MAP_HASH8]);
  fill_hash(rng, maps_[MAP_HASH24]);
  u64 value = 0;
  while (map_ops(BPF_MAP_TYPE_QUEUE)->pop(op(), maps_[MAP_QUEUE], &value) == 0) {
  }
  g_clock = rng.next();
}

void World::make_packet(Rng& rng, u32 type) {
  for (u8& b : room_) b = static_cast<u8>(rng.coin() ? rng.next() : rng.below(4));
  const u32 len = type != BPF_PROG_TYPE_XDP || rng.chance(80) ? 14 + rng.below(PACKET_MAX - 13) : 14;
  const u32 meta = 4 * rng.below(4);
  Kernel& k = *kernel_;
  std::memset(static_cast<void*>(&k), 0, sizeof k);
  k.dev.ifindex = 3;
  k.skb.dev = &k.dev;
  k.skb.sk = &k.sock.sk;
  k.skb.len = len;
  k.skb.head = room_.data();
  k.skb.data = room_.data() + PACKET_HEADROOM;
  k.skb.tail = PACKET_HEADROOM + len;
  k.skb.end = ROOM;
  k.skb.mark = static_cast<u32>(rng.edge());
  k.skb.priority = static_cast<u32>(rng.edge());
  k.skb.hash = static_cast<u32>(rng.edge());
  k.skb.protocol = 8;
  k.skb.mac_header = static_cast<u16>(PACKET_HEADROOM);
  k.skb.network_header = static_cast<u16>(PACKET_HEADROOM + 14);
  skb_shared_info(k.skb) = {};
  skb_shared_info(k.skb).meta_len = static_cast<u8>(meta);
  for (u32 i = 0; i < 20; ++i) k.skb.cb[offsetof(QdiscSkbCb, data) + i] = static_cast<u8>(rng.next());
  skb_compute_data_pointers(k.skb);
  k.rxq = {&k.dev, rng.below(4)};
  k.xdp.data_hard_start = room_.data();
  k.xdp.data = room_.data() + PACKET_HEADROOM;
  k.xdp.data_meta = k.xdp.data - meta;
  k.xdp.data_end = k.xdp.data + len;
  k.xdp.rxq = &k.rxq;
  k.xdp.frame_sz = ROOM + SKB_SHARED_INFO_ROOM;
  u64 regs[sizeof(PtRegs) / 8];
  for (u64& r : regs) r = rng.edge();
  std::memcpy(static_cast<void*>(&k.pt_regs), regs, sizeof regs);
}

Status World::compile_image(ProgImage& image, const JitInput& in) {
  const Result<JitCode> code = jit_compile(in);
  return code.ok() ? place_code(*host_, *code, &image) : Status(code.error());
}

JitInput World::jit_input(const Runnable& runnable) const {
  JitInput in;
  in.insns = runnable.insns;
  in.subprog_starts = runnable.subprog_starts;
  in.stack_depth = runnable.stack_depth;
  in.prog_type = runnable.image.type;
  in.maps = maps_;
  in.nr_cpus = CPUS;
  return in;
}

Status World::compile(Runnable& runnable, bool optimise) {
  static constexpr u32 START[] = {0}, DEPTH[] = {0};
  JitInput callee;
  callee.insns = callee_;
  callee.subprog_starts = START;
  callee.stack_depth = DEPTH;
  if (callee_image_.entry == 0) TRY(compile_image(callee_image_, callee));
  JitInput in = jit_input(runnable);
  in.optimise = optimise;
  runnable.image.cleanup = 1;
  return compile_image(runnable.image, in);
}

void World::withdraw(Runnable& runnable) {
  if (runnable.image.entry != 0) host_->code_withdraw(runnable.image.code);
  runnable.image.entry = runnable.image.code = 0;
}

void World::set_up(RunCtx& r, const Program& program, const Runnable& runnable) {
  // Of the stack and its like only what the executor does not set itself.
  r.op = op();
  r.prog = &runnable.image;
  r.probe = &probe_;
  r.env = &env_;
  r.extra = {0, 0};
  r.kernel = {reinterpret_cast<u64>(kernel_.get()), sizeof(Kernel)};
  r.ctx_writable = false;
  r.check_uninit = !program.privileged;
  r.pid_tgid = r.task = 0;
  switch (program.type) {
    case BPF_PROG_TYPE_XDP:
      r.packet = PacketKind::Xdp, r.ctx = reinterpret_cast<u8*>(&kernel_->xdp), r.ctx_size = sizeof kernel_->xdp;
      break;
    case BPF_PROG_TYPE_KPROBE:
      r.packet = PacketKind::None, r.ctx = reinterpret_cast<u8*>(&kernel_->pt_regs), r.ctx_size = sizeof(PtRegs);
      r.kernel = {0, 0};
      break;
    default:
      r.packet = PacketKind::Skb, r.ctx = reinterpret_cast<u8*>(&kernel_->skb), r.ctx_size = sizeof kernel_->skb;
      break;
  }
  r.frame = 0;
  callee_image_.type = program.type;
}

void World::run(const Program& program, const Runnable& runnable, u64 seed, OnStep on_step, void* who) {
  Rng rng(seed);
  fill(rng);
  make_packet(rng, program.type);
  set_up(*run_, program, runnable);
  last_ = run_.get();
  result_ = stepped_run(*run_, on_step, who);
}

void World::run_by(Executor executor, const Program& program, const Runnable& runnable, u64 seed) {
  constexpr u8 NOISE = 0xa7;
  Rng rng(seed);
  fill(rng);
  make_packet(rng, program.type);
  last_ = executor == Executor::Interpreter ? run_.get() : other_run_;
  set_up(*last_, program, runnable);
  // What was never written is what happens to lie there: the run is not to be compared, and ends.
  last_->check_uninit = true;
  result_ = executor == Executor::Compiled ? run_program(*last_) : stepped_run(*last_, nullptr, nullptr, executor == Executor::Disturbed ? NOISE : 0);
}

std::vector<u8> World::outcome() {
  std::vector<u8> out;
  const auto add = [&](const void* bytes, u64 size) {
    const auto* p = static_cast<const u8*>(bytes);
    out.insert(out.end(), p, p + size);
  };
  add(&result_, sizeof result_);
  for (const MapDesc* map : {maps_[MAP_ARRAY16], maps_[MAP_ARRAY1], maps_[MAP_CONSTANT], inner_})
    add(map->elems, u64{map->n_elems} * map->elem_size);
  for (MapDesc* map : {maps_[MAP_HASH8], maps_[MAP_HASH24]}) add_hash(out, map);
  u64 value = 0;
  while (map_ops(BPF_MAP_TYPE_QUEUE)->pop(op(), maps_[MAP_QUEUE], &value) == 0) add(&value, sizeof value);
  const RingDesc& ring = *maps_[MAP_RINGBUF]->ring;
  add(ring.prod_page, 8);
  add(ring.data, ring.data_size);
  add(room_.data(), room_.size());
  add(kernel_.get(), sizeof *kernel_);
  return out;
}

void World::add_hash(std::vector<u8>& out, MapDesc* map) {
  std::vector<std::vector<u8>> elements;
  u64 key = 0;
  const MapOps& ops = *map_ops(map->type);
  for (long err = ops.get_next_key(op(), map, nullptr, &key); err == 0; err = ops.get_next_key(op(), map, &key, &key)) {
    std::vector<u8> element(8 + map->value_size);
    std::memcpy(element.data(), &key, map->key_size);
    if (ops.read_value(op(), map, &key, element.data() + 8, 0) == 0) elements.push_back(element);
  }
  std::sort(elements.begin(), elements.end());
  for (const auto& element : elements) out.insert(out.end(), element.begin(), element.end());
}

}  // namespace skep::fuzz
