// Loads hello-ring-buffer-config.bpf.c, presets two users' messages and prints a line `PID UID COMMAND MESSAGE` for each execve.
#include "hello-ring-buffer-config.h"

#include <memory>
#include <string_view>

#include "hello-ring-buffer-config.skel.h"
#include "loader.h"

namespace {

constexpr int POLL_TIMEOUT_MS = 100;  // how late a signal between two polls, or a lost record, may be noticed

using Skeleton = std::unique_ptr<hello_ring_buffer_config_bpf, decltype(&hello_ring_buffer_config_bpf__destroy)>;
using RingBuffer = std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)>;

int on_record(void* ctx, void* record, size_t size) {
  data_t data;
  if (size < sizeof(data)) return 0;
  std::memcpy(&data, record, sizeof(data));
  static_cast<loader::Lines*>(ctx)->print(data.pid, data.uid, data.command, data.message);
  return 0;
}

int set_message(const bpf_map* config, __u32 uid, std::string_view message) {
  user_msg_t value = {};
  message.copy(value.message, sizeof(value.message));
  return bpf_map__update_elem(config, &uid, sizeof(uid), &value, sizeof(value), BPF_ANY);
}

// Tells what the program could not put into the ring since the last call.
void report_lost(const __u64* counter, __u64& reported) {
  const __u64 lost = __atomic_load_n(counter, __ATOMIC_RELAXED);  // the program adds to it on any CPU
  if (lost != reported) std::fprintf(stderr, "lost %llu samples\n", lost - reported);
  reported = lost;
}

int run(const loader::Options& options) {
  const Skeleton skeleton(hello_ring_buffer_config_bpf__open(), hello_ring_buffer_config_bpf__destroy);
  if (!skeleton) return loader::fail("cannot open the program", errno);
  if (const int err = hello_ring_buffer_config_bpf__load(skeleton.get())) return loader::fail("cannot load the program", -err);

  int err = set_message(skeleton->maps.config, 0, "Hey root!");
  if (err == 0) err = set_message(skeleton->maps.config, 501, "Hi user 501!");
  if (err != 0) return loader::fail("cannot fill the map config", -err);

  loader::Lines lines(options);
  const int output = bpf_map__fd(skeleton->maps.output);
  const RingBuffer buffer(ring_buffer__new(output, on_record, &lines, nullptr), ring_buffer__free);
  if (!buffer) return loader::fail("cannot open the ring buffer", errno);

  err = hello_ring_buffer_config_bpf__attach(skeleton.get());
  if (err != 0) return loader::fail("cannot attach to execve", -err);
  if (!loader::announce_ready(options)) return loader::fail("cannot write to the ready fd", errno);

  __u64 reported = 0;
  while (!loader::stop_requested && !lines.done()) {
    const int polled = ring_buffer__poll(buffer.get(), POLL_TIMEOUT_MS);
    if (polled < 0 && polled != -EINTR) return loader::fail("cannot poll the ring buffer", -polled);
    if (lines.error() != 0) return loader::fail("cannot write", lines.error());
    report_lost(&skeleton->bss->lost, reported);
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
