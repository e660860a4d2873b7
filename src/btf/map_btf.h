// btf: do the key and value types that a BPF_MAP_CREATE names fit the map?
#pragma once
#include "base/result.h"
#include "btf/btf.h"
#include "uapi/bpf.h"

namespace skep {

/// What of the map the check looks at; as the map keeps it, which may be more than was asked for (a DEVMAP is always
/// BPF_F_RDONLY_PROG).
struct MapShape {
  bpf_map_type map_type;
  u32 key_size, value_size, max_entries, map_flags;
  /// The caller may use special fields (CAP_BPF).
  bool cap_bpf = true;
};

/// Returns the special fields of the value (empty for most maps). REQUIRES: btf_value_id != 0 (the caller's EINVAL otherwise).
/// Errors in the order they are checked: EINVAL (key absent where the map type needs one; size of key, then of value, not the
/// map's), EPERM, EACCES (special fields in a map that programs may only read or write), EOPNOTSUPP (a special field that the map
/// type has not), EFAULT (root of a struct that is no object), then the map type's own rule: ENOTSUPP where it takes no BTF,
/// EINVAL. Errors of parse_fields() do not fail the map: Linux: syscall.c:map_check_btf()
Result<BtfRecord> map_check_btf(const Btf& btf, u32 btf_key_id, u32 btf_value_id, const MapShape& map, const KernelTypes* kernel);

}  // namespace skep
