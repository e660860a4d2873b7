// CRC-32 bit by bit, without branches.
#include "program.h"

struct work {
  u8 in[512];
  u32 crc;
};

INLINE u32 crc32(struct work* w) {
  u32 crc = 0xffffffff;
  for (u32 i = 0; i < sizeof w->in; ++i) {
    crc ^= w->in[i];
    for (u32 k = 0; k < 8; ++k) crc = crc >> 1 ^ 0xedb88320 * (crc & 1);
  }
  w->crc = ~crc;
  return ~crc;
}

BENCH(crc32)
