// objects: programs, maps, BTF, links and perf events as reference-counted things with ids, and the files, pins and mappings that
// hold them. Lifetimes are Linux's: an object lives while an fd, a pin, a link, an attached event, a mapping or another object holds it.
// std::shared_ptr is the count; its holders are exactly: File, pins, Mapping records, Link, PerfEvent, Prog (its maps and BTF), Map (BTF,
// programs and maps that are its elements). A program array and its programs may hold each other: see MapUser.
// One thread uses a Kernel and its objects.
#pragma once
#include <sys/types.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"
#include "btf/btf.h"
#include "shm/window.h"
#include "uapi/bpf.h"

namespace skep {

class Kernel;
struct MapOps;

enum class ObjectKind { Map, Prog, Btf, Link };

/// Linux: kernel/bpf/syscall.c:bpf_map_alloc_id() and its like: ids grow, are not reused soon, and vanish with the object.
template <typename T>
class IdTable {
 public:
  explicit IdTable(u32 first = 1) : next_(first) {}
  u32 add(const std::shared_ptr<T>& object) {
    while (next_ == 0 || next_ > 0x7fffffff || live_.contains(next_)) next_ = next_ >= 0x7fffffff ? 1 : next_ + 1;
    live_[next_] = object;
    return next_++;
  }
  void remove(u32 id) { live_.erase(id); }
  /// ENOENT when none.
  Result<std::shared_ptr<T>> find(u32 id) const {
    const auto it = live_.find(id);
    if (it == live_.end()) return Errno(ENOENT);
    std::shared_ptr<T> p = it->second.lock();
    if (p == nullptr) return Errno(ENOENT);
    return p;
  }
  /// Smallest live id > start; ENOENT at the end.
  Result<u32> next_after(u32 start) const {
    const auto it = live_.upper_bound(start);
    if (it == live_.end()) return Errno(ENOENT);
    return it->first;
  }
  std::size_t size() const { return live_.size(); }

 private:
  std::map<u32, std::weak_ptr<T>> live_;
  u32 next_;
};

constexpr u32 VMLINUX_BTF_ID = 1;

struct BtfObject {
  Kernel* kernel = nullptr;
  u32 id = 0;
  std::unique_ptr<Btf> btf;
  ~BtfObject();
};

/// What a program array holds its programs to: set by the first that comes near it. Linux: include/linux/bpf.h:struct bpf_map_owner
struct ProgArrayOwner {
  u32 type = 0, expected_attach_type = 0;
  bool xdp_has_frags = false;
  u32 storage_ids[2] = {};  ///< of the program's CGROUP_STORAGE and PERCPU_CGROUP_STORAGE maps, 0 without
};

/// What the inner maps of a map of maps are like, taken from the map that it was made with.
/// Linux: kernel/bpf/map_in_map.c:bpf_map_meta_alloc()
struct InnerMapMeta {
  const MapOps* ops = nullptr;
  u32 map_type = 0, key_size = 0, value_size = 0, max_entries = 0, map_flags = 0;
  BtfRecord record;
  std::shared_ptr<BtfObject> btf;  ///< what `record` points into
};

struct Prog;

struct Map {
  Kernel* kernel = nullptr;
  u32 id = 0;
  const MapOps* ops = nullptr;
  MapDesc* desc = nullptr;  ///< in ROM; null only while being made
  std::string name;
  u32 max_entries = 0, map_flags = 0;
  u64 map_extra = 0;
  u32 numa_node = 0;
  std::shared_ptr<BtfObject> btf;
  u32 btf_key_type_id = 0, btf_value_type_id = 0;
  BtfRecord record;  ///< special fields of a value; field_mask 0: none
  bool frozen = false;
  u32 writable_mappings = 0;  ///< Linux: map->writecnt, for MAP_FREEZE's EBUSY
  /// PERF_EVENT_ARRAY: what each index holds, and through which open file of the map it was put there (it goes with that file unless
  /// BPF_F_PRESERVE_ELEMS). Linux: arraymap.c:perf_event_fd_array_release()
  struct PerfSlot {
    std::shared_ptr<struct PerfEvent> event;
    u64 via_file = 0;
  };
  std::map<u32, PerfSlot> perf_slots;

  u32 users = 0;  ///< open files and pins. Linux: bpf_map::usercnt
  // Elements of PROG_ARRAY; of ARRAY_OF_MAPS and HASH_OF_MAPS by the bytes of the key. See objects/map_elems.h.
  std::optional<ProgArrayOwner> owner;
  std::map<u32, std::shared_ptr<Prog>> progs;
  std::optional<InnerMapMeta> inner_meta;
  std::map<std::vector<u8>, std::shared_ptr<Map>> inner_maps;
  ~Map();
};

/// What is told of a program's machine code. Linux: bpf_prog_aux: func, jited_linfo
struct JitedInfo {
  struct Function {
    u64 addr;
    u32 len;
    u8 tag[BPF_TAG_SIZE];
  };
  std::vector<Function> functions;  ///< one a subprogram; empty: it is interpreted
  std::vector<u64> lines;           ///< for each record of line_info, where its code begins
};

struct Prog {
  Kernel* kernel = nullptr;
  u32 id = 0;
  u32 type = 0, expected_attach_type = 0;
  u32 prog_flags = 0;  ///< of PROG_LOAD
  std::string name;
  u8 tag[BPF_TAG_SIZE] = {};
  bool gpl = false;
  u64 load_time_ns = 0;  ///< since boot
  uid_t created_by = 0;
  u32 verified_insns = 0;
  bool reads_map_structs = false;  ///< which skep does not have
  u32 max_ctx_offset = 0;  ///< end of the furthest context byte it may touch
  u32 max_tp_access = 0;   ///< likewise of the buffer that a writable raw tracepoint gives it
  u32 attach_btf_id = 0;   ///< TRACING, LSM: the function or tracepoint, in the kernel's own BTF
  std::vector<bpf_insn> xlated;  ///< as Linux shows it: map fds replaced by map ids in dumps
  std::vector<std::shared_ptr<Map>> maps;  ///< used_maps, in order of first use, then bound ones
  std::shared_ptr<BtfObject> btf;
  std::vector<u8> func_info, line_info;
  u32 nr_func_info = 0, nr_line_info = 0;
  JitedInfo jited;
  ProgImage* image = nullptr;  ///< in ROM; null when the type cannot run here. Its code is the program's too
  u64 image_bytes = 0;
  ProgStats* stats = nullptr;
  ~Prog();
};

/// What a kprobe, a tracepoint, a clock or the like watches.
struct ProbeTarget {
  ProbeKind kind = ProbeKind::Kprobe;
  u32 syscall_nr = 0;                         ///< of the kinds on one system call
  EventPlace place = EventPlace::SysEnter;  ///< of the others
  u32 tracepoint_id = 0;                      ///< Clock: the event's id
  std::string symbol;  ///< __x64_sys_execve, sys_enter_execve, sched_process_exec, cpu-clock
  u64 symbol_addr = 0;
  s32 tgid = 0;  ///< only there; 0: everywhere
};

/// Linux: struct perf_event with a BPF use: a probe, a clock, or a per-CPU BPF output ring.
struct PerfEvent {
  Kernel* kernel = nullptr;
  u64 id = 0;
  u32 type = 0;    ///< PERF_TYPE_*
  u64 config = 0;
  s32 cpu = -1;    ///< as it was opened
  bool samples = false;  ///< it has a period or a frequency
  bool freq = false;     ///< a frequency
  u64 clock_period_ns = 0;  ///< Clock: 0: it counts and never goes off
  ClockDesc* clock = nullptr;  ///< Clock: in ROM
  s32 clock_cpu = -1;       ///< Clock: only there; -1: wherever its process is
  std::optional<ProbeTarget> probe;
  std::shared_ptr<Prog> prog;  ///< by ioctl SET_BPF; a link keeps its own
  u64 cookie = 0;
  bool enabled = true;
  RingDesc* ring = nullptr;  ///< BPF output events
  u32 ring_pages = 0;        ///< data pages, 0 until mapped
  u32 mappings = 0;
  u8* ring_ram = nullptr;
  ~PerfEvent();
};

/// Linux: struct bpf_link and what its kinds add. What it attaches stands in Kernel::attachments with the link as owner, but for perf
/// events, which own theirs.
struct Link {
  Kernel* kernel = nullptr;
  u32 id = 0;
  u32 type = BPF_LINK_TYPE_PERF_EVENT;  ///< BPF_LINK_TYPE_*
  u32 attach_type = BPF_PERF_EVENT;
  std::shared_ptr<Prog> prog;  ///< null once detached by force
  std::shared_ptr<PerfEvent> event;  ///< PERF_EVENT
  u64 cookie = 0;
  std::string name;           ///< RAW_TRACEPOINT: as it was asked for
  u32 target_btf_id = 0;      ///< TRACING
  bool kretprobe = false;     ///< KPROBE_MULTI
  std::vector<u64> addrs, cookies;  ///< KPROBE_MULTI, in the order of the addresses
  ~Link();
};

using ObjectRef = std::variant<std::shared_ptr<Map>, std::shared_ptr<Prog>, std::shared_ptr<BtfObject>, std::shared_ptr<Link>,
                               std::shared_ptr<PerfEvent>>;

/// A user's reference to a map (nothing for other objects): held by open files and pins, not by programs. When the last goes, a program
/// array lets go of its programs; else it and a program that uses it would keep each other for ever.
/// Linux: kernel/bpf/syscall.c:bpf_map_put_uref()
class MapUser {
 public:
  MapUser() = default;
  explicit MapUser(const ObjectRef& object);
  MapUser(MapUser&& other) noexcept : map_(std::move(other.map_)) {}
  MapUser& operator=(MapUser&& other) noexcept {
    std::swap(map_, other.map_);
    return *this;
  }
  ~MapUser();

 private:
  std::shared_ptr<Map> map_;
};

constexpr u32 FILE_READ = 1, FILE_WRITE = 2;

/// An open file description of an object: what dup'ed and inherited fds share. Its identity is the inode of the pipe whose read end the
/// clients hold; it ends when the host sees the last of them close.
struct File {
  u64 serial = 0;
  u64 dev = 0, ino = 0;  ///< set by whoever makes the fd (host: of the pipe)
  ObjectRef object;
  u32 mode = FILE_READ | FILE_WRITE;
  const char* link_text = nullptr;  ///< readlink's text where it differs by how the file was made
  MapUser user;
};

template <typename T>
std::shared_ptr<T> object_as(const ObjectRef& ref) {
  const auto* p = std::get_if<std::shared_ptr<T>>(&ref);
  return p == nullptr ? nullptr : *p;
}

/// Programs attached to events right now, in attach order; rebuilt into ROM by objects/attach.
struct Attachment {
  ProbeTarget target;
  std::shared_ptr<Prog> prog;
  u64 cookie = 0;
  const void* owner = nullptr;  ///< the PerfEvent or the Link that carries it
  bool enabled = true;          ///< PERF_EVENT_IOC_DISABLE
};

/// One line of `skep doctor`: what was asked for and refused, with how often.
class Doctor {
 public:
  /// Text may come from clients: cut, made printable, and no more than MAX_LINES different ones are kept.
  void note(std::string text);
  const std::map<std::string, u64>& lines() const { return lines_; }

 private:
  static constexpr std::size_t MAX_LINES = 1000, MAX_LENGTH = 300;
  std::map<std::string, u64> lines_;
};

/// What `skep explain` tells: programs that were refused, the newest MAX of them, each different one once with how often.
class Refusals {
 public:
  struct Entry {
    std::string text, json;  ///< for people; one JSON object
    u64 serial;              ///< of its last time, from 1 on
    u64 times;
  };
  void add(std::string text, std::string json);
  const std::deque<Entry>& entries() const { return entries_; }  ///< oldest first
  u64 count() const { return count_; }                           ///< of all times
  u64 forgotten() const { return forgotten_; }                   ///< serial of the newest entry that had to go; 0: none

 private:
  static constexpr std::size_t MAX = 16;
  std::deque<Entry> entries_;
  u64 count_ = 0, forgotten_ = 0;
};

/// The state of one private bpf(2): no process-wide state, no sockets. Several live side by side.
class Kernel {
 public:
  explicit Kernel(std::unique_ptr<WindowHost> window);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  WindowHost& window() { return *window_; }
  u32 nr_cpus() const { return window_->rom()->nr_cpus; }

  IdTable<Map> maps;
  IdTable<Prog> progs;
  IdTable<BtfObject> btfs;  ///< VMLINUX_BTF_ID is the kernel's own, as on Linux
  IdTable<Link> links;
  const Btf* vmlinux = nullptr;  ///< the kernel's own types, id 1; null: there are none
  /// What kptrs of maps and programs may point to.
  KernelTypes kernel_types() const;
  Doctor doctor;
  Refusals refusals;
  std::function<void()> clock_attached;  ///< somebody has to make software clocks go off from now on
  bool jit = true;  ///< programs that are loaded from now on are compiled, where the window has room for code
  std::unordered_map<u64, std::shared_ptr<File>> files;  ///< by inode
  std::vector<Attachment> attachments;

  std::shared_ptr<File> make_file(ObjectRef object, u32 mode);
  /// The last fd of a file is gone. Linux: the f_op->release of each kind.
  void file_released(u64 ino);
  OwnerId host_owner() const { return 1; }
  u64 next_event_id() { return ++event_ids_; }

 private:
  std::unique_ptr<WindowHost> window_;
  std::shared_ptr<BtfObject> vmlinux_object_;  ///< owns vmlinux
  u64 file_serial_ = 0;
  u64 event_ids_ = 0;
};

}  // namespace skep
