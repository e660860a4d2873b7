// verifier: a Refusal as text for a terminal and as JSON. What it quotes may come from the program's BTF: cut, and made printable.
#include <cstring>

#include "verifier/refusal.h"

namespace skep {
namespace {

constexpr std::size_t MAX_QUOTE = 160;

/// One line: no control characters, not too long.
std::string quote(std::string text) {
  if (text.size() > MAX_QUOTE) {
    text.resize(MAX_QUOTE - 3);
    text += "...";
  }
  for (char& ch : text)
    if (static_cast<unsigned char>(ch) < 0x20 || static_cast<unsigned char>(ch) >= 0x7f) ch = '?';
  return text;
}

std::string errno_name(int error) {
  if (error == ENOTSUPP_) return "ENOTSUPP";
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

std::string place(const SourceLine& l) {
  return l.file.empty() && l.text.empty() ? "" : quote(fmt::format("{}:{}", l.file, l.line));
}

/// "label   text", the label once; further lines below the text.
void add_lines(std::string& out, std::string_view label, const std::string& text) {
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += fmt::format("  {:<8} {}\n", label, quote(text.substr(at, end - at)));
    label = "";
    at = end + 1;
  }
}

/// Breaks a sentence into lines that fit a terminal.
std::string wrapped(const std::string& text, std::size_t width) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (column != 0 && column + 1 + (end - at) > width) {
      out += '\n';
      column = 0;
    } else if (column != 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(at, end - at);
    column += end - at;
    at = end + 1;
  }
  return out;
}

void add_step(std::string& out, const RefusalStep& s) {
  if (s.insn < 0) {
    out += fmt::format("    {}\n", s.what);
    return;
  }
  out += quote(fmt::format("    {}: {}", s.insn, s.instruction)) +
         fmt::format("   {}{}{}\n", s.what, s.value.empty() ? "" : ": ", quote(s.value));
  if (const std::string at = place(s.source); !at.empty()) out += fmt::format("        {}  {}\n", at, quote(s.source.text));
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char ch : text) {
    const auto u = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\')
      out += {'\\', ch};
    else if (ch == '\n')
      out += "\\n";
    else if (u < 0x20 || u >= 0x7f)
      out += '?';
    else
      out += ch;
  }
  return out + '"';
}

std::string json_source(const SourceLine& l) {
  if (place(l).empty()) return "null";
  return fmt::format("{{\"file\":{},\"line\":{},\"text\":{}}}", json_string(quote(l.file)), l.line, json_string(quote(l.text)));
}

std::string json_insn(s32 insn) { return insn < 0 ? "null" : std::to_string(insn); }

std::string json_step(const RefusalStep& s) {
  return fmt::format("{{\"insn\":{},\"instruction\":{},\"source\":{},\"what\":{},\"value\":{}}}", json_insn(s.insn),
                     json_string(s.instruction), json_source(s.source), json_string(s.what), json_string(s.value));
}

}  // namespace

const char* prog_type_name(u32 type) noexcept {
  static constexpr const char* NAMES[] = {"unspec",
                                          "socket_filter",
                                          "kprobe",
                                          "sched_cls",
                                          "sched_act",
                                          "tracepoint",
                                          "xdp",
                                          "perf_event",
                                          "cgroup_skb",
                                          "cgroup_sock",
                                          "lwt_in",
                                          "lwt_out",
                                          "lwt_xmit",
                                          "sock_ops",
                                          "sk_skb",
                                          "cgroup_device",
                                          "sk_msg",
                                          "raw_tracepoint",
                                          "cgroup_sock_addr",
                                          "lwt_seg6local",
                                          "lirc_mode2",
                                          "sk_reuseport",
                                          "flow_dissector",
                                          "cgroup_sysctl",
                                          "raw_tracepoint_writable",
                                          "cgroup_sockopt",
                                          "tracing",
                                          "struct_ops",
                                          "ext",
                                          "lsm",
                                          "sk_lookup",
                                          "syscall",
                                          "netfilter"};
  static_assert(std::size(NAMES) == MAX_BPF_PROG_TYPE_);
  return type < std::size(NAMES) ? NAMES[type] : "unknown";
}

std::string refusal_text(const Refusal& r, const std::string& prog_name, u32 prog_type) {
  std::string out = fmt::format("program {} of type {} was refused: {}\n", prog_name.empty() ? "without a name" : quote(prog_name),
                                prog_type_name(prog_type), errno_name(r.error));
  if (r.insn >= 0) {
    const std::string where = place(r.source), in = r.function.empty() ? "" : fmt::format(" in {}()", quote(r.function));
    if (!where.empty()) add_lines(out, "line", fmt::format("{}{}: {}", where, in, r.source.text));
    add_lines(out, "insn", fmt::format("{}: {}", r.insn, r.instruction));
  }
  if (!r.sentence.empty()) add_lines(out, "verdict", r.sentence);
  if (r.cut)
    add_lines(out, "verdict",
              fmt::format("not within the first {} instructions of the walk: what follows is from there", r.insn_processed));
  for (std::size_t i = 0; i < r.known.size(); ++i) add_lines(out, i == 0 ? "known" : "", r.known[i]);
  if (!r.steps.empty()) out += "  how it came, newest first\n";
  for (const RefusalStep& s : r.steps) add_step(out, s);
  if (!r.hint.empty()) add_lines(out, "to do", wrapped(r.hint, 110));
  return out;
}

std::string refusal_json(const Refusal& r, const std::string& prog_name, u32 prog_type) {
  std::string known, steps;
  for (const std::string& k : r.known) known += (known.empty() ? "" : ",") + json_string(k);
  for (const RefusalStep& s : r.steps) steps += (steps.empty() ? "" : ",") + json_step(s);
  return fmt::format(
      "{{\"program\":{},\"type\":\"{}\",\"errno\":\"{}\",\"insn\":{},\"source\":{},\"function\":{},\"instruction\":{},\"sentence\":"
      "{},"
      "\"known\":[{}],\"steps\":[{}],\"hint\":{},\"processed\":{},\"cut\":{}}}",
      json_string(prog_name), prog_type_name(prog_type), errno_name(r.error), json_insn(r.insn), json_source(r.source),
      json_string(r.function), json_string(r.instruction), json_string(r.sentence), known, steps, json_string(r.hint),
      r.insn_processed, r.cut);
}

}  // namespace skep
