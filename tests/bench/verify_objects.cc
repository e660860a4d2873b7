// tests/bench: programs out of object files, as libbpf makes them for this machine. Apart, because libbpf's headers bring the
// system's own <linux/bpf.h>.
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cstdarg>
#include <string>
#include <vector>

namespace skep::bench {
namespace {

std::vector<std::string> programs_of(const char* path) {
  std::vector<std::string> names;
  bpf_object* object = bpf_object__open(path);
  if (object == nullptr) return names;
  bpf_program* program;
  bpf_object__for_each_program(program, object) names.emplace_back(bpf_program__name(program));
  bpf_object__close(object);
  return names;
}

/// Alone, for libbpf gives up an object with its first program that is refused. The object stays open: its maps are still wanted.
bool load_one(const char* path, const std::string& name) {
  bpf_object* object = bpf_object__open(path);
  if (object == nullptr) return false;
  bpf_program* program;
  bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, name == bpf_program__name(program));
  return bpf_object__load(object) == 0;
}

}  // namespace

unsigned load_object(const char* path) {
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
  unsigned loaded = 0;
  for (const std::string& name : programs_of(path))
    if (load_one(path, name)) ++loaded;
  return loaded;
}

}  // namespace skep::bench
