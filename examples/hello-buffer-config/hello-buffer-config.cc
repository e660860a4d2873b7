// Loads hello-buffer-config.bpf.c, presets two users' messages and prints a line `PID UID COMMAND MESSAGE` for each execve.
#include "hello-buffer-config.h"

#include <memory>
#include <string_view>

#include "hello-buffer-config.skel.h"
#include "loader.h"

namespace {

constexpr std::size_t PAGES_PER_CPU = 8;
constexpr int POLL_TIMEOUT_MS = 100;  // how late a signal between two polls may be noticed

using Skeleton = std::unique_ptr<hello_buffer_config_bpf, decltype(&hello_buffer_config_bpf__destroy)>;
using PerfBuffer = std::unique_ptr<perf_buffer, decltype(&perf_buffer__free)>;

void on_sample(void* ctx, int /*cpu*/, void* record, __u32 size) {
  data_t data;
  if (size < sizeof(data)) return;
  std::memcpy(&data, record, sizeof(data));  // the kernel pads a raw record after its end, so `size` may be larger
  static_cast<loader::Lines*>(ctx)->print(data.pid, data.uid, data.command, data.message);
}

void on_lost(void* /*ctx*/, int cpu, __u64 count) { std::fprintf(stderr, "lost %llu samples on CPU %d\n", count, cpu); }

int set_message(const bpf_map* config, __u32 uid, std::string_view message) {
  user_msg_t value = {};
  message.copy(value.message, sizeof(value.message));
  return bpf_map__update_elem(config, &uid, sizeof(uid), &value, sizeof(value), BPF_ANY);
}

int run(const loader::Options& options) {
  const Skeleton skeleton(hello_buffer_config_bpf__open(), hello_buffer_config_bpf__destroy);
  if (!skeleton) return loader::fail("cannot open the program", errno);
  if (const int err = hello_buffer_config_bpf__load(skeleton.get())) return loader::fail("cannot load the program", -err);

  int err = set_message(skeleton->maps.config, 0, "Hey root!");
  if (err == 0) err = set_message(skeleton->maps.config, 501, "Hi user 501!");
  if (err != 0) return loader::fail("cannot fill the map config", -err);

  loader::Lines lines(options);
  const int output = bpf_map__fd(skeleton->maps.output);
  const PerfBuffer buffer(perf_buffer__new(output, PAGES_PER_CPU, on_sample, on_lost, &lines, nullptr), perf_buffer__free);
  if (!buffer) return loader::fail("cannot open the perf buffer", errno);

  err = hello_buffer_config_bpf__attach(skeleton.get());
  if (err != 0) return loader::fail("cannot attach to execve", -err);
  if (!loader::announce_ready(options)) return loader::fail("cannot write to the ready fd", errno);

  while (!loader::stop_requested && !lines.done()) {
    const int polled = perf_buffer__poll(buffer.get(), POLL_TIMEOUT_MS);
    if (polled < 0 && polled != -EINTR) return loader::fail("cannot poll the perf buffer", -polled);
    if (lines.error() != 0) return loader::fail("cannot write", lines.error());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const loader::Options options = loader::parse_options(argc, argv);
  loader::set_verbosity(options);
  loader::stop_on_signals();
  return run(options);
}
