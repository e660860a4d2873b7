// agent: byte functions that the compiler may call by name, and guarded access to the program's memory.
#include "agent/agent.h"
#include "base/bytes.h"

extern "C" {
__attribute__((visibility("hidden"), used)) void* memcpy(void* d, const void* s, size_t n) {
  skep::copy_words(d, s, n);
  return d;
}
__attribute__((visibility("hidden"), used)) void* memset(void* d, int c, size_t n) {
  void* p = d;
  if (c == 0)
    skep::zero_words(d, n);
  else
    asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
  return d;
}
__attribute__((visibility("hidden"), used)) void* memmove(void* d, const void* s, size_t n) {
  auto* to = static_cast<char*>(d);
  const auto* from = static_cast<const char*>(s);
  if (to <= from) {
    for (size_t i = 0; i < n; ++i) {
      to[i] = from[i];
      asm volatile("" : : : "memory");  // not to become a call of itself
    }
  } else {
    for (size_t i = n; i > 0; --i) {
      to[i - 1] = from[i - 1];
      asm volatile("" : : : "memory");
    }
  }
  return d;
}
__attribute__((visibility("hidden"), used)) int memcmp(const void* a, const void* b, size_t n) {
  const auto* x = static_cast<const unsigned char*>(a);
  const auto* y = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < n; ++i) {
    asm volatile("" : : : "memory");
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  }
  return 0;
}
__attribute__((visibility("hidden"), used, noreturn)) void abort() {
  for (;;) asm volatile("ud2");
}
}

namespace skep::agent {

s64 read_user(void* dst, u64 src, u64 n) { return skep_guarded_copy(dst, reinterpret_cast<const void*>(src), n); }
s64 write_user(u64 dst, const void* src, u64 n) { return skep_guarded_copy(reinterpret_cast<void*>(dst), src, n); }

s64 read_user_string(char* dst, u64 size, u64 src) {
  // Page by page: a string may end just before unmapped memory.
  u64 done = 0;
  while (done < size) {
    u64 n = PAGE_SIZE - (src + done) % PAGE_SIZE;
    if (n > size - done) n = size - done;
    if (n > 256) n = 256;
    if (read_user(dst + done, src + done, n) != 0) return -EFAULT_;
    for (u64 i = 0; i < n; ++i)
      if (dst[done + i] == '\0') return static_cast<s64>(done + i + 1);
    done += n;
  }
  return static_cast<s64>(size) + 1;  // no NUL within
}

s64 copy_path(char (&out)[4096], u64 user) {
  const s64 n = read_user_string(out, sizeof out, user);
  return n > static_cast<s64>(sizeof out) ? -ENAMETOOLONG_ : n < 0 ? n : n - 1;
}

}  // namespace skep::agent
