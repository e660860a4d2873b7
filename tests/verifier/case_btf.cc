#include "case_btf.h"

#include <linux/btf.h>

#include <cstring>

namespace skep::cases {
namespace {

constexpr std::uint32_t kKindDeclTag = 17;  // younger than some headers

class Builder {
 public:
  /// The id of the new type.
  std::uint32_t type(const std::string& name, std::uint32_t kind, std::uint32_t count, std::uint32_t size_or_type) {
    words_.push_back(string(name));
    words_.push_back(kind << 24 | count);
    words_.push_back(size_or_type);
    return ++last_id_;
  }
  void word(std::uint32_t value) { words_.push_back(value); }

  std::uint32_t string(const std::string& text) {
    if (text.empty()) return 0;
    const std::size_t at = strings_.size();
    strings_.append(text).push_back('\0');
    return static_cast<std::uint32_t>(at);
  }

  std::vector<unsigned char> blob() const {
    const auto types = static_cast<std::uint32_t>(words_.size() * 4), strings = static_cast<std::uint32_t>(strings_.size());
    btf_header header{};
    header.magic = BTF_MAGIC;
    header.version = BTF_VERSION;
    header.hdr_len = sizeof header;
    header.type_len = header.str_off = types;
    header.str_len = strings;
    std::vector<unsigned char> out(sizeof header + types + strings);
    std::memcpy(out.data(), &header, sizeof header);
    std::memcpy(out.data() + sizeof header, words_.data(), types);
    std::memcpy(out.data() + sizeof header + types, strings_.data(), strings);
    return out;
  }

 private:
  std::vector<std::uint32_t> words_;
  std::string strings_ = std::string(1, '\0');
  std::uint32_t last_id_ = 0;
};

struct Types {
  std::uint32_t int_, u64, ctx_pointer, int_pointer, spin_lock, timer;
};

void member(Builder& b, const std::string& name, std::uint32_t type, std::uint32_t byte) {
  b.word(b.string(name));
  b.word(type);
  b.word(byte * 8);
}

Types base_types(Builder& b, unsigned program_type) {
  Types t{};
  t.int_ = b.type("int", BTF_KIND_INT, 0, 4);
  b.word(BTF_INT_SIGNED << 24 | 32);
  t.u64 = b.type("unsigned long", BTF_KIND_INT, 0, 8);
  b.word(64);
  const std::uint32_t ctx = b.type(program_type == BPF_PROG_TYPE_XDP ? "xdp_md" : "__sk_buff", BTF_KIND_STRUCT, 1, 4);
  member(b, "first", t.int_, 0);
  t.ctx_pointer = b.type("", BTF_KIND_PTR, 0, ctx);
  t.int_pointer = b.type("", BTF_KIND_PTR, 0, t.int_);
  t.spin_lock = b.type("bpf_spin_lock", BTF_KIND_STRUCT, 1, 4);
  member(b, "val", t.int_, 0);
  t.timer = b.type("bpf_timer", BTF_KIND_STRUCT, 2, 16);
  member(b, "opaque0", t.u64, 0);
  member(b, "opaque1", t.u64, 8);
  return t;
}

std::uint32_t value_type(Builder& b, const Types& t, const MapSpec& map) {
  if (map.fields.empty()) return 0;
  const std::uint32_t id =
      b.type(map.name + "_value", BTF_KIND_STRUCT, static_cast<std::uint32_t>(map.fields.size()), map.value_size);
  for (const MapSpec::Field& field : map.fields)
    member(b, field.name + std::to_string(field.offset), field.name == "timer" ? t.timer : t.spin_lock, field.offset);
  return id;
}

std::uint32_t argument_type(const Types& t, const std::string& arg) {
  if (arg == "int") return t.int_;
  if (arg == "u64") return t.u64;
  return arg == "ctx" ? t.ctx_pointer : t.int_pointer;
}

std::uint32_t function_type(Builder& b, const Types& t, const FuncSpec& func) {
  const std::uint32_t proto = b.type("", BTF_KIND_FUNC_PROTO, static_cast<std::uint32_t>(func.args.size()), t.int_);
  for (std::size_t i = 0; i < func.args.size(); i++) {
    b.word(b.string("arg" + std::to_string(i)));
    b.word(argument_type(t, func.args[i]));
  }
  const std::uint32_t id = b.type(func.label, BTF_KIND_FUNC, func.global ? 1u : 0u, proto);
  for (std::size_t i = 0; i < func.args.size(); i++) {
    if (func.args[i] != "nonnull") continue;
    b.type("arg:nonnull", kKindDeclTag, 0, id);
    b.word(static_cast<std::uint32_t>(i));
  }
  return id;
}

}  // namespace

CaseBtf make_btf(const Case& c) {
  Builder b;
  const Types types = base_types(b, c.type);
  CaseBtf out;
  out.key_type = types.int_;
  for (const MapSpec& map : c.maps) out.value_types.push_back(value_type(b, types, map));
  for (const FuncSpec& func : c.funcs) out.function_types.push_back(function_type(b, types, func));
  out.blob = b.blob();
  return out;
}

}  // namespace skep::cases
