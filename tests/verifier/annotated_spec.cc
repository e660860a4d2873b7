#include <bpf/btf.h>
#include <regex.h>

#include <charconv>
#include <climits>
#include <cstring>
#include <optional>

#include "annotated.h"

namespace skep::annotated {
namespace {

constexpr int kTestDataLength = 64;

bool take_prefix(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

std::optional<long> number(std::string_view text) {
  const bool negative = take_prefix(&text, "-");
  const int base = take_prefix(&text, "0x") ? 16 : 10;
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return negative ? -value : value;
}

struct NamedFlag {
  std::string_view name;
  unsigned bit;
};
constexpr NamedFlag kFlags[] = {{"BPF_F_STRICT_ALIGNMENT", 1u << 0},   {"BPF_F_ANY_ALIGNMENT", 1u << 1},
                                {"BPF_F_TEST_RND_HI32", 1u << 2},      {"BPF_F_TEST_STATE_FREQ", 1u << 3},
                                {"BPF_F_SLEEPABLE", 1u << 4},          {"BPF_F_XDP_HAS_FRAGS", 1u << 5},
                                {"BPF_F_TEST_REG_INVARIANTS", 1u << 7}};

void read_flag(std::string_view value, Spec* spec) {
  unsigned& flags = take_prefix(&value, "!") ? spec->cleared_flags : spec->flags;
  for (const NamedFlag& flag : kFlags)
    if (flag.name == value) flags |= flag.bit;
  bool known = false;
  for (const NamedFlag& flag : kFlags) known |= flag.name == value;
  if (known) return;
  if (const auto bits = number(value))
    flags |= static_cast<unsigned>(*bits);
  else
    spec->problem = "unknown flag " + std::string(value);
}

void read_retval(std::string_view value, Spec* spec) {
  spec->execute = true;
  spec->any_retval = value == "POINTER_VALUE" || value == "0xcafe4all";
  if (spec->any_retval) return;
  if (value == "INT_MIN")
    spec->retval = INT_MIN;
  else if (value == "TEST_DATA_LEN")
    spec->retval = kTestDataLength;
  else if (const auto parsed = number(value))
    spec->retval = static_cast<int>(*parsed);
  else
    spec->problem = "unknown return value " + std::string(value);
}

void read_log_level(std::string_view value, Spec* spec) {
  if (const auto level = number(value))
    spec->log_level = static_cast<unsigned>(*level);
  else
    spec->problem = "unknown log level " + std::string(value);
}

/// What counts only together with other tags.
struct Seen {
  bool any_arch = false, our_arch = false, unprivileged = false;
};

void read_tag(std::string_view tag, Spec* spec, Seen* seen) {
  if (!take_prefix(&tag, "comment:test_")) return;
  if (tag == "expect_failure" || tag == "expect_success") {
    spec->expect_failure = tag == "expect_failure";
    spec->tagged = true;
  } else if (tag == "auxiliary") {
    spec->auxiliary = spec->tagged = true;
  } else if (take_prefix(&tag, "expect_msg=")) {
    // A counter stands before the message: the compiler keeps one of two equal tags only.
    const std::size_t counter_end = tag.find('=');
    if (counter_end != tag.npos) spec->messages.emplace_back(tag.substr(counter_end + 1));
    spec->tagged = true;
  } else if (take_prefix(&tag, "retval=")) {
    read_retval(tag, spec);
    spec->tagged = true;
  } else if (take_prefix(&tag, "log_level=")) {
    read_log_level(tag, spec);
  } else if (take_prefix(&tag, "prog_flags=")) {
    read_flag(tag, spec);
  } else if (take_prefix(&tag, "arch=")) {
    seen->any_arch = true;
    seen->our_arch |= tag == "X86_64";
  } else if (take_prefix(&tag, "btf_path=")) {
    spec->btf_path = tag;
  } else {
    seen->unprivileged |= tag.find("_unpriv") != tag.npos;
  }
}

std::string regex_of(std::string_view pattern) {
  std::string out;
  bool in_regex = false;
  while (!pattern.empty()) {
    if (take_prefix(&pattern, in_regex ? "}}" : "{{")) {
      in_regex = !in_regex;
      continue;
    }
    if (!in_regex && std::strchr(".[]\\()*+?{}|^$", pattern[0]) != nullptr) out += '\\';
    out += pattern[0];
    pattern.remove_prefix(1);
  }
  return out;
}

/// Where `message` ends in `log` when looked for from `from`; npos when it is not there.
std::size_t find_message(const std::string& log, std::size_t from, const std::string& message) {
  if (message.find("{{") == message.npos) {
    const std::size_t at = log.find(message, from);
    return at == log.npos ? at : at + message.size();
  }
  regex_t regex;
  if (regcomp(&regex, regex_of(message).c_str(), REG_EXTENDED | REG_NEWLINE) != 0) return log.npos;
  regmatch_t match;
  const bool found = regexec(&regex, log.c_str() + from, 1, &match, 0) == 0;
  regfree(&regex);
  return found ? from + static_cast<std::size_t>(match.rm_eo) : log.npos;
}

}  // namespace

Spec read_spec(const bpf_object* object, const bpf_program* program) {
  Spec spec;
  spec.name = bpf_program__name(program);
  const btf* types = bpf_object__btf(object);
  const int function = types == nullptr ? -1 : btf__find_by_name_kind(types, spec.name.c_str(), BTF_KIND_FUNC);
  if (function < 0) {
    spec.problem = "no BTF of the function";
    return spec;
  }
  Seen seen;
  for (unsigned id = 1; id < btf__type_cnt(types); id++) {
    const btf_type* type = btf__type_by_id(types, id);
    if (!btf_is_decl_tag(type) || static_cast<int>(type->type) != function || btf_decl_tag(type)->component_idx != -1) continue;
    read_tag(btf__str_by_offset(types, type->name_off), &spec, &seen);
  }
  spec.for_this_machine = !seen.any_arch || seen.our_arch;
  // Nothing said means: loads.
  spec.tagged |= !seen.unprivileged;
  return spec;
}

std::string missing_message(const std::string& log, const std::vector<std::string>& messages) {
  std::size_t at = 0;
  for (const std::string& message : messages) {
    at = find_message(log, at, message);
    if (at == log.npos) return message;
  }
  return {};
}

}  // namespace skep::annotated
