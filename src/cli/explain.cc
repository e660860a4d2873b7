// cli: `skep explain`: why programs were refused. The sessions' hosts know; this asks and prints.
#include <fmt/format.h>

#include "cli/run.h"
#include "cli/session.h"

namespace skep::cli {

u64 refusal_count(const std::string& dir) {
  const s64 n = ask_host(dir, WireOp::Explain, nullptr, nullptr, ~0ULL);  // none is that new
  return n < 0 ? 0 : static_cast<u64>(n);
}

void explain_since(const std::string& dir, u64 before, Explain how) {
  std::string text;
  if (ask_host(dir, WireOp::Explain, &text, nullptr, before + 1, how == Explain::Json ? 1 : 0) >= 0) fmt::print(stderr, "{}", text);
}

int explain_sessions(const std::string& session, Explain how) {
  bool found = false;
  for (const std::string& dir : live_sessions()) {
    if (!session.empty() && session_name(dir) != session) continue;
    found = true;
    std::string text;
    const s64 n = ask_host(dir, WireOp::Explain, &text, nullptr, 1, how == Explain::Json ? 1 : 0);
    if (how == Explain::Text && session.empty()) fmt::print("session {}\n\n", session_name(dir));
    if (n == 0 && how == Explain::Text) text = "no program was refused\n";
    fmt::print("{}", n < 0 ? "does not answer\n" : text);
  }
  if (found) return 0;
  if (session.empty()) {
    if (how == Explain::Text) fmt::print("no session is running\n");
    return 0;
  }
  fmt::print(stderr, "skep: there is no session {} (skep doctor lists them)\n", session);
  return 1;
}

}  // namespace skep::cli
