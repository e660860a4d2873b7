// progtypes: which proto which program type gets for which helper, and under which condition. Freestanding. Internal to the room.
//
// Every program type has a chain of lists, asked one after the other as the kernel's get_func_proto functions ask each other; the
// first list that names a helper decides about it. A list may name it several times: the first row whose condition holds gives the
// proto, and when none holds the helper is closed to the program.
#pragma once
#include "progtypes/func_proto.h"

namespace skep {

/// Conditions of rows, beyond the program type. What each means is in get_func_proto.cc.
enum class When : u8 {
  Always,
  Never,  ///< closes a helper that a later list opens
  Bpf,
  Perfmon,
  BpfPerfmon,
  Sleepable,
  MultiProbe,
  TraceIter,
  TcpIter,
  Trampoline,
  TrampolineOrRawTp,
  LsmCgroup,
  LsmSockoptHook,
  RetvalAttach,
  BindAttach,
  SockAddrSockoptAttach,
  SetsockoptAttach,
  TcpCa,
  TcpCaNotRelease,
  SchedExt,
};

struct FuncRow {
  u8 id;
  u8 proto;
  When when;
};

/// The rows that decide about helper `id` in programs of `prog_type`; none: it is closed to them.
struct FuncRows {
  const FuncRow* first = nullptr;
  const FuncRow* last = nullptr;
  const FuncRow* begin() const noexcept { return first; }
  const FuncRow* end() const noexcept { return last; }
};
FuncRows func_rows(u64 id, u32 prog_type) noexcept;
const FuncProto& func_row_proto(const FuncRow& row) noexcept;

}  // namespace skep
