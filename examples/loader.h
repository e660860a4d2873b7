// What both loaders do before and after the BPF part: options, the end by signal, one line for an error, one line for an event.
#pragma once
#include <getopt.h>
#include <signal.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace loader {

struct Options {
  std::uint64_t count = 0;  // end after so many lines; 0: at a signal
  int ready_fd = -1;        // gets one byte "R" once every execve from here on is seen
  bool verbose = false;     // libbpf's own words on stderr
};

inline volatile sig_atomic_t stop_requested = 0;

// Returns 1, the exit status of a failure, so that a caller can say `return fail("cannot x", -err)`.
inline int fail(const char* what, int error) {
  std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, std::strerror(error));
  return 1;
}

[[noreturn]] inline void usage(FILE* to, int status) {
  std::fprintf(to, "usage: %s [-n COUNT] [--ready-fd FD] [-v]\n", program_invocation_short_name);
  std::exit(status);
}

template <typename T>
inline T number(const char* text) {
  T value{};
  const char* end = text + std::strlen(text);
  const auto [stopped_at, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stopped_at != end || value < 0) usage(stderr, 1);
  return value;
}

inline Options parse_options(int argc, char** argv) {
  static const option longs[] = {{"ready-fd", required_argument, nullptr, 'r'}, {"help", no_argument, nullptr, 'h'}, {}};
  Options options;
  for (int c; (c = getopt_long(argc, argv, "n:vh", longs, nullptr)) != -1;) {
    switch (c) {
      case 'n':
        options.count = number<std::uint64_t>(optarg);
        break;
      case 'r':
        options.ready_fd = number<int>(optarg);
        break;
      case 'v':
        options.verbose = true;
        break;
      case 'h':
        usage(stdout, 0);
      default:
        usage(stderr, 1);
    }
  }
  if (optind != argc) usage(stderr, 1);
  return options;
}

// libbpf explains a failure in many lines; without -v the loader's own line stands alone.
inline void set_verbosity(const Options& options) {
  if (!options.verbose) libbpf_set_print(nullptr);
}

inline void stop_on_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_requested = 1; };  // no SA_RESTART: a poll under way ends with EINTR
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

inline bool announce_ready(const Options& options) {
  if (options.ready_fd < 0) return true;
  const bool told = write(options.ready_fd, "R", 1) == 1;
  return close(options.ready_fd) == 0 && told;
}

// The lines on stdout, flushed one by one, and how many are still wanted.
class Lines {
 public:
  explicit Lines(const Options& options) : limit_(options.count) {}

  bool done() const { return limit_ != 0 && printed_ == limit_; }
  int error() const { return error_; }

  // `command` and `message` are fields of a record: as long as the array, or ended by a NUL.
  template <std::size_t C, std::size_t M>
  void print(std::uint32_t pid, std::uint32_t uid, const char (&command)[C], const char (&message)[M]) {
    if (done() || error_ != 0) return;
    const int wrote = std::printf("%u %u %.*s %.*s\n", pid, uid, static_cast<int>(C), command, static_cast<int>(M), message);
    if (wrote < 0 || std::fflush(stdout) != 0) error_ = errno;
    ++printed_;
  }

 private:
  std::uint64_t limit_;
  std::uint64_t printed_ = 0;
  int error_ = 0;
};

}  // namespace loader
