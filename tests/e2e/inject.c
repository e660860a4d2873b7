/* inject OBJECT PROGRAM COMMAND...: attaches one program and runs the command meanwhile; its status is ours. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int attach(const char* object, const char* program) {
  struct bpf_object* obj = bpf_object__open_file(object, NULL);
  if (obj == NULL) return -1;
  struct bpf_program *p, *wanted = NULL;
  bpf_object__for_each_program(p, obj) {
    const int is_it = strcmp(bpf_program__name(p), program) == 0;
    bpf_program__set_autoload(p, is_it);
    if (is_it) wanted = p;
  }
  if (wanted == NULL || bpf_object__load(obj) != 0) return -1;
  return bpf_program__attach(wanted) == NULL ? -1 : 0;
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  if (attach(argv[1], argv[2]) != 0) {
    fprintf(stderr, "%s: cannot be attached\n", argv[2]);
    return 3;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    execvp(argv[3], argv + 3);
    _exit(127);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return 4;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
