#include "linux_side.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skep::fuzz {
namespace {

long linux_bpf(u32 cmd, bpf_attr& attr) { return syscall(SYS_bpf, cmd, &attr, sizeof attr); }

bpf_attr empty_attr() {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  return attr;
}

}  // namespace

UniqueFd LinuxSide::make_map(u32 index) {
  const MapShape& shape = MAP_SHAPES[index];
  bpf_attr attr = empty_attr();
  attr.map_create.map_type = shape.type;
  attr.map_create.key_size = shape.key_size;
  attr.map_create.value_size = shape.value_size;
  attr.map_create.max_entries = shape.max_entries;
  attr.map_create.map_flags = shape.map_flags;
  if (index == MAP_OUTER) attr.map_create.inner_map_fd = static_cast<u32>(maps_[MAP_ARRAY16].get());
  UniqueFd fd(static_cast<int>(linux_bpf(BPF_MAP_CREATE, attr)));
  if (fd.get() < 0) refusal_ = std::string("the machine's bpf(2) makes no maps: ") + std::strerror(errno);
  return fd;
}

LinuxSide::LinuxSide() {
  for (u32 i = 0; i < MAP_COUNT && refusal_.empty(); ++i) maps_.push_back(make_map(i));
  if (!refusal_.empty()) return;
  u8 value[64];
  for (u32 i = 0; i < sizeof value; ++i) value[i] = static_cast<u8>(i * 3);
  const u32 key = 0;
  bpf_attr attr = empty_attr();
  attr.elem.map_fd = static_cast<u32>(maps_[MAP_CONSTANT].get());
  attr.elem.key = reinterpret_cast<u64>(&key);
  attr.elem.value = reinterpret_cast<u64>(value);
  if (linux_bpf(BPF_MAP_UPDATE_ELEM, attr) != 0) refusal_ = std::strerror(errno);
  attr = empty_attr();
  attr.elem.map_fd = static_cast<u32>(maps_[MAP_CONSTANT].get());
  if (linux_bpf(BPF_MAP_FREEZE, attr) != 0) refusal_ = std::strerror(errno);
}

int LinuxSide::load(const Program& program, std::string* log) {
  maps_[MAP_PROGS] = make_map(MAP_PROGS);  // belongs to the kind of program that named it first
  std::vector<bpf_insn> insns = program.insns;
  for (u32 i = 0; i < insns.size(); i += insn_slots(insns[i])) {
    const u32 src = insns[i].src_reg;
    const s32 map = insns[i].imm - MAP_FD_BASE;
    if (!is_ldimm64(insns[i]) || (src != BPF_PSEUDO_MAP_FD && src != BPF_PSEUDO_MAP_VALUE) || map < 0 ||
        map >= static_cast<s32>(MAP_COUNT))
      continue;
    insns[i].imm = maps_[static_cast<u32>(map)].get();
  }
  bpf_attr attr = empty_attr();
  attr.prog_load.prog_type = program.type;
  attr.prog_load.prog_flags = program.flags;
  attr.prog_load.insns = reinterpret_cast<u64>(insns.data());
  attr.prog_load.insn_cnt = static_cast<u32>(insns.size());
  attr.prog_load.license = reinterpret_cast<u64>("GPL");
  if (log != nullptr) {
    log->assign(1u << 16, '\0');
    attr.prog_load.log_level = 2;
    attr.prog_load.log_size = static_cast<u32>(log->size());
    attr.prog_load.log_buf = reinterpret_cast<u64>(log->data());
  }
  const UniqueFd fd(static_cast<int>(linux_bpf(BPF_PROG_LOAD, attr)));
  const int error = fd.get() < 0 ? errno : 0;
  if (log != nullptr) log->resize(std::strlen(log->c_str()));
  return error;
}

}  // namespace skep::fuzz
