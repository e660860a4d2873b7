#include "progtypes/func_table.h"

#include "progtypes/func_lists_net.h"

namespace skep {
namespace {

/// A list as the tables below number it.
struct List {
  const Opens* rows;
  u32 size;
  template <u32 N>
  constexpr List(const Opens (&r)[N]) noexcept : rows(r), size(N) {}
};

// clang-format off
enum ListId : u8 {
  NONE, BASE, TRACING_COMMON, KPROBE, TRACEPOINT, PERF_EVENT, RAW_TRACEPOINT, TRACING, ITER, LSM, SYSCALL, STRUCT_OPS,
  CGROUP_COMMON, CGROUP_CURRENT, CGROUP_DEVICE, CGROUP_SYSCTL, CGROUP_SOCKOPT, LIRC_MODE2, SK_BASE, SK_FILTER, CGROUP_SKB,
  CGROUP_SOCK, SOCK_ADDR, SOCK_OPS, SCHED, XDP, SK_MSG, SK_SKB, SK_REUSEPORT, SK_LOOKUP, FLOW_DISSECTOR, LWT_OUT, LWT_IN,
  LWT_XMIT, LWT_SEG6LOCAL,
};
/// By ListId, from 1 on.
constexpr List LISTS[] = {
    BASE_LIST, TRACING_COMMON_LIST, KPROBE_LIST, TRACEPOINT_LIST, PERF_EVENT_LIST, RAW_TRACEPOINT_LIST, TRACING_LIST, ITER_LIST,
    LSM_LIST, SYSCALL_LIST, STRUCT_OPS_LIST, CGROUP_COMMON_LIST, CGROUP_CURRENT_LIST, CGROUP_DEVICE_LIST, CGROUP_SYSCTL_LIST,
    CGROUP_SOCKOPT_LIST, LIRC_MODE2_LIST, SK_BASE_LIST, SK_FILTER_LIST, CGROUP_SKB_LIST, CGROUP_SOCK_LIST, SOCK_ADDR_LIST,
    SOCK_OPS_LIST, SCHED_LIST, XDP_LIST, SK_MSG_LIST, SK_SKB_LIST, SK_REUSEPORT_LIST, SK_LOOKUP_LIST, FLOW_DISSECTOR_LIST,
    LWT_OUT_LIST, LWT_IN_LIST, LWT_XMIT_LIST, LWT_SEG6LOCAL_LIST,
};
// clang-format on
constexpr u32 LIST_COUNT = sizeof(LISTS) / sizeof(LISTS[0]);
static_assert(LIST_COUNT == LWT_SEG6LOCAL);

constexpr u32 MAX_CHAIN = 5;
struct Chain {
  u8 type;
  ListId lists[MAX_CHAIN];
};
/// EXT has none: its programs live under their target's type.
constexpr Chain CHAINS[] = {
    {BPF_PROG_TYPE_SOCKET_FILTER, {SK_FILTER, SK_BASE, BASE}},
    {BPF_PROG_TYPE_KPROBE, {KPROBE, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_SCHED_CLS, {SCHED, SK_BASE, BASE}},
    {BPF_PROG_TYPE_SCHED_ACT, {SCHED, SK_BASE, BASE}},
    {BPF_PROG_TYPE_TRACEPOINT, {TRACEPOINT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_XDP, {XDP, SK_BASE, BASE}},
    {BPF_PROG_TYPE_PERF_EVENT, {PERF_EVENT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_CGROUP_SKB, {CGROUP_COMMON, CGROUP_SKB, SK_FILTER, SK_BASE, BASE}},
    {BPF_PROG_TYPE_CGROUP_SOCK, {CGROUP_COMMON, CGROUP_CURRENT, CGROUP_SOCK, BASE}},
    {BPF_PROG_TYPE_LWT_IN, {LWT_IN, LWT_OUT, SK_BASE, BASE}},
    {BPF_PROG_TYPE_LWT_OUT, {LWT_OUT, SK_BASE, BASE}},
    {BPF_PROG_TYPE_LWT_XMIT, {LWT_XMIT, LWT_OUT, SK_BASE, BASE}},
    {BPF_PROG_TYPE_SOCK_OPS, {CGROUP_COMMON, SOCK_OPS, SK_BASE, BASE}},
    {BPF_PROG_TYPE_SK_SKB, {SK_SKB, SK_BASE, BASE}},
    {BPF_PROG_TYPE_CGROUP_DEVICE, {CGROUP_COMMON, CGROUP_CURRENT, CGROUP_DEVICE, BASE}},
    {BPF_PROG_TYPE_SK_MSG, {SK_MSG, SK_BASE, BASE}},
    {BPF_PROG_TYPE_RAW_TRACEPOINT, {RAW_TRACEPOINT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, {CGROUP_COMMON, CGROUP_CURRENT, SOCK_ADDR, SK_BASE, BASE}},
    {BPF_PROG_TYPE_LWT_SEG6LOCAL, {LWT_SEG6LOCAL, LWT_OUT, SK_BASE, BASE}},
    {BPF_PROG_TYPE_LIRC_MODE2, {LIRC_MODE2}},
    {BPF_PROG_TYPE_SK_REUSEPORT, {SK_REUSEPORT, BASE}},
    {BPF_PROG_TYPE_FLOW_DISSECTOR, {FLOW_DISSECTOR, SK_BASE, BASE}},
    {BPF_PROG_TYPE_CGROUP_SYSCTL, {CGROUP_COMMON, CGROUP_CURRENT, CGROUP_SYSCTL, BASE}},
    {BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, {RAW_TRACEPOINT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_CGROUP_SOCKOPT, {CGROUP_COMMON, CGROUP_CURRENT, CGROUP_SOCKOPT, BASE}},
    {BPF_PROG_TYPE_TRACING, {TRACING, RAW_TRACEPOINT, TRACING_COMMON, BASE, ITER}},
    {BPF_PROG_TYPE_STRUCT_OPS, {STRUCT_OPS, BASE}},
    {BPF_PROG_TYPE_LSM, {LSM, TRACING, RAW_TRACEPOINT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_SK_LOOKUP, {SK_LOOKUP, SK_BASE, BASE}},
    {BPF_PROG_TYPE_SYSCALL, {SYSCALL, TRACING, RAW_TRACEPOINT, TRACING_COMMON, BASE}},
    {BPF_PROG_TYPE_NETFILTER, {BASE}},
};

// What follows turns the lists into numbers at compile time: each proto once, each list sorted by helper. The agent carries these
// tables, so they hold few addresses: every one is a relocation.

constexpr u32 ALL_ROWS = [] {
  u32 n = 0;
  for (const List& list : LISTS) n += list.size;
  return n;
}();

/// Every proto that some list names, once.
struct Protos {
  const FuncProto* all[ALL_ROWS] = {};
  u32 count = 0;
  constexpr u32 find(const FuncProto* p) const noexcept {
    u32 i = 0;
    while (i < count && all[i] != p) ++i;
    return i;
  }
};
constexpr Protos PROTOS = [] {
  Protos protos;
  for (const List& list : LISTS)
    for (u32 i = 0; i < list.size; ++i)
      if (protos.find(list.rows[i].proto) == protos.count) protos.all[protos.count++] = list.rows[i].proto;
  return protos;
}();
static_assert(PROTOS.count <= 0xff, "a proto's number is a byte");

struct Table {
  FuncProto protos[PROTOS.count];
  FuncRow rows[ALL_ROWS];
  u16 starts[LIST_COUNT + 2];  ///< list i: rows starts[i] to starts[i + 1]; list 0 is empty
  ListId chains[MAX_BPF_PROG_TYPE_][MAX_CHAIN];
};

/// Puts a row in its place behind the `first`: by helper, rows of one helper as they are written.
constexpr void insert(FuncRow* rows, u32 first, u32 at, FuncRow row) noexcept {
  for (; at > first && rows[at - 1].id > row.id; --at) rows[at] = rows[at - 1];
  rows[at] = row;
}

constinit const Table TABLE = [] {
  Table t{};
  for (u32 i = 0; i < PROTOS.count; ++i) t.protos[i] = *PROTOS.all[i];
  u32 n = 0;
  for (u32 l = 0; l < LIST_COUNT; ++l) {
    const u32 first = n;
    t.starts[l + 1] = static_cast<u16>(first);
    for (u32 i = 0; i < LISTS[l].size; ++i, ++n) {
      const Opens& row = LISTS[l].rows[i];
      insert(t.rows, first, n, {static_cast<u8>(row.proto->id), static_cast<u8>(PROTOS.find(row.proto)), row.when});
    }
  }
  t.starts[LIST_COUNT + 1] = static_cast<u16>(n);
  for (const Chain& chain : CHAINS)
    for (u32 i = 0; i < MAX_CHAIN; ++i) t.chains[chain.type][i] = chain.lists[i];
  return t;
}();

FuncRows rows_of(ListId list, u64 id) noexcept {
  u32 low = TABLE.starts[list], high = TABLE.starts[list + 1];
  const u32 end = high;
  while (low < high) {
    const u32 middle = (low + high) / 2;
    if (TABLE.rows[middle].id < id)
      low = middle + 1;
    else
      high = middle;
  }
  while (high < end && TABLE.rows[high].id == id) ++high;
  return {&TABLE.rows[low], &TABLE.rows[high]};
}

}  // namespace

FuncRows func_rows(u64 id, u32 prog_type) noexcept {
  if (prog_type >= MAX_BPF_PROG_TYPE_) return {};
  for (const ListId list : TABLE.chains[prog_type]) {
    const FuncRows rows = list != NONE ? rows_of(list, id) : FuncRows{};
    if (rows.first != rows.last) return rows;
  }
  return {};
}

const FuncProto& func_row_proto(const FuncRow& row) noexcept { return TABLE.protos[row.proto]; }

const FuncProto* run_func_proto(u64 id, u32 prog_type) noexcept {
  for (const FuncRow& row : func_rows(id, prog_type))
    if (row.when != When::Never) return &func_row_proto(row);
  return nullptr;
}

}  // namespace skep
