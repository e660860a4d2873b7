// Which helper takes which kind of map, asked of the machine's kernel: real maps handed to real helpers, all other arguments good.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "isa/asm_test.h"
#include "isa/func_names.h"
#include "isa/linux_bpf_test.h"
#include "progtypes/func_ids.h"
#include "progtypes/func_proto.h"

namespace skep::test {
namespace {

struct Map {
  u32 type, key_size, value_size, max_entries, flags;
  int fd = -1;
};

/// Map types that need no BTF; those that the machine refuses are left out.
std::vector<Map> linux_maps() {
  std::vector<Map> all = {
      {BPF_MAP_TYPE_HASH, 4, 8, 1, 0},
      {BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0},
      {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1, 0},
      {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0},
      {BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 1, 0},
      {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, 0},
      {BPF_MAP_TYPE_STACK_TRACE, 4, 8, 1, 0},
      {BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 1, 0},
      {BPF_MAP_TYPE_LRU_HASH, 4, 8, 1, 0},
      {BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 1, 0},
      {BPF_MAP_TYPE_LPM_TRIE, 8, 8, 1, BPF_F_NO_PREALLOC},
      {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, 0},
      {BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 1, 0},
      {BPF_MAP_TYPE_DEVMAP, 4, 4, 1, 0},
      {BPF_MAP_TYPE_SOCKMAP, 4, 4, 1, 0},
      {BPF_MAP_TYPE_CPUMAP, 4, 4, 1, 0},
      {BPF_MAP_TYPE_XSKMAP, 4, 4, 1, 0},
      {BPF_MAP_TYPE_SOCKHASH, 4, 4, 1, 0},
      {BPF_MAP_TYPE_CGROUP_STORAGE, 16, 8, 0, 0},
      {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 4, 1, 0},
      {BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, 16, 8, 0, 0},
      {BPF_MAP_TYPE_QUEUE, 0, 8, 1, 0},
      {BPF_MAP_TYPE_STACK, 0, 8, 1, 0},
      {BPF_MAP_TYPE_DEVMAP_HASH, 4, 4, 1, 0},
      {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
      {BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 1, 0},
      {BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 4096, 0},
      {BPF_MAP_TYPE_ARENA, 0, 0, 1, BPF_F_MMAPABLE},
  };
  for (Map& map : all) {
    bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.map_create.map_type = map.type;
    attr.map_create.key_size = map.key_size;
    attr.map_create.value_size = map.value_size;
    attr.map_create.max_entries = map.max_entries;
    attr.map_create.map_flags = map.flags;
    if (map.type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map.type == BPF_MAP_TYPE_HASH_OF_MAPS)
      attr.map_create.inner_map_fd = static_cast<u32>(all[1].fd);
    map.fd = static_cast<int>(linux_bpf(BPF_MAP_CREATE, &attr, sizeof attr));
  }
  std::erase_if(all, [](const Map& map) { return map.fd < 0; });
  return all;
}

/// Sets R1 to R5 to what the proto takes; none when something is not to be had as easily.
std::optional<Prog> arguments(const FuncProto& p, int map_fd) {
  Prog prog = {movr(6, 1)};
  for (s32 off = -64; off < 0; off += 8) prog.push_back(st(BPF_DW, 10, off, 0));
  bool has_map = false;
  for (u32 i = 0; i < 5; ++i) {
    switch (base_type(p.args[i])) {
      case ARG_DONTCARE:
        break;
      case ARG_PTR_TO_CTX:
        prog.push_back(movr(i + 1, 6));
        break;
      case ARG_CONST_MAP_PTR:
        prog = prog + ldimm64(i + 1, static_cast<u32>(map_fd), BPF_PSEUDO_MAP_FD);
        has_map = true;
        break;
      case ARG_PTR_TO_MAP_KEY:
      case ARG_PTR_TO_MAP_VALUE:
      case ARG_PTR_TO_MEM:
        prog = prog + Prog{movr(i + 1, 10), alu64k(BPF_ADD, i + 1, -64)};
        break;
      case ARG_CONST_SIZE:
      case ARG_CONST_SIZE_OR_ZERO:
      case ARG_CONST_ALLOC_SIZE_OR_ZERO:
        prog.push_back(mov(i + 1, 8));
        break;
      case ARG_ANYTHING:
        prog.push_back(mov(i + 1, 0));
        break;
      default:
        return std::nullopt;
    }
  }
  if (!has_map) return std::nullopt;
  return prog;
}

/// Types whose programs load as they are.
constexpr u32 TYPES[] = {BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP,      BPF_PROG_TYPE_KPROBE,       BPF_PROG_TYPE_SK_MSG,
                         BPF_PROG_TYPE_SK_SKB,    BPF_PROG_TYPE_SOCK_OPS, BPF_PROG_TYPE_SK_REUSEPORT, BPF_PROG_TYPE_CGROUP_SKB};

TEST(LinuxMapFunc, EveryMapAndHelper) {
  SKIP_WITHOUT_LINUX_BPF();
  const std::vector<Map> maps = linux_maps();
  EXPECT_GT(maps.size(), 15u);
  u32 refused = 0, taken = 0;
  for (const u32 type : TYPES) {
    ProgTraits prog{.type = type};
    if (type == BPF_PROG_TYPE_SOCK_OPS) prog.expected_attach_type = BPF_CGROUP_SOCK_OPS;
    for (u32 id = 1; id < func::max_id; ++id) {
      const FuncProto* p = get_func_proto(id, prog);
      if (p == nullptr || p->might_sleep) continue;
      for (const Map& map : maps) {
        const std::optional<Prog> args = arguments(*p, map.fd);
        if (!args.has_value()) break;
        const LinuxVerdict v = linux_prog_load(*args + Prog{call(static_cast<s32>(id)), mov(0, 0), exit_()}, type, 1);
        const bool linux_refuses = v.log.find("cannot pass map_type") != std::string::npos;
        if (v.err != 0 && !linux_refuses) continue;  // something else was wrong with the call before or after
        bool ours = map_func_compatible(map.type, id);
        const bool is_sockmap = map.type == BPF_MAP_TYPE_SOCKMAP || map.type == BPF_MAP_TYPE_SOCKHASH;
        if (is_sockmap && (id == func::map_update_elem || id == func::map_delete_elem)) ours = may_update_sockmap(id, prog);
        EXPECT_EQ(ours, !linux_refuses) << "type " << type << " map " << map.type << " " << func_id_name(id) << "\n" << v.log;
        ++(linux_refuses ? refused : taken);
      }
    }
  }
  EXPECT_GT(refused, 500u);
  EXPECT_GT(taken, 100u);
  std::printf("  %zu kinds of map: %u pairs refused, %u taken\n", maps.size(), refused, taken);
  for (const Map& map : maps) close(map.fd);
}

}  // namespace
}  // namespace skep::test
