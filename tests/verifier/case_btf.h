// tests/verifier: the BTF that a case needs, for its functions and for the special fields of its maps' values.
#pragma once

#include "case_file.h"

namespace skep::cases {

struct CaseBtf {
  std::vector<unsigned char> blob;
  std::uint32_t key_type = 0;                 ///< of 4 bytes
  std::vector<std::uint32_t> value_types;     ///< for each map; 0 for those without fields
  std::vector<std::uint32_t> function_types;  ///< for each of Case::funcs
};

inline bool needs_btf(const Case& c) {
  bool fields = false;
  for (const MapSpec& map : c.maps) fields |= !map.fields.empty();
  return fields || !c.funcs.empty();
}

CaseBtf make_btf(const Case& c);

}  // namespace skep::cases
