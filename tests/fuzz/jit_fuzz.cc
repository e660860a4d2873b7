// tests/fuzz: random programs, interpreted and compiled: the same results, or it is shown, shrunk, with its IR.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>

#include "executors.h"
#include "generator.h"
#include "jit/compile.h"

namespace skep::fuzz {
namespace {

struct Options {
  u64 seed = 1, count = 0;
  double seconds = 10;
  u32 failures = 1, runs = 8;
  std::string seeds;
  bool show = false;
};

struct Tally {
  u64 programs = 0, accepted = 0, compared = 0;
  u32 failed = 0;
};

void show_forms(World& world, const Program& program) {
  VerifierLog log(0, 0);
  const Result<VerifiedProg> verified = verify(world.input(program), log);
  if (!verified.ok()) return;
  const std::unique_ptr<Runnable> runnable = world.link(*verified);
  Program rewritten = program;
  rewritten.insns = runnable->insns;
  fmt::print("rewritten:\n{}", to_text(rewritten));
  const Result<std::vector<jit::Function>> functions = jit::build_functions(world.jit_input(*runnable));
  if (!functions.ok()) return;
  for (const jit::Function& f : *functions) fmt::print("IR:\n{}{}\n", jit::print(f), jit::check(f));
}

void one(Executors& executors, u64 seed, const Options& o, Tally& tally) {
  const Program program = generate(seed);
  const Comparison c = executors.compare(program, seed, o.runs);
  ++tally.programs;
  tally.accepted += c.error == 0;
  tally.compared += c.compared;
  if (o.show) {
    fmt::print("seed {}\n{}", seed, to_text(program));
    show_forms(executors.world(), program);
  }
  if (c.failure.empty()) return;
  ++tally.failed;
  const Program small = executors.shrink(program, seed, o.runs, c.failure);
  const Comparison again = executors.compare(small, seed, o.runs);
  fmt::print("FAILED seed {}: {}\n{}\n{}", seed, c.failure, again.detail, to_text(small));
  show_forms(executors.world(), small);
}

/// Seeds that ever failed: "SEED  what it was" a line.
void replay(Executors& executors, const Options& o, Tally& tally) {
  std::ifstream in(o.seeds);
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') one(executors, std::stoull(line), o, tally);
}

int run(const Options& o) {
  Executors executors;
  Tally tally;
  if (!o.seeds.empty()) replay(executors, o, tally);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(o.seconds);
  for (u64 i = 0; tally.failed < o.failures && (o.count != 0 ? i < o.count : std::chrono::steady_clock::now() < end); ++i)
    one(executors, o.seed + i, o, tally);
  fmt::print("{} programs, {} accepted, {} compiled runs held against interpreted ones, {} failed\n", tally.programs, tally.accepted,
             tally.compared, tally.failed);
  return tally.failed != 0 || (tally.programs > 200 && tally.compared < tally.programs) ? 1 : 0;
}

}  // namespace
}  // namespace skep::fuzz

int main(int argc, char** argv) {
  skep::fuzz::Options o;
  CLI::App app{"Random programs, interpreted and compiled"};
  app.add_option("--seed", o.seed, "the first")->capture_default_str();
  app.add_option("--count", o.count, "programs; 0: as many as --seconds allows");
  app.add_option("--seconds", o.seconds, "time to take without --count")->capture_default_str();
  app.add_option("--runs", o.runs, "of each program")->capture_default_str();
  app.add_option("--failures", o.failures, "stop after so many")->capture_default_str();
  app.add_option("--seeds", o.seeds, "a file of seeds to begin with");
  app.add_flag("--show", o.show, "print every program and what it becomes");
  CLI11_PARSE(app, argc, argv);
  return skep::fuzz::run(o);
}
