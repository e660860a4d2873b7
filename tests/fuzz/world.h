// tests/fuzz: maps, packets and contexts for random programs: judged with, run with, filled anew for each run.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "helpers/packet.h"
#include "helpers/run_ctx.h"
#include "program.h"
#include "rng.h"
#include "shm/window.h"
#include "verifier/verifier.h"

namespace skep::fuzz {

/// Longest packet, and what is kept free before and behind it.
constexpr u32 PACKET_MAX = 96, PACKET_HEADROOM = 288, PACKET_TAILROOM = 448;

/// Instructions that a run may take. A program that the verifier lets loop for longer is no failure.
constexpr u32 STEP_LIMIT = 60000;

/// A judged program with its addresses filled in.
struct Runnable {
  std::vector<bpf_insn> insns;
  std::vector<MapDesc*> maps;
  ProgImage image{};
};

using OnStep = void (*)(void* who, RunCtx& run, u32 pc, const u64* regs);

class World {
 public:
  World();
  ~World();
  World(const World&) = delete;

  /// What verify() is to be told. `program` must outlive it.
  VerifierInput input(const Program& program) const;
  std::unique_ptr<Runnable> link(const VerifiedProg& verified);

  /// Runs with contents and context that follow from `seed`. After it run() has the fault.
  void run(const Program& program, const Runnable& runnable, u64 seed, OnStep on_step, void* who);
  const RunCtx& last_run() const { return *run_; }
  /// The map that the verifier knows as `facts`.
  const MapDesc* desc_of(const VerifierMap* facts) const;
  const MapDesc* inner_map() const { return inner_; }

 private:
  struct Kernel {
    NetDevice dev;
    TcpSock sock;
    PacketSkb skb;
    XdpRxqInfo rxq;
    PacketXdp xdp;
    PtRegs pt_regs;
  };

  MapDesc* make_map(const MapShape& shape);
  void make_maps();
  void fill(Rng& rng);
  void fill_value(Rng& rng, u8* value, u32 size);
  void fill_hash(Rng& rng, MapDesc* map);
  void make_packet(Rng& rng, u32 type);
  OpCtx op() { return {host_->view(), slot_, 2}; }

  std::unique_ptr<WindowHost> host_;
  RunSlot* slot_ = nullptr;
  std::vector<MapDesc*> maps_;
  MapDesc* inner_ = nullptr;
  std::vector<VerifierMap> facts_;
  VerifierMap inner_facts_;
  ProgStats* stats_ = nullptr;
  std::vector<bpf_insn> callee_;  ///< of tail calls
  ProgImage callee_image_{};
  RunEnv env_{};
  ProbeEntry probe_{};
  std::unique_ptr<RunCtx> run_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<u8> room_;
};

}  // namespace skep::fuzz
