// map/KIND/SIZE: operations of programs on maps. "-2": the same by two threads on two processors.
#include <algorithm>
#include <cstring>
#include <map>

#include "map_fill.h"
#include "rows.h"

namespace skep::bench {
namespace {

struct Kind {
  const char *name, *object;
  bpf_map_type type;
  std::uint32_t flags;
};

constexpr Kind KINDS[] = {
    {"array", "map_ops_index", BPF_MAP_TYPE_ARRAY, 0},     {"percpu-array", "map_ops_index", BPF_MAP_TYPE_PERCPU_ARRAY, 0},
    {"hash-8", "map_ops_8", BPF_MAP_TYPE_HASH, 0},         {"hash-16", "map_ops_16", BPF_MAP_TYPE_HASH, 0},
    {"hash-32", "map_ops_32", BPF_MAP_TYPE_HASH, 0},       {"percpu-hash-8", "map_ops_8", BPF_MAP_TYPE_PERCPU_HASH, 0},
    {"lru-hash-8", "map_ops_8", BPF_MAP_TYPE_LRU_HASH, 0}, {"lpm-trie", "map_ops_lpm", BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC},
};

std::uint64_t next_random(std::uint64_t x) {
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

class MapGroup : public Group {
 public:
  explicit MapGroup(const std::string& group) {
    const std::size_t first = group.find('/') + 1, second = group.find('/', first);
    const std::string kind = group.substr(first, second - first), size = group.substr(second + 1);
    kind_ = std::find_if(std::begin(KINDS), std::end(KINDS), [&](const Kind& k) { return k.name == kind; });
    entries_ = static_cast<std::uint32_t>(std::stoul(size)) << (size.back() == 'M' ? 20 : 10);
    // Room for what comes and goes; a list of least recently used entries throws out some before the map is full.
    present_ = kind_->type == BPF_MAP_TYPE_LRU_HASH ? entries_ - entries_ / 4 : is_array() ? entries_ : entries_ - entries_ / 16;
  }

  Figures measure(const std::string& operation) override {
    prepare();
    const bool two = operation.ends_with("-2");
    const std::string program = two ? operation.substr(0, operation.size() - 2) : operation;
    const double empty = time("keys", false), whole = time(program, two);
    read_work(&filled_);
    if (errors() != 0 && !is_lru()) throw Wrong(operation + ": errors in the program");
    // A pair of operations has one key.
    const double keys = program == "pair" ? empty / 2 : empty;
    return {{"ns", whole - keys},
            {"empty", keys},
            {"errors", static_cast<double>(errors())},
            {"busy_calls", static_cast<double>(busy())}};
  }

  void check() override {
    prepare();
    check_lookups();
    if (is_array() || kind_->type != BPF_MAP_TYPE_PERCPU_HASH) check_updates();
    if (!is_array()) run_some("pair");
    read_work(&filled_);
    if (errors() + busy() != 0) throw Wrong("pair: errors in the program");
    check_contents();
    check_two();
  }

 private:
  static constexpr std::uint32_t SOME = 20;

  bool is_array() const { return kind_->type == BPF_MAP_TYPE_ARRAY || kind_->type == BPF_MAP_TYPE_PERCPU_ARRAY; }
  /// Linux throws out entries of such a map also while others are free, and refuses some updates: so may we.
  bool is_lru() const { return kind_->type == BPF_MAP_TYPE_LRU_HASH; }
  std::uint64_t errors() const { return filled_.work.thread[0].errors + filled_.work.thread[1].errors; }
  std::uint64_t busy() const { return filled_.work.thread[0].busy + filled_.work.thread[1].busy; }
  bool is_percpu() const { return kind_->type == BPF_MAP_TYPE_PERCPU_ARRAY || kind_->type == BPF_MAP_TYPE_PERCPU_HASH; }

  void prepare() {
    if (filled_.object != nullptr) return;
    filled_ = filled_map({kind_->object, kind_->type, kind_->flags, entries_}, present_);
  }

  int program(const std::string& name) const { return program_fd(filled_.object, name.c_str()); }

  double time(const std::string& name, bool two) const {
    const int fd = program(name);
    if (!two) return bench::measure([fd](std::uint32_t n) { return test_run(fd, n).ns; }) / OPS_A_RUN;
    // Long enough that it does not matter when each of the two begins.
    constexpr double SAMPLE_NS = 4e6;
    const double samples = SAMPLE_NS / g_effort.sample_ns;
    const auto repeat = static_cast<std::uint32_t>(calibrate([fd](std::uint32_t n) { return test_run(fd, n).ns; }) * samples);
    return measure_on_two([fd](unsigned thread, std::uint32_t n) { return test_run(fd, n, thread).ns; }, repeat) / OPS_A_RUN;
  }

  void run_some(const char* name) { (void)test_run(program(name), SOME); }

  std::uint32_t index_of(std::uint64_t random) const { return static_cast<std::uint32_t>((random >> 32) * present_ >> 32); }

  /// All values are their indices at first.
  void check_lookups() {
    std::uint64_t random = filled_.work.thread[0].rng, sum = 0;
    for (std::uint32_t i = 0; i < SOME * OPS_A_RUN; ++i) sum += index_of(random = next_random(random));
    run_some("lookup");
    read_work(&filled_);
    const thread_state& t = filled_.work.thread[0];
    if (t.hits != SOME * OPS_A_RUN || t.sum != sum || t.rng != random) throw Wrong("lookup: other values than were put in");
  }

  void check_updates() {
    std::uint64_t random = filled_.work.thread[0].rng;
    for (std::uint32_t i = 0; i < SOME * OPS_A_RUN; ++i) {
      random = next_random(random);
      updated_[index_of(random)] = random << 24 | index_of(random);
    }
    run_some("update");
    read_work(&filled_);
    if (errors() + busy() != 0) throw Wrong("update: errors in the program");
  }

  /// As set_key() of map_ops.c.
  std::vector<std::uint8_t> key_of(std::uint32_t index) const {
    std::uint64_t words[4];
    if (is_array()) {
      words[0] = index;
    } else if (kind_->type == BPF_MAP_TYPE_LPM_TRIE) {
      words[0] = 32 | std::uint64_t{index * 0x9e3779b1u} << 32;
    } else {
      for (std::uint64_t i = 0; i < 4; ++i) words[i] = (index + 1) * 0x9e3779b97f4a7c15 ^ i * 0x0123456789abcdef;
    }
    bpf_map_info info;
    std::uint32_t size = sizeof info;
    std::memset(&info, 0, sizeof info);
    if (bpf_obj_get_info_by_fd(filled_.map, &info, &size) != 0) throw Wrong(with_errno("BPF_OBJ_GET_INFO_BY_FD", errno));
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(words);
    return {bytes, bytes + info.key_size};
  }

  /// The present keys are there with their last values, and no others.
  void check_contents() {
    std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()) + 1);
    for (std::uint32_t index = 0; index < present_; ++index) {
      const std::vector<std::uint8_t> key = key_of(index);
      if (const int err = bpf_map_lookup_elem(filled_.map, key.data(), values.data()); err != 0)
        throw Wrong(with_errno("key " + std::to_string(index), -err));
      const auto it = updated_.find(index);
      const std::uint64_t expected = it != updated_.end() ? it->second : index;
      if (std::find(values.begin(), values.end(), expected) == values.end())
        throw Wrong("key " + std::to_string(index) + ": a wrong value");
    }
    if (is_array()) return;
    std::uint64_t key[4], next[4];
    std::uint32_t count = 0;
    for (int err = bpf_map_get_next_key(filled_.map, nullptr, next); err == 0; err = bpf_map_get_next_key(filled_.map, key, next)) {
      if (++count > present_) throw Wrong("more keys than were put in");
      std::memcpy(key, next, sizeof key);
    }
    if (count != present_) throw Wrong("fewer keys than were put in");
  }

  /// Two threads update at once: each value is one of its key's.
  void check_two() {
    if (allowed_cpus().size() < 2 || is_percpu()) return;
    std::uint32_t found = 0;
    for (const char* name : {"update", "pair", "lookup"}) {
      if (is_array() && std::string_view(name) == "pair") continue;
      const int fd = program(name);
      on_two([fd](unsigned thread) { (void)test_run(fd, 10 * SOME, thread); });
    }
    read_work(&filled_);
    if (errors() != 0 && !is_lru()) throw Wrong("errors in one of two threads");
    for (std::uint32_t index = 0; index < present_; ++index) {
      std::uint64_t value = 0;
      const std::vector<std::uint8_t> key = key_of(index);
      const bool is_there = bpf_map_lookup_elem(filled_.map, key.data(), &value) == 0;
      if (is_there ? (value & 0xffffff) != index : !is_lru()) throw Wrong("a wrong value after two threads");
      found += is_there;
    }
    if (found == 0) throw Wrong("no key is left after two threads");
  }

  const Kind* kind_;
  std::uint32_t entries_, present_;
  FilledMap filled_;
  std::map<std::uint32_t, std::uint64_t> updated_;
};

}  // namespace

void add_map_rows(std::vector<GroupSpec>* rows) {
  const auto add = [rows](const std::string& kind, std::initializer_list<const char*> sizes, std::vector<std::string> operations) {
    for (const char* size : sizes) {
      const auto make = [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<MapGroup>(name); };
      rows->push_back({"map/" + kind + "/" + size, operations, make});
    }
  };
  const std::vector<std::string> most = {"lookup", "update", "pair", "lookup-2", "update-2", "pair-2"};
  add("array", {"1K", "128K"}, {"lookup", "update", "lookup-2", "update-2"});
  add("percpu-array", {"1K", "128K"}, {"lookup", "update", "lookup-2", "update-2"});
  add("hash-8", {"1K", "128K", "1M"}, most);
  add("hash-16", {"128K"}, most);
  add("hash-32", {"128K"}, most);
  add("percpu-hash-8", {"1K", "128K", "1M"}, most);
  add("lru-hash-8", {"1K", "128K", "1M"}, {"lookup", "update", "pair", "lookup-2", "update-2", "pair-2", "evict", "evict-2"});
  add("lpm-trie", {"1K", "64K"}, most);
}

}  // namespace skep::bench
