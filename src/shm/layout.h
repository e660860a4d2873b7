// shm: the session window, skep's "kernel half": what host, clients and targets see at the same addresses.
//
//   rom_base  +--------------------------------------------------+  ROM: written by the host only; clients map it read-only from a
//             | RomHeader | ProbeLists | ProgImages | MapDescs   |  descriptor that cannot be mapped writable. What a run trusts
//             | RingDescs | perf event arrays                    |  stands here: instructions, sizes, addresses.
//   code_base +--------------------------------------------------+  CODE: machine code of programs, read and execute for processes. The
//             | gates | code                                     |  host writes it through another mapping. The gates, its first
//             |                                                  |  bytes, are each process's own: addresses of its helpers.
//   ram_base  +--------------------------------------------------+  RAM: shared, writable by all. Nobody trusts a byte of it: every
//             | RamHeader | run slots | ring controls | map data |  index is checked against ROM before use, every walk is bounded.
//   ring_base +--------------------------------------------------+  RINGS: BPF ring buffers again, data pages mapped twice in a row,
//             | [cons][prod][data][data] ...                     |  so that a record that runs past the end is contiguous. Each
//             +--------------------------------------------------+  process maps new ones when ring_generation has moved.
//
// Pointers in ROM are plain addresses: valid in every process of the session, and different in every session.
#pragma once
#include "base/types.h"
#include "uapi/bpf.h"

namespace skep {

constexpr u64 WINDOW_MAGIC = 0x776f646e6977736bULL;
constexpr u32 WINDOW_VERSION = 3;
constexpr u32 MAX_SYSCALLS = 512;    ///< syscall numbers that can carry probes
constexpr u32 MAX_CPUS = 128;        ///< virtual CPUs at most
constexpr u32 MAX_RUN_SLOTS = 512;   ///< virtual CPUs first, client slots behind them
constexpr u32 MAX_RINGS = 4096;      ///< perf rings and BPF ring buffers alive at once
constexpr u32 MAX_PROC_SLOTS = 65536;
constexpr u32 MAX_LISTED_MAPS = 16384;  ///< maps that a process may recover a run of its own on; others are left to the host
constexpr u32 MAX_RESERVATIONS = 16; ///< ring buffer records one run may hold open
constexpr u64 ROM_SIZE = 1ULL << 30;
constexpr u64 CODE_SIZE = 256ULL << 20;   ///< with the gates; all of it within reach of a 32-bit displacement
constexpr u64 GATES_SIZE = 16ULL << 10;
constexpr u64 RAM_SIZE = 64ULL << 30;
constexpr u64 RINGS_SIZE = 64ULL << 30;

/// A death-robust lock: 0, or (run slot index + 1) << 48 | low 48 bits of that slot's `seq` while it held. A lock whose slot has moved
/// on (run ended, killed and recovered) is abandoned and may be taken over. See shm/slot.h.
struct RobustLock {
  u64 word;
};

/// One entry per virtual CPU (index < nr_cpus) and per concurrent client operation. A run owns its slot exclusively from
/// slot_acquire() to slot_release(). `owner` is 0 when free, else proc_slot | generation << 32 (never a tid: pid namespaces).
struct alignas(64) RunSlot {
  u64 owner;
  u64 seq;  ///< bumped at each release and each recovery: names one ownership
  u64 stalled;  ///< lock word of an ownership that somebody has given up waiting for: nobody waits long for it again
  /// Intent of the map operation under way, written before the first change it describes, cleared after the last, so that recovery can
  /// put back an element that is in nobody's list. map = address of the MapDesc, 0 when none.
  u64 intent_map;
  u32 intent_elem;
  u32 intent_op;
  /// Open ring buffer reservations: ring index + 1 (0 = unused entry) and the record's position. Written before the record is published.
  struct {
    u32 ring;
    u32 pad;
    u64 pos;
  } reserved[MAX_RESERVATIONS];
  /// A client operation that changes the elements of RomHeader::maps[low 16 bits - 1] is under way; the rest is the slot's `seq` then, so
  /// that what the last owner left counts for nothing. BPF_MAP_FREEZE looks at it.
  u64 writes;
};

enum class RingKind : u32 { Free = 0, Perf = 1, Bpf = 2 };

/// Mutable control block of a ring, in RAM; readers check all of it.
struct alignas(64) RingCtl {
  u32 armed;      ///< a consumer sleeps: the next wake-up rings the doorbell (set by waiters, exchanged to 0 by producers)
  u32 wake_seq;   ///< counts wake-ups: the edge that poll() on a perf ring and EPOLLET on either kind report
  u64 lost;       ///< perf: records lost since the last PERF_RECORD_LOST; bpf: records dropped for want of space
  u64 lost_total;
  u64 head;       ///< perf: next write position (data_head is published from it)
  u64 wakeup_at;  ///< perf: position at which a watermark wake-up is due
  u32 events;     ///< perf: events since the last wake-up
  u32 pad;
  RobustLock lock;  ///< producers
};

/// Immutable while the ring lives; in ROM.
struct RingDesc {
  RingKind kind;
  u32 index;      ///< into RomHeader::rings and RamHeader::ring_ctl
  RingCtl* ctl;
  u8* user_page;  ///< perf: the perf_event_mmap_page; bpf: consumer page
  u8* prod_page;  ///< bpf: producer page
  u8* data;       ///< bpf: mapped twice
  u64 data_size;  ///< power of two, whole pages; perf: 0 until the first mmap
  u64 ram_offset; ///< of user_page in the RAM file (what clients mmap)
  // perf only
  u32 cpu;        ///< the virtual CPU this event counts on
  u32 wakeup_events;
  u64 wakeup_watermark;  ///< bytes; used when `watermark`
  u32 watermark;
  u32 overwrite;  ///< mapped read-only: never blocks on data_tail
  u64 sample_type;
  u64 event_id;
  u32 enabled;    ///< PERF_EVENT_IOC_ENABLE / DISABLE
  u32 no_output;  ///< an event of another kind in a PERF_EVENT_ARRAY: output to it is refused
};

/// Bpf ring in the RINGS area that every process has to map before it runs a program that uses it.
struct RingMapping {
  u64 addr;        ///< [cons][prod][data][data]; 0 = none
  u64 ram_offset;
  u64 data_size;
};

constexpr u32 MAX_SPECIAL_FIELDS = 11;  ///< in one value. Linux: include/linux/bpf.h:BTF_FIELDS_MAX

/// Where in a map's values the special fields (locks, timers, kernel pointers and their like) stand, ascending; in ROM.
struct MapFields {
  struct Range {
    u32 offset, size;
  };
  u32 count;
  s32 spin_lock_off, refcount_off;  ///< negative: there is none
  u32 n_locks;                      ///< power of two, or 0 where no value has a spin lock
  RobustLock* locks;                ///< RAM: what the bpf_spin_lock of a value really is, see maps/special_fields.h
  Range at[MAX_SPECIAL_FIELDS];
};

/// A map as runs and clients see it: geometry in ROM, contents in RAM.
struct MapDesc {
  u32 id, type, key_size, value_size, max_entries, map_flags;
  u32 nr_cpus;
  u32 frozen;        ///< BPF_MAP_FREEZE: no writes by syscalls
  u32 value_stride;  ///< value_size rounded up to 8: one CPU's value
  u32 elem_size;     ///< bytes from element to element
  u32 n_elems;       ///< hash: max_entries plus one spare per run slot user; array: max_entries
  u32 n_buckets;     ///< hash: power of two
  u32 hash_seed;
  u32 elem_value_off;  ///< offset of the (first CPU's) value in an element
  u8* elems;           ///< RAM
  void* buckets;       ///< RAM, kind-specific
  void* state;         ///< RAM, kind-specific counters and free lists
  RingDesc* ring;              ///< RINGBUF
  RingDesc** perf_events;      ///< PERF_EVENT_ARRAY: max_entries pointers in ROM, null when empty
  char name[BPF_OBJ_NAME_LEN];
  u64 ram_bytes;       ///< of elems..state, one allocation that starts at `ram`
  u8* ram;
  const MapFields* fields;  ///< null: values have no special fields
};

/// Run-time counters of a program, in RAM: shown, never trusted.
struct ProgStats {
  u64 run_cnt, run_time_ns, recursion_misses, faults, missed;
};

/// A program that may run: instructions resolved (map addresses, helper ids checked); in ROM.
struct ProgImage {
  u32 id, type;
  u32 insn_cnt;
  u32 n_maps;
  const bpf_insn* insns;
  MapDesc* const* maps;
  ProgStats* stats;
  u32 gpl;
  u32 per_cpu;     ///< uses per-CPU data, or may (tail calls, maps of maps): runs on a virtual CPU only, see agent/run_env.h
  u32 step_limit;  ///< interpreter: instructions per run
  char name[BPF_OBJ_NAME_LEN];
  u64 entry;       ///< compiled code, of type jit/run.h:JitFn; 0: there is none, programs are interpreted
  u64 code;        ///< start of its CodeBlock
  u32 code_size;
  u32 cleanup;     ///< a run may end holding something (ring reservations, a spin lock), or in another program (tail calls): look
};

/// A load in compiled code that may fault, and where to go on then: offsets from the block's start. Ascending by `at`; in ROM.
struct CodeFault {
  u32 at, fixup;
};

/// One program's machine code in CODE. size 0: there was one.
struct CodeBlock {
  u64 addr;
  u32 size;
  u32 n_faults;
  const CodeFault* faults;
  const ProgImage* prog;
};

/// All blocks, ascending by address; in ROM. The host fills and empties entries in place and appends; an entry's address never changes.
/// Where that does not do, RomHeader::code_index is swapped, and the old one freed as probe lists are.
struct CodeIndex {
  u32 count;
  u32 pad;
  CodeBlock blocks[];
};

/// What a program sees in r1, and with it where it sits.
enum class ProbeKind : u32 {
  // On one system call.
  Kprobe,
  Kretprobe,
  TpEnter,  ///< syscalls:sys_enter_*
  TpExit,
  Fentry,   ///< of __x64_sys_*: {regs}
  Fexit,    ///< {regs, result}
  ModifyReturn,
  // On one EventPlace.
  Tracepoint,  ///< the event's record, as its format file describes it
  RawTp,       ///< the event's arguments, 64 bits each; tp_btf too
  Clock,       ///< bpf_perf_event_data_kern: a software clock went off
};

/// Events that are not one system call's.
enum class EventPlace : u32 {
  SysEnter,  ///< raw_syscalls:sys_enter: every system call
  SysExit,
  SchedProcessExec,
  SchedProcessFork,
  SchedProcessExit,
  SignalGenerate,
  Clock,  ///< of any software clock: entries name theirs by `event_id`
  Count
};

/// A software clock; in ROM, as long as its event lives.
struct ClockDesc {
  u64 period_ns;
  u32 cpu;
  u32 pad;
};

struct ProbeEntry {
  const ProgImage* prog;
  u64 cookie;
  ProbeKind kind;
  u32 event_id;    ///< tracepoint id, common_type of its record; Clock: its event's id
  u64 symbol_addr; ///< what a kernel's kallsyms would say of the function: pt_regs.ip. Clock: address of its ClockDesc
  s32 tgid;        ///< only in this process; 0: in all
  u32 pad;
};

/// Programs on one syscall's entry or exit, or on one EventPlace. Published by swapping the pointer in RomHeader; freed when no slot that ran meanwhile does.
struct ProbeList {
  u32 count;
  u32 pad;
  ProbeEntry entries[];
};

constexpr u8 INTEREST_ENTER = 1, INTEREST_EXIT = 2;

constexpr u32 MAX_SHOWN_CODE = 1024;

/// What a debugger is shown of the code in CODE, where that was asked for: ELF images in ROM (jit/unwind.h). Not moved nor freed while the
/// session lives. The host writes image and size, then `serial`; RomHeader::ring_generation moves behind that.
struct ShownCode {
  u32 used, pad;  ///< entries ever used
  struct Entry {
    u64 serial;   ///< names what is shown here; 0: nothing, or no longer
    u64 image, size;
  } entries[MAX_SHOWN_CODE];
};

struct RomHeader {
  u64 magic;
  u32 version;
  u32 nr_cpus;
  u64 rom_base, rom_size, code_base, code_size, ram_base, ram_size, ring_base, ring_size;
  const CodeIndex* code_index;  ///< null: there is no code now
  u32 ring_generation;  ///< moves when `ring_maps` does
  u32 nr_ring_maps;
  u8 interest[MAX_SYSCALLS];  ///< INTEREST_*: looked at on every syscall of every process
  const ProbeList* enter[MAX_SYSCALLS];
  const ProbeList* exit[MAX_SYSCALLS];
  RingDesc* rings[MAX_RINGS];
  RingMapping ring_maps[MAX_RINGS];
  MapDesc* maps[MAX_LISTED_MAPS];  ///< live ones: what an intent in RAM may name. Never judged by ROM bytes, some of which clients choose
  u32 nr_maps;                     ///< entries ever used
  const ProbeList* events[static_cast<u32>(EventPlace::Count)];
  u32 clock_generation;  ///< futex: moves when events[Clock] does
  const ShownCode* shown_code;     ///< null: no debugger is told anything
  struct TaskTable* tasks;         ///< in RAM, see shm/tasks.h; null: there is none
};

struct RamHeader {
  u32 doorbell;         ///< futex word: bumped by producers that found a ring armed
  u32 doorbell_waiting; ///< the host sleeps on it
  u64 pad;
  u64 missed;           ///< events that found no free virtual CPU
  u64 recursion_misses;
  u64 ring_pending[MAX_RINGS / 64];  ///< rings whose sleeping consumers are to be woken
  u64 skipped;          ///< events in processes that filter their own system calls, or share their thread state with a child
  RunSlot slots[MAX_RUN_SLOTS];
  RingCtl ring_ctl[MAX_RINGS];
};

/// A process's view of the window. Plain addresses: copyable, owns nothing.
struct Window {
  RomHeader* rom = nullptr;
  RamHeader* ram = nullptr;
  explicit operator bool() const noexcept { return rom != nullptr; }
};

}  // namespace skep
