// btf: good and bad BTF, a table of them: skep's verdict is tested against `error` and `says`, and against Linux's own.
#pragma once
#include <functional>

#include "btf/blob_test.h"

namespace skep::test {

struct Case {
  std::string name;
  int error;         // 0: accepted
  std::string says;  // somewhere in the log
  std::vector<u8> bytes;
};

namespace detail {

using Build = std::function<void(Blob&)>;

/// Ids of the types that most cases start with.
constexpr u32 INT = 1, PTR_VOID = 2, LONG = 3;
inline Blob base() {
  Blob b;
  b.int_type("int", 4, 32, BTF_INT_SIGNED);
  b.ptr(0);
  b.int_type("long", 8, 64);
  return b;
}

class Table {
 public:
  void add(std::string name, int error, std::string says, const Build& build) {
    Blob b = base();
    build(b);
    cases_.push_back({std::move(name), error, std::move(says), b.bytes()});
  }
  void add_header(std::string name, int error, std::string says, const std::function<void(btf_header&)>& change) {
    Blob b = base();
    btf_header h = b.header();
    change(h);
    cases_.push_back({std::move(name), error, std::move(says), b.bytes(h)});
  }
  void add_bytes(std::string name, int error, std::string says, std::vector<u8> bytes) {
    cases_.push_back({std::move(name), error, std::move(says), std::move(bytes)});
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  std::vector<Case> cases_;
};

inline void headers(Table& t) {
  t.add_bytes("empty", EINVAL, "hdr_len not found", {});
  t.add_bytes("seven bytes", EINVAL, "hdr_len not found", {0x9f, 0xeb, 1, 0, 24, 0, 0});
  t.add_header("plain", 0, "magic: 0xeb9f\nversion: 1\nflags: 0x0\nhdr_len: 24\ntype_off: 0\n", [](btf_header&) {});
  t.add_header("magic", EINVAL, "Invalid magic", [](btf_header& h) { h.magic ^= 1; });
  t.add_header("magic of the other byte order", EINVAL, "Invalid magic", [](btf_header& h) { h.magic = 0x9feb; });
  t.add_header("version", ENOTSUPP_, "Unsupported version", [](btf_header& h) { h.version = 2; });
  t.add_header("flags", ENOTSUPP_, "Unsupported flags", [](btf_header& h) { h.flags = 1; });
  t.add_header("longer header of zeros", 0, "hdr_len: 32", [](btf_header& h) { h.hdr_len = 32; });
  t.add_header("longer header, odd", 0, "hdr_len: 27", [](btf_header& h) { h.hdr_len = 27; });
  std::vector<u8> beyond = base().bytes();
  const u32 beyond_len = static_cast<u32>(beyond.size()) + 1;
  std::memcpy(beyond.data() + 4, &beyond_len, 4);
  t.add_bytes("hdr_len beyond the end", EINVAL, "btf_header not found", beyond);
  t.add_header("gap before the strings", EINVAL, "Unsupported section found",
               [](btf_header& h) { h.str_off += 1, h.str_len -= 1; });
  t.add_header("gap before the types", EINVAL, "Unsupported section found",
               [](btf_header& h) { h.type_off += 4, h.type_len -= 4; });
  t.add_header("overlap", EINVAL, "Section overlap found", [](btf_header& h) { h.str_off -= 1, h.str_len += 1; });
  t.add_header("strings too long", EINVAL, "Total section length too long", [](btf_header& h) { h.str_len += 1; });
  t.add_header("types too long", EINVAL, "Total section length too long", [](btf_header& h) { h.type_len = 0xffffffff; });
  t.add_header("offset beyond the end", EINVAL, "Invalid section offset", [](btf_header& h) { h.str_off = 0x7fffffff; });
  t.add_header("offset that compares as negative", EINVAL, "", [](btf_header& h) { h.str_off = 0x80000000; });
  t.add_header("bytes behind", EINVAL, "Unsupported section found", [](btf_header& h) { h.str_len -= 1; });
  t.add_header("no types", EINVAL, "", [](btf_header& h) { h.type_len = 0; });
  t.add_header("strings first", EINVAL, "String section is not at the end", [](btf_header& h) {
    const u32 types = h.type_len;
    h.type_off = h.str_len, h.str_off = 0;
    h.type_len = types;
  });
  std::vector<u8> tail = base().bytes([] {
    btf_header h = base().header();
    h.hdr_len = 40;
    return h;
  }());
  tail[39] = 1;
  t.add_bytes("unknown header bytes not zero", E2BIG, "Unsupported btf_header", tail);
  std::vector<u8> only(24, 0);
  const btf_header h{BTF_MAGIC, BTF_VERSION, 0, 24, 0, 0, 0, 0};
  std::memcpy(only.data(), &h, sizeof h);
  t.add_bytes("header alone", EINVAL, "No data", only);
  for (u32 len : {0u, 3u, 4u, 7u, 8u, 12u, 20u, 23u})
    t.add_header("hdr_len " + std::to_string(len), EINVAL, "", [len](btf_header& x) { x.hdr_len = len; });
}

inline void strings(Table& t) {
  std::vector<u8> open = base().bytes();
  open.back() = 'x';
  t.add_bytes("strings not terminated", EINVAL, "Invalid string section", open);
  std::vector<u8> first = base().bytes();
  first[24 + base().header().str_off] = 'x';
  t.add_bytes("strings not beginning with the empty one", EINVAL, "Invalid string section", first);
  btf_header h = base().header();
  h.type_len += h.str_len, h.str_off += h.str_len, h.str_len = 0;
  t.add_bytes("no strings", EINVAL, "Invalid string section", base().bytes(h));
  t.add("name offset at the end", EINVAL, "Invalid name_offset:10",
        [](Blob& b) { b.type(b.header().str_len, info(BTF_KIND_CONST), INT); });
  t.add("identifier of 512", 0, "", [](Blob& b) { b.ref(BTF_KIND_TYPEDEF, INT, std::string(512, 'a')); });
  t.add("identifier of 513", EINVAL, "Invalid name", [](Blob& b) { b.ref(BTF_KIND_TYPEDEF, INT, std::string(513, 'a')); });
  for (const char* good : {"a", "_", ".", "A9", "a.b_c", "\xe9t\xe9", "\xff"})
    t.add(std::string("identifier ") + good, 0, "", [good](Blob& b) { b.ref(BTF_KIND_TYPEDEF, INT, good); });
  for (const char* bad : {"9", "a b", "a-b", "a\x7f", "\xd7", "a\xf7", "\xbf", "\x80", "*"})
    t.add(std::string("identifier ") + bad, EINVAL, "Invalid name", [bad](Blob& b) { b.ref(BTF_KIND_TYPEDEF, INT, bad); });
}

inline void types_alone(Table& t) {
  t.add("unknown info bits", EINVAL, "[4] Invalid btf_info:10000", [](Blob& b) { b.type(0, 0x00010000, 0); });
  t.add("kind 0", EINVAL, "[4] Invalid kind:0", [](Blob& b) { b.type(0, info(0), 0); });
  t.add("kind 20", EINVAL, "[4] Invalid kind:20", [](Blob& b) { b.type(0, info(20), 0); });
  t.add("eight bytes of a type", EINVAL, "[4] meta_left:8 meta_needed:12", [](Blob& b) { b.word(0), b.word(0); });
  t.add("int without its word", EINVAL, "[4] INT (anon) meta_left:0 meta_needed:4",
        [](Blob& b) { b.type(0, info(BTF_KIND_INT), 4); });

  t.add("int of 128 bits", 0, "size=16 bits_offset=0 nr_bits=128 encoding=(none)", [](Blob& b) { b.int_type("x", 16, 128); });
  t.add("int with offset", 0, "bits_offset=4 nr_bits=28 encoding=SIGNED",
        [](Blob& b) { b.int_type("x", 4, 28, BTF_INT_SIGNED, 4); });
  t.add("int bool", 0, "encoding=BOOL", [](Blob& b) { b.int_type("x", 1, 8, BTF_INT_BOOL); });
  t.add("int char", 0, "encoding=CHAR", [](Blob& b) { b.int_type("x", 1, 8, BTF_INT_CHAR); });
  t.add("int without name", 0, "", [](Blob& b) { b.type(0, info(BTF_KIND_INT), 4, {int_data(32)}); });
  t.add("int of no bits", 0, "", [](Blob& b) { b.int_type("x", 0, 0); });
  t.add("int vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(b.str("x"), info(BTF_KIND_INT, 1), 4, {int_data(32)}); });
  t.add("int kflag", EINVAL, "Invalid btf_info kind_flag", [](Blob& b) { b.type(0, info(BTF_KIND_INT, 0, true), 4, {32}); });
  t.add("int data", EINVAL, "Invalid int_data:10000020", [](Blob& b) { b.type(0, info(BTF_KIND_INT), 4, {0x10000020}); });
  t.add("int of 129 bits", EINVAL, "nr_bits exceeds 128", [](Blob& b) { b.int_type("x", 32, 128, 0, 1); });
  t.add("int wider than its size", EINVAL, "nr_bits exceeds type_size", [](Blob& b) { b.int_type("x", 4, 33); });
  t.add("int of two encodings", ENOTSUPP_, "encoding=UNKN Unsupported encoding",
        [](Blob& b) { b.int_type("x", 4, 32, BTF_INT_SIGNED | BTF_INT_CHAR); });

  for (u32 kind : {BTF_KIND_PTR, BTF_KIND_VOLATILE, BTF_KIND_CONST, BTF_KIND_RESTRICT}) {
    const std::string k = btf_kind_str(kind);
    t.add(k + " of void", 0, "[4] " + k + " (anon) type_id=0", [kind](Blob& b) { b.ref(kind, 0); });
    t.add(k + " with name", EINVAL, "Invalid name", [kind](Blob& b) { b.ref(kind, INT, "x"); });
  }
  for (u32 kind : {BTF_KIND_PTR, BTF_KIND_CONST, BTF_KIND_TYPEDEF, BTF_KIND_TYPE_TAG}) {
    const std::string k = btf_kind_str(kind);
    t.add(k + " vlen", EINVAL, "vlen != 0", [kind](Blob& b) { b.type(0, info(kind, 1), INT); });
    t.add(k + " id too great", EINVAL, "Invalid type_id", [kind](Blob& b) { b.ref(kind, BTF_MAX_TYPE + 1, "x"); });
    t.add(k + " to nothing", EINVAL, "",
          [kind](Blob& b) { b.ref(kind, 77, kind >= BTF_KIND_TYPE_TAG || kind == BTF_KIND_TYPEDEF ? "x" : ""); });
  }
  for (u32 kind : {BTF_KIND_PTR, BTF_KIND_CONST, BTF_KIND_TYPEDEF})
    t.add(std::string(btf_kind_str(kind)) + " kflag", EINVAL, "kind_flag",
          [kind](Blob& b) { b.type(0, info(kind, 0, true), INT); });
  t.add("typedef without name", EINVAL, "Invalid name", [](Blob& b) { b.ref(BTF_KIND_TYPEDEF, INT); });
  t.add("type tag", 0, "TYPE_TAG a b! type_id=1", [](Blob& b) { b.ref(BTF_KIND_TYPE_TAG, INT, "a b!"); });
  t.add("type tag without name", EINVAL, "Invalid name", [](Blob& b) { b.ref(BTF_KIND_TYPE_TAG, INT); });

  t.add("fwd", 0, "FWD f union", [](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FWD, 0, true), 0); });
  t.add("fwd vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FWD, 1), 0); });
  t.add("fwd type", EINVAL, "type != 0", [](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FWD), 1); });
  t.add("fwd without name", EINVAL, "Invalid name", [](Blob& b) { b.type(0, info(BTF_KIND_FWD), 0); });

  for (u32 size : {2u, 4u, 8u, 12u, 16u})
    t.add("float " + std::to_string(size), 0, "FLOAT f size=", [size](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FLOAT), size); });
  t.add("float 3", EINVAL, "Invalid type_size", [](Blob& b) { b.type(0, info(BTF_KIND_FLOAT), 3); });
  t.add("float vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(0, info(BTF_KIND_FLOAT, 1), 4); });
  t.add("float kflag", EINVAL, "kind_flag", [](Blob& b) { b.type(0, info(BTF_KIND_FLOAT, 0, true), 4); });
}

inline void arrays(Table& t) {
  t.add("array", 0, "ARRAY (anon) type_id=1 index_type_id=1 nr_elems=3", [](Blob& b) { b.array(INT, INT, 3); });
  t.add("array of nothing", 0, "", [](Blob& b) { b.array(INT, INT, 0); });
  t.add("array of arrays", 0, "", [](Blob& b) { b.array(b.array(INT, INT, 2), INT, 2); });
  t.add("array of pointers to itself", 0, "", [](Blob& b) { b.array(5, INT, 2), b.ptr(4); });
  t.add("array cut short", EINVAL, "meta_left:8 meta_needed:12", [](Blob& b) { b.type(0, info(BTF_KIND_ARRAY), 0, {INT, INT}); });
  t.add("array name", EINVAL, "Invalid name", [](Blob& b) { b.type(b.str("x"), info(BTF_KIND_ARRAY), 0, {INT, INT, 1}); });
  t.add("array vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(0, info(BTF_KIND_ARRAY, 1), 0, {INT, INT, 1}); });
  t.add("array kflag", EINVAL, "kind_flag", [](Blob& b) { b.type(0, info(BTF_KIND_ARRAY, 0, true), 0, {INT, INT, 1}); });
  t.add("array size", EINVAL, "size != 0", [](Blob& b) { b.type(0, info(BTF_KIND_ARRAY), 4, {INT, INT, 1}); });
  t.add("array of void", EINVAL, "Invalid elem", [](Blob& b) { b.array(0, INT, 1); });
  t.add("array of id too great", EINVAL, "Invalid elem", [](Blob& b) { b.array(BTF_MAX_TYPE + 1, INT, 1); });
  t.add("array by void", EINVAL, "Invalid index", [](Blob& b) { b.array(INT, 0, 1); });
  t.add("array by id too great", EINVAL, "Invalid index", [](Blob& b) { b.array(INT, BTF_MAX_TYPE + 1, 1); });
  t.add("array by nothing", EINVAL, "Invalid index", [](Blob& b) { b.array(INT, 77, 1); });
  t.add("array by pointer", EINVAL, "Invalid index", [](Blob& b) { b.array(INT, PTR_VOID, 1); });
  t.add("array by odd int", EINVAL, "Invalid index", [](Blob& b) { b.array(INT, b.int_type("x", 4, 31), 1); });
  t.add("array by const int", 0, "", [](Blob& b) { b.array(INT, b.ref(BTF_KIND_CONST, INT), 1); });
  t.add("array of nothing known", EINVAL, "Invalid elem", [](Blob& b) { b.array(77, INT, 1); });
  t.add("array of fwd", EINVAL, "Invalid elem", [](Blob& b) { b.array(5, INT, 1), b.type(b.str("f"), info(BTF_KIND_FWD), 0); });
  t.add("array of const void", EINVAL, "Invalid elem", [](Blob& b) { b.array(5, INT, 1), b.ref(BTF_KIND_CONST, 0); });
  t.add("array of odd int", EINVAL, "Invalid array of int", [](Blob& b) { b.array(b.int_type("x", 4, 31), INT, 1); });
  t.add("array too large", EINVAL, "Array size overflows U32_MAX", [](Blob& b) { b.array(INT, INT, 0x40000000); });
  t.add("array as large as can be", 0, "", [](Blob& b) { b.array(INT, INT, 0x3fffffff); });
  t.add("array of itself", EEXIST, "Loop detected", [](Blob& b) { b.array(4, INT, 1); });
}

inline void structs(Table& t) {
  const auto s = [](Blob& b, u32 kind, u32 size, u32 vlen, bool kflag, std::initializer_list<u32> tail) {
    return b.type(b.str("s"), info(kind, vlen, kflag), size, tail);
  };
  t.add("empty struct", 0, "STRUCT s size=0 vlen=0", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 0, 0, false, {}); });
  t.add("struct", 0, "\t(anon) type_id=1 bits_offset=32\n", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 2, false, {b.str("m"), INT, 0, 0, INT, 32});
  });
  t.add("union", 0, "UNION s size=8 vlen=2", [s](Blob& b) { s(b, BTF_KIND_UNION, 8, 2, false, {0, INT, 0, 0, LONG, 0}); });
  t.add("struct cut short", EINVAL, "meta_left:12 meta_needed:24", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 2, false, {0, INT, 0});
  });
  t.add("struct bad name", EINVAL, "Invalid name", [](Blob& b) { b.type(b.str("1"), info(BTF_KIND_STRUCT), 4); });
  t.add("member name offset", EINVAL, "Invalid member name_offset:9999", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {9999, INT, 0});
  });
  t.add("member bad name", EINVAL, "Invalid name", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 4, 1, false, {b.str("a b"), INT, 0}); });
  t.add("member void", EINVAL, "Invalid type_id", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 0, 0}); });
  t.add("member id too great", EINVAL, "Invalid type_id", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, BTF_MAX_TYPE + 1, 0});
  });
  t.add("union offset", EINVAL, "Invalid member bits_offset", [s](Blob& b) { s(b, BTF_KIND_UNION, 8, 1, false, {0, INT, 32}); });
  t.add("members going back", EINVAL, "Invalid member bits_offset", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 2, false, {0, INT, 32, 0, INT, 0});
  });
  t.add("member offset beyond", EINVAL, "Member bits_offset exceeds its struct size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, INT, 33});
  });
  t.add("int member beyond", EINVAL, "Member exceeds struct_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, LONG, 0});
  });
  t.add("int member at a bit", 0, "", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 8, 1, false, {0, INT, 3}); });
  t.add("int member wider than 128", EINVAL, "nr_copy_bits exceeds 128", [s](Blob& b) {
    const u32 i = b.int_type("x", 16, 128);
    s(b, BTF_KIND_STRUCT, 32, 1, false, {0, i, 1});
  });
  t.add("int member offset too great", EINVAL, "bits_offset exceeds U32_MAX", [s](Blob& b) {
    const u32 i = b.int_type("x", 4, 4, 0, 28);
    s(b, BTF_KIND_STRUCT, 0x20000000, 1, false, {0, i, 0xffffffff - 8});
  });
  t.add("member of nothing known", EINVAL, "Invalid member", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 77, 0}); });
  t.add("member fwd", EINVAL, "Invalid member", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 5, 0});
    b.type(b.str("f"), info(BTF_KIND_FWD), 0);
  });
  t.add("member const void", EINVAL, "Invalid member", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 5, 0});
    b.ref(BTF_KIND_CONST, 0);
  });
  t.add("member const int", 0, "", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 5, 0});
    b.ref(BTF_KIND_CONST, INT);
  });
  t.add("member of itself", EEXIST, "Loop detected", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 4, 1, false, {0, 4, 0}); });
  t.add("member pointer to itself", 0, "", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 1, false, {0, 5, 0});
    b.ptr(4);
  });
  const struct {
    const char* what;
    u32 size, own_size;
    std::function<void(Blob&)> make;  // makes type 5
  } kinds[] = {{"ptr", 8, 8, [](Blob& b) { b.ptr(0); }},
               {"array", 12, 12, [](Blob& b) { b.array(INT, INT, 3); }},
               {"struct", 4, 4, [](Blob& b) { b.type(0, info(BTF_KIND_STRUCT), 4); }},
               {"enum", 4, 4, [](Blob& b) { b.type(0, info(BTF_KIND_ENUM), 4); }},
               {"enum64", 8, 8, [](Blob& b) { b.type(0, info(BTF_KIND_ENUM64), 8); }},
               {"typedef of ptr", 8, 8, [](Blob& b) { b.ref(BTF_KIND_TYPEDEF, PTR_VOID, "p"); }}};
  for (const auto& k : kinds) {
    const std::string what = k.what;
    for (bool kflag : {false, true}) {
      const std::string with = kflag ? " kflag" : "";
      const bool is_enum = what.starts_with("enum");
      t.add(what + " member" + with, 0, "", [s, k, kflag](Blob& b) {
        s(b, BTF_KIND_STRUCT, k.size, 1, kflag, {0, 5, 0});
        k.make(b);
      });
      t.add(what + " member at a bit" + with, EINVAL, "Member is not byte aligned", [s, k, kflag](Blob& b) {
        s(b, BTF_KIND_STRUCT, k.size + 8, 1, kflag, {0, 5, 1});
        k.make(b);
      });
      if (is_enum && kflag) continue;  // there a member without a width is as wide as an int
      t.add(what + " member beyond" + with, EINVAL, "Member exceeds struct_size", [s, k, kflag](Blob& b) {
        s(b, BTF_KIND_STRUCT, k.size, 1, kflag, {0, 5, 8});
        k.make(b);
      });
      if (!kflag || is_enum) continue;
      t.add(what + " member of a width", EINVAL, "Invalid member bitfield_size", [s, k](Blob& b) {
        s(b, BTF_KIND_STRUCT, k.size, 1, true, {0, 5, 1u << 24});
        k.make(b);
      });
    }
  }
  t.add("float member", 0, "", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 8, 1, false, {0, b.type(0, info(BTF_KIND_FLOAT), 4), 32}); });
  t.add("float member misaligned", EINVAL, "Member is not properly aligned", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 1, false, {0, b.type(0, info(BTF_KIND_FLOAT), 4), 16});
  });
  t.add("float member beyond", EINVAL, "Member exceeds struct_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, false, {0, b.type(0, info(BTF_KIND_FLOAT), 4), 32});
  });
  t.add("float member of a width", EINVAL, "Invalid member bitfield_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, b.type(0, info(BTF_KIND_FLOAT), 4), 4u << 24});
  });
  t.add("bit fields", 0, "\tb type_id=1 bitfield_size=7 bits_offset=3\n", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 2, true, {0, INT, 3u << 24, b.str("b"), INT, 7u << 24 | 3});
  });
  t.add("bit field too wide", EINVAL, "Invalid member bitfield_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 1, true, {0, INT, 33u << 24});
  });
  t.add("bit field beyond", EINVAL, "Member exceeds struct_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, INT, 8u << 24 | 25});
  });
  t.add("bit field wider than 128 from its byte", EINVAL, "nr_copy_bits exceeds 128", [s](Blob& b) {
    const u32 i = b.int_type("x", 16, 128);
    s(b, BTF_KIND_STRUCT, 32, 1, true, {0, i, 128u << 24 | 1});
  });
  t.add("bit field of odd int", EINVAL, "Invalid member base type", [s](Blob& b) {
    const u32 i = b.int_type("x", 4, 31);
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, i, 1u << 24});
  });
  t.add("no bit field at a bit", EINVAL, "Invalid member offset", [s](Blob& b) { s(b, BTF_KIND_STRUCT, 8, 1, true, {0, INT, 1}); });
  t.add("enum bit field", 0, "", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, b.type(0, info(BTF_KIND_ENUM), 4), 2u << 24 | 5});
  });
  t.add("enum bit field too wide", EINVAL, "Invalid member bitfield_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 8, 1, true, {0, b.type(0, info(BTF_KIND_ENUM), 8), 33u << 24});
  });
  t.add("enum bit field beyond", EINVAL, "Member exceeds struct_size", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 1, 1, true, {0, b.type(0, info(BTF_KIND_ENUM), 4), 2u << 24 | 7});
  });
  t.add("const bit field", 0, "", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, 5, 2u << 24});
    b.ref(BTF_KIND_CONST, INT);
  });
  t.add("const void bit field", EINVAL, "Invalid member", [s](Blob& b) {
    s(b, BTF_KIND_STRUCT, 4, 1, true, {0, 5, 2u << 24});
    b.ref(BTF_KIND_CONST, 0);
  });
}

inline void enums(Table& t) {
  t.add("enum", 0, "ENUM e size=4 vlen=2\n\tA val=4294967295\n\tB val=1\n", [](Blob& b) {
    const u32 e = b.str("e"), a = b.str("A"), c = b.str("B");
    b.type(e, info(BTF_KIND_ENUM, 2), 4, {a, 0xffffffff, c, 1});
  });
  t.add("signed enum", 0, "\tA val=-1\n", [](Blob& b) { b.type(0, info(BTF_KIND_ENUM, 1, true), 4, {b.str("A"), 0xffffffff}); });
  t.add("enum64", 0, "\tA val=18446744073709551615\n", [](Blob& b) {
    b.type(0, info(BTF_KIND_ENUM64, 1), 8, {b.str("A"), 0xffffffff, 0xffffffff});
  });
  t.add("signed enum64", 0, "\tA val=-4294967296\n", [](Blob& b) {
    b.type(0, info(BTF_KIND_ENUM64, 1, true), 8, {b.str("A"), 0, 0xffffffff});
  });
  for (u32 kind : {BTF_KIND_ENUM, BTF_KIND_ENUM64}) {
    const std::string k = btf_kind_str(kind);
    t.add(k + " cut short", EINVAL, "meta_left:4", [kind](Blob& b) { b.type(0, info(kind, 1), 4, {1}); });
    for (u32 size : {0u, 3u, 16u})
      t.add(k + " size " + std::to_string(size), EINVAL, "Unexpected size", [kind, size](Blob& b) { b.type(0, info(kind), size); });
    for (u32 size : {1u, 2u, 4u, 8u})
      t.add(k + " size " + std::to_string(size), 0, "", [kind, size](Blob& b) { b.type(0, info(kind), size); });
    t.add(k + " bad name", EINVAL, "Invalid name", [kind](Blob& b) { b.type(b.str("1"), info(kind), 4); });
    t.add(k + " name offset", EINVAL, "\tInvalid name_offset:9999", [kind](Blob& b) { b.type(0, info(kind, 1), 4, {9999, 0, 0}); });
    t.add(k + " anonymous value", EINVAL, "Invalid name", [kind](Blob& b) { b.type(0, info(kind, 1), 4, {0, 0, 0}); });
    t.add(k + " bad value name", EINVAL, "Invalid name", [kind](Blob& b) { b.type(0, info(kind, 1), 4, {b.str("1"), 0, 0}); });
  }
}

inline void functions(Table& t) {
  const auto proto = [](Blob& b, u32 ret, u32 vlen, std::initializer_list<u32> tail) {
    return b.type(0, info(BTF_KIND_FUNC_PROTO, vlen), ret, tail);
  };
  t.add("proto void", 0, "FUNC_PROTO (anon) return=0 args=(void)", [proto](Blob& b) { proto(b, 0, 0, {}); });
  t.add("proto vararg", 0, "args=(vararg)", [proto](Blob& b) { proto(b, 0, 1, {0, 0}); });
  t.add("proto", 0, "return=1 args=(1 x, 3 (anon), vararg)", [proto](Blob& b) {
    proto(b, INT, 3, {b.str("x"), INT, 0, LONG, 0, 0});
  });
  t.add("proto one", 0, "return=0 args=(1 x)", [proto](Blob& b) { proto(b, 0, 1, {b.str("x"), INT}); });
  t.add("proto cut short", EINVAL, "meta_left:4 meta_needed:8", [proto](Blob& b) { proto(b, 0, 1, {0}); });
  t.add("proto name", EINVAL, "Invalid name", [](Blob& b) { b.type(b.str("x"), info(BTF_KIND_FUNC_PROTO), 0); });
  t.add("proto kflag", EINVAL, "kind_flag", [](Blob& b) { b.type(0, info(BTF_KIND_FUNC_PROTO, 0, true), 0); });
  t.add("proto returns nothing known", EINVAL, "Invalid return type", [proto](Blob& b) { proto(b, 77, 0, {}); });
  t.add("proto returns fwd", EINVAL, "Invalid return type",
        [proto](Blob& b) { proto(b, b.type(b.str("f"), info(BTF_KIND_FWD), 0), 0, {}); });
  t.add("proto returns var", EINVAL, "Invalid return type",
        [proto](Blob& b) { proto(b, b.type(b.str("v"), info(BTF_KIND_VAR), INT, {0}), 0, {}); });
  t.add("proto returns const void", EINVAL, "Invalid return type", [proto](Blob& b) { proto(b, b.ref(BTF_KIND_CONST, 0), 0, {}); });
  t.add("proto vararg with name", EINVAL, "Invalid arg#1", [proto](Blob& b) { proto(b, 0, 1, {b.str("x"), 0}); });
  t.add("proto arg void", EINVAL, "Invalid arg#1", [proto](Blob& b) { proto(b, 0, 2, {0, 0, 0, INT}); });
  t.add("proto arg of nothing known", EINVAL, "Invalid arg#2", [proto](Blob& b) { proto(b, 0, 2, {0, INT, 0, 77}); });
  t.add("proto arg name offset", EINVAL, "(invalid-name-offset)) Invalid arg#1", [proto](Blob& b) { proto(b, 0, 1, {9999, INT}); });
  t.add("proto arg bad name", EINVAL, "Invalid arg#1", [proto](Blob& b) { proto(b, 0, 1, {b.str("1"), INT}); });
  t.add("proto arg var", EINVAL, "Invalid arg#1", [proto](Blob& b) {
    proto(b, 0, 1, {0, b.type(b.str("v"), info(BTF_KIND_VAR), INT, {0})});
  });
  t.add("proto arg typedef not yet resolved", 0, "", [proto](Blob& b) {
    proto(b, 5, 1, {0, 5});
    b.ref(BTF_KIND_TYPEDEF, INT, "x");
  });
  t.add("proto arg loop", EEXIST, "Loop detected", [proto](Blob& b) {
    proto(b, 0, 1, {0, 5});
    b.ptr(6);
    b.ptr(5);
  });
  t.add("func", 0, "FUNC f type_id=4", [proto](Blob& b) {
    b.type(b.str("f"), info(BTF_KIND_FUNC, BTF_FUNC_GLOBAL), proto(b, 0, 1, {b.str("x"), INT}));
  });
  t.add("func without name", EINVAL, "Invalid name", [proto](Blob& b) { b.type(0, info(BTF_KIND_FUNC), proto(b, 0, 0, {})); });
  t.add("func extern", EINVAL, "Invalid func linkage",
        [proto](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FUNC, BTF_FUNC_EXTERN), proto(b, 0, 0, {})); });
  t.add("func kflag", EINVAL, "kind_flag",
        [proto](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FUNC, 0, true), proto(b, 0, 0, {})); });
  t.add("func of int", EINVAL, "Invalid type_id", [](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FUNC), INT); });
  t.add("func of nothing known", EINVAL, "Invalid type_id", [](Blob& b) { b.type(b.str("f"), info(BTF_KIND_FUNC), 77); });
  t.add("func arg without name", EINVAL, "Invalid arg#1", [proto](Blob& b) {
    b.type(b.str("f"), info(BTF_KIND_FUNC), proto(b, 0, 1, {0, INT}));
  });
  t.add("ptr to func", EINVAL, "Invalid type_id", [proto](Blob& b) {
    b.ptr(6);
    proto(b, 0, 0, {});
    b.type(b.str("f"), info(BTF_KIND_FUNC), 5);
  });
  t.add("const func", 0, "", [proto](Blob& b) {  // the kernel takes it for its prototype
    b.ref(BTF_KIND_CONST, 6);
    proto(b, 0, 0, {});
    b.type(b.str("f"), info(BTF_KIND_FUNC), 5);
  });
}

inline void variables(Table& t) {
  const auto var = [](Blob& b, u32 to, u32 linkage = 1) { return b.type(b.str("v"), info(BTF_KIND_VAR), to, {linkage}); };
  const auto sec = [](Blob& b, u32 size, u32 vlen, std::initializer_list<u32> tail) {
    return b.type(b.str(".data"), info(BTF_KIND_DATASEC, vlen), size, tail);
  };
  t.add("var", 0, "VAR v type_id=1 linkage=1", [var](Blob& b) { var(b, INT); });
  t.add("var cut short", EINVAL, "meta_left:0 meta_needed:4", [](Blob& b) { b.type(b.str("v"), info(BTF_KIND_VAR), INT); });
  t.add("var vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(b.str("v"), info(BTF_KIND_VAR, 1), INT, {0}); });
  t.add("var kflag", EINVAL, "kind_flag", [](Blob& b) { b.type(b.str("v"), info(BTF_KIND_VAR, 0, true), INT, {0}); });
  t.add("var without name", EINVAL, "Invalid name", [](Blob& b) { b.type(0, info(BTF_KIND_VAR), INT, {0}); });
  t.add("var void", EINVAL, "Invalid type_id", [var](Blob& b) { var(b, 0); });
  t.add("var id too great", EINVAL, "Invalid type_id", [var](Blob& b) { var(b, BTF_MAX_TYPE + 1); });
  t.add("var extern", EINVAL, "Linkage not supported", [var](Blob& b) { var(b, INT, 2); });
  t.add("var of nothing known", EINVAL, "Invalid type_id", [var](Blob& b) { var(b, 77); });
  t.add("var of var", EINVAL, "Invalid type_id", [var](Blob& b) { var(b, var(b, INT)); });
  t.add("var const void", EINVAL, "Invalid type_id", [var](Blob& b) { var(b, b.ref(BTF_KIND_CONST, 0)); });
  t.add("var const pointer loop", EEXIST, "Loop detected", [var](Blob& b) {
    var(b, 5);
    b.ref(BTF_KIND_CONST, 6);
    b.ptr(5);
  });

  t.add("datasec", 0, "DATASEC .data size=8 vlen=1\n\t type_id=4 offset=4 size=4\n", [=](Blob& b) {
    var(b, INT), sec(b, 8, 1, {4, 4, 4});
  });
  t.add("datasec before its var", 0, "", [=](Blob& b) { sec(b, 8, 2, {5, 0, 4, 6, 4, 4}), var(b, INT), var(b, INT); });
  t.add("datasec name with any character", 0, "", [=](Blob& b) {
    b.type(b.str(" ?\xa0"), info(BTF_KIND_DATASEC, 1), 8, {var(b, INT), 0, 4});
  });
  t.add("datasec without vars", 0, "", [sec](Blob& b) { sec(b, 8, 0, {}); });
  t.add("datasec cut short", EINVAL, "meta_left:0 meta_needed:12", [sec](Blob& b) { sec(b, 8, 1, {}); });
  t.add("datasec of no size", EINVAL, "size == 0", [sec](Blob& b) { sec(b, 0, 0, {}); });
  t.add("datasec kflag", EINVAL, "kind_flag", [](Blob& b) { b.type(b.str("d"), info(BTF_KIND_DATASEC, 0, true), 8); });
  t.add("datasec without name", EINVAL, "Invalid name", [](Blob& b) { b.type(0, info(BTF_KIND_DATASEC), 8); });
  t.add("datasec bad name", EINVAL, "Invalid name", [](Blob& b) { b.type(b.str("a\tb"), info(BTF_KIND_DATASEC), 8); });
  t.add("datasec name of 513", EINVAL, "Invalid name",
        [](Blob& b) { b.type(b.str(std::string(513, 'a')), info(BTF_KIND_DATASEC), 8); });
  t.add("datasec void", EINVAL, "Invalid type_id", [sec](Blob& b) { sec(b, 8, 1, {0, 0, 4}); });
  t.add("datasec id too great", EINVAL, "Invalid type_id", [sec](Blob& b) { sec(b, 8, 1, {BTF_MAX_TYPE + 1, 0, 4}); });
  t.add("datasec overlap", EINVAL, "Invalid offset", [=](Blob& b) { var(b, INT), sec(b, 8, 2, {4, 0, 4, 4, 3, 4}); });
  t.add("datasec offset beyond", EINVAL, "Invalid offset", [=](Blob& b) { var(b, INT), sec(b, 8, 1, {4, 8, 4}); });
  t.add("datasec size 0", EINVAL, "Invalid size", [=](Blob& b) { var(b, INT), sec(b, 8, 1, {4, 0, 0}); });
  t.add("datasec size beyond", EINVAL, "Invalid size", [=](Blob& b) { var(b, INT), sec(b, 8, 1, {4, 0, 9}); });
  t.add("datasec end beyond", EINVAL, "Invalid offset+size", [=](Blob& b) { var(b, INT), sec(b, 8, 1, {4, 5, 4}); });
  t.add("datasec end wraps", EINVAL, "", [=](Blob& b) {
    var(b, INT), sec(b, 0xffffffff, 2, {4, 8, 0xfffffff8, 4, 4, 0xfffffffc});
  });
  t.add("datasec of int", EINVAL, "Not a VAR kind member", [sec](Blob& b) { sec(b, 8, 1, {INT, 0, 4}); });
  t.add("datasec of nothing known", EINVAL, "Not a VAR kind member", [sec](Blob& b) { sec(b, 8, 1, {77, 0, 4}); });
  t.add("datasec too small for its var", EINVAL, "Invalid size", [=](Blob& b) { var(b, LONG), sec(b, 8, 1, {4, 0, 4}); });
}

inline void tags(Table& t) {
  const auto tag = [](Blob& b, u32 to, s32 idx) {
    return b.type(b.str("t a g"), info(BTF_KIND_DECL_TAG), to, {static_cast<u32>(idx)});
  };
  const auto two = [](Blob& b, u32 kind) {
    return b.type(0, info(kind, 2), 8, {0, INT, 0, 0, INT, kind == BTF_KIND_STRUCT ? 32u : 0u});
  };
  t.add("tag on struct", 0, "DECL_TAG t a g type=4 component_idx=-1", [=](Blob& b) { tag(b, two(b, BTF_KIND_STRUCT), -1); });
  t.add("tag on member", 0, "", [=](Blob& b) { tag(b, two(b, BTF_KIND_STRUCT), 1); });
  t.add("tag on member of union", 0, "", [=](Blob& b) { tag(b, two(b, BTF_KIND_UNION), 1); });
  t.add("tag on no member", EINVAL, "Invalid component_idx", [=](Blob& b) { tag(b, two(b, BTF_KIND_STRUCT), 2); });
  t.add("tag on -2", EINVAL, "Invalid component_idx", [=](Blob& b) { tag(b, two(b, BTF_KIND_STRUCT), -2); });
  t.add("tag on typedef", 0, "", [=](Blob& b) { tag(b, b.ref(BTF_KIND_TYPEDEF, INT, "x"), -1); });
  t.add("tag on part of typedef", EINVAL, "Invalid component_idx", [=](Blob& b) { tag(b, b.ref(BTF_KIND_TYPEDEF, INT, "x"), 0); });
  t.add("tag on var", 0, "", [=](Blob& b) { tag(b, b.type(b.str("v"), info(BTF_KIND_VAR), INT, {0}), -1); });
  t.add("tag on part of var", EINVAL, "Invalid component_idx",
        [=](Blob& b) { tag(b, b.type(b.str("v"), info(BTF_KIND_VAR), INT, {0}), 0); });
  for (s32 idx : {-1, 0, 1})
    t.add("tag on func arg " + std::to_string(idx), idx == 1 ? EINVAL : 0, idx == 1 ? "Invalid component_idx" : "", [=](Blob& b) {
      tag(b, 6, idx);
      b.type(0, info(BTF_KIND_FUNC_PROTO, 1), 0, {b.str("x"), INT});
      b.type(b.str("f"), info(BTF_KIND_FUNC), 5);
    });
  t.add("tag on int", EINVAL, "Invalid type_id", [=](Blob& b) { tag(b, INT, -1); });
  t.add("tag on nothing known", EINVAL, "Invalid type_id", [=](Blob& b) { tag(b, 77, -1); });
  t.add("tag cut short", EINVAL, "meta_left:0 meta_needed:4", [](Blob& b) { b.type(b.str("x"), info(BTF_KIND_DECL_TAG), INT); });
  t.add("tag without value", EINVAL, "Invalid value", [](Blob& b) { b.type(0, info(BTF_KIND_DECL_TAG), INT, {0}); });
  t.add("tag vlen", EINVAL, "vlen != 0", [](Blob& b) { b.type(b.str("x"), info(BTF_KIND_DECL_TAG, 1), INT, {0}); });

  t.add("type tag before const", 0, "", [](Blob& b) { b.ptr(b.ref(BTF_KIND_TYPE_TAG, b.ref(BTF_KIND_CONST, INT), "x")); });
  t.add("type tag behind const", EINVAL, "Type tags don't precede modifiers",
        [](Blob& b) { b.ptr(b.ref(BTF_KIND_CONST, b.ref(BTF_KIND_TYPE_TAG, INT, "x"))); });
  t.add("type tag behind const, the other order", EINVAL, "Type tags don't precede modifiers", [](Blob& b) {
    b.ref(BTF_KIND_CONST, 5);
    b.ref(BTF_KIND_TYPE_TAG, INT, "x");
  });
}

inline void depth(Table& t) {
  const auto chain = [](Blob& b, u32 n, u32 kind) {  // each refers to the next; the last to int
    for (u32 i = 0; i < n; ++i) b.ref(kind, i + 1 < n ? 5 + i : INT);
  };
  t.add("32 consts", 0, "", [=](Blob& b) { chain(b, 32, BTF_KIND_CONST); });
  t.add("33 consts", E2BIG, "Exceeded max resolving depth:32", [=](Blob& b) { chain(b, 33, BTF_KIND_CONST); });
  t.add("33 pointers", E2BIG, "Exceeded max resolving depth:32", [=](Blob& b) { chain(b, 33, BTF_KIND_PTR); });
  t.add("40 consts backwards", 0, "", [](Blob& b) {
    for (u32 i = 0, at = INT; i < 40; ++i) at = b.ref(BTF_KIND_CONST, at);
  });
  t.add("pointer to itself", EEXIST, "Loop detected", [](Blob& b) { b.ptr(4); });
  t.add("const, ptr, const, ptr", EEXIST, "Loop detected", [](Blob& b) {
    b.ref(BTF_KIND_CONST, 5);
    b.ptr(6);
    b.ref(BTF_KIND_CONST, 7);
    b.ptr(4);
  });
  t.add("pointer loop behind a struct", EEXIST, "Loop detected", [](Blob& b) {
    b.type(0, info(BTF_KIND_STRUCT, 1), 8, {0, 5, 0});
    b.ref(BTF_KIND_CONST, 6);
    b.ptr(5);
  });
  t.add("struct, typedef, struct", EEXIST, "Loop detected", [](Blob& b) {
    b.type(0, info(BTF_KIND_STRUCT, 1), 8, {0, 5, 0});
    b.ref(BTF_KIND_TYPEDEF, 4, "x");
  });
}

/// Structs with locks, lists and trees. Types: 4 spin lock, 5 list head, 6 list node, 7 rb root, 8 rb node, 9 refcount.
inline void special(Table& t) {
  enum : u32 { LOCK = 4, HEAD, NODE, ROOT, RBNODE, REF, HOLDER, HELD };
  struct Member {
    const char* name;
    u32 type, offset;
  };
  const auto kinds = [](Blob& b) {
    const std::pair<const char*, u32> named[] = {{"bpf_spin_lock", 4}, {"bpf_list_head", 16}, {"bpf_list_node", 24},
                                                 {"bpf_rb_root", 16},  {"bpf_rb_node", 32},   {"bpf_refcount", 4}};
    for (const auto& [name, size] : named) b.type(b.str(name), info(BTF_KIND_STRUCT), size);
  };
  const auto st = [](Blob& b, const char* name, u32 size, std::vector<Member> members) {
    const u32 id = b.type(b.str(name), info(BTF_KIND_STRUCT, static_cast<u32>(members.size())), size);
    for (const Member& m : members) b.word(b.str(m.name)), b.word(m.type), b.word(m.offset * 8);
    return id;
  };
  const auto contains = [](Blob& b, u32 on, u32 idx, const char* what) { b.type(b.str(what), info(BTF_KIND_DECL_TAG), on, {idx}); };
  const auto list = [=](const char* tag, std::vector<Member> holder, std::vector<Member> held) {
    return [=](Blob& b) {
      kinds(b);
      st(b, "holder", 64, holder);
      st(b, "held", 96, held);
      if (tag != nullptr) contains(b, HOLDER, 0, tag);
    };
  };
  const std::vector<Member> holder = {{"h", HEAD, 0}, {"l", LOCK, 16}}, held = {{"n", NODE, 0}};
  t.add("list", 0, "", list("contains:held:n", holder, held));
  t.add("tree", 0, "", list("contains:held:n", {{"r", ROOT, 0}, {"l", LOCK, 16}}, {{"n", RBNODE, 0}}));
  t.add("list without tag", EINVAL, "", list(nullptr, holder, held));
  t.add("list with another tag", EINVAL, "", list("container:held:n", holder, held));
  t.add("list tag without member", EINVAL, "", list("contains:held", holder, held));
  t.add("list tag with empty member", EINVAL, "", list("contains:held:", holder, held));
  t.add("list of no such struct", ENOENT, "", list("contains:other:n", holder, held));
  t.add("list by no such member", ENOENT, "", list("contains:held:x", holder, held));
  t.add("list by a tree's node", EINVAL, "", list("contains:held:n", holder, {{"n", RBNODE, 0}}));
  t.add("list by an int", EINVAL, "", list("contains:held:n", holder, {{"n", INT, 0}}));
  t.add("list by two of a name", EINVAL, "", list("contains:held:n", holder, {{"n", NODE, 0}, {"n", NODE, 24}}));
  t.add("list without lock", EINVAL, "", list("contains:held:n", {{"h", HEAD, 0}}, held));
  t.add("two locks", E2BIG, "", list("contains:held:n", {{"h", HEAD, 0}, {"l", LOCK, 16}, {"m", LOCK, 20}}, held));
  t.add("list of itself", ELOOP, "", list("contains:holder:n", {{"h", HEAD, 0}, {"l", LOCK, 16}, {"n", NODE, 24}}, held));
  t.add("lock misaligned", EFAULT, "", list(nullptr, {{"l", LOCK, 2}}, held));
  t.add("lock alone", 0, "", list(nullptr, {{"l", LOCK, 4}}, held));
  t.add("fields overlap", EEXIST, "", list("contains:held:n", {{"h", HEAD, 0}, {"l", LOCK, 8}}, held));
  t.add("list and tree node without refcount", EINVAL, "", list(nullptr, {{"n", NODE, 0}, {"r", RBNODE, 24}}, held));
  t.add("list and tree node with refcount", 0, "", list(nullptr, {{"n", NODE, 0}, {"r", RBNODE, 24}, {"c", REF, 56}}, held));
  t.add("twelve nodes", E2BIG, "", [=](Blob& b) {
    kinds(b);
    std::vector<Member> many;
    for (u32 i = 0; i < 12; ++i) many.push_back({"n", NODE, 24 * i});
    st(b, "holder", 288, many);
  });
  t.add("lock of the wrong size", EFAULT, "", [=](Blob& b) {
    b.type(b.str("bpf_spin_lock"), info(BTF_KIND_STRUCT), 8);
    st(b, "holder", 8, {{"l", 4, 0}});
  });
  t.add("lock in a struct in a struct", 0, "", [=](Blob& b) {
    kinds(b);
    const u32 inner = st(b, "inner", 8, {{"l", LOCK, 4}});
    st(b, "outer", 16, {{"i", inner, 8}});
  });
  for (u32 levels : {30u, 31u}) {
    t.add(std::to_string(levels) + " structs in each other", levels == 30 ? 0 : E2BIG, "", [=](Blob& b) {
      kinds(b);
      u32 inner = b.type(0, info(BTF_KIND_STRUCT), 0);
      for (u32 i = 0; i < levels; ++i) inner = b.type(0, info(BTF_KIND_STRUCT, 1), 0, {0, inner, 0});
      b.type(0, info(BTF_KIND_STRUCT, 2), 4, {0, inner, 0, 0, LOCK, 0});
    });
  }
  t.add("a struct with a lock in two others", 0, "", [=](Blob& b) {
    kinds(b);
    const u32 inner = st(b, "inner", 8, {{"l", LOCK, 4}});
    st(b, "a", 16, {{"i", inner, 0}, {"c", REF, 8}});
    st(b, "b", 16, {{"c", REF, 0}, {"i", inner, 8}});
  });
  t.add("a struct with a lock twice in another", E2BIG, "", [=](Blob& b) {
    kinds(b);
    const u32 inner = st(b, "inner", 8, {{"l", LOCK, 4}});
    st(b, "outer", 20, {{"i", inner, 0}, {"j", inner, 8}, {"c", REF, 16}});
  });
  t.add("a struct with a lock beside a lock", E2BIG, "", [=](Blob& b) {
    kinds(b);
    const u32 inner = st(b, "inner", 8, {{"l", LOCK, 4}});
    st(b, "outer", 16, {{"i", inner, 0}, {"l", LOCK, 8}});
  });
  t.add("array of structs with a lock", EINVAL, "", [=](Blob& b) {
    kinds(b);
    const u32 inner = b.array(st(b, "inner", 8, {{"l", LOCK, 4}}), INT, 2);
    st(b, "outer", 24, {{"i", inner, 0}, {"c", REF, 16}});
  });
  for (u32 count : {5u, 6u}) {
    t.add("array of " + std::to_string(count) + " structs with two kptrs", count == 5 ? 0 : E2BIG, "", [=](Blob& b) {
      st(b, "ours", 4, {{"x", INT, 0}});
      b.ref(BTF_KIND_TYPE_TAG, 4, "kptr");
      b.ptr(5);
      st(b, "inner", 16, {{"p", 6, 0}, {"q", 6, 8}});
      b.array(7, INT, count);
      st(b, "outer", 16 * count + 8, {{"i", 8, 0}, {"r", 6, 16 * count}});
      st(b, "another", 16 * count + 8, {{"r", 6, 0}, {"i", 8, 8}});
    });
  }
  // kptr: 4 struct, 5 tag, 6 pointer
  const auto kptrs = [=](const char* tag, u32 count) {
    return [=](Blob& b) {
      st(b, "only_ours", 4, {{"x", INT, 0}});
      b.ref(BTF_KIND_TYPE_TAG, 4, tag);
      b.ptr(5);
      b.array(6, INT, count);
      st(b, "holder", 8 + 8 * count, {{"q", 6, 0}, {"p", 7, 8}});
    };
  };
  t.add("kptr", 0, "", kptrs("kptr", 2));
  t.add("kptr_untrusted", 0, "", kptrs("kptr_untrusted", 2));
  t.add("percpu_kptr", 0, "", kptrs("percpu_kptr", 2));
  t.add("11 kptrs", 0, "", kptrs("kptr", 10));
  t.add("12 kptrs", E2BIG, "", kptrs("kptr", 11));
  t.add("unknown pointer tag", 0, "", kptrs("user", 2));
  t.add("two pointer tags", 0, "", [=](Blob& b) {
    st(b, "only_ours", 4, {{"x", INT, 0}});
    b.ptr(b.ref(BTF_KIND_TYPE_TAG, b.ref(BTF_KIND_TYPE_TAG, 4, "kptr"), "kptr"));
    st(b, "holder", 8, {{"p", 7, 0}});
  });
  t.add("unknown pointer tag beside a lock", EINVAL, "", [=](Blob& b) {
    kinds(b);
    b.ptr(b.ref(BTF_KIND_TYPE_TAG, REF, "user"));
    st(b, "holder", 16, {{"l", LOCK, 0}, {"p", 11, 8}});
  });
  t.add("kptr to a kernel struct with a destructor", 0, "", [=](Blob& b) {
    b.type(b.str("task_struct"), info(BTF_KIND_STRUCT), 4);
    b.ptr(b.ref(BTF_KIND_TYPE_TAG, 4, "kptr"));
    st(b, "holder", 8, {{"p", 6, 0}});
  });
  t.add("kptr to a kernel struct without one", ENOENT, "", [=](Blob& b) {
    b.type(b.str("file"), info(BTF_KIND_STRUCT), 4);
    b.ptr(b.ref(BTF_KIND_TYPE_TAG, 4, "kptr"));
    st(b, "holder", 8, {{"p", 6, 0}});
  });
  t.add("kptr_untrusted to a kernel struct without one", 0, "", [=](Blob& b) {
    b.type(b.str("file"), info(BTF_KIND_STRUCT), 4);
    b.ptr(b.ref(BTF_KIND_TYPE_TAG, 4, "kptr_untrusted"));
    st(b, "holder", 8, {{"p", 6, 0}});
  });
}

}  // namespace detail

inline std::vector<Case> cases() {
  detail::Table t;
  detail::headers(t);
  detail::strings(t);
  detail::types_alone(t);
  detail::arrays(t);
  detail::structs(t);
  detail::enums(t);
  detail::functions(t);
  detail::variables(t);
  detail::tags(t);
  detail::depth(t);
  detail::special(t);
  t.add_bytes("what clang makes", 0, "DATASEC .maps", clang_seed());
  return t.take();
}

}  // namespace skep::test
