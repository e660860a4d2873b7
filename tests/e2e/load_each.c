// load_each OBJECT [PROGRAM...]: loads each program of the object by itself; prints "NAME ok" or "NAME ERRNO" for each.
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int quiet(enum libbpf_print_level level, const char* format, va_list args) {
  (void)level, (void)format, (void)args;
  return 0;
}

static int load_one(const char* path, const char* name) {
  struct bpf_object* object = bpf_object__open_file(path, NULL);
  if (object == NULL) return 1;
  struct bpf_program* p;
  bpf_object__for_each_program(p, object) bpf_program__set_autoload(p, strcmp(bpf_program__name(p), name) == 0);
  const int err = bpf_object__load(object);
  if (err == 0)
    printf("%s ok\n", name);
  else
    printf("%s %d\n", name, -err);
  bpf_object__close(object);
  return 0;
}

int main(int argc, char** argv) {
  libbpf_set_print(quiet);
  for (int i = 2; i < argc; ++i)
    if (load_one(argv[1], argv[i]) != 0) return 1;
  return 0;
}
