// Splits text into words, numbers, strings and comments: a switch over the state, one over the letter.
#include "program.h"

struct work {
  u8 in[1024];
  u32 counts[8];
};

enum { BLANK, WORD, NUMBER, STRING, ESCAPE, SLASH, COMMENT };

/// Judged once, for any state and letter.
GLOBAL u32 next(u32 state, u8 c) {
  const u32 kind = c & 15;
  switch (state) {
    case STRING:
      return kind == 1 ? BLANK : kind == 2 ? ESCAPE : STRING;
    case ESCAPE:
      return STRING;
    case COMMENT:
      return kind == 3 ? BLANK : COMMENT;
    case SLASH:
      if (kind == 4) return COMMENT;
      break;
  }
  switch (kind) {
    case 0:
    case 3:
      return BLANK;
    case 1:
      return STRING;
    case 4:
      return SLASH;
    case 5:
    case 6:
    case 7:
      return state == WORD ? WORD : NUMBER;
    default:
      return WORD;
  }
}

INLINE u32 tokens(struct work* w) {
  for (u32 i = 0; i < 8; ++i) w->counts[i] = 0;
  u32 state = BLANK, changes = 0;
  for (u32 i = 0; i < sizeof w->in; ++i) {
    const u32 to = next(state, w->in[i]);
    changes += to != state;
    state = to;
    ++w->counts[state & 7];
  }
  return changes;
}

BENCH_IN_MAP(tokens)
