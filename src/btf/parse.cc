// btf: the passes of BPF_BTF_LOAD, in the kernel's order: header, sections, strings, then the types.
#include <cstring>
#include <utility>

#include "btf/env.h"

namespace skep {

namespace {

/// The only VOID there is; id 0 of every BTF.
constexpr btf_type BTF_VOID{};

struct Section {
  u32 off, len;
};
/// Differences as signed 32-bit numbers, as the kernel compares them: decides which of two errors a broken header gets.
bool section_after(const Section& a, const Section& b) {
  const s32 by_off = static_cast<s32>(a.off - b.off);
  return by_off != 0 ? by_off > 0 : static_cast<s32>(a.len - b.len) > 0;
}

}  // namespace

Result<std::unique_ptr<Btf>> Btf::parse(std::span<const u8> data, BtfLog* log, const KernelTypes* kernel) {
  if (data.size() > BTF_MAX_SIZE) return Errno(E2BIG);
  std::unique_ptr<Btf> btf(new Btf);
  BtfEnv env(*btf, log, kernel);
  TRY(env.parse_hdr(data));
  TRY(env.place_bytes(data));
  TRY(env.parse_str_sec());
  TRY(env.parse_type_sec());
  TRY(env.check_type_tags());
  btf->build_indexes();
  TRY(env.parse_struct_metas());
  for (const BtfStructMeta& meta : btf->struct_metas_) TRY(check_graph_roots(*btf, meta.record));
  TRY(env.check_ownership_depth());
  return Result<std::unique_ptr<Btf>>(std::move(btf));
}

// Linux: btf.c:btf_parse_hdr(). A header shorter than the struct leaves the rest of it zero.
Status BtfEnv::parse_hdr(std::span<const u8> data) {
  btf.size_ = data.size();
  if (data.size() < offsetof(btf_header, hdr_len) + sizeof(u32)) {
    log("hdr_len not found");
    return Errno(EINVAL);
  }
  u32 hdr_len;
  std::memcpy(&hdr_len, data.data() + offsetof(btf_header, hdr_len), sizeof hdr_len);
  if (data.size() < hdr_len) {
    log("btf_header not found");
    return Errno(EINVAL);
  }
  for (std::size_t i = sizeof(btf_header); i < hdr_len; ++i) {
    if (data[i] == 0) continue;
    log("Unsupported btf_header");
    return Errno(E2BIG);
  }
  std::memcpy(&btf.hdr_, data.data(), std::min<std::size_t>(hdr_len, sizeof(btf_header)));
  log_hdr();
  if (btf.hdr_.magic != BTF_MAGIC) {
    log("Invalid magic");
    return Errno(EINVAL);
  }
  if (btf.hdr_.version != BTF_VERSION) {
    log("Unsupported version");
    return Errno(ENOTSUPP_);
  }
  if (btf.hdr_.flags != 0) {
    log("Unsupported flags");
    return Errno(ENOTSUPP_);
  }
  if (data.size() == btf.hdr_.hdr_len) {
    log("No data");
    return Errno(EINVAL);
  }
  return check_sec_info();
}

// Linux: btf.c:btf_check_sec_info(). The two sections fill what follows the header, without gap or overlap.
Status BtfEnv::check_sec_info() {
  const btf_header& h = btf.hdr_;
  Section secs[2] = {{h.type_off, h.type_len}, {h.str_off, h.str_len}};
  if (section_after(secs[0], secs[1])) std::swap(secs[0], secs[1]);
  const u32 expected = static_cast<u32>(btf.size_) - h.hdr_len;
  u32 total = 0;
  const char* error = nullptr;
  for (const Section& s : secs) {
    if (expected < s.off)
      error = "Invalid section offset";
    else if (total < s.off)
      error = "Unsupported section found";
    else if (total > s.off)
      error = "Section overlap found";
    else if (expected - total < s.len)
      error = "Total section length too long";
    if (error != nullptr) break;
    total += s.len;
  }
  if (error == nullptr && total != expected) error = "Unsupported section found";
  if (error == nullptr) return ok_status();
  log("{}", error);
  return Errno(EINVAL);
}

/// Copies the bytes so that the sections are aligned to 4 (hdr_len need not be a multiple of it).
Status BtfEnv::place_bytes(std::span<const u8> data) {
  const std::size_t shift = (4 - btf.hdr_.hdr_len % 4) % 4;
  btf.storage_.resize(shift + data.size());
  std::memcpy(btf.storage_.data() + shift, data.data(), data.size());
  btf.bytes_ = btf.storage_.data() + shift;
  return ok_status();
}

// Linux: btf.c:btf_parse_str_sec()
Status BtfEnv::parse_str_sec() {
  const btf_header& h = btf.hdr_;
  const u8* start = btf.bytes_ + h.hdr_len + h.str_off;
  if (start + h.str_len != btf.bytes_ + btf.size_) {
    log("String section is not at the end");
    return Errno(EINVAL);
  }
  btf.strings_ = reinterpret_cast<const char*>(start);
  if (h.str_len == 0 || h.str_len - 1 > BTF_MAX_NAME_OFFSET || start[h.str_len - 1] != 0 || start[0] != 0) {
    log("Invalid string section");
    return Errno(EINVAL);
  }
  return ok_status();
}

// Linux: btf.c:btf_parse_type_sec()
Status BtfEnv::parse_type_sec() {
  if (btf.hdr_.type_off % sizeof(u32) != 0) {
    log("Unaligned type_off");
    return Errno(EINVAL);
  }
  if (btf.hdr_.type_len == 0) {
    log("No type found");
    return Errno(EINVAL);
  }
  TRY(check_all_metas());
  return check_all_types();
}

// Linux: btf.c:btf_check_all_metas()
Status BtfEnv::check_all_metas() {
  const u8* cur = btf.bytes_ + btf.hdr_.hdr_len + btf.hdr_.type_off;
  const u8* end = cur + btf.hdr_.type_len;
  btf.types_.push_back(&BTF_VOID);
  for (log_type_id = 1; cur < end; ++log_type_id) {
    const btf_type* t = reinterpret_cast<const btf_type*>(cur);
    cur += TRY(check_meta(t, static_cast<u32>(end - cur)));
    add_type(t);
  }
  return ok_status();
}

/// Types beyond the greatest id are told in the log and left out, and the load goes on. Linux: btf.c:btf_add_type(), whose result
/// btf_check_all_metas() does not look at.
void BtfEnv::add_type(const btf_type* t) {
  if (btf.types_.size() == BTF_MAX_TYPE)
    log("Exceeded max num of types");
  else
    btf.types_.push_back(t);
}

// Linux: btf.c:btf_check_meta()
Result<u32> BtfEnv::check_meta(const btf_type* t, u32 meta_left) {
  constexpr u32 INFO_MASK = 0x9f00ffff;
  constexpr u32 TYPE_SIZE = sizeof(btf_type);
  if (meta_left < TYPE_SIZE) {
    log("[{}] meta_left:{} meta_needed:{}", log_type_id, meta_left, TYPE_SIZE);
    return Errno(EINVAL);
  }
  if ((t->info & ~INFO_MASK) != 0) {
    log("[{}] Invalid btf_info:{:x}", log_type_id, t->info);
    return Errno(EINVAL);
  }
  const u32 kind = btf_kind_of(t);
  if (kind > BTF_KIND_MAX || kind == BTF_KIND_UNKN) {
    log("[{}] Invalid kind:{}", log_type_id, kind);
    return Errno(EINVAL);
  }
  if (!name_offset_valid(t->name_off)) {
    log("[{}] Invalid name_offset:{}", log_type_id, t->name_off);
    return Errno(EINVAL);
  }
  return TYPE_SIZE + TRY(kind_ops(t).check_meta(*this, t, meta_left - TYPE_SIZE));
}

}  // namespace skep
