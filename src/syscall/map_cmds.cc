// syscall: commands on maps. Linux: kernel/bpf/syscall.c
#include <fmt/format.h>
#include <sched.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "btf/map_btf.h"
#include "maps/elem_call.h"
#include "maps/map_ops.h"
#include "maps/object_maps.h"
#include "maps/special_fields.h"
#include "objects/map_elems.h"
#include "syscall/attr.h"
#include "syscall/cgroup_fd.h"
#include "syscall/commands.h"
#include "syscall/map_file.h"

namespace skep {
namespace {

static_assert(MAP_MAY_READ == FILE_READ && MAP_MAY_WRITE == FILE_WRITE);

constexpr u32 FREEZE_PATIENCE = 2000;  ///< looks at a slot, yielding

bool is_writing(const RomHeader& rom, const RunSlot* slot, const MapDesc* d) {
  if (load_seq_cst(&slot->owner) == 0) return false;
  const u64 mark = load_seq_cst(&slot->writes), listed = (mark & 0xffff) - 1;
  return listed < MAX_LISTED_MAPS && rom.maps[listed] == d && mark >> 16 == (load_seq_cst(&slot->seq) & 0xffffffffffff);
}

/// Linux: syscall.c:__bpf_copy_key()
Result<std::vector<u8>> copy_key(CallContext& ctx, u64 ukey, u32 key_size) {
  if (key_size == 0) {
    if (ukey != 0) return Errno(EINVAL);
    return std::vector<u8>();
  }
  return read_blob(ctx, ukey, key_size);
}

Result<s64> done(long rc) {
  if (rc < 0) return Errno(static_cast<int>(-rc));
  return s64{rc};
}

bool alloc_flags_ok(const bpf_attr& attr) {
  const auto& c = attr.map_create;
  if (c.btf_vmlinux_value_type_id != 0) {
    if (c.map_type != BPF_MAP_TYPE_STRUCT_OPS || c.btf_key_type_id != 0 || c.btf_value_type_id != 0) return false;
  } else if (c.btf_key_type_id != 0 && c.btf_value_type_id == 0) {
    return false;
  }
  if (c.map_type != BPF_MAP_TYPE_BLOOM_FILTER && c.map_type != BPF_MAP_TYPE_ARENA && c.map_extra != 0) return false;
  return true;
}

MapSpec spec_of(const bpf_attr& attr) {
  const auto& c = attr.map_create;
  MapSpec spec{};
  spec.type = c.map_type;
  spec.key_size = c.key_size;
  spec.value_size = c.value_size;
  spec.max_entries = c.max_entries;
  spec.map_flags = c.map_flags;
  spec.map_extra = c.map_extra;
  spec.numa_node = c.numa_node;
  spec.key_btf = c.btf_key_type_id != 0;
  spec.value_btf = c.btf_value_type_id != 0;
  return spec;
}

/// Tells runs where the special fields are, and gives the values their locks: the last page of the map's memory.
Status place_fields(WindowHost& w, const BtfRecord& record, MapDesc* d) {
  if (record.field_mask == 0 || d->ram_bytes == 0) return ok_status();
  MapFields* f = TRY(w.rom_new<MapFields>());
  for (const BtfField& field : record.fields) f->at[f->count++] = {field.offset, field.size};
  f->spin_lock_off = record.spin_lock_off;
  f->refcount_off = record.refcount_off;
  f->n_locks = record.spin_lock_off >= 0 ? VALUE_LOCKS : 0;
  d->fields = f;
  return ok_status();
}
static_assert(VALUE_LOCKS * sizeof(RobustLock) == PAGE_SIZE && MAX_SPECIAL_FIELDS == BTF_FIELDS_MAX);

/// Makes the map's memory in the window. ENOMEM, ENOSPC.
Status build(Kernel& kernel, const MapDesc& layout, Map* map) {
  WindowHost& w = kernel.window();
  MapDesc* d = TRY(w.rom_new<MapDesc>());
  *d = layout;
  map->desc = d;  // from here on ~Map frees what there is
  TRY(place_fields(w, map->record, d));
  const u64 lock_bytes = has_spin_lock(*d) ? PAGE_SIZE : 0;
  if (d->ram_bytes != 0) {
    d->ram = TRY(w.ram_alloc(d->ram_bytes + lock_bytes));
    d->ram_bytes += lock_bytes;
  }
  if (lock_bytes != 0) const_cast<MapFields*>(d->fields)->locks = reinterpret_cast<RobustLock*>(d->ram + d->ram_bytes - lock_bytes);
  if ((d->map_flags & BPF_F_ZERO_SEED) == 0 && getrandom(&d->hash_seed, sizeof d->hash_seed, 0) < 0) d->hash_seed = 0x9e3779b9;
  w.note_map(d);
  if (d->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
    d->perf_events = static_cast<RingDesc**>(TRY(w.rom_alloc(u64{d->max_entries} * sizeof(RingDesc*))));
  if (const u64 bytes = object_map_rom_bytes(*d); bytes != 0) {  // comes zeroed
    void* rom = TRY(w.rom_alloc(bytes));
    if (d->type == BPF_MAP_TYPE_HASH_OF_MAPS)
      d->buckets = rom;
    else
      d->elems = static_cast<u8*>(rom);
  }
  if (d->type == BPF_MAP_TYPE_RINGBUF) {
    d->ring = TRY(w.ring_register(RingKind::Bpf));
    TRY(w.ring_map_doubled(d->ring, d->ram, d->max_entries));
  }
  map->ops->init(w.view(), d);
  return ok_status();
}

/// Linux: syscall.c:map_create(), map_check_btf()
Status check_btf(CallContext& ctx, const bpf_attr& attr, const MapDesc& layout, Map* map) {
  const auto& c = attr.map_create;
  if (c.btf_key_type_id == 0 && c.btf_value_type_id == 0) return ok_status();
  map->btf = TRY(ctx.object<BtfObject>(static_cast<s32>(c.btf_fd)));
  const MapShape shape{static_cast<bpf_map_type>(c.map_type), c.key_size, c.value_size, layout.max_entries, layout.map_flags};
  const KernelTypes kernel = ctx.kernel.kernel_types();
  map->record = TRY(map_check_btf(*map->btf->btf, c.btf_key_type_id, c.btf_value_type_id, shape, &kernel));
  map->btf_key_type_id = c.btf_key_type_id;
  map->btf_value_type_id = c.btf_value_type_id;
  return ok_status();
}

/// What kinds that need another map take from it. EBADF, EINVAL, ENOTSUPP.
Status take_inner_meta(CallContext& ctx, const bpf_attr& attr, Map* map) {
  const u32 type = attr.map_create.map_type;
  if (type != BPF_MAP_TYPE_ARRAY_OF_MAPS && type != BPF_MAP_TYPE_HASH_OF_MAPS) return ok_status();
  const std::shared_ptr<Map> inner = TRY(ctx.object<Map>(static_cast<s32>(attr.map_create.inner_map_fd)));
  map->inner_meta = TRY(inner_map_meta(*inner));
  return ok_status();
}

/// Linux: arraymap.c:bpf_fd_array_map_update_elem(), perf_event_fd_array_get_ptr()
Result<s64> perf_array_update(CallContext& ctx, const OpenMap& o, u32 index, u32 event_fd, u64 flags) {
  if (flags != BPF_ANY) return Errno(EINVAL);
  if (index >= o.map->max_entries) return Errno(E2BIG);
  const Result<std::shared_ptr<File>> f = ctx.file(static_cast<s32>(event_fd));
  if (!f.ok()) return f.error() == Errno(EINVAL) ? Errno(EBADF) : f.error();
  const std::shared_ptr<PerfEvent> event = object_as<PerfEvent>((*f)->object);
  if (event == nullptr) return Errno(EBADF);
  store_release(&o.map->desc->perf_events[index], event->ring);
  Map::PerfSlot& slot = o.map->perf_slots[index];
  // A run may just be writing to the old one's ring: that goes after the grace period.
  if (slot.event != nullptr) ctx.kernel.window().defer([held = std::move(slot.event)] {});
  slot = Map::PerfSlot{event, o.file->serial};
  return s64{0};
}

/// Linux: arraymap.c:__fd_array_map_delete_elem()
Result<s64> perf_array_delete(Map& map, u32 index) {
  if (index >= map.max_entries) return Errno(E2BIG);
  const auto it = map.perf_slots.find(index);
  if (it == map.perf_slots.end()) return Errno(ENOENT);
  store_release(&map.desc->perf_events[index], nullptr);
  // A run may just be writing to its ring: the event goes after the grace period.
  map.kernel->window().defer([held = std::move(it->second.event)] {});
  map.perf_slots.erase(it);
  return s64{0};
}

u32 as_u32(const std::vector<u8>& bytes) {
  u32 v;
  std::memcpy(&v, bytes.data(), sizeof v);
  return v;
}

Result<s64> zero(Status s) {
  if (!s.ok()) return s.error();
  return s64{0};
}

}  // namespace

/// Linux: arraymap.c:bpf_fd_array_map_update_elem(), hashtab.c:bpf_fd_htab_map_update_elem()
Result<s64> fd_map_update(CallContext& ctx, const OpenMap& o, const std::vector<u8>& key, u32 fd, u64 flags) {
  const MapDesc& d = *o.map->desc;
  if (d.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY) return perf_array_update(ctx, o, as_u32(key), fd, flags);
  if (d.type != BPF_MAP_TYPE_HASH_OF_MAPS) {
    if (flags != BPF_ANY) return Errno(EINVAL);
    if (as_u32(key) >= d.max_entries) return Errno(E2BIG);
  }
  if (d.type == BPF_MAP_TYPE_CGROUP_ARRAY) {
    set_cgroup_at(d, as_u32(key), TRY(cgroup_of_fd(ctx, static_cast<s32>(fd))));
    return s64{0};
  }
  if (d.type == BPF_MAP_TYPE_PROG_ARRAY)
    return zero(set_prog(*o.map, as_u32(key), TRY(ctx.object<Prog>(static_cast<s32>(fd)))));
  std::shared_ptr<Map> inner = TRY(ctx.object<Map>(static_cast<s32>(fd)));
  if (!inner_map_fits(*o.map->inner_meta, *inner) || flags > BPF_EXIST) return Errno(EINVAL);
  return zero(set_inner_map(*o.map, key, std::move(inner), flags));
}

Result<s64> fd_map_delete(Map& map, const std::vector<u8>& key) {
  switch (map.desc->type) {
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY: return perf_array_delete(map, as_u32(key));
    case BPF_MAP_TYPE_PROG_ARRAY: return zero(erase_prog(map, as_u32(key)));
    case BPF_MAP_TYPE_CGROUP_ARRAY:
      if (as_u32(key) >= map.desc->max_entries) return Errno(E2BIG);
      if (cgroup_at(*map.desc, as_u32(key)) == 0) return Errno(ENOENT);
      set_cgroup_at(*map.desc, as_u32(key), 0);
      return s64{0};
    default: return zero(erase_inner_map(map, key));
  }
}

/// Linux: arraymap.c:bpf_fd_array_map_lookup_elem(), hashtab.c:bpf_fd_htab_map_lookup_elem(): user space sees ids.
Result<u32> fd_map_lookup(const Map& map, const std::vector<u8>& key) {
  switch (map.desc->type) {
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
    case BPF_MAP_TYPE_CGROUP_ARRAY: return Errno(ENOTSUPP_);
    case BPF_MAP_TYPE_PROG_ARRAY: return prog_id_at(map, as_u32(key));
    default: return inner_map_id(map, key);
  }
}

namespace {

/// BPF_F_LOCK needs a lock in the value; what else may stand in `flags` is the command's. Linux: syscall.c:btf_record_has_field()
Status check_lock_flag(const Map& map, u64 flags) {
  if ((flags & BPF_F_LOCK) != 0 && !map.record.has_field(BPF_SPIN_LOCK)) return Errno(EINVAL);
  return ok_status();
}

/// Linux: the same commands on maps whose elements are named by fd.
Result<s64> fd_map_call(CallContext& ctx, u32 cmd, const OpenMap& o, const bpf_attr& attr) {
  if (cmd != BPF_MAP_DELETE_ELEM && cmd != BPF_MAP_GET_NEXT_KEY) TRY(check_lock_flag(*o.map, attr.elem.flags));
  const std::vector<u8> key = TRY(copy_key(ctx, attr.elem.key, o.map->desc->key_size));
  switch (cmd) {
    case BPF_MAP_LOOKUP_ELEM: {
      const u32 id = TRY(fd_map_lookup(*o.map, key));
      TRY(ctx.mem.write(attr.elem.value, &id, sizeof id));
      return s64{0};
    }
    case BPF_MAP_UPDATE_ELEM:
      return fd_map_update(ctx, o, key, TRY(ctx.mem.read_as<u32>(attr.elem.value)), attr.elem.flags);
    case BPF_MAP_DELETE_ELEM:
      return fd_map_delete(*o.map, key);
    default:
      return Errno(ENOTSUPP_);
  }
}

/// Any element command. What happens to the element: maps/elem_call.h.
Result<s64> elem_command(CallContext& ctx, u32 cmd, const bpf_attr& attr) {
  if (!elem_flags_known(cmd, attr.elem.flags)) return Errno(EINVAL);
  const OpenMap o = TRY(open_map(ctx, attr.elem.map_fd, elem_needs(cmd)));
  MapDesc* d = o.map->desc;
  if (is_fd_map(d->type) && cmd != BPF_MAP_GET_NEXT_KEY) return fd_map_call(ctx, cmd, o, attr);
  const u64 value_size = map_syscall_value_size(*d);
  std::vector<u8> scratch(elem_scratch_size(d->key_size, value_size, d->value_stride));
  const ElemCall call{ctx.op, d, o.map->ops, value_size, scratch.data()};
  CallerMemory mem(ctx.mem);
  const long rc = elem_call(cmd, call, ElemAttr{attr.elem.key, attr.elem.value, attr.elem.flags}, mem);
  // An element of a kind that has none here was to be changed.
  if (o.map->ops->judge_only && rc == -EOPNOTSUPP)
    ctx.kernel.doctor.note(fmt::format("elements of {} maps: not here yet: EOPNOTSUPP", o.map->ops->name));
  return done(rc);
}

/// Linux: syscall.c:bpf_map_write_active(): somebody is in the middle of changing an element. Clients do that without us: each says so
/// in its slot, before it looks whether the map is frozen. Waits a moment for those who are there.
bool write_active(WindowHost& w, const MapDesc* d) {
  const RomHeader& rom = *w.rom();
  const Window& view = w.view();
  for (u32 i = 0; i < MAX_RUN_SLOTS; ++i) {
    RunSlot* slot = &view.ram->slots[i];
    for (u32 look = 0; is_writing(rom, slot, d); ++look) {
      if (look == FREEZE_PATIENCE) return true;
      sched_yield();
    }
  }
  return false;
}

}  // namespace

/// The kernel's isalnum() knows Latin-1. Linux: lib/ctype.c
static bool is_alnum(u8 c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

Result<std::string> copy_object_name(const char (&name)[BPF_OBJ_NAME_LEN]) {
  std::string out;
  for (u32 i = 0; i < BPF_OBJ_NAME_LEN; ++i) {
    const char c = name[i];
    if (c == '\0') return out;
    if (!is_alnum(static_cast<u8>(c)) && c != '_' && c != '.') return Errno(EINVAL);
    out += c;
  }
  return Errno(EINVAL);
}

Result<u32> file_mode_of(u32 flags) {
  if ((flags & BPF_F_RDONLY) != 0 && (flags & BPF_F_WRONLY) != 0) return Errno(EINVAL);
  if ((flags & BPF_F_RDONLY) != 0) return u32{FILE_READ};
  if ((flags & BPF_F_WRONLY) != 0) return u32{FILE_WRITE};
  return u32{FILE_READ | FILE_WRITE};
}

Result<std::vector<u8>> read_blob(CallContext& ctx, u64 addr, u64 len) {
  std::vector<u8> out(len);
  TRY(ctx.mem.read(out.data(), addr, len));
  return out;
}

Result<s64> map_create(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  bpf_attr a = attr;
  const bool token = (a.map_create.map_flags & BPF_F_TOKEN_FD) != 0;
  a.map_create.map_flags &= ~BPF_F_TOKEN_FD;
  const auto& c = a.map_create;
  if (!alloc_flags_ok(a)) return Errno(EINVAL);
  const u32 mode = TRY(file_mode_of(c.map_flags));
  if ((c.map_flags & BPF_F_NUMA_NODE) != 0 && c.numa_node != 0) return Errno(EINVAL);
  if (c.map_type == BPF_MAP_TYPE_UNSPEC || c.map_type >= MAX_BPF_MAP_TYPE_) return Errno(EINVAL);
  const MapOps* ops = map_ops(c.map_type);
  if (ops == nullptr) {
    ctx.kernel.doctor.note(fmt::format("MAP_CREATE of map type {}: not here yet: EINVAL", c.map_type));
    return Errno(EINVAL);
  }
  const MapSpec spec = spec_of(a);
  if (const long rc = ops->alloc_check(spec); rc < 0) return Errno(static_cast<int>(-rc));
  if (c.map_ifindex != 0) return Errno(EINVAL);
  if (token) {
    (void)TRY(ctx.file(c.map_token_fd));
    return Errno(EINVAL);  // no token can exist here
  }

  auto map = std::make_shared<Map>();
  map->kernel = &ctx.kernel;
  map->ops = ops;
  TRY(take_inner_meta(ctx, a, map.get()));
  MapDesc layout{};
  if (const long rc = ops->layout(spec, ctx.kernel.nr_cpus(), &layout); rc < 0) return Errno(static_cast<int>(-rc));
  map->max_entries = layout.max_entries;
  map->map_flags = layout.map_flags;
  map->map_extra = c.map_extra;
  map->numa_node = (c.map_flags & BPF_F_NUMA_NODE) != 0 ? c.numa_node : ~0u;
  map->name = TRY(copy_object_name(c.map_name));
  TRY(check_btf(ctx, a, layout, map.get()));
  TRY(build(ctx.kernel, layout, map.get()));
  map->id = ctx.kernel.maps.add(map);
  map->desc->id = map->id;
  std::memcpy(map->desc->name, map->name.c_str(), map->name.size() + 1);
  return ctx.install(map, mode);
}

Result<s64> map_lookup_elem(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  return elem_command(ctx, BPF_MAP_LOOKUP_ELEM, attr);
}
Result<s64> map_update_elem(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  return elem_command(ctx, BPF_MAP_UPDATE_ELEM, attr);
}
Result<s64> map_delete_elem(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  return elem_command(ctx, BPF_MAP_DELETE_ELEM, attr);
}
Result<s64> map_get_next_key(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  return elem_command(ctx, BPF_MAP_GET_NEXT_KEY, attr);
}
Result<s64> map_lookup_and_delete_elem(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  return elem_command(ctx, BPF_MAP_LOOKUP_AND_DELETE_ELEM, attr);
}

Result<s64> map_freeze(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const OpenMap o = TRY(open_map(ctx, attr.elem.map_fd, 0));
  if (o.map->record.field_mask != 0) return Errno(ENOTSUPP_);
  if ((sys_perms(*o.file, *o.map) & FILE_WRITE) == 0) return Errno(EPERM);
  if (o.map->writable_mappings != 0 || o.map->frozen) return Errno(EBUSY);
  // Pairs with the agent's may_write(): either its mark is seen here, or it sees the map frozen.
  store_seq_cst(&o.map->desc->frozen, 1);
  if (write_active(ctx.kernel.window(), o.map->desc)) {
    store_seq_cst(&o.map->desc->frozen, 0);
    return Errno(EBUSY);
  }
  o.map->frozen = true;
  return s64{0};
}

}  // namespace skep
