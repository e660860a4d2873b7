// gdb_target: for each line on stdin an execve of what is not there, at a known depth of C functions: "main" from main(), "thread" from
// a new thread. Then asked(), where a debugger may stop.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) static int ask_kernel(void) {
  char* const none[] = {NULL};
  const int r = execve("/nonexistent/gdb_target", none, none);
  __asm__ volatile("" ::: "memory");  // no tail call
  return r;
}

__attribute__((noinline)) static void asked(void) { __asm__ volatile("" ::: "memory"); }

static void* thread_main(void* unused) {
  (void)unused;
  ask_kernel();
  return NULL;
}

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strcmp(line, "thread\n") == 0) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, thread_main, NULL) != 0) return 1;
      pthread_join(thread, NULL);
    } else {
      ask_kernel();
    }
    asked();
  }
  return 0;
}
