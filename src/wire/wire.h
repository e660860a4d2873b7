// wire: what agent and host say to each other over a process's control connection (a Unix stream socket). One versioned header, used by
// both; data only. All numbers are native; both ends run on one machine.
//
// A request is a frame: WireRequest, then `n_memory` memory segments, then `n_fds` fd identities. The host never waits for a client in
// the middle of a call: what it lacks of the caller's memory or fds it names in a Need* reply, and the agent sends the whole request
// again with that added (calls copy in all they need before their first side effect, so starting over is safe).
//
//   agent                                  host
//     | BPF cmd attr size + [attr bytes]     |
//     |------------------------------------->|
//     |       NeedMemory addr len            |
//     |<-------------------------------------|
//     | BPF ... + [attr bytes] + [key bytes] |
//     |------------------------------------->|
//     |  Return rc (+ fd) + [value bytes]    |
//     |<-------------------------------------|
#pragma once
#include "base/types.h"

namespace skep {

constexpr u32 WIRE_MAGIC = 0x736b6570;
constexpr u32 WIRE_VERSION = 3;
constexpr u32 WIRE_MAX_FRAME = 96u << 20;  ///< larger frames end the connection

enum class WireOp : u16 {
  Hello = 1,      ///< a = flags HELLO_*, token (2 words), fork children: their parent's OwnerId; reply: WireHello as payload, fds: ROM, RAM, patched objects, CODE where there is one
  Bpf,            ///< a = cmd, attr, size; reply payload: WireTestRun when the call is the agent's to finish
  PerfEventOpen,  ///< a = attr, pid, cpu, group_fd, flags
  Ioctl,          ///< a = fd, request, arg
  Mmap,           ///< a = len, prot, flags, fd, offset; reply payload: WireMmap + parts, fd: the RAM file
  Mapped,         ///< a = addr, len, token: the agent has made the mapping that `token` (from WireMmap) planned
  Unmapped,       ///< a = addr, len: gone, as far as it was ours
  Identify,       ///< a = inode, device; reply payload: WireObject (ENOENT: not ours)
  Kick,           ///< a = inode of a ring's file: make all files of that ring readable
  Sync,           ///< nothing: by the time of the reply all closes before it have been seen
  Path,           ///< a = path address, 1 when it is opened or gone into; reply payload: the real path (rc 1), or rc 0: not ours
  FdInfo,         ///< a = inode; reply payload: text of fdinfo; rc FILE_* or -ENOENT
  FdLink,         ///< a = inode; reply payload: text of readlink(/proc/self/fd/N)
  Note,           ///< a = address of a text: one more line for doctor
  RamFile,        ///< reply fd: the RAM file
  Doctor,         ///< reply payload: text (CLI)
  Liveness,       ///< reply fd: a write end of the session's liveness pipe (CLI joins a session)
  Counts,         ///< reply payload: WireCounts (tests, CLI)
  Explain,        ///< a = first refusal wanted (from 1 on), 1 for JSON; reply rc: how many there were so far, payload: text (CLI)
  FindSymbol,     ///< a = address of a name, kind; reply: RunEnv::find_symbol's (helpers/run_ctx.h), payload: a u64
};

constexpr u64 HELLO_EXEC = 1;  ///< first hello of a new image; without it: of a fork child

struct WireRequest {
  u32 magic;
  u32 length;  ///< of the whole frame
  WireOp op;
  u16 n_memory, n_fds, pad;
  u64 a[6];
};

/// Followed by `len` bytes. fault: the range could not be read.
struct WireMemory {
  u64 addr;
  u32 len;
  u32 fault;
};

struct WireFd {
  s32 fd;
  s32 rc;  ///< 0 or -EBADF
  u64 dev, ino;
  u32 mode, pad;
};

enum class WireKind : u16 { Return = 1, NeedMemory, NeedString, NeedFd };

/// Followed by `payload` bytes (per op), then `n_writes` memory segments for the caller (WireMemory + bytes).
struct WireReply {
  u32 magic;
  u32 length;
  WireKind kind;
  u16 n_writes;
  u16 n_fds;  ///< that came along by SCM_RIGHTS
  u16 pad;
  s64 rc;      ///< NeedFd: the fd
  u64 addr;    ///< NeedMemory, NeedString; Return with an fd: its inode if a close of it needs no Sync, else 0
  u64 len;
  u32 payload;
  u32 pad2;
};

/// A patched copy of a shared object: what of the image to map where, relative to the load base of the object with this build id.
struct WirePatched {
  u64 text_vaddr, text_size, text_file_offset;  ///< text_size 0: there is none
  u64 stubs_size, stubs_file_offset;            ///< stubs_size 0: they are in the text's last page
  s64 stub_delta;
  u64 slot_page;
  u32 build_id_len;
  u8 build_id[20];
  u32 n_stops;    ///< ld.so: where debuggers put breakpoints of their own, beside r_debug's r_brk
  u32 stops[14];
};

struct WireHello {
  u64 rom_base, rom_size, ram_base, ram_size, ring_base, ring_size;
  u64 code_base, code_size;  ///< 0: programs are interpreted
  u64 owner;           ///< OwnerId of this process
  WirePatched libc, loader;
  char virtual_root[256];  ///< real directory that stands for / of the virtual files
};

/// BPF_PROG_TEST_RUN, as far as the host can tell: the program is there and may be run. Not freed while a run slot is held that was taken
/// before the request. The rest (testrun/) happens where the caller's memory is.
struct WireTestRun {
  u64 prog;   ///< address of the ProgImage
  u64 uattr;  ///< where results go
  u32 expected_attach_type, max_ctx_offset;
  u64 attr[10];  ///< bpf_test_run_attr
};

struct WireMmapPart {
  u64 ram_offset, len;
};
struct WireMmap {
  u64 token;
  u32 n_parts;
  u32 prot_max;
  WireMmapPart parts[4];
};

enum class WireObjectKind : u32 { None, Map, Prog, Btf, Link, Event, RingMap, PerfRing };

struct WireObject {
  WireObjectKind kind;
  u32 id;
  u64 ino;
  u64 ring;  ///< RingDesc address for RingMap and PerfRing
  u32 mode;  ///< FILE_READ | FILE_WRITE, as objects/objects.h has them
  u32 listed;  ///< Map, RingMap: index in RomHeader::maps, or ~0: not in that list
  u64 desc;    ///< Map, RingMap: MapDesc address
};

struct WireCounts {
  u64 maps, progs, btfs, links, files, pins, connections, attachments, rom_bytes, ram_bytes;
};

}  // namespace skep
