// cli: the `skep` command.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstring>

#include "cli/run.h"
#include "cli/session.h"
#include "cli/worker.h"

namespace {

int print_counts(const std::string& session) {
  for (const std::string& dir : skep::cli::live_sessions()) {
    if (skep::cli::session_name(dir) != session) continue;
    std::string payload;
    skep::WireCounts c{};
    if (skep::cli::ask_host(dir, skep::WireOp::Counts, &payload, nullptr) != 0 || payload.size() != sizeof c) return 1;
    std::memcpy(&c, payload.data(), sizeof c);
    fmt::print("maps {} progs {} btfs {} links {} files {} pins {} attachments {}\n", c.maps, c.progs, c.btfs, c.links, c.files, c.pins,
               c.attachments);
    return 0;
  }
  fmt::print(stderr, "skep: there is no session {}\n", session);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "worker") return skep::cli::worker_main(std::atoi(argv[2]));
  CLI::App app{"skep: a private bpf(2) for any command, in user space"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("skep ") + SKEP_VERSION);
  app.failure_message([](const CLI::App*, const CLI::Error& e) { return fmt::format("skep: {} (skep --help shows how)\n", e.what()); });

  skep::cli::RunOptions run_options;
  CLI::App* run = app.add_subcommand("run", "run a command in a private bpf(2)");
  run->add_option("--session", run_options.session, "join the session of this name, or start it");
  bool no_jit = false;
  run->add_flag("--no-jit", no_jit, "interpret programs instead of compiling them, in a session that this starts");
  run->add_flag("--perf-map", run_options.perf_map, "write /tmp/perf-PID.map for perf(1), in a session that this starts");
  run->add_flag("--gdb-jit", run_options.gdb_jit, "show gdb(1) compiled programs, in a session that this starts");
  constexpr const char* FAKE_ROOT = "tell the command and its children that they are root; some tools refuse to begin otherwise";
  run->add_flag("--fake-root", run_options.fake_root, FAKE_ROOT);
  run->add_option("command", run_options.command, "the command and its arguments, after --")->required();

  std::string session;
  CLI::App* doctor = app.add_subcommand("doctor", "what this machine allows, and what was asked for and refused");
  doctor->add_option("--session", session, "only this session");
  skep::cli::RunOptions explain_options;
  bool json = false;
  CLI::App* explain = app.add_subcommand("explain", "why programs were refused: of a command that it runs, or of running sessions");
  explain->add_option("--session", explain_options.session, "the session; with a command: join it, or start it");
  explain->add_flag("--json", json, "one JSON object a line");
  explain->add_flag("--fake-root", explain_options.fake_root, FAKE_ROOT);
  explain->add_option("command", explain_options.command, "a command to run, and its arguments, after --");
  CLI::App* counts = app.add_subcommand("counts", "how many objects a session has");
  counts->add_option("--session", session, "the session")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 125;
  }
  run_options.jit = !no_jit;
  if (run->parsed()) return skep::cli::run_command(run_options);
  if (doctor->parsed()) return skep::cli::run_doctor(session);
  if (explain->parsed()) {
    explain_options.explain = json ? skep::cli::Explain::Json : skep::cli::Explain::Text;
    if (explain_options.command.empty()) return skep::cli::explain_sessions(explain_options.session, explain_options.explain);
    return skep::cli::run_command(explain_options);
  }
  return print_counts(session);
}
