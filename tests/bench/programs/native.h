// The native side of a benchmark program: an entry in a table that the linker makes. BENCH_NAME and BENCH_VARIANT come from the
// build.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// `name` and `variant`: "sha256", and "vector" (all that -O2 does) or "scalar" (the same without vectors).
struct native_program {
  const char *name, *variant;
  unsigned (*run)(unsigned char* data, unsigned char* end);
  void* work;
  unsigned long work_size;
};

#ifdef __cplusplus
}
#endif

#define NATIVE_PROGRAM(run_, work_, size_)        \
  static const struct native_program native_entry \
      __attribute__((section("native_programs"), used, aligned(8))) = {BENCH_NAME, BENCH_VARIANT, run_, work_, size_};
