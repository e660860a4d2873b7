// client/KIND/SIZE: operations by bpf(2) from a process, on keys in random order.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "map_fill.h"
#include "rows.h"

namespace skep::bench {
namespace {

constexpr std::uint32_t BATCH = 1024;
constexpr std::uint32_t LARGE = 1u << 20;  ///< from here on a program fills the map

struct Kind {
  const char* name;
  bpf_map_type type;
  std::uint32_t key_size, flags;
};
constexpr Kind KINDS[] = {{"hash-8", BPF_MAP_TYPE_HASH, 8, 0},
                          {"lru-hash-8", BPF_MAP_TYPE_LRU_HASH, 8, 0},
                          {"percpu-hash-8", BPF_MAP_TYPE_PERCPU_HASH, 8, 0},
                          {"array", BPF_MAP_TYPE_ARRAY, 4, 0},
                          {"lpm-trie", BPF_MAP_TYPE_LPM_TRIE, 8, BPF_F_NO_PREALLOC}};

class ClientGroup : public Group {
 public:
  explicit ClientGroup(const std::string& group) {
    const std::size_t first = group.find('/') + 1, second = group.find('/', first);
    const std::string kind = group.substr(first, second - first), size = group.substr(second + 1);
    for (const Kind& k : KINDS)
      if (kind == k.name) kind_ = &k;
    entries_ = static_cast<std::uint32_t>(std::stoul(size)) << (size.back() == 'M' ? 20 : 10);
    present_ = kind_->type == BPF_MAP_TYPE_LRU_HASH ? entries_ - entries_ / 4
               : kind_->type == BPF_MAP_TYPE_ARRAY  ? entries_
                                                    : entries_ - entries_ / 16;
    cpus_ = kind_->type == BPF_MAP_TYPE_PERCPU_HASH ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
    value_.resize(cpus_);
  }
  ~ClientGroup() override {
    if (map_ >= 0 && map_ != filled_.map) close(map_);
  }

  Figures measure(const std::string& operation) override {
    prepare();
    if (operation == "batch-lookup") return {{"ns", batches()}};
    void (ClientGroup::*const call)() = operation == "lookup"   ? &ClientGroup::lookup
                                        : operation == "update" ? &ClientGroup::update
                                        : operation == "pair"   ? &ClientGroup::pair
                                                                : &ClientGroup::next_key;
    const double calls = operation == "pair" ? 2 : 1;
    return {{"ns", measure_calls([&](std::uint32_t repeat) {
               const double start = now_ns();
               for (std::uint32_t i = 0; i < repeat; ++i) (this->*call)();
               return (now_ns() - start) / repeat / calls;
             })}};
  }

  void check() override {
    prepare();
    for (int i = 0; i < 100; ++i) {
      lookup();
      update();
      lookup();
      if (kind_->type != BPF_MAP_TYPE_ARRAY) pair();
    }
    check_keys();
    if (kind_->type == BPF_MAP_TYPE_HASH || kind_->type == BPF_MAP_TYPE_ARRAY) check_batches();
  }

 private:
  void prepare() {
    if (is_ready_) return;
    if (entries_ >= LARGE) {
      filled_ = filled_map({"map_ops_8", kind_->type, kind_->flags, entries_}, present_);
      map_ = filled_.map;
      is_ready_ = true;
      return;
    }
    bpf_map_create_opts opts;
    std::memset(&opts, 0, sizeof opts);
    opts.sz = sizeof opts;
    opts.map_flags = kind_->flags;
    if (map_ < 0) map_ = bpf_map_create(kind_->type, "bench", kind_->key_size, 8, entries_, &opts);
    if (map_ < 0) throw Skip(with_errno("BPF_MAP_CREATE", -map_));
    set_key(0);
    if (const int err = bpf_map_update_elem(map_, &key_, value_.data(), BPF_ANY); err != 0) throw Skip(with_errno("update", -err));
    for (std::uint32_t i = 0; i < present_; ++i) {
      set_key(i);
      put(i, BPF_ANY);
    }
    is_ready_ = true;
  }

  void set_key(std::uint32_t index) {
    key_ = (index + 1) * 0x9e3779b97f4a7c15;
    if (kind_->type == BPF_MAP_TYPE_ARRAY) key_ = index;
    if (kind_->type == BPF_MAP_TYPE_LPM_TRIE) key_ = 32 | std::uint64_t{index * 0x9e3779b1u} << 32;
  }

  std::uint32_t random_index() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    const auto index = static_cast<std::uint32_t>((random_ >> 32) * present_ >> 32);
    set_key(index);
    return index;
  }

  /// The low 24 bits of each value are its key's index.
  void put(std::uint32_t index, std::uint64_t flags) {
    for (std::uint64_t& v : value_) v = random_ << 24 | index;
    if (const int err = bpf_map_update_elem(map_, &key_, value_.data(), flags); err != 0) throw Wrong(with_errno("update", -err));
  }

  void lookup() {
    const std::uint32_t index = random_index();
    if (const int err = bpf_map_lookup_elem(map_, &key_, value_.data()); err != 0) throw Wrong(with_errno("lookup", -err));
    for (const std::uint64_t v : value_)
      if ((v & 0xffffff) != index) throw Wrong("lookup: another key's value");
  }
  void update() { put(random_index(), BPF_EXIST); }
  void pair() {
    const std::uint32_t index = (1u << 21) + random_index();
    set_key(index);
    put(index, BPF_NOEXIST);
    if (const int err = bpf_map_delete_elem(map_, &key_); err != 0) throw Wrong(with_errno("delete", -err));
  }
  void next_key() {
    std::uint64_t next = 0;
    const int err = bpf_map_get_next_key(map_, walking_ ? &at_ : nullptr, &next);
    if (err != 0 && err != -ENOENT) throw Wrong(with_errno("next key", -err));
    walking_ = err == 0;
    at_ = next;
  }

  void check_keys() {
    std::uint32_t count = 0;
    for (next_key(); walking_ && count <= present_; next_key()) ++count;
    if (count != present_) throw Wrong("next key: " + std::to_string(count) + " keys, not " + std::to_string(present_));
  }

  void check_batches() {
    try {
      (void)batches();
    } catch (const Skip& skip) {
      std::printf("client/%s/batch-lookup: left out: %s\n", kind_->name, skip.what());
    }
  }

  /// ns an element, over walks of the whole map.
  double batches() {
    std::vector<double> samples;
    const double end = now_ns() + g_effort.total_ns;
    while (samples.size() < 1 || now_ns() < end) {
      const double start = now_ns();
      const std::uint32_t count = walk();
      samples.push_back((now_ns() - start) / count);
      if (count != present_) throw Wrong("batch: " + std::to_string(count) + " elements, not " + std::to_string(present_));
    }
    return median(std::move(samples));
  }

  std::uint32_t walk() {
    std::vector<std::uint64_t> keys(BATCH), values(BATCH * cpus_);
    std::uint64_t at = 0;
    std::uint32_t sum = 0;
    for (bool first = true;; first = false) {
      std::uint32_t count = BATCH;
      const int err = bpf_map_lookup_batch(map_, first ? nullptr : &at, &at, keys.data(), values.data(), &count, nullptr);
      if (err != 0 && err != -ENOENT) throw Skip(with_errno("BPF_MAP_LOOKUP_BATCH", -err));
      sum += count;
      if (err == -ENOENT) return sum;
    }
  }

  const Kind* kind_ = nullptr;
  std::uint32_t entries_, present_;
  std::size_t cpus_;
  int map_ = -1;
  FilledMap filled_;
  std::uint64_t key_ = 0, at_ = 0, random_ = 0x9e3779b97f4a7c15;
  bool walking_ = false, is_ready_ = false;
  std::vector<std::uint64_t> value_;
};

}  // namespace

void add_client_rows(std::vector<GroupSpec>* rows) {
  const auto add = [rows](const char* group, std::vector<std::string> operations) {
    rows->push_back({std::string("client/") + group, std::move(operations),
                     [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<ClientGroup>(name); }});
  };
  add("hash-8/1K", {"lookup", "update", "pair", "next-key", "batch-lookup"});
  add("hash-8/128K", {"lookup", "update", "pair", "next-key", "batch-lookup"});
  add("hash-8/1M", {"lookup", "update", "pair"});
  add("percpu-hash-8/1K", {"lookup", "update", "pair", "next-key"});
  add("lru-hash-8/1K", {"lookup", "update", "pair", "next-key"});
  add("array/1K", {"lookup", "update", "next-key", "batch-lookup"});
  add("lpm-trie/1K", {"lookup", "update", "pair", "next-key"});
}

}  // namespace skep::bench
