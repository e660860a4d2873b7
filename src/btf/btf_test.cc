#include "btf/btf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "btf/cases_test.h"

namespace skep::test {
namespace {

std::unique_ptr<Btf> parsed(const std::vector<u8>& bytes, const KernelTypes* kernel = nullptr) {
  BtfLog log;
  auto btf = Btf::parse(bytes, &log, kernel);
  EXPECT_TRUE(btf.ok()) << log.text();
  return btf.ok() ? std::move(*btf) : nullptr;
}

TEST(BtfParse, GivesEachCaseItsVerdictAndWords) {
  const FakeKernel kernel;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Verdict v = skep_verdict(c.bytes, &kernel.types);
    EXPECT_EQ(v.error, c.error) << v.log;
    EXPECT_NE(v.log.find(c.says), std::string::npos) << v.log;
    const auto silent = Btf::parse(c.bytes, nullptr, &kernel.types);
    EXPECT_EQ(silent.ok() ? 0 : silent.error().value(), c.error);
  }
}

TEST(BtfParse, KptrWithoutKernelTypesIsRefused) {
  for (const Case& c : cases()) {
    if (c.name == "kptr") {
      EXPECT_EQ(skep_verdict(c.bytes).error, EINVAL);
      return;
    }
  }
  FAIL() << "the case is gone";
}

TEST(BtfParse, RefusesEveryTruncation) {
  const FakeKernel kernel;
  const std::vector<u8> whole = clang_seed();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    std::vector<u8> part(whole.begin(),
                         whole.begin() + static_cast<std::ptrdiff_t>(n));  // its own allocation: sanitizers see overruns
    ASSERT_EQ(skep_verdict(part, &kernel.types).error, EINVAL) << n;
  }
  EXPECT_EQ(skep_verdict(whole, &kernel.types).error, 0);
}

/// What any accepted BTF must bear.
void ask_everything(const Btf& btf) {
  for (u32 id = 0; id <= btf.nr_types(); ++id) {
    u32 resolved = id, size = 0;
    const btf_type* t = btf.type_id_size(&resolved, &size);
    const auto type_size = btf.type_size(id);
    ASSERT_EQ(t != nullptr, type_size.ok());
    if (t != nullptr) {
      ASSERT_EQ(*type_size, size);
    }
    const btf_type* plain = btf.skip_modifiers(id);
    ASSERT_TRUE(id == btf.nr_types() ? plain == nullptr : !btf_is_modifier(plain));
    (void)btf.type_name(id);
  }
}

TEST(BtfParse, BearsRandomDamage) {
  const FakeKernel kernel;
  const std::vector<u8> whole = clang_seed();
  std::mt19937 random(20240611);
  u32 accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<u8> blob = whole;
    for (u32 flips = 1 + random() % 4; flips > 0; --flips) blob[random() % blob.size()] ^= static_cast<u8>(1u << random() % 8);
    const auto btf = Btf::parse(blob, nullptr, &kernel.types);
    if (!btf.ok()) continue;
    ++accepted;
    ask_everything(**btf);
  }
  EXPECT_GT(accepted, 1000u);  // else the flips only ever hit the header, and this tests little
  EXPECT_LT(accepted, 19000u);
}

TEST(BtfParse, SizeLimits) {
  EXPECT_EQ(skep_verdict(std::vector<u8>(BTF_MAX_SIZE + 1)).error, E2BIG);
  EXPECT_EQ(skep_verdict(std::vector<u8>(BTF_MAX_SIZE)).error, EINVAL);
}

TEST(BtfParse, TypesBeyondTheLastIdAreLeftOut) {
  Blob b;
  b.int_type();
  const u32 n = BTF_MAX_TYPE + 5;
  for (u32 i = 1; i < n; ++i) b.ptr(1);
  const auto btf = parsed(b.bytes());
  ASSERT_NE(btf, nullptr);
  EXPECT_EQ(btf->nr_types(), BTF_MAX_TYPE);
  EXPECT_EQ(btf->type_by_id(BTF_MAX_TYPE), nullptr);
  EXPECT_NE(btf->type_by_id(BTF_MAX_TYPE - 1), nullptr);
}

TEST(BtfParse, CopiesItsBytes) {
  std::vector<u8> bytes = detail::base().bytes();
  const std::vector<u8> before = bytes;
  const auto btf = parsed(bytes);
  ASSERT_NE(btf, nullptr);
  std::fill(bytes.begin(), bytes.end(), u8{0xff});
  EXPECT_TRUE(std::equal(before.begin(), before.end(), btf->data().begin(), btf->data().end()));
  EXPECT_EQ(btf->type_name(1), "int");
}

TEST(BtfLog, CutsLongMessagesAsTheKernelDoes) {
  BtfLog log;
  log.append("{}", std::string(5000, 'a'));
  log.append("\n");
  EXPECT_EQ(log.text(), std::string(1023, 'a') + "\n");
}

TEST(Btf, AnswersAboutTypes) {
  Blob b = detail::base();
  const u32 name = b.str("s");
  const u32 cint = b.ref(BTF_KIND_CONST, detail::INT);     // 4
  const u32 word = b.ref(BTF_KIND_TYPEDEF, cint, "word");  // 5
  const u32 words = b.array(word, detail::INT, 6);         // 6
  const u32 s = b.type(name, info(BTF_KIND_STRUCT, 1), 24, {0, words, 0});
  const u32 var = b.type(b.str("v"), info(BTF_KIND_VAR), s, {1});
  const u32 sec = b.type(b.str(".bss"), info(BTF_KIND_DATASEC, 1), 32, {var, 0, 24});
  const u32 cvoid = b.ref(BTF_KIND_CONST, 0);
  const u32 grid = b.array(words, detail::INT, 2);
  const auto btf = parsed(b.bytes());
  ASSERT_NE(btf, nullptr);
  EXPECT_EQ(btf->nr_types(), grid + 1);

  const std::pair<u32, u32> sizes[] = {
      {detail::INT, 4}, {detail::PTR_VOID, 8}, {detail::LONG, 8}, {cint, 4}, {word, 4}, {words, 24}, {s, 24}, {var, 24}, {sec, 32},
      {grid, 48}};
  for (const auto& [id, size] : sizes) {
    const auto got = btf->type_size(id);
    ASSERT_TRUE(got.ok()) << id;
    EXPECT_EQ(*got, size) << id;
  }
  for (u32 id : {0u, cvoid, grid + 1, 0xffffffffu}) EXPECT_EQ(btf->type_size(id).error(), Errno(EINVAL)) << id;

  EXPECT_EQ(btf->resolve_modifiers(word), detail::INT);
  EXPECT_EQ(btf->resolve_modifiers(s), s);
  EXPECT_EQ(btf->resolve_modifiers(cvoid), 0u);
  EXPECT_EQ(btf->skip_modifiers(99), nullptr);
  u32 id = word;
  EXPECT_EQ(btf->type_id_size(&id, nullptr), btf->type_by_id(detail::INT));
  EXPECT_EQ(id, detail::INT);

  EXPECT_EQ(btf->type_name(word), "word");
  EXPECT_EQ(btf->type_name(words), "");
  EXPECT_EQ(btf->type_name(99), "");
  EXPECT_STREQ(btf->name(name), "s");
  EXPECT_EQ(btf->name(btf->header().str_len), nullptr);
  EXPECT_STREQ(btf->name_or_word(0), "(anon)");
  EXPECT_STREQ(btf->name_or_word(0xffffffff), "(invalid-name-offset)");

  EXPECT_EQ(*btf->find_by_name_kind("s", BTF_KIND_STRUCT), s);
  EXPECT_EQ(btf->find_by_name_kind("s", BTF_KIND_UNION).error(), Errno(ENOENT));
}

TEST(Btf, FindsDeclTags) {
  Blob b = detail::base();
  const u32 s = b.type(b.str("s"), info(BTF_KIND_STRUCT, 2), 8, {0, detail::INT, 0, 0, detail::INT, 32});
  const auto tag = [&](const char* text, u32 idx) { return b.type(b.str(text), info(BTF_KIND_DECL_TAG), s, {idx}); };
  const u32 first = tag("key:a", 0);
  tag("once:b", 1);
  const u32 second = tag("key:c", 0);
  const auto btf = parsed(b.bytes());
  ASSERT_NE(btf, nullptr);
  const btf_type* t = btf->type_by_id(s);
  EXPECT_EQ(*btf->find_next_decl_tag(t, 0, "key:", 0), first);
  EXPECT_EQ(*btf->find_next_decl_tag(t, 0, "key:", first), second);
  EXPECT_EQ(btf->find_next_decl_tag(t, 0, "key:", second).error(), Errno(ENOENT));
  EXPECT_EQ(btf->find_decl_tag_value(t, 0, "key:").error(), Errno(EEXIST));
  EXPECT_EQ(*btf->find_decl_tag_value(t, 1, "once:"), "b");
  EXPECT_EQ(btf->find_decl_tag_value(t, -1, "once:").error(), Errno(ENOENT));
}

TEST(Btf, KnowsTheSpecialFieldsOfStructs) {
  const FakeKernel kernel;
  const auto btf = parsed(clang_seed(), &kernel.types);
  ASSERT_NE(btf, nullptr);
  const u32 holder = *btf->find_by_name_kind("holder", BTF_KIND_STRUCT), node = *btf->find_by_name_kind("node", BTF_KIND_STRUCT);
  const BtfRecord* record = btf->struct_record(holder);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->field_mask, BPF_SPIN_LOCK | BPF_LIST_HEAD | BPF_KPTR_REF);
  EXPECT_EQ(record->spin_lock_off, 0);
  EXPECT_EQ(record->timer_off, -EINVAL);
  ASSERT_EQ(record->fields.size(), 3u);
  const BtfField& head = record->fields[1];
  EXPECT_EQ(head.type, BPF_LIST_HEAD);
  EXPECT_EQ(head.offset, 8u);
  EXPECT_EQ(head.size, 16u);
  EXPECT_EQ(head.btf_id, node);
  EXPECT_EQ(head.node_offset, 8u);
  const BtfField& kptr = record->fields[2];
  EXPECT_EQ(kptr.type, BPF_KPTR_REF);
  EXPECT_EQ(kptr.offset, 24u);
  EXPECT_EQ(kptr.btf, btf.get());
  EXPECT_EQ(kptr.btf_id, *btf->find_by_name_kind("leaf", BTF_KIND_STRUCT));
  const BtfRecord* held = btf->struct_record(node);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->refcount_off, 32);
  EXPECT_EQ(btf->struct_record(*btf->find_by_name_kind("leaf", BTF_KIND_STRUCT)), nullptr);
}

TEST(Btf, KptrsPointIntoTheKernelsTypesWhereItHasThem) {
  const FakeKernel kernel;
  for (const Case& c : cases()) {
    if (c.name != "kptr to a kernel struct with a destructor") continue;
    const auto btf = parsed(c.bytes, &kernel.types);
    ASSERT_NE(btf, nullptr);
    const BtfRecord* record = btf->struct_record(*btf->find_by_name_kind("holder", BTF_KIND_STRUCT));
    ASSERT_NE(record, nullptr);
    EXPECT_EQ(record->fields.at(0).btf, kernel.vmlinux.get());
    EXPECT_EQ(record->fields.at(0).btf_id, *kernel.vmlinux->find_by_name_kind("task_struct", BTF_KIND_STRUCT));
  }
}

/// A chain of n structs, each owning the next by a list; the last owns nothing.
std::vector<u8> ownership_chain(u32 n, bool closed) {
  Blob b = detail::base();
  const u32 lock = b.type(b.str("bpf_spin_lock"), info(BTF_KIND_STRUCT), 4);
  const u32 head = b.type(b.str("bpf_list_head"), info(BTF_KIND_STRUCT), 16);
  const u32 node = b.type(b.str("bpf_list_node"), info(BTF_KIND_STRUCT), 24);
  const u32 node_name = b.str("n");
  for (u32 i = 0; i < n; ++i) {
    const bool owner = closed || i + 1 < n;
    const u32 s = b.type(b.str("s" + std::to_string(i)), info(BTF_KIND_STRUCT, owner ? 3 : 1), 48, {node_name, node, 0});
    if (!owner) continue;
    for (u32 w : {0u, head, 24u * 8, 0u, lock, 40u * 8}) b.word(w);
    b.type(b.str("contains:s" + std::to_string((i + 1) % n) + ":n"), info(BTF_KIND_DECL_TAG), s, {1});
  }
  return b.bytes();
}

TEST(BtfParse, OwnershipIsAtMostEightDeep) {
  EXPECT_EQ(skep_verdict(ownership_chain(8, false)).error, 0);
  EXPECT_EQ(skep_verdict(ownership_chain(9, false)).error, ELOOP);
  EXPECT_EQ(skep_verdict(ownership_chain(2, true)).error, ELOOP);
}

// Blobs that would keep a walk without memory busy for hours. They need only to end.

TEST(BtfParse, StructsThatDoubleAtEachLevel) {
  const auto doubled = [](u32 levels) {
    Blob b = detail::base();
    const u32 lock = b.type(b.str("bpf_spin_lock"), info(BTF_KIND_STRUCT), 4);
    u32 inner = b.type(0, info(BTF_KIND_STRUCT), 0);
    for (u32 level = 0; level < levels; ++level) inner = b.type(0, info(BTF_KIND_STRUCT, 2), 0, {0, inner, 0, 0, inner, 0});
    b.type(0, info(BTF_KIND_STRUCT, 2), 4, {0, inner, 0, 0, lock, 0});
    return b.bytes();
  };
  EXPECT_EQ(skep_verdict(doubled(30)).error, 0);
  EXPECT_EQ(skep_verdict(doubled(31)).error, E2BIG);
}

TEST(BtfParse, ManyRootsManyTagsLongNames) {
  Blob b = detail::base();
  const u32 lock = b.type(b.str("bpf_spin_lock"), info(BTF_KIND_STRUCT), 4);
  const u32 head = b.type(b.str("bpf_list_head"), info(BTF_KIND_STRUCT), 16);
  const u32 node = b.type(b.str("bpf_list_node"), info(BTF_KIND_STRUCT), 24);
  const u32 held_name = b.str("held"), n = b.str("n"), tag = b.str("contains:held:n"), word = b.str(std::string(4 << 20, 'x'));
  for (u32 i = 0; i < 50000; ++i) {
    const u32 s = b.type(0, info(BTF_KIND_STRUCT, 2), 24, {0, head, 0, 0, lock, 16 * 8});
    b.type(tag, info(BTF_KIND_DECL_TAG), s, {0});
    b.type(word, info(BTF_KIND_DECL_TAG), s, {0});
  }
  b.type(held_name, info(BTF_KIND_STRUCT, 1), 24, {n, node, 0});
  EXPECT_EQ(skep_verdict(b.bytes()).error, 0);
}

}  // namespace
}  // namespace skep::test
