#include "syscall/dispatch.h"

#include <fmt/format.h>

#include "syscall/attr.h"
#include "syscall/commands.h"

namespace skep {
namespace {

struct Entry {
  const char* name;
  Command run;           ///< null: not here yet
  std::size_t attr_end;  ///< end of the command's last attr field: CHECK_ATTR
};

constexpr std::size_t LINK_CREATE_END = 60;  // link_create.uprobe_multi.pid, the last field of 6.12's union

/// Indexed by bpf_cmd. The one list of commands: dispatch, and what is refused.
const Entry COMMANDS[MAX_BPF_CMD_] = {
    {"BPF_MAP_CREATE", map_create, SKEP_ATTR_END(map_create, map_token_fd)},
    {"BPF_MAP_LOOKUP_ELEM", map_lookup_elem, SKEP_ATTR_END(elem, flags)},
    {"BPF_MAP_UPDATE_ELEM", map_update_elem, SKEP_ATTR_END(elem, flags)},
    {"BPF_MAP_DELETE_ELEM", map_delete_elem, SKEP_ATTR_END(elem, key)},
    {"BPF_MAP_GET_NEXT_KEY", map_get_next_key, SKEP_ATTR_END(elem, value)},
    {"BPF_PROG_LOAD", prog_load, SKEP_ATTR_END(prog_load, prog_token_fd)},
    {"BPF_OBJ_PIN", obj_pin, SKEP_ATTR_END(obj, path_fd)},
    {"BPF_OBJ_GET", obj_get, SKEP_ATTR_END(obj, path_fd)},
    {"BPF_PROG_ATTACH", nullptr, 0},
    {"BPF_PROG_DETACH", nullptr, 0},
    {"BPF_PROG_TEST_RUN", prog_test_run, SKEP_ATTR_END(test, batch_size)},
    {"BPF_PROG_GET_NEXT_ID", prog_get_next_id, SKEP_ATTR_END(get_id, next_id)},
    {"BPF_MAP_GET_NEXT_ID", map_get_next_id, SKEP_ATTR_END(get_id, next_id)},
    {"BPF_PROG_GET_FD_BY_ID", prog_get_fd_by_id, SKEP_ATTR_END(get_id, id)},
    {"BPF_MAP_GET_FD_BY_ID", map_get_fd_by_id, SKEP_ATTR_END(get_id, open_flags)},
    {"BPF_OBJ_GET_INFO_BY_FD", obj_get_info_by_fd, SKEP_ATTR_END(info, info)},
    {"BPF_PROG_QUERY", nullptr, 0},
    {"BPF_RAW_TRACEPOINT_OPEN", raw_tracepoint_open, SKEP_ATTR_END(raw_tracepoint, cookie)},
    {"BPF_BTF_LOAD", btf_load, SKEP_ATTR_END(btf_load, btf_token_fd)},
    {"BPF_BTF_GET_FD_BY_ID", btf_get_fd_by_id, SKEP_ATTR_END(get_id, id)},
    {"BPF_TASK_FD_QUERY", task_fd_query, SKEP_ATTR_END(task_fd_query, probe_addr)},
    {"BPF_MAP_LOOKUP_AND_DELETE_ELEM", map_lookup_and_delete_elem, SKEP_ATTR_END(elem, flags)},
    {"BPF_MAP_FREEZE", map_freeze, SKEP_ATTR_END(elem, map_fd)},
    {"BPF_BTF_GET_NEXT_ID", btf_get_next_id, SKEP_ATTR_END(get_id, next_id)},
    {"BPF_MAP_LOOKUP_BATCH", map_lookup_batch, SKEP_ATTR_END(batch, flags)},
    {"BPF_MAP_LOOKUP_AND_DELETE_BATCH", map_lookup_and_delete_batch, SKEP_ATTR_END(batch, flags)},
    {"BPF_MAP_UPDATE_BATCH", map_update_batch, SKEP_ATTR_END(batch, flags)},
    {"BPF_MAP_DELETE_BATCH", map_delete_batch, SKEP_ATTR_END(batch, flags)},
    {"BPF_LINK_CREATE", link_create, LINK_CREATE_END},
    {"BPF_LINK_UPDATE", link_update, SKEP_ATTR_END(link_update, old_prog_fd)},
    {"BPF_LINK_GET_FD_BY_ID", link_get_fd_by_id, SKEP_ATTR_END(get_id, id)},
    {"BPF_LINK_GET_NEXT_ID", link_get_next_id, SKEP_ATTR_END(get_id, next_id)},
    {"BPF_ENABLE_STATS", nullptr, 0},
    {"BPF_ITER_CREATE", nullptr, 0},
    {"BPF_LINK_DETACH", link_detach, SKEP_ATTR_END(link_detach, link_fd)},
    {"BPF_PROG_BIND_MAP", prog_bind_map, SKEP_ATTR_END(prog_bind_map, flags)},
    {"BPF_TOKEN_CREATE", nullptr, 0},
};

/// Bytes of a larger attr than we know must be zero. Linux: syscall.c:bpf_check_uarg_tail_zero(), include/linux/bpfptr.h
Status check_tail(CallContext& ctx, u64 addr, u32 size) {
  if (size > PAGE_SIZE) return Errno(E2BIG);
  if (size <= sizeof(bpf_attr)) return ok_status();
  u8 tail[PAGE_SIZE];
  const u32 n = size - static_cast<u32>(sizeof(bpf_attr));
  TRY(ctx.mem.read(tail, addr + sizeof(bpf_attr), n));
  for (u32 i = 0; i < n; ++i)
    if (tail[i] != 0) return Errno(E2BIG);
  return ok_status();
}

Result<s64> run(CallContext& ctx, u32 cmd, u64 addr, u32 size) {
  TRY(check_tail(ctx, addr, size));
  bpf_attr attr{};
  TRY(ctx.mem.read(&attr, addr, std::min<u64>(size, sizeof attr)));
  if (cmd >= MAX_BPF_CMD_) {
    ctx.kernel.doctor.note(fmt::format("bpf command {}: not in Linux 6.12: EINVAL", cmd));
    return Errno(EINVAL);
  }
  const Entry& e = COMMANDS[cmd];
  if (e.run == nullptr) {
    ctx.kernel.doctor.note(fmt::format("{}: not here yet: EINVAL", e.name));
    return Errno(EINVAL);
  }
  if (!attr_tail_is_zero(attr, e.attr_end)) return Errno(EINVAL);
  return e.run(ctx, attr, UserAttr{addr, size});
}

}  // namespace

Result<std::shared_ptr<File>> CallContext::file(s32 fd) {
  const FdIdentity id = TRY(fds.identify(fd));
  const auto it = kernel.files.find(id.ino);
  if (it == kernel.files.end() || it->second->dev != id.dev) return Errno(EINVAL);
  return it->second;
}

const char* bpf_cmd_name(u32 cmd) { return cmd < MAX_BPF_CMD_ ? COMMANDS[cmd].name : "BPF_?"; }

s64 skep_bpf(CallContext& ctx, u32 cmd, u64 attr_addr, u32 size) {
  const Result<s64> r = run(ctx, cmd, attr_addr, size);
  return r.ok() ? *r : -s64{r.error().value()};
}

}  // namespace skep
