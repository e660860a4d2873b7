// verifier tests: a digest of everything the scalar domain answers to a fixed sequence of states, contradictory ones included. The
// engine is a parameter, so that the same digests can be taken from another implementation.
#pragma once
#include <array>

#include "verifier/bounds_model_test.h"

namespace skep::test {

class Digest {
 public:
  void add(u64 v) { state_ = (state_ ^ v) * 0x100000001b3ULL ^ (state_ >> 29); }
  void add(const ScalarBounds& b) {
    for (u64 v : {b.var_off.value, b.var_off.mask, static_cast<u64>(b.smin_value), static_cast<u64>(b.smax_value), b.umin_value,
                  b.umax_value, static_cast<u64>(b.s32_min_value), static_cast<u64>(b.s32_max_value), u64{b.u32_min_value},
                  u64{b.u32_max_value}})
      add(v);
  }
  u64 value() const { return state_; }

 private:
  u64 state_ = 0xcbf29ce484222325ULL;
};

/// Like random_state() but on its own: must not depend on the code under test. One in eight may be contradictory garbage.
inline ScalarBounds digest_state(Rng& rng, bool garbage = true) {
  ScalarBounds b;
  if (rng.one_in(8) && garbage) {
    b.var_off.mask = number(rng);
    b.var_off.value = number(rng) & ~b.var_off.mask;
    b.umin_value = number(rng), b.umax_value = number(rng);
    b.smin_value = static_cast<s64>(number(rng)), b.smax_value = static_cast<s64>(number(rng));
    b.u32_min_value = static_cast<u32>(number(rng)), b.u32_max_value = static_cast<u32>(number(rng));
    b.s32_min_value = static_cast<s32>(number(rng)), b.s32_max_value = static_cast<s32>(number(rng));
    return b;
  }
  std::vector<u64> values = {number(rng)};
  for (u64 n = rng.below(4); n > 0; --n) {
    const bool near = rng.one_in(2);
    values.push_back(near ? values[0] + rng.below(u64{1} << rng.below(63)) : number(rng));
  }
  b = hull(values);
  return rng.one_in(3) ? b : forget_some_domains(rng, b);
}

constexpr std::array<u8, 11> DIGEST_ALU = {BPF_ADD, BPF_SUB, BPF_MUL,  BPF_AND, BPF_OR, BPF_XOR,
                                           BPF_LSH, BPF_RSH, BPF_ARSH, BPF_DIV, BPF_MOD};
constexpr std::array<u8, 12> DIGEST_JMP = {BPF_JEQ, BPF_JNE, BPF_JSET, BPF_JSET | BPF_X, BPF_JGT,  BPF_JGE,
                                           BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE,         BPF_JSLT, BPF_JSLE};
constexpr int DIGEST_ROUNDS = 100000;

template <typename Engine>
std::array<u64, 4> width_digests(Engine e) {
  Digest sync, truncate, extend, range;
  Rng rng(31);
  for (int i = 0; i < DIGEST_ROUNDS; ++i) {
    const ScalarBounds in = digest_state(rng);
    ScalarBounds b = in;
    e.sync(&b);
    sync.add(b);
    e.zext(&(b = in));
    truncate.add(b);
    for (u32 bytes : {1u, 2u, 4u}) {
      e.coerce(&(b = in), bytes);
      truncate.add(b);
      e.coerce_sx(&(b = in), bytes);
      extend.add(b);
      if (bytes == 4) continue;
      e.coerce_subreg_sx(&(b = in), bytes);
      extend.add(b);
    }
    const s32 min = static_cast<s32>(number(rng)), max = static_cast<s32>(number(rng));
    e.s32_range(&(b = in), min, max);
    range.add(b);
    const char* words = e.sanity(b);
    for (const char* c = words ? words : ""; *c; ++c) range.add(static_cast<u64>(*c));
  }
  return {sync.value(), truncate.value(), extend.value(), range.value()};
}

template <typename Engine>
u64 alu_digest(Engine e, u8 op, bool is64) {
  Digest d;
  Rng rng(32);
  for (int i = 0; i < DIGEST_ROUNDS; ++i) {
    ScalarBounds a = digest_state(rng);
    ScalarBounds b = digest_state(rng, false);  // a shift count at odds with itself is undefined in Linux
    if (rng.one_in(2)) mark_known(&b, rng.below(66));
    e.alu(op, is64, &a, b);
    d.add(a);
  }
  return d.value();
}

template <typename Engine>
u64 jump_digest(Engine e, u8 op, bool is_jmp32) {
  Digest d;
  Rng rng(33);
  for (int i = 0; i < DIGEST_ROUNDS; ++i) {
    ScalarBounds a = digest_state(rng);
    ScalarBounds b = digest_state(rng);
    ScalarBounds self = a;
    if (rng.one_in(3)) mark_known(&b, number(rng));
    d.add(static_cast<u64>(e.taken(a, b, op, is_jmp32)));
    e.refine(&a, &b, op, is_jmp32);
    d.add(a);
    d.add(b);
    e.refine(&self, &self, op, is_jmp32);
    d.add(self);
  }
  return d.value();
}

/// Products of all pairs of five-bit Tnums and of random wide ones.
template <typename Engine>
u64 mul_digest(Engine e) {
  Digest d;
  Rng rng(34);
  const auto add = [&](Tnum a, Tnum b) {
    const Tnum product = e.mul(a, b);
    d.add(product.value);
    d.add(product.mask);
  };
  for (u64 bits = 0; bits < 1u << 20; ++bits) {
    const Tnum a{bits & 31, bits >> 5 & 31}, b{bits >> 10 & 31, bits >> 15};
    if ((a.value & a.mask) == 0 && (b.value & b.mask) == 0) add(a, b);
  }
  for (int i = 0; i < DIGEST_ROUNDS; ++i) {
    Tnum a{number(rng), number(rng)}, b{number(rng), number(rng)};
    a.value &= ~a.mask;
    b.value &= ~b.mask;
    add(a, b);
  }
  return d.value();
}

}  // namespace skep::test
