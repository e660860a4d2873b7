// A map that a program has filled: keys of indices below `present`, each with its index as its value. See programs/map_ops.c.
#pragma once
#include "../programs/map_state.h"
#include "bpf_calls.h"

namespace skep::bench {

struct FilledMap {
  Object object;
  int map = -1, bss = -1;
  map_work work;
};

struct MapShape {
  const char* object;  ///< of map_ops.c, for its kind of key
  bpf_map_type type;
  std::uint32_t flags, entries;
};

FilledMap filled_map(const MapShape& shape, std::uint32_t present);
void read_work(FilledMap* map);

}  // namespace skep::bench
