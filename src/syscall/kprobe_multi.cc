// syscall: one program on many functions. Linux: kernel/trace/bpf_trace.c:bpf_kprobe_multi_link_attach()
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "objects/attach.h"
#include "probes/syscalls.h"
#include "syscall/commands.h"
#include "syscall/links.h"

namespace skep {
namespace {

constexpr u32 MAX_COUNT = 1u << 20;  // Linux: kernel/trace/bpf_trace.c:MAX_KPROBE_MULTI_CNT
constexpr u64 KSYM_NAME_LEN = 512;

/// Strings of the caller's, read page by page: there may be hundreds, close to each other, and each read may be a question to its process.
class StringReader {
 public:
  explicit StringReader(UserMemory& mem) : mem_(mem) {}

  /// Pages that lie in a row are read at once.
  Status prepare(const std::vector<u64>& addrs) {
    std::set<u64> pages;
    for (const u64 a : addrs) pages.insert(round_down(a, PAGE_SIZE));
    for (auto first = pages.begin(); first != pages.end();) {
      auto last = first;
      u64 end = *first + PAGE_SIZE;
      while (++last != pages.end() && *last == end) end += PAGE_SIZE;
      TRY(keep(*first, end - *first));
      first = last;
    }
    return ok_status();
  }

  /// Less than `max` bytes. EFAULT, E2BIG.
  Result<std::string> read(u64 addr, u64 max) {
    std::string text;
    while (text.size() < max) {
      const u64 page = round_down(addr, PAGE_SIZE);
      if (!pages_.contains(page)) TRY(keep(page, PAGE_SIZE));
      const auto& bytes = pages_[page];
      const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(addr - page), end = std::find(begin, bytes.end(), 0);
      text.append(begin, end);
      if (end != bytes.end()) break;
      addr = page + PAGE_SIZE;
    }
    if (text.size() >= max) return Errno(E2BIG);
    return text;
  }

 private:
  static u64 round_down(u64 addr, u64 to) { return addr / to * to; }

  Status keep(u64 addr, u64 len) {
    std::vector<char> bytes(len);
    TRY(mem_.read(bytes.data(), addr, len));
    for (u64 at = 0; at < len; at += PAGE_SIZE) {
      const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
      pages_[addr + at].assign(begin, begin + static_cast<std::ptrdiff_t>(PAGE_SIZE));
    }
    return ok_status();
  }

  UserMemory& mem_;
  std::map<u64, std::vector<char>> pages_;
};

Result<std::vector<u64>> read_numbers(CallContext& ctx, u64 from, u32 count) {
  std::vector<u64> numbers(count);
  TRY(ctx.mem.read(numbers.data(), from, u64{count} * sizeof(u64)));
  return numbers;
}

/// What is watched, and the cookie of each; `cookies` is empty or as long as `addrs`.
struct Functions {
  std::vector<u64> addrs, cookies;

  template <typename Less>
  void sort(u64 count, Less less) {
    std::vector<u64> order(count), old_addrs = std::move(addrs), old_cookies = cookies;
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), less);
    addrs.clear();
    for (u64 i = 0; i < count; ++i) {
      if (i < old_addrs.size()) addrs.push_back(old_addrs[order[i]]);
      if (!cookies.empty()) cookies[i] = old_cookies[order[i]];
    }
  }
};

/// In the order of the names. ESRCH when one is not there, or twice. Linux: kernel/trace/ftrace.c:ftrace_lookup_symbols()
Status look_up(CallContext& ctx, u64 syms, u32 count, Functions* f) {
  const std::vector<u64> at = TRY(read_numbers(ctx, syms, count));
  StringReader strings(ctx.mem);
  TRY(strings.prepare(at));
  std::vector<std::string> names;
  for (const u64 a : at) names.push_back(TRY(strings.read(a, KSYM_NAME_LEN)));
  f->sort(count, [&](u64 a, u64 b) { return names[a] < names[b]; });
  std::sort(names.begin(), names.end());
  for (u32 i = 0; i < count; ++i) {
    const SyscallInfo* s = syscall_by_function(names[i]);
    if (s == nullptr)
      ctx.kernel.doctor.note(fmt::format("kprobe_multi on {}: only system call functions (__x64_sys_*) are here: ESRCH", names[i]));
    if (s == nullptr || (i > 0 && names[i] == names[i - 1])) return Errno(ESRCH);
    f->addrs.push_back(syscall_symbol_addr(*s));
  }
  return ok_status();
}

Result<Functions> read_functions(CallContext& ctx, const bpf_attr& attr) {
  const auto& a = attr.link_create.kprobe_multi;
  Functions f;
  if (a.cookies != 0) f.cookies = TRY(read_numbers(ctx, a.cookies, a.cnt));
  if (a.addrs != 0)
    f.addrs = TRY(read_numbers(ctx, a.addrs, a.cnt));
  else
    TRY(look_up(ctx, a.syms, a.cnt, &f));
  if (!f.cookies.empty()) {
    const std::vector<u64> by = f.addrs;
    f.sort(a.cnt, [&](u64 x, u64 y) { return by[x] < by[y]; });
  }
  return f;
}

/// An address that is there twice is watched once. Linux: kernel/trace/ftrace.c:ftrace_match_addr()
Result<std::vector<AttachPoint>> points_of(Kernel& kernel, const Functions& f, bool at_return) {
  std::vector<AttachPoint> points;
  std::set<u64> seen;
  for (std::size_t i = 0; i < f.addrs.size(); ++i) {
    const SyscallInfo* s = syscall_by_address(f.addrs[i]);
    if (s == nullptr) {
      kernel.doctor.note(fmt::format("kprobe_multi on {:#x}: no function of skep's kallsyms: EINVAL", f.addrs[i]));
      return Errno(EINVAL);
    }
    if (!seen.insert(f.addrs[i]).second) continue;
    AttachPoint p;
    p.target.kind = at_return ? ProbeKind::Kretprobe : ProbeKind::Kprobe;
    p.target.syscall_nr = s->nr;
    p.target.symbol = fmt::format("__x64_sys_{}", s->name);
    p.target.symbol_addr = f.addrs[i];
    p.cookie = f.cookies.empty() ? 0 : f.cookies[i];
    points.push_back(std::move(p));
  }
  return points;
}

Status check_attr(Kernel& kernel, const Prog& prog, const bpf_attr& attr) {
  const auto& a = attr.link_create.kprobe_multi;
  if (attr.link_create.flags != 0) return Errno(EINVAL);
  if (prog.expected_attach_type == BPF_TRACE_KPROBE_SESSION) {
    kernel.doctor.note("LINK_CREATE with BPF_TRACE_KPROBE_SESSION: not here: EINVAL");
    return Errno(EINVAL);
  }
  if (prog.expected_attach_type != BPF_TRACE_KPROBE_MULTI || (prog.prog_flags & BPF_F_SLEEPABLE) != 0) return Errno(EINVAL);
  if ((a.flags & ~BPF_F_KPROBE_MULTI_RETURN) != 0) return Errno(EINVAL);
  if ((a.addrs != 0) == (a.syms != 0)) return Errno(EINVAL);
  if (a.cnt == 0) return Errno(EINVAL);
  return a.cnt > MAX_COUNT ? Status(Errno(E2BIG)) : ok_status();
}

}  // namespace

Result<s64> attach_kprobe_multi(CallContext& ctx, const std::shared_ptr<Prog>& prog, const bpf_attr& attr) {
  TRY(check_attr(ctx.kernel, *prog, attr));
  Functions f = TRY(read_functions(ctx, attr));
  TRY(check_runnable(ctx.kernel, *prog));
  const std::shared_ptr<Link> link = new_link(ctx, BPF_LINK_TYPE_KPROBE_MULTI, prog);
  link->kretprobe = (attr.link_create.kprobe_multi.flags & BPF_F_KPROBE_MULTI_RETURN) != 0;
  const std::vector<AttachPoint> points = TRY(points_of(ctx.kernel, f, link->kretprobe));
  TRY(attach_points(ctx.kernel, link.get(), prog, points));
  link->addrs = std::move(f.addrs);
  link->cookies = std::move(f.cookies);
  return settle_link(ctx, link);
}

}  // namespace skep
