// progtypes: names of functions, hooks and structs that programs are attached to. Internal to the room.
#pragma once
#include "base/types.h"

namespace skep {

/// Whether `name` starts with `prefix`; null names do not.
constexpr bool name_starts_with(const char* name, const char* prefix) noexcept {
  if (name == nullptr) return false;
  for (; *prefix != 0; ++name, ++prefix)
    if (*name != *prefix) return false;
  return true;
}

/// The rest of `name` behind `prefix`, or all of it: BTF has "bpf_lsm_file_open" and "bpf_iter_tcp", ProgTraits has "file_open" and
/// "tcp".
constexpr const char* name_without(const char* name, const char* prefix) noexcept {
  if (!name_starts_with(name, prefix)) return name;
  while (*prefix != 0) ++name, ++prefix;
  return name;
}

constexpr bool name_is(const char* name, const char* what) noexcept {
  if (!name_starts_with(name, what)) return false;
  return *name_without(name, what) == 0;
}

template <u32 N>
constexpr bool name_is_one_of(const char* name, const char* const (&names)[N]) noexcept {
  for (const char* n : names)
    if (name_is(name, n)) return true;
  return false;
}

}  // namespace skep
