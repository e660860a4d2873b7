// btf: fuzz target. Any bytes: parse() must answer, and whatever it accepts must bear every question.
#include <cstddef>
#include <cstdint>

#include "btf/btf.h"
#include "btf/map_btf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  skep::BtfLog log;
  const auto parsed = skep::Btf::parse({data, size}, &log);
  if (!parsed.ok()) return 0;
  const skep::Btf& btf = **parsed;
  for (skep::u32 id = 0; id < btf.nr_types() + 1; ++id) {
    const auto bytes = btf.type_size(id);
    (void)btf.type_name(id);
    (void)btf.resolve_modifiers(id);
    (void)btf.struct_record(id);
    if (!bytes.ok()) continue;
    const skep::MapShape map{skep::BPF_MAP_TYPE_HASH, *bytes, *bytes, 1, 0};
    (void)skep::map_check_btf(btf, id, id, map, nullptr);
  }
  return 0;
}
