// tests/verifier: loads the kernel's annotated programs one by one and holds the verifier's answer against what they say of
// themselves. It speaks bpf(2) through libbpf, so the same binary runs on Linux and under skep.
//
//   annotated [-v] [-p PROGRAM] OBJECT...
//
// A line for each program, of fields between tabs: class, object, program, errno of the load (0: accepted), what else is to be
// said.
//   ok        as expected
//   accepted  loaded, though it must be refused
//   refused   refused, though it must be loaded
//   retval    runs, but with another result; or does not run
//   log       the right verdict without the expected words
//   setup     did not come as far as a verdict: maps, relocations, functions that the kernel lacks
//   skip      nothing is expected on this machine
// Exit status: 0 when every line could be written.
#include "annotated.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

namespace skep::annotated {
namespace {

constexpr std::size_t kLogSize = 2u << 20;
constexpr std::size_t kDataLength = 64;

struct Options {
  bool verbose = false;
  std::string only;
};

struct ObjectCloser {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, ObjectCloser>;

struct Outcome {
  const char* verdict = "ok";
  int load_errno = 0;
  std::string detail;
};

/// What libbpf said since the last reset; it tells what did not come to a verdict, and why.
std::string& words_of_libbpf() {
  static std::string words;
  return words;
}

int hear_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  words_of_libbpf() += line;
  return 0;
}

/// The first line of libbpf's that is a reason.
std::string reason() {
  const std::string& words = words_of_libbpf();
  std::string first = words.substr(0, words.find('\n'));
  for (char& c : first)
    if (c == '\t') c = ' ';
  return first;
}

/// True when the load of `program` was refused by the kernel itself, and for the program's own sake.
bool came_to_verdict(const std::string& program) {
  return words_of_libbpf().find("prog '" + program + "': BPF program load failed") != std::string::npos;
}

/// With the slash at its end.
std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? "./" : path.substr(0, slash + 1);
}

/// Some programs read what the kernel's runner puts into these maps. Linux: prog_tests/verifier.c:init_test_val_map()
void fill_maps(const bpf_object* object) {
  struct {
    unsigned index;
    int foo[11];
  } value{(6 + 1) * sizeof(int), {}};
  value.foo[6] = static_cast<int>(0xabcdef12);
  const unsigned key = 0;
  for (const char* name : {"map_array_ro", "map_array_48b"}) {
    const bpf_map* map = bpf_object__find_map_by_name(object, name);
    if (map != nullptr && bpf_map__value_size(map) == sizeof value) bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY);
  }
}

class Case {
 public:
  Case(const char* path, const std::map<std::string, Spec>& specs, const Spec& spec) : path_(path), specs_(specs), spec_(spec) {}

  Outcome run() {
    words_of_libbpf().clear();
    bpf_object_open_opts options{};
    options.sz = sizeof options;
    const std::string btf_path = directory_of(path_) + spec_.btf_path;
    if (!spec_.btf_path.empty()) options.btf_custom_path = btf_path.c_str();
    object_.reset(bpf_object__open_file(path_, &options));
    if (!object_) return {"setup", errno, reason()};
    choose_programs();
    const int error = bpf_object__load(object_.get());
    if (error != 0 && !came_to_verdict(spec_.name)) return {"setup", -error, reason()};
    return judge(-error);
  }
  const char* log() const { return log_.get(); }

 private:
  void choose_programs() {
    bpf_program* program = nullptr;
    while ((program = bpf_object__next_program(object_.get(), program)) != nullptr) {
      const std::string name = bpf_program__name(program);
      bpf_program__set_autoload(program, name == spec_.name || specs_.at(name).auxiliary);
      if (name == spec_.name) prepare(program);
    }
  }

  void prepare(bpf_program* program) {
    program_ = program;
    bpf_program__set_log_buf(program, log_.get(), kLogSize);
    bpf_program__set_log_level(program, spec_.log_level);
    bpf_program__set_flags(program, (bpf_program__flags(program) | spec_.flags) & ~spec_.cleared_flags);
  }

  Outcome judge(int load_errno) {
    if (spec_.expect_failure && load_errno == 0) return {"accepted", 0, missing_words()};
    if (!spec_.expect_failure && load_errno != 0) return {"refused", load_errno, last_words()};
    const std::string missing = missing_message(log_.get(), spec_.messages);
    if (!missing.empty()) return {"log", load_errno, missing};
    if (spec_.execute && !spec_.expect_failure) return execute();
    return {"ok", load_errno, {}};
  }

  std::string missing_words() const { return spec_.messages.empty() ? std::string() : "expected: " + spec_.messages.back(); }

  /// The line of the log before the closing statistics: why the program was refused.
  std::string last_words() const {
    std::string last;
    for (const char* at = log_.get(); *at != '\0';) {
      const char* end = std::strchr(at, '\n');
      const std::string line = end == nullptr ? std::string(at) : std::string(at, end);
      if (line.rfind("processed ", 0) == 0) break;
      if (line.rfind("verification time", 0) != 0 && line.rfind("stack depth", 0) != 0 && !line.empty()) last = line;
      if (end == nullptr) break;
      at = end + 1;
    }
    return last;
  }

  Outcome execute() const {
    fill_maps(object_.get());
    unsigned char in[kDataLength] = {}, out[4 * kDataLength] = {};
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    if (bpf_program__type(program_) != BPF_PROG_TYPE_SYSCALL) {
      options.data_in = in;
      options.data_size_in = sizeof in;
      options.data_out = out;
      options.data_size_out = sizeof out;
      options.repeat = 1;
    }
    if (bpf_prog_test_run_opts(bpf_program__fd(program_), &options) != 0)
      return {"retval", 0, std::string("does not run: ") + std::strerror(errno)};
    const int result = static_cast<int>(options.retval);
    if (result == spec_.retval || spec_.any_retval) return {};
    return {"retval", 0, std::to_string(result) + " instead of " + std::to_string(spec_.retval)};
  }

  const char* path_;
  const std::map<std::string, Spec>& specs_;
  const Spec& spec_;
  Object object_;
  bpf_program* program_ = nullptr;
  std::unique_ptr<char[]> log_{new char[kLogSize]()};
};

void write_line(const std::string& object, const std::string& program, const Outcome& outcome) {
  std::string detail = outcome.detail;
  for (char& c : detail)
    if (c == '\n' || c == '\t') c = ' ';
  std::printf("%s\t%s\t%s\t%d\t%s\n", outcome.verdict, object.c_str(), program.c_str(), outcome.load_errno, detail.c_str());
  std::fflush(stdout);
}

void run_case(const char* path, const std::string& object, const std::map<std::string, Spec>& specs, const Spec& spec,
              bool verbose) {
  if (!spec.problem.empty()) return write_line(object, spec.name, {"setup", 0, spec.problem});
  if (!spec.for_this_machine) return write_line(object, spec.name, {"skip", 0, "for other processors"});
  Case one(path, specs, spec);
  const Outcome outcome = one.run();
  write_line(object, spec.name, outcome);
  if (verbose) std::fprintf(stderr, "%s%s", words_of_libbpf().c_str(), one.log());
}

std::string object_name(const std::string& path) {
  const std::string directory = directory_of(path);
  const std::string file = path.substr(path.rfind('/') + 1);
  const bool v4 = directory.size() >= 4 && directory.compare(directory.size() - 4, 4, "-v4/") == 0;
  return file.substr(0, file.find('.')) + (v4 ? "@v4" : "");
}

void run_object(const char* path, const Options& options) {
  words_of_libbpf().clear();
  const std::string object = object_name(path);
  const Object opened(bpf_object__open_file(path, nullptr));
  if (!opened) return write_line(object, "*", {"setup", errno, reason()});
  std::map<std::string, Spec> specs;
  std::vector<std::string> order;
  bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(opened.get(), program)) != nullptr) {
    order.emplace_back(bpf_program__name(program));
    specs[order.back()] = read_spec(opened.get(), program);
  }
  for (const std::string& name : order) {
    const Spec& spec = specs[name];
    if (spec.auxiliary || !spec.tagged || (!options.only.empty() && options.only != name)) continue;
    run_case(path, object, specs, spec, options.verbose);
  }
}

}  // namespace
}  // namespace skep::annotated

int main(int argc, char** argv) {
  skep::annotated::Options options;
  int option;
  while ((option = getopt(argc, argv, "vp:")) != -1) {
    if (option == 'v')
      options.verbose = true;
    else if (option == 'p')
      options.only = optarg;
    else
      return 2;
  }
  libbpf_set_print(skep::annotated::hear_libbpf);
  for (int i = optind; i < argc; i++) skep::annotated::run_object(argv[i], options);
  return std::ferror(stdout) != 0;
}
