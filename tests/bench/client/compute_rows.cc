// compute/NAME: a program of tests/bench/programs, in BPF and natively.
#include <cstring>

#include "../programs/native.h"
#include "bpf_calls.h"
#include "rows.h"

// The linker's names for the section that NATIVE_PROGRAM fills.
extern "C" const native_program __start_native_programs[];
extern "C" const native_program __stop_native_programs[];

namespace skep::bench {
namespace {

const native_program* native(const std::string& name, const char* variant) {
  for (const native_program* p = __start_native_programs; p != __stop_native_programs; ++p)
    if (p->name == name && std::strcmp(p->variant, variant) == 0) return p;
  throw Wrong("no native program " + name);
}

std::vector<std::uint8_t> random_bytes(std::size_t size) {
  std::vector<std::uint8_t> out(size);
  std::uint64_t x = 0x2545f4914f6cdd1d;
  for (std::uint8_t& byte : out) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    byte = static_cast<std::uint8_t>(x >> 32);
  }
  return out;
}

class Compute : public Group {
 public:
  explicit Compute(const std::string& group)
      : name_(group.substr(group.find('/') + 1)), vector_(native(name_, "vector")), scalar_(native(name_, "scalar")) {
    work_ = random_bytes(vector_->work_size);
    for (const native_program* p : {vector_, scalar_}) {
      if (p->work_size != 0) std::memcpy(p->work, work_.data(), work_.size());
      expected_ = call(*p);
    }
  }

  Figures measure(const std::string& operation) override {
    if (operation == "vector") return native_figures(*vector_);
    if (operation == "scalar") return native_figures(*scalar_);
    prepare();
    const double empty = bench::measure([](std::uint32_t repeat) { return test_run(empty_program(), repeat).ns; });
    const double whole = bench::measure([this](std::uint32_t repeat) { return checked_run(repeat); });
    return {{"ns", whole - empty}, {"empty", empty}};
  }

  void check() override {
    prepare();
    for (const native_program* p : {vector_, scalar_})
      if (call(*p) != expected_) throw Wrong(name_ + ": the two native programs differ, or one does not repeat itself");
    (void)checked_run(3);
    compare_work();
  }

 private:
  static unsigned call(const native_program& p) {
    std::vector<std::uint8_t> data = packet();
    return p.run(data.data(), data.data() + data.size());
  }

  Figures native_figures(const native_program& p) {
    std::vector<std::uint8_t> data = packet();
    unsigned answers = 0;
    const double ns = bench::measure([&](std::uint32_t repeat) {
      const double start = now_ns();
      for (std::uint32_t i = 0; i < repeat; ++i) answers |= p.run(data.data(), data.data() + data.size()) ^ expected_;
      return (now_ns() - start) / repeat;
    });
    if (answers != 0) throw Wrong(name_ + ": the native program does not repeat itself");
    return {{"ns", ns}};
  }

  void prepare() {
    if (object_ != nullptr) return;
    Object object = open_object(name_);
    load(object);
    program_ = program_fd(object, "bench");
    map_ = map_fd(object, "work");
    if (map_ < 0) map_ = bss_fd(object);
    const std::uint32_t zero = 0;
    if (!work_.empty())
      if (const int err = bpf_map_update_elem(map_, &zero, work_.data(), 0); err != 0)
        throw Wrong(with_errno("fill the work", -err));
    object_ = std::move(object);
    (void)checked_run(1);
    compare_work();
  }

  double checked_run(std::uint32_t repeat) {
    const RunResult r = test_run(program_, repeat);
    if (r.retval != expected_)
      throw Wrong(name_ + ": answered " + std::to_string(r.retval) + ", natively " + std::to_string(expected_));
    return r.ns;
  }

  void compare_work() {
    if (work_.empty()) return;
    const std::uint32_t zero = 0;
    std::vector<std::uint8_t> now(work_.size());
    if (const int err = bpf_map_lookup_elem(map_, &zero, now.data()); err != 0) throw Wrong(with_errno("read the work", -err));
    for (const native_program* p : {vector_, scalar_})
      if (std::memcmp(now.data(), p->work, now.size()) != 0) throw Wrong(name_ + ": left other bytes than the native program");
  }

  const std::string name_;
  const native_program *vector_, *scalar_;
  std::vector<std::uint8_t> work_;
  unsigned expected_ = 0;
  Object object_;
  int program_ = -1, map_ = -1;
};

}  // namespace

void add_compute_rows(std::vector<GroupSpec>* rows) {
  for (const native_program* p = __start_native_programs; p != __stop_native_programs; ++p) {
    if (std::strcmp(p->variant, "vector") != 0) continue;
    rows->push_back({std::string("compute/") + p->name,
                     {"run", "vector", "scalar"},
                     [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<Compute>(name); }});
  }
}

}  // namespace skep::bench
