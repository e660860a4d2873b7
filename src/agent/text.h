// agent: small strings without libc.
#pragma once
#include "base/types.h"

namespace skep::agent {

inline u64 length_of(const char* s) {
  u64 n = 0;
  while (s[n] != '\0') {
    asm volatile("" : : : "memory");
    ++n;
  }
  return n;
}
inline bool same(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b)
    if (*a == '\0') return true;
  return false;
}
inline bool starts_with(const char* s, const char* prefix) {
  for (; *prefix != '\0'; ++s, ++prefix)
    if (*s != *prefix) return false;
  return true;
}
/// Appends to a NUL-terminated buffer; false (and cut) when it does not fit.
inline bool append(char* buf, u64 cap, const char* s) {
  u64 at = length_of(buf);
  for (; *s != '\0'; ++s) {
    if (at + 1 >= cap) return false;
    buf[at++] = *s;
  }
  buf[at] = '\0';
  return true;
}
inline bool append_number(char* buf, u64 cap, s64 n) {
  char digits[24];
  u32 at = sizeof digits - 1;
  digits[at] = '\0';
  u64 v = n < 0 ? static_cast<u64>(-n) : static_cast<u64>(n);
  do {
    digits[--at] = static_cast<char>('0' + v % 10);
    v /= 10;
  } while (v != 0);
  if (n < 0) digits[--at] = '-';
  return append(buf, cap, digits + at);
}

}  // namespace skep::agent
