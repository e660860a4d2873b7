// agent: the start of an image: before other libraries' constructors and before there are threads (linked with -z initfirst).
#include "agent/agent.h"
#include "agent/image.h"
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

// What ld.so shows of its list of objects. Source: <link.h>
struct LinkMap {
  u64 addr;
  const char* name;
  void* dynamic;
  LinkMap* next;
};
struct RDebug {
  s32 version;
  LinkMap* map;
};
extern "C" RDebug _r_debug __attribute__((weak));

const char* find_env(const char* const* envp, const char* name) {
  const u64 n = length_of(name);
  for (; *envp != nullptr; ++envp)
    if (starts_with(*envp, name) && (*envp)[n] == '=') return *envp + n + 1;
  return nullptr;
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

bool map_at(u64 addr, u64 size, u64 prot, u64 flags, s32 fd, u64 offset) {
  constexpr u64 FIXED_NOREPLACE = 0x100000;
  return static_cast<u64>(sys(NR_mmap, addr, size, prot, flags | FIXED_NOREPLACE, fd, offset)) == addr;
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
    if (sys(NR_mprotect, h.code_base, GATES_SIZE, 1) == 0) return true;
  }
  sys(NR_munmap, h.code_base, h.code_size);
  return false;
}

bool same_build(u64 base, const WireHello& h) {
  const auto* ehdr = reinterpret_cast<const u8*>(base);
  u64 phoff;
  u16 phnum;
  copy_bytes(&phoff, ehdr + 32, 8);
  copy_bytes(&phnum, ehdr + 56, 2);
  for (u32 i = 0; i < phnum; ++i) {
    const u8* ph = ehdr + phoff + i * 56u;
    u32 type;
    u64 vaddr, size;
    copy_bytes(&type, ph, 4);
    copy_bytes(&vaddr, ph + 16, 8);
    copy_bytes(&size, ph + 40, 8);
    if (type != 4 /* PT_NOTE */) continue;
    for (u64 at = 0; at + 12 <= size;) {
      u32 head[3];  // name size, desc size, type
      copy_bytes(head, reinterpret_cast<const u8*>(base) + vaddr + at, sizeof head);
      const u8* name = reinterpret_cast<const u8*>(base) + vaddr + at + 12;
      const u8* desc = name + round_up(u64{head[0]}, 4);
      if (head[2] == 3 && head[0] == 4 && name[0] == 'G' && head[1] == h.build_id_len) return equal_bytes(desc, h.build_id, h.build_id_len);
      at += 12 + round_up(u64{head[0]}, 4) + round_up(u64{head[1]}, 4);
    }
  }
  return false;
}

u64 find_libc() {
  if (&_r_debug == nullptr) return 0;
  for (const LinkMap* m = _r_debug.map; m != nullptr; m = m->next) {
    const u64 n = length_of(m->name);
    if (n >= 9 && same(m->name + n - 9, "libc.so.6")) return m->addr;
  }
  return 0;
}

/// Puts the patched text over libc's. There is one thread and no code of libc's is running. All or nothing: the jumps come last.
bool divert_libc(const WireHello& h, s32 image) {
  const u64 base = find_libc();
  if (base == 0 || h.text_size == 0 || !same_build(base, h)) return false;
  const u64 stubs = base + static_cast<u64>(h.stub_delta), slots = base + h.slot_page;
  if (!map_at(stubs, h.stubs_size, 5, 2 /* PRIVATE */, image, h.stubs_file_offset)) return false;
  if (!map_at(slots, PAGE_SIZE, 3, 0x22, -1, 0)) {
    sys(NR_munmap, stubs, h.stubs_size);
    return false;
  }
  *reinterpret_cast<u64*>(slots) = reinterpret_cast<u64>(&skep_trap_entry);
  sys(NR_mprotect, slots, PAGE_SIZE, 1);
  const u64 text = base + h.text_vaddr;
  return static_cast<u64>(sys(NR_mmap, text, h.text_size, 5, 0x12 /* PRIVATE|FIXED */, image, h.text_file_offset)) == text;
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

/// False: this process runs untraced.
bool start(const char* const* envp, const char* dir) {
  if (!find_agent_path(find_env(envp, "LD_PRELOAD"))) return false;
  session.inherited_control = -1;
  if (!append(session.dir, sizeof session.dir, dir) || !make_process_page() || !map_stacks()) return false;
  process->pid = static_cast<s32>(sys(NR_getpid));
  session.seccomp = find_env(envp, "SKEP_SECCOMP") != nullptr;
  find_liveness(find_env(envp, "SKEP_LIVENESS"));
  find_token(find_env(envp, "SKEP_TOKEN"));
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
    diverted = divert_libc(h, c.fds[2]);
    if (diverted)
      skep_interest_session = session.window.rom->interest;
    else
      note("runs untraced: the libc of a process is not the one this session knows, or its memory leaves no room for stubs");
  } else {
    session.active = true;
    note("runs untraced: a process has no room for the session window (address space limit?)");
    session.active = false;
  }
  for (u32 i = 0; i < c.n_fds; ++i) sys(NR_close, c.fds[i]);
  if (diverted) fire_exec_exit();
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
