// verifier: the product of two tristate numbers; the other operations are inline.
#include "verifier/tnum.h"

namespace skep {

// Shift-and-add over the multiplier's bits. The sum of the partial products is split in two: what the known bits contribute, which
// is simply value * value, and the unknown bits, summed as Tnums whose value is 0. A certain 1 in `a` passes on b's unknown bits;
// an uncertain one makes every possible 1 of b unknown. Linux: tnum.c:tnum_mul(); arXiv 2105.05398
Tnum tnum_mul(Tnum a, Tnum b) noexcept {
  const u64 known = a.value * b.value;
  u64 unknown = 0;
  for (u64 bits = a.value | a.mask; bits != 0 && (a.mask | b.mask) != 0; bits &= bits - 1) {
    const int at = std::countr_zero(bits);
    const u64 part = (a.value >> at & 1 ? b.mask : b.value | b.mask) << at;
    unknown = tnum_add({0, unknown}, {0, part}).mask;
  }
  return tnum_add(tnum_const(known), {0, unknown});
}

}  // namespace skep
