// tests/fuzz: maps, packets and contexts for random programs: judged with, run with, filled anew for each run.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "helpers/packet.h"
#include "helpers/run_ctx.h"
#include "jit/compile.h"
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
  std::vector<u32> subprog_starts, stack_depth;
  ProgImage image{};
};

/// Who runs a program.
enum class Executor : u8 {
  Interpreter,
  Disturbed,  ///< the interpreter, its stack elsewhere and full of noise: what differs from the above hangs on addresses or on chance
  Compiled,
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
  /// The same by another executor, from equal contents. Compiled: after compile().
  void run_by(Executor executor, const Program& program, const Runnable& runnable, u64 seed);
  /// From now on the disturbed interpreter's stack lies somewhere else.
  void disturb(Rng& rng);
  /// What the last run has left behind: its result, maps, packet and context as bytes. Takes what is in queues and rings.
  std::vector<u8> outcome();
  /// Compiles. The code stays until withdraw(). An error is the compiler's.
  Status compile(Runnable& runnable, bool optimise);
  void withdraw(Runnable& runnable);
  JitInput jit_input(const Runnable& runnable) const;
  const RunCtx& last_run() const { return *last_; }
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
  void empty_hash(MapDesc* map);
  void empty_ring();
  void add_hash(std::vector<u8>& out, MapDesc* map);
  void set_up(RunCtx& r, const Program& program, const Runnable& runnable);
  Status compile_image(ProgImage& image, const JitInput& in);
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
  RunCtx* other_run_;  ///< in other_room_
  void* other_room_ = nullptr;
  RunCtx* last_ = nullptr;
  u64 result_ = 0;
  std::unique_ptr<Kernel> kernel_;
  std::vector<u8> room_;
};

}  // namespace skep::fuzz
