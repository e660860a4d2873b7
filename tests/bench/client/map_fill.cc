#include "map_fill.h"

#include <cstring>

namespace skep::bench {

void read_work(FilledMap* map) {
  const std::uint32_t zero = 0;
  if (const int err = bpf_map_lookup_elem(map->bss, &zero, &map->work); err != 0) throw Wrong(with_errno("read the work", -err));
}

FilledMap filled_map(const MapShape& shape, std::uint32_t present) {
  FilledMap out;
  out.object = open_object(shape.object);
  bpf_map* map = bpf_object__find_map_by_name(out.object.get(), "map");
  bpf_map__set_type(map, shape.type);
  bpf_map__set_max_entries(map, shape.entries);
  bpf_map__set_map_flags(map, shape.flags);
  load(out.object);
  out.map = bpf_map__fd(map);
  out.bss = bss_fd(out.object);
  std::memset(&out.work, 0, sizeof out.work);
  out.work.present = present;
  out.work.thread[0].rng = 0x9e3779b97f4a7c15;
  out.work.thread[1].rng = 0xd1b54a32d192ed03;
  const std::uint32_t zero = 0;
  if (const int err = bpf_map_update_elem(out.bss, &zero, &out.work, 0); err != 0) throw Wrong(with_errno("write the work", -err));
  (void)test_run(program_fd(out.object, "fill"), present / OPS_A_RUN + 1);
  read_work(&out);
  if (out.work.thread[0].next != present || out.work.thread[0].errors + out.work.thread[0].busy != 0)
    throw Wrong("fill: not all keys went in");
  return out;
}

}  // namespace skep::bench
