#include "two_kernels.h"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstring>
#include <fstream>
#include <iterator>

namespace skep::bench {
namespace {

long linux_bpf(u32 cmd, bpf_attr* attr, u32 size) {
  long rc = SYS_bpf;
  register u64 a3 asm("rdx") = size;
  asm volatile("syscall" : "+a"(rc), "+r"(a3) : "D"(u64{cmd}), "S"(attr) : "rcx", "r11", "memory");
  return rc;
}

bpf_attr empty_attr() {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  return attr;
}

class LocalMemory : public UserMemory {
 public:
  Status read(void* dst, u64 addr, u64 len) override {
    if (addr == 0 && len != 0) return Errno(EFAULT);
    std::memcpy(dst, reinterpret_cast<const void*>(addr), len);
    return ok_status();
  }
  Result<std::string> read_string(u64 addr, u64 max) override {
    if (addr == 0) return Errno(EFAULT);
    const auto* s = reinterpret_cast<const char*>(addr);
    const std::size_t n = strnlen(s, max);
    if (n == max) return Errno(E2BIG);
    return std::string(s, n);
  }
  Status write(u64 addr, const void* src, u64 len) override {
    if (addr == 0 && len != 0) return Errno(EFAULT);
    std::memcpy(reinterpret_cast<void*>(addr), src, len);
    return ok_status();
  }
};

std::vector<u8> file_bytes(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<u8> bytes_at(u64 addr, u64 len) {
  const auto* p = reinterpret_cast<const u8*>(addr);
  return p == nullptr ? std::vector<u8>{} : std::vector<u8>(p, p + len);
}

u32 bytes_behind(u32 kind, u32 vlen) {
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
      return 4;
    case BTF_KIND_ARRAY:
      return 12;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_DATASEC:
    case BTF_KIND_ENUM64:
      return 12 * vlen;
    case BTF_KIND_ENUM:
    case BTF_KIND_FUNC_PROTO:
      return 8 * vlen;
    default:
      return 0;
  }
}

/// Kernels after 6.12 mark tags that are attributes; to 6.12 and us such a mark is an error.
void forget_attributes(std::vector<u8>* btf) {
  btf_header header;
  std::memcpy(&header, btf->data(), sizeof header);
  u8* at = btf->data() + header.hdr_len + header.type_off;
  for (u8* const end = at + header.type_len; at < end;) {
    btf_type t;
    std::memcpy(&t, at, sizeof t);
    const u32 kind = btf_kind_of(&t);
    if (kind == BTF_KIND_DECL_TAG || kind == BTF_KIND_TYPE_TAG) at[7] &= 0x7f;
    at += sizeof t + bytes_behind(kind, btf_vlen(&t));
  }
}

bool read_frozen(const VerifierMap& facts, u32 off, u32 size, u64* value) {
  const MapDesc& d = *reinterpret_cast<const Map*>(facts.identity)->desc;
  if (!facts.frozen || (facts.map_flags & BPF_F_RDONLY_PROG) == 0 || d.type != BPF_MAP_TYPE_ARRAY) return false;
  if (size > 8 || off > d.value_size || size > d.value_size - off) return false;
  *value = 0;
  std::memcpy(value, d.elems + off, size);
  return true;
}

}  // namespace

TwoKernels::TwoKernels(bool with_linux) : with_linux_(with_linux), kernel_(std::move(WindowHost::create(2)).value()), pins_("") {
  std::vector<u8> bytes = file_bytes("/sys/kernel/btf/vmlinux");
  if (!with_linux || bytes.size() < sizeof(btf_header)) return;
  forget_attributes(&bytes);
  Result<std::unique_ptr<Btf>> btf = Btf::parse(bytes, nullptr, nullptr);
  if (!btf.ok()) return;
  machine_btf_ = std::move(*btf);
  kernel_.vmlinux = machine_btf_.get();
}

TwoKernels::~TwoKernels() { close_all(); }

Result<FdIdentity> TwoKernels::identify(s32 fd) {
  const auto it = files_.find(fd);
  if (it == files_.end()) return Errno(EBADF);
  return FdIdentity{0, it->second->ino, 0};
}

/// A new file gets the number installing_, or one of its own.
s64 TwoKernels::skep_call(u32 cmd, bpf_attr& attr) {
  LocalMemory mem;
  RunSlot* slot = slot_acquire_client(kernel_.window().view(), kernel_.host_owner(), 0);
  CallContext ctx{kernel_, Credentials{1, 0, 0}, mem, *this, pins_, OpCtx{kernel_.window().view(), slot, 0}, nullptr};
  const s64 rc = skep_bpf(ctx, cmd, reinterpret_cast<u64>(&attr), sizeof attr);
  slot_release(slot);
  if (rc < 0 || ctx.new_file == nullptr) return rc;
  const s32 fd = installing_ >= 0 ? installing_ : next_fd_++;
  ctx.new_file->ino = next_ino_++;
  kernel_.files[ctx.new_file->ino] = ctx.new_file;
  files_[fd] = ctx.new_file;
  return fd;
}

void TwoKernels::skep_close(s32 fd) {
  const auto it = files_.find(fd);
  if (it == files_.end()) return;
  const u64 ino = it->second->ino;
  files_.erase(it);
  kernel_.file_released(ino);
}

void TwoKernels::close_all() {
  facts_.clear();
  while (!files_.empty()) {
    const s32 fd = files_.begin()->first;
    skep_close(fd);
    if (fd < 1000 && with_linux_) close(fd);
  }
}

/// What our PROG_LOAD would tell the verifier of a map. See syscall/prog_load.cc, MapFinder.
void TwoKernels::add_facts(s32 fd) {
  const auto it = files_.find(fd);
  const std::shared_ptr<Map> map = it == files_.end() ? nullptr : object_as<Map>(it->second->object);
  if (map == nullptr) return;
  VerifierMap& f = facts_[fd];
  f.identity = reinterpret_cast<u64>(map.get());
  f.id = map->id;
  f.type = map->desc->type;
  f.key_size = map->desc->key_size;
  f.value_size = map->desc->value_size;
  f.max_entries = map->desc->max_entries;
  f.map_flags = map->map_flags;
  f.frozen = map->frozen && map->writable_mappings == 0;
  f.record = map->record.field_mask != 0 ? &map->record : nullptr;
  f.btf = map->btf != nullptr ? map->btf->btf.get() : nullptr;
  f.btf_key_type_id = map->btf_key_type_id;
  f.btf_value_type_id = map->btf_value_type_id;
  f.name = map->name;
}

void TwoKernels::mirror_new(u32 cmd, const bpf_attr& attr, s32 fd) {
  bpf_attr mine = attr;
  skep_close(fd);  // the number was given again: libbpf has closed it meanwhile
  facts_.erase(fd);
  if (cmd == BPF_BTF_LOAD) mine.btf_load.btf_log_buf = mine.btf_load.btf_log_level = mine.btf_load.btf_log_size = 0;
  installing_ = fd;
  (void)skep_call(cmd, mine);
  installing_ = -1;
  add_facts(fd);
}

/// Constants that a map holds: the verifier reads them.
void TwoKernels::mirror_contents(u32 cmd, const bpf_attr& attr) {
  bpf_attr mine = attr;
  const s32 fd = static_cast<s32>(attr.elem.map_fd);
  if (!files_.contains(fd)) return;
  (void)skep_call(cmd, mine);
  add_facts(fd);
}

void TwoKernels::keep_load(const bpf_attr& attr) {
  const auto& a = attr.prog_load;
  LoadedProgram p;
  p.name = a.prog_name;
  if (p.name.empty() || p.name == "libbpf_nametest" || p.name == "test") return;  // libbpf finds out what the kernel can do
  p.attr = attr;
  p.insns.resize(a.insn_cnt);
  std::memcpy(p.insns.data(), reinterpret_cast<const void*>(a.insns), a.insn_cnt * sizeof(bpf_insn));
  p.func_info = bytes_at(a.func_info, u64{a.func_info_cnt} * a.func_info_rec_size);
  p.line_info = bytes_at(a.line_info, u64{a.line_info_cnt} * a.line_info_rec_size);
  p.license = reinterpret_cast<const char*>(a.license);
  loads_.push_back(std::move(p));
}

long TwoKernels::call(u32 cmd, bpf_attr* attr, u32 size) {
  const long rc = linux_bpf(cmd, attr, size);
  if (rc < 0) return rc;
  bpf_attr copy = empty_attr();
  std::memcpy(&copy, attr, std::min<std::size_t>(size, sizeof copy));
  if (cmd == BPF_PROG_LOAD)
    keep_load(copy);
  else if (cmd == BPF_BTF_LOAD || cmd == BPF_MAP_CREATE)
    mirror_new(cmd, copy, static_cast<s32>(rc));
  else if (cmd == BPF_MAP_UPDATE_ELEM || cmd == BPF_MAP_FREEZE)
    mirror_contents(cmd, copy);
  return rc;
}

s32 TwoKernels::make_map(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 flags) {
  bpf_attr attr = empty_attr();
  attr.map_create.map_type = type;
  attr.map_create.key_size = key_size;
  attr.map_create.value_size = value_size;
  attr.map_create.max_entries = max_entries;
  attr.map_create.map_flags = flags;
  if (with_linux_) return static_cast<s32>(call(BPF_MAP_CREATE, &attr, sizeof attr));
  const s32 fd = static_cast<s32>(skep_call(BPF_MAP_CREATE, attr));
  add_facts(fd);
  return fd;
}

s32 TwoKernels::load_btf(const std::vector<u8>& bytes) {
  bpf_attr attr = empty_attr();
  attr.btf_load.btf = reinterpret_cast<u64>(bytes.data());
  attr.btf_load.btf_size = static_cast<u32>(bytes.size());
  return static_cast<s32>(with_linux_ ? call(BPF_BTF_LOAD, &attr, sizeof attr) : skep_call(BPF_BTF_LOAD, attr));
}

bpf_attr TwoKernels::arguments(const LoadedProgram& p) const {
  bpf_attr attr = p.attr;
  auto& a = attr.prog_load;
  a.insns = reinterpret_cast<u64>(p.insns.data());
  a.insn_cnt = static_cast<u32>(p.insns.size());
  a.license = reinterpret_cast<u64>(p.license.c_str());
  a.func_info = p.func_info.empty() ? 0 : reinterpret_cast<u64>(p.func_info.data());
  a.line_info = p.line_info.empty() ? 0 : reinterpret_cast<u64>(p.line_info.data());
  a.log_level = a.log_size = 0;
  a.log_buf = 0;
  a.fd_array = 0;
  return attr;
}

int TwoKernels::load_on_linux(const LoadedProgram& p, u32 log_level, char* log, u32 log_size) {
  bpf_attr attr = arguments(p);
  attr.prog_load.log_level = log_level;
  attr.prog_load.log_size = log_size;
  attr.prog_load.log_buf = reinterpret_cast<u64>(log);
  const long fd = linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd < 0) return static_cast<int>(fd);
  close(static_cast<int>(fd));
  return 0;
}

int TwoKernels::load_on_skep(const LoadedProgram& p) {
  bpf_attr attr = arguments(p);
  const s64 fd = skep_call(BPF_PROG_LOAD, attr);
  if (fd < 0) return static_cast<int>(fd);
  skep_close(static_cast<s32>(fd));
  return 0;
}

VerifierInput TwoKernels::verifier_input(const LoadedProgram& p) {
  const auto& a = p.attr.prog_load;
  VerifierInput in;
  in.insns = p.insns;
  in.prog.type = a.prog_type;
  in.prog.expected_attach_type = a.expected_attach_type;
  in.prog.gpl_compatible = p.license.find("GPL") != std::string::npos;
  in.prog.sleepable = (a.prog_flags & BPF_F_SLEEPABLE) != 0;
  in.prog.attach_btf_id = a.attach_btf_id;
  in.prog_flags = a.prog_flags;
  const auto btf = files_.find(static_cast<s32>(a.prog_btf_fd));
  if (const auto object = btf == files_.end() ? nullptr : object_as<BtfObject>(btf->second->object)) in.btf = object->btf.get();
  in.vmlinux = kernel_.vmlinux;
  in.func_info = p.func_info;
  in.line_info = p.line_info;
  in.func_info_cnt = a.func_info_cnt;
  in.line_info_cnt = a.line_info_cnt;
  in.func_info_rec_size = a.func_info_rec_size;
  in.line_info_rec_size = a.line_info_rec_size;
  in.map_by_fd = [this](s32 fd) -> Result<const VerifierMap*> {
    const auto it = facts_.find(fd);
    if (it == facts_.end()) return Errno(EBADF);
    return &it->second;
  };
  in.read_frozen = read_frozen;
  in.kfunc_there = [](std::string_view) { return true; };
  in.nr_cpu_ids = kernel_.nr_cpus();
  return in;
}

}  // namespace skep::bench

/// libbpf makes its system calls by libc's syscall(): this one stands before that.
extern "C" long syscall(long nr, ...) {
  using Function = long (*)(long, long, long, long, long, long, long);
  static const auto libc = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "syscall"));
  va_list args;
  va_start(args, nr);
  long a[6];
  for (long& x : a) x = va_arg(args, long);
  va_end(args);
  if (nr != SYS_bpf || skep::bench::g_libbpf_target == nullptr) return libc(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  const long rc = skep::bench::g_libbpf_target->call(static_cast<skep::u32>(a[0]), reinterpret_cast<skep::bpf_attr*>(a[1]),
                                                     static_cast<skep::u32>(a[2]));
  if (rc >= 0) return rc;
  errno = static_cast<int>(-rc);
  return -1;
}
