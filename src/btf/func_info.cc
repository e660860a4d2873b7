#include "btf/func_info.h"

#include <algorithm>
#include <cstring>

namespace skep {

namespace {

constexpr u32 MIN_FUNCINFO_SIZE = 8, MIN_LINEINFO_SIZE = 16, MAX_REC_SIZE = 252;
constexpr u32 INT_MAX_ = 0x7fffffff;

template <typename... Args>
void say(BtfLog* log, fmt::format_string<Args...> format, Args&&... args) {
  if (log != nullptr) log->append(format, std::forward<Args>(args)...);
}

bool rec_size_ok(u32 rec_size, u32 least) { return rec_size >= least && rec_size <= MAX_REC_SIZE && rec_size % sizeof(u32) == 0; }

/// Record `i` of records of rec_size bytes, into a T; bytes beyond a T must be zero. Linux: syscall.c:bpf_check_uarg_tail_zero()
template <typename T>
Result<T> read_record(std::span<const u8> raw, u32 i, u32 rec_size) {
  const u64 at = u64{i} * rec_size;
  if (raw.size() < at + rec_size) return Errno(EFAULT);
  const std::span<const u8> record = raw.subspan(at, rec_size);
  const std::size_t known = std::min<std::size_t>(sizeof(T), rec_size);
  for (u8 byte : record.subspan(known))
    if (byte != 0) return Errno(E2BIG);
  T out{};
  std::memcpy(&out, record.data(), known);
  return out;
}

/// As many records as both the count and the bytes at hand allow: what to reserve.
std::size_t plausible(std::span<const u8> raw, u32 rec_size, u32 cnt) { return std::min<std::size_t>(cnt, raw.size() / rec_size); }

Status check_func_record(const Btf& btf, const bpf_func_info& info, const bpf_func_info* prev, BtfLog* log) {
  if (prev == nullptr) {
    if (info.insn_off != 0) {
      say(log, "nonzero insn_off {} for the first func info record", info.insn_off);
      return Errno(EINVAL);
    }
  } else if (info.insn_off <= prev->insn_off) {
    say(log, "same or smaller insn offset ({}) than previous func info record ({})", info.insn_off, prev->insn_off);
    return Errno(EINVAL);
  }
  const btf_type* t = btf.type_by_id(info.type_id);
  if (t == nullptr || !btf_is_func(t)) {
    say(log, "invalid type id {} in func info", static_cast<s32>(info.type_id));
    return Errno(EINVAL);
  }
  return ok_status();
}

/// The walk along lines and subprograms side by side.
struct LineCheck {
  const Btf& btf;
  std::span<const bpf_insn> insns;
  std::span<const u32> starts;
  BtfLog* log;
  std::vector<u32>* linfo_idx;
  std::size_t subprog = 0;  // the next one that needs a line at its start

  Status record(const bpf_line_info& info, u32 i, u32 prev_offset);
  Status subprog_start(const bpf_line_info& info, u32 i);
};

Status LineCheck::record(const bpf_line_info& info, u32 i, u32 prev_offset) {
  if ((i != 0 && info.insn_off <= prev_offset) || info.insn_off >= insns.size()) {
    say(log, "Invalid line_info[{}].insn_off:{} (prev_offset:{} prog->len:{})\n", i, info.insn_off, prev_offset, insns.size());
    return Errno(EINVAL);
  }
  if (insns[info.insn_off].code == 0) {  // the second half of a wide instruction
    say(log, "Invalid insn code at line_info[{}].insn_off\n", i);
    return Errno(EINVAL);
  }
  if (btf.name(info.line_off) == nullptr || btf.name(info.file_name_off) == nullptr) {
    say(log, "Invalid line_info[{}].line_off or .file_name_off\n", i);
    return Errno(EINVAL);
  }
  return subprog_start(info, i);
}

Status LineCheck::subprog_start(const bpf_line_info& info, u32 i) {
  if (subprog == starts.size()) return ok_status();
  if (info.insn_off == starts[subprog]) {
    if (linfo_idx != nullptr) linfo_idx->push_back(i);
    ++subprog;
  } else if (starts[subprog] < info.insn_off) {
    say(log, "missing bpf_line_info for func#{}\n", subprog);
    return Errno(EINVAL);
  }
  return ok_status();
}

}  // namespace

Result<std::vector<bpf_func_info>> check_func_info_early(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                         BtfLog* log) {
  std::vector<bpf_func_info> infos;
  if (cnt == 0) return infos;
  if (!rec_size_ok(rec_size, MIN_FUNCINFO_SIZE)) {
    say(log, "invalid func info rec size {}", rec_size);
    return Errno(EINVAL);
  }
  if (cnt > INT_MAX_ / sizeof(bpf_func_info)) return Errno(ENOMEM);  // more than the kernel's kvcalloc() gives
  infos.reserve(plausible(raw, rec_size, cnt));
  for (u32 i = 0; i < cnt; ++i) {
    const auto info = read_record<bpf_func_info>(raw, i, rec_size);
    if (!info.ok()) {
      if (info.error() == Errno(E2BIG)) {
        say(log, "nonzero tailing record in func info");
        rec_size = sizeof(bpf_func_info);
      }
      return info.error();
    }
    TRY(check_func_record(btf, *info, infos.empty() ? nullptr : &infos.back(), log));
    infos.push_back(*info);
  }
  return infos;
}

Status check_func_info_subprogs(std::span<const bpf_func_info> infos, std::span<const u32> subprog_starts, BtfLog* log) {
  if (infos.empty()) return ok_status();
  if (infos.size() != subprog_starts.size()) {
    say(log, "number of funcs in func_info doesn't match number of subprogs\n");
    return Errno(EINVAL);
  }
  for (std::size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].insn_off == subprog_starts[i]) continue;
    say(log, "func_info BTF section doesn't match subprog layout in BPF program\n");
    return Errno(EINVAL);
  }
  return ok_status();
}

Result<std::vector<bpf_func_info>> check_func_info(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                   std::span<const u32> subprog_starts, BtfLog* log) {
  auto infos = check_func_info_early(btf, raw, rec_size, cnt, log);
  if (infos.ok()) TRY(check_func_info_subprogs(*infos, subprog_starts, log));
  return infos;
}

bool returns_scalar(const Btf& btf, const bpf_func_info& info) {
  const btf_type* proto = btf.type_by_id(btf.type_by_id(info.type_id)->type);
  const btf_type* ret = btf.skip_modifiers(proto->type);
  return (btf_is_int(ret) && ret->size <= sizeof(u64)) || btf_is_any_enum(ret);
}

Result<std::vector<bpf_line_info>> check_line_info(const Btf& btf, std::span<const u8> raw, u32& rec_size, u32 cnt,
                                                   std::span<const bpf_insn> insns, std::span<const u32> subprog_starts,
                                                   BtfLog* log, std::vector<u32>* linfo_idx) {
  std::vector<bpf_line_info> infos;
  if (cnt == 0) return infos;
  if (cnt > INT_MAX_ / sizeof(bpf_line_info)) return Errno(EINVAL);
  if (!rec_size_ok(rec_size, MIN_LINEINFO_SIZE)) return Errno(EINVAL);
  infos.reserve(plausible(raw, rec_size, cnt));
  LineCheck check{btf, insns, subprog_starts, log, linfo_idx};
  for (u32 i = 0; i < cnt; ++i) {
    const auto info = read_record<bpf_line_info>(raw, i, rec_size);
    if (!info.ok()) {
      if (info.error() == Errno(E2BIG)) {
        say(log, "nonzero tailing record in line_info");
        rec_size = sizeof(bpf_line_info);
      }
      return info.error();
    }
    TRY(check.record(*info, i, infos.empty() ? 0 : infos.back().insn_off));
    infos.push_back(*info);
  }
  if (check.subprog != subprog_starts.size()) {
    say(log, "missing bpf_line_info for {} funcs starting from func#{}\n", subprog_starts.size() - check.subprog, check.subprog);
    return Errno(EINVAL);
  }
  return infos;
}

}  // namespace skep
