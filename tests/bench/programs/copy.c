// Copies of bytes, words and double words, forwards and backwards.
#include "program.h"

struct work {
  u64 in[256];
  u8 bytes[1024];
  u32 words[512];
  u64 doubles[256];
};

INLINE u32 copy(struct work* w) {
  const u8* from_bytes = (const u8*)w->in;
  const u32* from_words = (const u32*)w->in;
  for (u32 i = 0; i < 1024; ++i) w->bytes[i] = from_bytes[i];
  for (u32 i = 0; i < 512; ++i) w->words[511 - i] = from_words[i];
  for (u32 i = 0; i < 256; ++i) w->doubles[i] = w->in[i];
  return w->bytes[17] ^ w->words[300] ^ (u32)w->doubles[200];
}

BENCH_IN_MAP(copy)
