#include "objects/describe.h"

#include <fmt/format.h>

#include "maps/map_ops.h"

namespace skep {
namespace {

std::string map_text(const Map& m) {
  const MapDesc& d = *m.desc;
  return fmt::format(
      "map_type:\t{}\nkey_size:\t{}\nvalue_size:\t{}\nmax_entries:\t{}\nmap_flags:\t{:#x}\nmap_extra:\t{:#x}\nmemlock:\t{}\nmap_id:\t{}\n"
      "frozen:\t{}\n",
      d.type, d.key_size, d.value_size, d.max_entries, m.map_flags, m.map_extra, m.ops->mem_usage(d), m.id, m.frozen ? 1 : 0);
}

std::string hex_tag(const Prog& p) {
  std::string tag;
  for (const u8 b : p.tag) tag += fmt::format("{:02x}", b);
  return tag;
}

std::string prog_text(const Prog& p) {
  return fmt::format(
      "prog_type:\t{}\nprog_jited:\t0\nprog_tag:\t{}\nmemlock:\t{}\nprog_id:\t{}\nrun_time_ns:\t0\nrun_cnt:\t0\nrecursion_misses:\t{}\n"
      "verified_insns:\t{}\n",
      p.type, hex_tag(p), round_up(p.xlated.size() * sizeof(bpf_insn) + 80, PAGE_SIZE), p.id, p.stats == nullptr ? 0 : p.stats->recursion_misses,
      p.verified_insns);
}

const char* link_type_name(u32 type) {
  switch (type) {
    case BPF_LINK_TYPE_RAW_TRACEPOINT: return "raw_tracepoint";
    case BPF_LINK_TYPE_TRACING: return "tracing";
    case BPF_LINK_TYPE_KPROBE_MULTI: return "kprobe_multi";
    default: return "perf";
  }
}

/// Linux: kernel/bpf/syscall.c:bpf_link_show_fdinfo(), and the show_fdinfo of each kind that has one
std::string link_text(const Link& l) {
  std::string out = fmt::format("link_type:\t{}\nlink_id:\t{}\n", link_type_name(l.type), l.id);
  if (l.prog != nullptr) out += fmt::format("prog_tag:\t{}\nprog_id:\t{}\n", hex_tag(*l.prog), l.prog->id);
  if (l.type == BPF_LINK_TYPE_RAW_TRACEPOINT) out += fmt::format("tp_name:\t{}\n", l.name);
  if (l.type == BPF_LINK_TYPE_TRACING)
    out += fmt::format("attach_type:\t{}\ntarget_obj_id:\t{}\ntarget_btf_id:\t{}\n", l.attach_type, VMLINUX_BTF_ID, l.target_btf_id);
  return out;
}

}  // namespace

std::string fd_link_text(const File& file) {
  if (file.link_text != nullptr) return file.link_text;
  if (object_as<Map>(file.object) != nullptr) return "anon_inode:bpf-map";
  if (object_as<Prog>(file.object) != nullptr) return "anon_inode:bpf-prog";
  if (object_as<BtfObject>(file.object) != nullptr) return "anon_inode:btf";
  if (object_as<Link>(file.object) != nullptr) return "anon_inode:bpf-link";
  return "anon_inode:[perf_event]";
}

std::string fdinfo_text(const File& file) {
  if (const auto m = object_as<Map>(file.object)) return map_text(*m);
  if (const auto p = object_as<Prog>(file.object)) return prog_text(*p);
  if (const auto b = object_as<BtfObject>(file.object)) return fmt::format("btf_id:\t{}\n", b->id);
  if (const auto l = object_as<Link>(file.object)) return link_text(*l);
  return {};
}

}  // namespace skep
