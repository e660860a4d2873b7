// agent: the start of an image: before other libraries' constructors and before there are threads (linked with -z initfirst).
#include "agent/agent.h"
#include "agent/divert.h"
#include "agent/image.h"
#include "agent/run_env.h"
#include "agent/vdso.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "jit/gates.h"
#include "jit/run.h"

namespace skep::agent {

constinit Session session{};
constinit Process* process = nullptr;
__thread constinit Thread thread __attribute__((tls_model("initial-exec"))) = {};

namespace {

const char* find_env(const char* const* envp, const char* name) {
  const u64 n = length_of(name);
  for (; *envp != nullptr; ++envp)
    if (starts_with(*envp, name) && (*envp)[n] == '=') return *envp + n + 1;
  return nullptr;
}

/// What the kernel told this image at its start under that name, 0 when nothing. Source: getauxval(3)
u64 auxiliary_value(const char* const* envp, u64 type) {
  while (*envp != nullptr) ++envp;
  auto* aux = reinterpret_cast<const u64*>(envp + 1);
  while (aux[0] != 0 && aux[0] != type) aux += 2;
  return aux[0] == 0 ? 0 : aux[1];
}

/// The component of LD_PRELOAD that is us.
bool find_agent_path(const char* preload) {
  while (preload != nullptr && *preload != '\0') {
    u64 n = 0;
    while (*preload == ':' || *preload == ' ') ++preload;
    char* out = session.agent_path_buf;
    while (*preload != '\0' && *preload != ':' && *preload != ' ' && n + 1 < sizeof session.agent_path_buf) out[n++] = *preload++;
    out[n] = '\0';
    if (n >= 16 && same(out + n - 16, "libskep-agent.so")) {
      session.agent_path = out;
      return true;
    }
  }
  return false;
}

bool map_window(const WireHello& h, s32 rom, s32 ram) {
  constexpr u64 SHARED_NORESERVE = 0x4001, PRIVATE_ANON_NORESERVE = 0x4022;
  if (!map_at(h.rom_base, h.rom_size, 1, SHARED_NORESERVE, rom, 0)) return false;
  if (!map_at(h.ram_base, h.ram_size, 3, SHARED_NORESERVE, ram, 0) ||
      !map_at(h.ring_base, h.ring_size, 0, PRIVATE_ANON_NORESERVE, -1, 0))
    return false;
  sys(NR_madvise, h.rom_base, h.rom_size, 16 /* MADV_DONTDUMP */);
  sys(NR_madvise, h.ram_base, h.ram_size, 16);
  auto* rom_header = reinterpret_cast<RomHeader*>(h.rom_base);
  if (rom_header->magic != WINDOW_MAGIC || rom_header->version != WINDOW_VERSION) return false;
  session.window = Window{rom_header, reinterpret_cast<RamHeader*>(h.ram_base)};
  return true;
}

/// The machine code of programs. False: this process may not map what is executable, or not there; programs are interpreted then.
bool map_code(const WireHello& h, s32 code) {
  constexpr u64 SHARED_NORESERVE = 0x4001, PRIVATE_ANON_FIXED = 0x32;
  if (!map_at(h.code_base, h.code_size, 5 /* READ | EXEC */, SHARED_NORESERVE, code, 0)) return false;
  sys(NR_madvise, h.code_base, h.code_size, 16 /* MADV_DONTDUMP */);
  const bool own = static_cast<u64>(sys(NR_mmap, h.code_base, GATES_SIZE, 3, PRIVATE_ANON_FIXED, -1, 0)) == h.code_base;
  if (own) {
    fill_gates(reinterpret_cast<u64*>(h.code_base));
    fill_own_gates(reinterpret_cast<u64*>(h.code_base));
    if (sys(NR_mprotect, h.code_base, GATES_SIZE, 1) == 0) return true;
  }
  sys(NR_munmap, h.code_base, h.code_size);
  return false;
}

bool make_process_page() {
  const s64 p = sys(NR_mmap, 0, PAGE_SIZE, 3, 0x22, -1, 0);
  if (p < 0 && p > -4096) return false;
  process = reinterpret_cast<Process*>(p);
  return sys(NR_madvise, p, PAGE_SIZE, 18 /* MADV_WIPEONFORK */) == 0;
}

void find_liveness(const char* text) {
  session.liveness = -1;
  s32 fd = 0;
  if (text == nullptr || *text == '\0') return;
  append(session.liveness_var, sizeof session.liveness_var, "SKEP_LIVENESS=");
  append(session.liveness_var, sizeof session.liveness_var, text);
  for (; *text >= '0' && *text <= '9' && fd < 1 << 20; ++text) fd = fd * 10 + (*text - '0');
  FdStat st;
  if (stat_fd(fd, &st) == 0 && (st.mode & 0170000) == 0010000) session.liveness = fd;
}

void find_token(const char* text) {
  if (text == nullptr) return;
  append(session.token_var, sizeof session.token_var, "SKEP_TOKEN=");
  append(session.token_var, sizeof session.token_var, text);
  for (u32 i = 0; i < 32 && text[i] != '\0'; ++i) {
    const char c = text[i];
    const u64 digit = static_cast<u64>(c >= 'a' ? c - 'a' + 10 : c - '0') & 15;
    session.token[i / 16] = session.token[i / 16] << 4 | digit;
  }
}

void find_fake_root(const char* text) {
  if (text != nullptr && *text != '\0' && !same(text, "0")) session.fake_root = FakeRoot::On;
}

/// False: this process runs untraced.
bool start(const char* const* envp, const char* dir) {
  if (!find_agent_path(find_env(envp, "LD_PRELOAD"))) return false;
  session.inherited_control = -1;
  if (!append(session.dir, sizeof session.dir, dir) || !make_process_page() || !map_stacks()) return false;
  process->pid = static_cast<s32>(sys(NR_getpid));
  session.seccomp = find_env(envp, "SKEP_SECCOMP") != nullptr;
  find_liveness(find_env(envp, "SKEP_LIVENESS"));
  find_token(find_env(envp, "SKEP_TOKEN"));
  find_fake_root(find_env(envp, "SKEP_FAKE_ROOT"));
  find_vdso(envp);
  take_fault_signals();
  inherit_signals(find_env(envp, "SKEP_SIGNALS"));
  WireHello h{};
  HostCall c{};
  c.payload = &h;
  c.payload_cap = sizeof h;
  if (connect_host(true, &c) != 0) return false;
  append(session.virtual_root, sizeof session.virtual_root, h.virtual_root);
  bool diverted = false;
  const bool mapped = c.n_fds >= 3 && map_window(h, c.fds[0], c.fds[1]);
  if (mapped) {
    session.active = true;
    code_is_mapped = c.n_fds == 4 && map_code(h, c.fds[3]);
    if (!code_is_mapped && h.code_size != 0) note("programs are interpreted in a process that cannot map their machine code (a filter, SELinux?)");
    fill_table();
    sync_ring_maps();
    // From the next line on libc's system calls come through skep_trap_entry().
    diverted = divert_libc(h.libc, c.fds[2]);
    if (diverted) {
      divert_loader(auxiliary_value(envp, 7 /* AT_BASE */), h.loader, c.fds[2]);
      skep_interest_session = session.window.rom->interest;
    } else {
      note("runs untraced: the libc of a process is not the one this session knows, or its memory leaves no room for stubs");
    }
  } else {
    session.active = true;
    note("runs untraced: a process has no room for the session window (address space limit?)");
    session.active = false;
  }
  for (u32 i = 0; i < c.n_fds; ++i) sys(NR_close, c.fds[i]);
  if (diverted) fire_exec_exit(reinterpret_cast<const char*>(auxiliary_value(envp, 31 /* AT_EXECFN */)));
  return diverted;
}

}  // namespace
}  // namespace skep::agent

extern "C" __attribute__((constructor, visibility("hidden"))) void skep_agent_start(int, char**, char** envp) {
  using namespace skep::agent;
  const char* dir = find_env(envp, "SKEP_SESSION");
  if (dir == nullptr || *dir == '\0') return;
  // It was to be traced and is not: at least it does not reach the machine's own bpf(2).
  if (!start(envp, dir)) fence_image(Image::Static);
}
