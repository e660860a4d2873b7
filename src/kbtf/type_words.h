// kbtf: BTF as a list of types whose words can be changed, for the build. Which words of a type are names and which are types of
// others is said here alone. REQUIRES throughout: BTF as a compiler writes it.
#pragma once
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "uapi/btf.h"

namespace skep::kbtf {

/// One type: the three words of its btf_type and those of its kind behind them. Names are indexes of the TypeList that it is in.
struct Type {
  std::vector<u32> words;
  u32 kind() const { return BTF_INFO_KIND(words[1]); }
  u32 vlen() const { return BTF_INFO_VLEN(words[1]); }
};

/// How many words follow a btf_type.
inline u32 tail_words(u32 kind, u32 vlen) {
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
      return 1;
    case BTF_KIND_ARRAY:
      return 3;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_DATASEC:
    case BTF_KIND_ENUM64:
      return 3 * vlen;
    case BTF_KIND_ENUM:
    case BTF_KIND_FUNC_PROTO:
      return 2 * vlen;
    default:
      return 0;
  }
}

/// Calls f with each word of `t` that is the offset of a name.
template <typename F>
void each_name(Type& t, F&& f) {
  f(t.words[0]);
  const u32 kind = t.kind(), stride = kind == BTF_KIND_ENUM || kind == BTF_KIND_FUNC_PROTO ? 2 : 3;
  const bool named = stride == 2 || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM64;
  for (u32 i = 0; named && i < t.vlen(); ++i) f(t.words[3 + i * stride]);
}

/// Calls f with each word of `t` that is the id of another type.
template <typename F>
void each_ref(Type& t, F&& f) {
  switch (t.kind()) {
    case BTF_KIND_PTR:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG:
    case BTF_KIND_DECL_TAG:
    case BTF_KIND_FUNC:
    case BTF_KIND_VAR:
      return f(t.words[2]);
    case BTF_KIND_ARRAY:
      f(t.words[3]);
      return f(t.words[4]);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      for (u32 i = 0; i < t.vlen(); ++i) f(t.words[4 + i * 3]);
      return;
    case BTF_KIND_FUNC_PROTO:
      f(t.words[2]);
      for (u32 i = 0; i < t.vlen(); ++i) f(t.words[4 + i * 2]);
      return;
    case BTF_KIND_DATASEC:
      for (u32 i = 0; i < t.vlen(); ++i) f(t.words[3 + i * 3]);
      return;
    default:
      return;
  }
}

/// All types by id, void at 0, and the names that their words count.
class TypeList {
 public:
  /// False when `blob` ends too early.
  bool read(const std::vector<u8>& blob) {
    btf_header h;
    if (blob.size() < sizeof h) return false;
    std::memcpy(&h, blob.data(), sizeof h);
    if (h.magic != BTF_MAGIC || u64{h.hdr_len} + h.str_off + h.str_len > blob.size()) return false;
    const char* strings = reinterpret_cast<const char*>(blob.data()) + h.hdr_len + h.str_off;
    std::vector<u32> words(h.type_len / 4);
    std::memcpy(words.data(), blob.data() + h.hdr_len + h.type_off, words.size() * 4);
    for (std::size_t at = 0; at + 3 <= words.size();) {
      const std::size_t end = at + 3 + tail_words(BTF_INFO_KIND(words[at + 1]), BTF_INFO_VLEN(words[at + 1]));
      if (end > words.size()) return false;
      Type t{{words.begin() + static_cast<s64>(at), words.begin() + static_cast<s64>(end)}};
      each_name(t, [&](u32& name) { name = intern(strings + name); });
      types.push_back(std::move(t));
      at = end;
    }
    return true;
  }

  /// The bytes, with only the names that are still in use, each once.
  std::vector<u8> write() {
    std::string strings(1, '\0');
    std::map<u32, u32> placed = {{0, 0}};
    std::vector<u32> words;
    for (std::size_t id = 1; id < types.size(); ++id) {
      Type t = types[id];
      each_name(t, [&](u32& name) {
        const auto [at, is_new] = placed.try_emplace(name, static_cast<u32>(strings.size()));
        if (is_new) strings.append(names_[name]).push_back('\0');
        name = at->second;
      });
      words.insert(words.end(), t.words.begin(), t.words.end());
    }
    const u32 len = static_cast<u32>(words.size() * 4);
    const btf_header h{BTF_MAGIC, BTF_VERSION, 0, sizeof h, 0, len, len, static_cast<u32>(strings.size())};
    std::vector<u8> out(sizeof h + len + strings.size());
    std::memcpy(out.data(), &h, sizeof h);
    std::memcpy(out.data() + sizeof h, words.data(), len);
    std::memcpy(out.data() + sizeof h + len, strings.data(), strings.size());
    return out;
  }

  u32 intern(std::string_view name) {
    const auto [at, is_new] = index_.try_emplace(std::string(name), static_cast<u32>(names_.size()));
    if (is_new) names_.emplace_back(name);
    return at->second;
  }
  const std::string& name_of(const Type& t) const { return names_[t.words[0]]; }

  std::vector<Type> types{Type{{0, 0, 0}}};

 private:
  std::vector<std::string> names_{""};
  std::map<std::string, u32> index_{{"", 0}};
};

}  // namespace skep::kbtf
