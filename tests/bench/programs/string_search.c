// Looks for a string of four letters in 1 KiB of text of four letters.
#include "program.h"

struct work {
  u8 in[1024];
  u8 text[1024];
  u8 needle[4];
  u32 found;
};

INLINE u32 search(struct work* w) {
  for (u32 i = 0; i < 1024; ++i) w->text[i] = 'a' + (w->in[i] & 3);
  const u8 a = 'a' + (w->needle[0] & 3), b = 'a' + (w->needle[1] & 3), c = 'a' + (w->needle[2] & 3);
  u32 found = 0;
  for (u32 i = 0; i < 1020; ++i) {
    if (w->text[i] != a) continue;
    if (w->text[i + 1] != b) continue;
    if (w->text[i + 2] != c) continue;
    ++found;
  }
  w->found = found;
  return found;
}

BENCH(search)
