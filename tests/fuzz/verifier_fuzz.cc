// tests/fuzz: random programs against the verifier's word, until told to stop. Exits 1 when one failed, after showing it shrunk.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <map>

#include "generator.h"
#include "oracle.h"

namespace skep::fuzz {
namespace {

struct Options {
  u64 seed = 1, count = 0;
  double seconds = 10;
  u32 failures = 1;
  std::string seeds, save;
  bool show = false;
};

struct Tally {
  u64 programs = 0, accepted = 0, compared = 0, ran = 0, steps = 0;
  u32 failed = 0;
  std::map<int, u64> errors;

  void add(const Judgement& j) {
    ++programs;
    accepted += j.error == 0;
    compared += j.claims_held;
    ran += j.ran;
    steps += j.steps;
    ++errors[j.error];
  }
  void print() const {
    fmt::print("{} programs, {} accepted, {} of them ran to an end, {} compared over {} steps, {} failed\n", programs, accepted,
               ran, compared, steps, failed);
    for (const auto& [error, n] : errors)
      if (error != 0)
        fmt::print("  refused with {}: {}\n", strerrorname_np(error) != nullptr ? strerrorname_np(error) : std::to_string(error),
                   n);
  }
};

void report(World& world, const Program& program, u64 seed, const Judgement& j, const Effort& effort, const Options& o) {
  const Program small = shrink(world, program, seed, effort, j.failure);
  const Judgement again = judge(world, small, seed, effort);
  fmt::print("FAILED seed {}: {}\n{}\n{}", seed, j.failure, again.detail, to_text(small));
  fmt::print("verifier:\n{}\n", verifier_log(world, small, nullptr));
  if (!o.save.empty()) std::ofstream(fmt::format("{}/seed-{}", o.save, seed), std::ios::binary) << to_bytes(small);
}

void one(World& world, u64 seed, const Options& o, Tally& tally) {
  const Effort effort;
  const Program program = generate(seed);
  const Judgement j = judge(world, program, seed, effort);
  tally.add(j);
  if (o.show) {
    int error = 0;
    fmt::print("seed {}\n{}{}\n", seed, to_text(program), verifier_log(world, program, &error));
  }
  if (j.failure.empty()) return;
  ++tally.failed;
  report(world, program, seed, j, effort, o);
}

/// Seeds that ever failed: "SEED  what it was" a line.
void replay(World& world, const Options& o, Tally& tally) {
  std::ifstream in(o.seeds);
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') one(world, std::stoull(line), o, tally);
}

int run(const Options& o) {
  World world;
  Tally tally;
  if (!o.seeds.empty()) replay(world, o, tally);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(o.seconds);
  for (u64 i = 0; tally.failed < o.failures && (o.count != 0 ? i < o.count : std::chrono::steady_clock::now() < end); ++i)
    one(world, o.seed + i, o, tally);
  tally.print();
  if (tally.programs > 200 && tally.accepted * 5 < tally.programs) fmt::print("too few are accepted for this to mean much\n");
  return tally.failed != 0 || (tally.programs > 200 && tally.accepted * 5 < tally.programs) ? 1 : 0;
}

}  // namespace
}  // namespace skep::fuzz

int main(int argc, char** argv) {
  skep::fuzz::Options o;
  CLI::App app{"Random programs against the verifier's word"};
  app.add_option("--seed", o.seed, "the first")->capture_default_str();
  app.add_option("--count", o.count, "programs; 0: as many as --seconds allows");
  app.add_option("--seconds", o.seconds, "time to take without --count")->capture_default_str();
  app.add_option("--failures", o.failures, "stop after so many")->capture_default_str();
  app.add_option("--seeds", o.seeds, "a file of seeds to begin with");
  app.add_option("--save", o.save, "folder for failing programs, shrunk");
  app.add_flag("--show", o.show, "print every program and its log");
  CLI11_PARSE(app, argc, argv);
  return skep::fuzz::run(o);
}
