// tests/fuzz: libFuzzer target. Any bytes as a program with all that may come along: verify() must answer, soon, and within bounds.
//
// The input: a head of choices, then three lengths' worth of BTF, func_info and line_info, then instructions.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "btf/btf.h"
#include "verifier/verifier.h"

namespace skep {
namespace {

struct Head {
  u8 type, attach, flags, traits, log_level, log_size;
  u8 func_rec, line_rec, func_cnt, line_cnt;
  u16 btf_bytes;
};
static_assert(sizeof(Head) == 12);

constexpr u8 PRIVILEGED = 1, SLEEPABLE = 2, GPL = 4, FRAGS = 8;
/// More is beyond what an input of a few KiB should ever need.
constexpr std::size_t LIMIT_INSNS = 4000;
/// States looked at: a bound on the time of one input.
constexpr u32 LIMIT_STEPS = 30000;

class Input {
 public:
  Input(const u8* data, std::size_t size) : at_(data), left_(size) {}
  std::span<const u8> take(std::size_t n) {
    if (n > left_) n = left_;
    const std::span<const u8> out(at_, n);
    at_ += n;
    left_ -= n;
    return out;
  }
  std::size_t left() const { return left_; }

 private:
  const u8* at_;
  std::size_t left_;
};

/// Maps of every kind: the "descriptor" is the type, with a few sizes.
class Maps {
 public:
  Maps() {
    for (u32 type = 1; type <= 33; ++type) {
      VerifierMap map;
      map.identity = map.id = type;
      map.type = type;
      map.key_size = type == BPF_MAP_TYPE_RINGBUF || type == BPF_MAP_TYPE_QUEUE ? 0 : 4;
      map.value_size = type % 3 == 0 ? 8 : 16;
      map.max_entries = type % 2 == 0 ? 1 : 4;
      maps_.push_back(map);
    }
    inner_ = maps_[BPF_MAP_TYPE_ARRAY - 1];
    inner_.identity = 100;
    for (VerifierMap& map : maps_)
      if (map.type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map.type == BPF_MAP_TYPE_HASH_OF_MAPS) map.inner_map_meta = &inner_;
  }
  Result<const VerifierMap*> at(s32 fd) const {
    if (fd < 1 || fd > static_cast<s32>(maps_.size())) return Errno(EBADF);
    return &maps_[static_cast<u32>(fd - 1)];
  }

 private:
  std::vector<VerifierMap> maps_;
  VerifierMap inner_;
};

VerifierInput input_of(const Head& head, const std::vector<bpf_insn>& insns, const Maps& maps) {
  VerifierInput in;
  in.insns = insns;
  in.prog.type = head.type % 34;
  in.prog.expected_attach_type = head.attach % 60;
  in.prog.gpl_compatible = (head.traits & GPL) != 0;
  in.prog.sleepable = (head.traits & SLEEPABLE) != 0;
  in.prog.xdp_has_frags = (head.traits & FRAGS) != 0;
  in.prog.bpf_capable = in.prog.perfmon = (head.traits & PRIVILEGED) != 0;
  in.prog_flags = head.flags;
  in.nr_cpu_ids = 4;
  in.map_by_fd = [&maps](s32 fd) { return maps.at(fd); };
  in.fd_array = [](u32 index) -> Result<s32> { return static_cast<s32>(index + 1); };
  in.direct_value = [](const VerifierMap& map, u32 off) { return off < map.value_size ? ok_status() : Status(Errno(EINVAL)); };
  in.read_frozen = [](const VerifierMap&, u32, u32, u64*) { return false; };
  return in;
}

}  // namespace
}  // namespace skep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skep;
  static const Maps maps;
  Head head;
  if (size < sizeof head) return 0;
  std::memcpy(&head, data, sizeof head);
  Input rest(data + sizeof head, size - sizeof head);
  const std::span<const u8> btf_bytes = rest.take(head.btf_bytes);
  const u32 func_rec = head.func_rec, line_rec = head.line_rec;
  const std::span<const u8> func_info = rest.take(std::size_t{func_rec} * head.func_cnt);
  const std::span<const u8> line_info = rest.take(std::size_t{line_rec} * head.line_cnt);
  std::vector<bpf_insn> insns(rest.left() / sizeof(bpf_insn));
  if (insns.empty() || insns.size() > LIMIT_INSNS) return 0;
  std::memcpy(insns.data(), rest.take(insns.size() * sizeof(bpf_insn)).data(), insns.size() * sizeof(bpf_insn));

  VerifierInput in = input_of(head, insns, maps);
  std::unique_ptr<Btf> btf;
  if (auto parsed = Btf::parse(btf_bytes, nullptr); parsed.ok()) btf = std::move(parsed).value();
  in.btf = btf.get();
  in.btf_errno = EBADF;
  in.func_info = func_info;
  in.line_info = line_info;
  in.func_info_cnt = head.func_cnt;
  in.line_info_cnt = head.line_cnt;
  in.func_info_rec_size = func_rec;
  in.line_info_rec_size = line_rec;
  u32 steps = 0;
  in.observe = [&steps](u32, const VerifierState&) { return ++steps < LIMIT_STEPS; };
  VerifierLog log(head.log_level & 7, u32{head.log_size} << 6);
  const Result<VerifiedProg> verified = verify(in, log);
  (void)std::move(log).finish();
  if (!verified.ok()) return 0;
  // What came out must at least be whole.
  const VerifierReport& report = verified->report();
  if (report.orig_idx.size() != verified->insns().size() || report.subprog_starts.empty() || report.subprog_starts[0] != 0)
    __builtin_trap();
  for (const MapRef& ref : report.map_refs)
    if (ref.insn + 1 >= verified->insns().size() || ref.map >= report.used_maps.size()) __builtin_trap();
  return 0;
}
