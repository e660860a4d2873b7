// btf: breaks a blob a little, in ways that leave most of it in order, so that the deep checks are reached.
#pragma once
#include "btf/blob_test.h"

namespace skep::test {

class Mutator {
 public:
  /// `seed_blob` is one that parse() accepts.
  Mutator(std::vector<u8> seed_blob, u32 random_seed, const KernelTypes* kernel = nullptr)
      : seed_(std::move(seed_blob)), random_(random_seed) {
    std::memcpy(&header_, seed_.data(), sizeof header_);
    const auto btf = Btf::parse(seed_, nullptr, kernel);
    if (!btf.ok()) return;
    for (u32 id = 1; id < (*btf)->nr_types(); ++id)
      types_.push_back(static_cast<std::size_t>(reinterpret_cast<const u8*>((*btf)->type_by_id(id)) - (*btf)->data().data()));
  }
  bool usable() const { return !types_.empty(); }

  std::vector<u8> next() {
    std::vector<u8> blob = seed_;
    for (u32 edits = 1 + below(3); edits > 0; --edits) edit(blob);
    if (below(40) == 0) blob.resize(below(static_cast<u32>(blob.size()) + 1));
    return blob;
  }

 private:
  u32 below(u32 n) { return static_cast<u32>(random_() % n); }
  u32 random_id() { return below(static_cast<u32>(types_.size()) + 3); }
  static u32 load(const std::vector<u8>& b, std::size_t at) {
    u32 w;
    std::memcpy(&w, b.data() + at, 4);
    return w;
  }
  static void store(std::vector<u8>& b, std::size_t at, u32 w) { std::memcpy(b.data() + at, &w, 4); }
  std::size_t any_word() { return header_.hdr_len + header_.type_off + 4 * std::size_t{below(header_.type_len / 4)}; }
  std::size_t any_type() { return types_[below(static_cast<u32>(types_.size()))]; }

  void edit(std::vector<u8>& b) {
    static constexpr u32 EDGES[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    8,
                                    9,
                                    16,
                                    24,
                                    31,
                                    32,
                                    33,
                                    64,
                                    72,
                                    128,
                                    255,
                                    4096,
                                    0xffff,
                                    BTF_MAX_TYPE,
                                    BTF_MAX_TYPE + 1,
                                    0x00ffffff,
                                    0x01000000,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff};
    static constexpr u8 CHARS[] = {'_', '.', ':', 'a', '0', ' ', 0x7f, 0xe9};
    const std::size_t word = any_word(), type = any_type();
    const u32 type_info = load(b, type + 4);
    switch (below(12)) {
      case 0:
        b[below(static_cast<u32>(b.size()))] ^= static_cast<u8>(1u << below(8));
        break;
      case 1:
        store(b, word, EDGES[below(std::size(EDGES))]);
        break;
      case 2:
        store(b, word, load(b, any_word()));
        break;
      case 3:
        store(b, word, random_id());
        break;
      case 4:
        store(b, word, load(b, word) + below(17) - 8);
        break;
      case 5:
        store(b, type + 8, random_id());
        break;
      case 6:
        store(b, type + 4, (type_info & ~(0x1fu << 24)) | below(NR_BTF_KINDS + 1) << 24);
        break;
      case 7:
        store(b, type + 4, type_info ^ 0x80000000u);
        break;
      case 8:
        store(b, type + 4, type_info + below(3) - 1);
        break;
      case 9:
        store(b, type, below(header_.str_len + 2));
        break;
      case 10:
        b[b.size() - 1 - below(header_.str_len)] = below(4) == 0 ? static_cast<u8>(below(256)) : CHARS[below(std::size(CHARS))];
        break;
      default:
        if (below(4) == 0)
          store(b, 4 * below(sizeof(btf_header) / 4), EDGES[below(std::size(EDGES))]);
        else
          store(b, type + 12, random_id());  // the first word behind the type: a member's name, an element, a linkage
        break;
    }
  }

  std::vector<u8> seed_;
  btf_header header_{};
  std::vector<std::size_t> types_;  // where each btf_type begins
  std::mt19937 random_;
};

}  // namespace skep::test
