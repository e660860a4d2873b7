#include "agent/run_bpf.h"

#include "agent/agent.h"
#include "agent/fd_table.h"
#include "base/atomic.h"

namespace skep::agent {

s64 bpf_of_run(u32 cmd, u64 attr, u32 size) {
  HostCall c{};
  c.op = WireOp::Bpf;
  c.a[0] = cmd;
  c.a[1] = attr;
  c.a[2] = size;
  const s64 rc = host_call(c);
  if (rc < 0 || c.n_fds == 0) return rc;
  store_relaxed(&bpf_client, 1);
  fd_table_forget(c.fds[0]);  // the number's last file was closed where nobody saw it
  return c.fds[0];
}

s64 close_of_run(s32 fd) {
  if (own_fd(fd)) return -EBADF_;
  fd_table_forget(fd);
  const s64 rc = sys(NR_close, fd);
  fd_table_forget(fd);
  HostCall sync{};
  sync.op = WireOp::Sync;
  host_call(sync);
  return rc;
}

s64 find_symbol(const char* name, u32 kind, u64* address) {
  HostCall c{};
  c.op = WireOp::FindSymbol;
  c.a[0] = reinterpret_cast<u64>(name);
  c.a[1] = kind;
  c.payload = address;
  c.payload_cap = sizeof *address;
  return host_call(c);
}

}  // namespace skep::agent
