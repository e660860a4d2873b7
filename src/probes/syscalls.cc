#include "probes/syscalls.h"

#include <fmt/format.h>

#include <algorithm>

namespace skep {
namespace {

constexpr u64 KERNEL_TEXT = 0xffffffff81000000ULL;
constexpr u64 SYMBOL_SPACING = 0x100;


#define SKEP_SYSCALL(nr, name, enter, exit, ...) SyscallInfo{nr, name, enter, exit, count_args({__VA_ARGS__}), {__VA_ARGS__}},
constexpr u32 count_args(std::initializer_list<SyscallArg> a) { return static_cast<u32>(a.size()); }
constexpr SyscallInfo TABLE[] = {
#include "probes/syscall_table.inc"
};
#undef SKEP_SYSCALL

template <typename P>
const SyscallInfo* find(P pred) {
  const auto* it = std::find_if(std::begin(TABLE), std::end(TABLE), pred);
  return it == std::end(TABLE) ? nullptr : it;
}

constexpr std::string_view FUNCTION_PREFIX = "__x64_sys_";

}  // namespace

std::span<const SyscallInfo> syscall_table() { return TABLE; }

const SyscallInfo* syscall_by_function(std::string_view symbol) {
  if (!symbol.starts_with(FUNCTION_PREFIX)) return nullptr;
  symbol.remove_prefix(FUNCTION_PREFIX.size());
  return find([&](const SyscallInfo& s) { return symbol == s.name; });
}
const SyscallInfo* syscall_by_address(u64 addr) {
  return find([&](const SyscallInfo& s) { return syscall_symbol_addr(s) == addr; });
}
const SyscallInfo* syscall_by_tracepoint(u32 id) {
  return find([&](const SyscallInfo& s) { return s.enter_id == id || s.exit_id == id; });
}
const SyscallInfo* syscall_by_nr(u32 nr) {
  return find([&](const SyscallInfo& s) { return s.nr == nr; });
}
u64 syscall_symbol_addr(const SyscallInfo& s) { return KERNEL_TEXT + s.nr * SYMBOL_SPACING; }

std::string tracepoint_file(std::string_view event, std::string_view file) {
  const bool enter = event.starts_with("sys_enter_");
  if (!enter && !event.starts_with("sys_exit_")) return {};
  const std::string_view name = event.substr(enter ? 10 : 9);
  const SyscallInfo* s = find([&](const SyscallInfo& i) { return name == i.name; });
  if (s == nullptr) return {};
  const u32 id = enter ? s->enter_id : s->exit_id;
  if (file == "id") return fmt::format("{}\n", id);
  if (file != "format") return {};
  std::string out = fmt::format("name: {}\nID: {}\nformat:\n", event, id);
  const auto field = [&](std::string_view decl, u32 off, u32 size, bool is_signed) {
    out += fmt::format("\tfield:{};\toffset:{};\tsize:{};\tsigned:{};\n", decl, off, size, is_signed ? 1 : 0);
  };
  field("unsigned short common_type", 0, 2, false);
  field("unsigned char common_flags", 2, 1, false);
  field("unsigned char common_preempt_count", 3, 1, false);
  field("int common_pid", 4, 4, true);
  out += "\n";
  field("int __syscall_nr", 8, 4, true);
  if (!enter) {
    field("long ret", 16, 8, true);
    return out + "\nprint fmt: \"0x%lx\", REC->ret\n";
  }
  std::string text, refs;
  for (u32 i = 0; i < s->nr_args; ++i) {
    field(fmt::format("{} {}", s->args[i].type, s->args[i].name), 16 + 8 * i, 8, false);
    text += fmt::format("{}{}: 0x%08lx", i == 0 ? "" : ", ", s->args[i].name);
    refs += fmt::format(", ((unsigned long)(REC->{}))", s->args[i].name);
  }
  return out + fmt::format("\nprint fmt: \"{}\"{}\n", text, refs);
}

}  // namespace skep
