// agent: execve. The new image gets the agent by LD_PRELOAD, whatever environment the program gave it. What cannot carry the agent is
// recognised before: it runs without, doctor is told, and as far as it can be prevented it does not reach the machine's own bpf(2).
#include "agent/agent.h"
#include "agent/image.h"

namespace skep::agent {
namespace {

constexpr u32 MAX_ENV = 3000;

struct Environment {
  const char* vars[MAX_ENV + 12];
  char preload[4096];
  char home[128];
  char signals[16];
};

bool names(const char* var, const char* name) {
  for (; *name != '\0'; ++var, ++name)
    if (*var != *name) return false;
  return *var == '=';
}

bool contains(const char* s, const char* part) {
  for (; *s != '\0'; ++s)
    if (starts_with(s, part)) return true;
  return false;
}

/// LD_PRELOAD with the agent in front, or with it taken out. `value` as the program has it, may be empty.
bool preload_value(char (&out)[4096], const char* value, bool with_agent) {
  out[0] = '\0';
  bool ok = append(out, sizeof out, "LD_PRELOAD=");
  if (with_agent) ok = ok && append(out, sizeof out, session.agent_path);
  bool first = !with_agent;
  while (*value != '\0') {
    char part[2048];
    u64 n = 0;
    while (*value == ':' || *value == ' ') ++value;
    while (*value != '\0' && *value != ':' && *value != ' ' && n + 1 < sizeof part) part[n++] = *value++;
    part[n] = '\0';
    if (n == 0 || contains(part, "libskep-agent.so")) continue;
    if (!first) ok = ok && append(out, sizeof out, ":");
    ok = ok && append(out, sizeof out, part);
    first = false;
  }
  return ok;
}

/// False when the program's environment cannot be carried over (unreadable, too large): it is then passed as it is.
bool build_environment(Environment& e, u64 envp, bool with_agent) {
  u32 n = 0;
  bool have_session = false, have_liveness = false, have_token = false, have_fake_root = false;
  const char* old_preload = "";
  for (u64 at = envp; envp != 0; at += 8) {
    u64 p;
    if (read_user(&p, at, 8) != 0) return false;
    if (p == 0) break;
    char head[16] = {};
    read_user_string(head, sizeof head - 1, p);  // cut is fine: names only
    const char* var = reinterpret_cast<const char*>(p);
    if (starts_with(head, "LD_PRELOAD=")) {
      old_preload = var + 11;
      continue;
    }
    if (names(head, "SKEP_SIGNALS") || names(head, "SKEP_SECCOMP")) continue;  // of the image that goes
    if (names(head, "SKEP_FAKE_ROOT")) {
      if (session.fake_root == FakeRoot::GivenUp) continue;
      have_fake_root = true;
    }
    if (names(head, "SKEP_SESSION")) have_session = true;
    if (names(head, "SKEP_LIVENESS")) have_liveness = true;
    if (names(head, "SKEP_TOKEN")) have_token = true;
    if (n >= MAX_ENV) return false;
    e.vars[n++] = var;
  }
  if (!preload_value(e.preload, old_preload, with_agent)) return false;
  if (e.preload[11] != '\0') e.vars[n++] = e.preload;
  if (!have_session) {
    e.home[0] = '\0';
    append(e.home, sizeof e.home, "SKEP_SESSION=");
    append(e.home, sizeof e.home, session.dir);
    e.vars[n++] = e.home;
    if (!have_liveness && session.liveness_var[0] != '\0') e.vars[n++] = session.liveness_var;
    if (!have_token && session.token_var[0] != '\0') e.vars[n++] = session.token_var;
  }
  if (session.fake_root == FakeRoot::On && !have_fake_root) e.vars[n++] = "SKEP_FAKE_ROOT=1";
  if (session.seccomp) e.vars[n++] = "SKEP_SECCOMP=1";  // the filter goes on, and the new image cannot see its coming
  if (const char s = inheritable_signals(); s != '\0') {
    e.signals[0] = '\0';
    append(e.signals, sizeof e.signals, "SKEP_SIGNALS=");
    e.signals[13] = s;
    e.signals[14] = '\0';
    e.vars[n++] = e.signals;
  }
  e.vars[n] = nullptr;
  return true;
}

void tell(Image image, const char* path) {
  char line[512];
  line[0] = '\0';
  append(line, sizeof line, "runs untraced: ");
  append(line, sizeof line, path);
  append(line, sizeof line, ": ");
  append(line, sizeof line, image_text(image));
  note(line);
}

s64 exec_image(u32 nr, s32 dirfd, u64 path, u64 argv, u64 envp, u64 flags) {
  char name[4096];
  const s64 n = copy_path(name, path);
  if (n < 0) return n;
  const Image image = classify_image(dirfd, name, flags);
  if (image != Image::Traced) {
    tell(image, name);
    fence_image(image);
  }
  // A loader that would choke on the agent does not get it; a static program passes it on to its children.
  const bool with_agent = image == Image::Traced || image == Image::Static || image == Image::Secure;
  Environment env;
  const u64 to = build_environment(env, envp, with_agent) ? reinterpret_cast<u64>(env.vars) : envp;
  return nr == NR_execve ? sys(NR_execve, path, argv, to) : sys(NR_execveat, dirfd, path, argv, to, flags);
}

}  // namespace

void on_execve(TrapFrame* f) {
  if (session.active) f->answer(exec_image(NR_execve, AT_FDCWD_, f->di, f->si, f->dx, 0));
}
void on_execveat(TrapFrame* f) {
  if (session.active) f->answer(exec_image(NR_execveat, static_cast<s32>(f->di), f->si, f->dx, f->r10, f->r8));
}

}  // namespace skep::agent
