// tests/syscall: BTF under construction, enough for the types of a map's key and value.
#pragma once

#include <linux/btf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace skep::test {

class BtfText {
 public:
  struct Member {
    std::string name;
    std::uint32_t type;
    std::uint32_t byte_offset;
  };

  /// Each answers the new type's id.
  std::uint32_t integer(const std::string& name, std::uint32_t size) {
    type(name, BTF_KIND_INT, 0, size);
    types_.push_back(size * 8);
    return ++last_;
  }
  std::uint32_t structure(const std::string& name, std::uint32_t size, const std::vector<Member>& members) {
    type(name, BTF_KIND_STRUCT, static_cast<std::uint32_t>(members.size()), size);
    for (const Member& m : members) {
      types_.push_back(string(m.name));
      types_.push_back(m.type);
      types_.push_back(m.byte_offset * 8);
    }
    return ++last_;
  }

  std::vector<unsigned char> build() const {
    struct btf_header header = {};
    header.magic = 0xeb9f;
    header.version = 1;
    header.hdr_len = sizeof header;
    header.type_len = static_cast<std::uint32_t>(types_.size() * 4);
    header.str_off = header.type_len;
    header.str_len = static_cast<std::uint32_t>(strings_.size());
    std::vector<unsigned char> out(sizeof header + header.type_len + header.str_len);
    std::memcpy(out.data(), &header, sizeof header);
    std::memcpy(out.data() + sizeof header, types_.data(), header.type_len);
    std::memcpy(out.data() + sizeof header + header.type_len, strings_.data(), header.str_len);
    return out;
  }

 private:
  std::uint32_t string(const std::string& text) {
    const auto at = static_cast<std::uint32_t>(strings_.size());
    strings_ += text;
    strings_ += '\0';
    return at;
  }
  void type(const std::string& name, std::uint32_t kind, std::uint32_t vlen, std::uint32_t size) {
    types_.push_back(string(name));
    types_.push_back(kind << 24 | vlen);
    types_.push_back(size);
  }

  std::vector<std::uint32_t> types_;
  std::string strings_ = std::string(1, '\0');
  std::uint32_t last_ = 0;
};

}  // namespace skep::test
