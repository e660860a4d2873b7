#include "case_file.h"

#include <cerrno>
#include <charconv>
#include <functional>
#include <sstream>

namespace skep::cases {
namespace {

using Words = std::vector<std::string>;
using Names = std::map<std::string, unsigned>;

// Values are written out: names that are younger than the headers this is built with are among them.
const Names kTypes = {{"socket_filter", 1},   {"kprobe", 2},
                      {"sched_cls", 3},       {"sched_act", 4},
                      {"tracepoint", 5},      {"xdp", 6},
                      {"perf_event", 7},      {"cgroup_skb", 8},
                      {"cgroup_sock", 9},     {"lwt_in", 10},
                      {"lwt_out", 11},        {"lwt_xmit", 12},
                      {"sock_ops", 13},       {"sk_skb", 14},
                      {"cgroup_device", 15},  {"sk_msg", 16},
                      {"raw_tracepoint", 17}, {"cgroup_sock_addr", 18},
                      {"sk_reuseport", 21},   {"flow_dissector", 22},
                      {"cgroup_sysctl", 23},  {"raw_tracepoint_writable", 24},
                      {"cgroup_sockopt", 25}, {"tracing", 26},
                      {"sk_lookup", 30},      {"syscall", 31},
                      {"netfilter", 32}};
const Names kAttachTypes = {{"cgroup_inet_ingress", 0},
                            {"cgroup_inet_egress", 1},
                            {"cgroup_inet_sock_create", 2},
                            {"cgroup_sock_ops", 3},
                            {"cgroup_device", 6},
                            {"cgroup_inet4_bind", 8},
                            {"cgroup_inet6_bind", 9},
                            {"cgroup_inet4_connect", 10},
                            {"cgroup_inet6_connect", 11},
                            {"cgroup_udp4_sendmsg", 14},
                            {"cgroup_udp6_sendmsg", 15},
                            {"cgroup_sysctl", 18},
                            {"cgroup_udp4_recvmsg", 19},
                            {"cgroup_getsockopt", 21},
                            {"cgroup_setsockopt", 22},
                            {"xdp_devmap", 33},
                            {"sk_lookup", 36},
                            {"xdp", 37},
                            {"netfilter", 45}};
const Names kFlags = {{"strict_alignment", 1u << 0}, {"any_alignment", 1u << 1}, {"rnd_hi32", 1u << 2},
                      {"state_freq", 1u << 3},       {"sleepable", 1u << 4},     {"xdp_has_frags", 1u << 5},
                      {"reg_invariants", 1u << 7}};
const Names kMaps = {{"hash", 1},         {"array", 2},       {"prog_array", 3},    {"perf_event_array", 4}, {"percpu_hash", 5},
                     {"percpu_array", 6}, {"stack_trace", 7}, {"cgroup_array", 8},  {"lru_hash", 9},         {"queue", 22},
                     {"stack", 23},       {"ringbuf", 27},    {"bloom_filter", 30}, {"user_ringbuf", 31}};
const Names kMapFlags = {{"rdonly_prog", 1u << 7}, {"wronly_prog", 1u << 8}, {"no_prealloc", 1u << 0}};
const Names kErrnos = {{"EPERM", EPERM},   {"ENOENT", ENOENT}, {"E2BIG", E2BIG},           {"EBADF", EBADF},   {"ENOMEM", ENOMEM},
                       {"EACCES", EACCES}, {"EFAULT", EFAULT}, {"EINVAL", EINVAL},         {"ERANGE", ERANGE}, {"ENOSPC", ENOSPC},
                       {"ELOOP", ELOOP},   {"ESRCH", ESRCH},   {"EOPNOTSUPP", EOPNOTSUPP}, {"ENOTSUPP", 524},  {"EDOM", EDOM}};

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
  return first == text.npos ? "" : text.substr(first, last - first + 1);
}

Words words_of(const std::string& text) {
  std::istringstream in(text);
  Words out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

class Parser {
 public:
  Parser(const std::string& file, std::vector<Case>* cases) : file_(file), cases_(*cases) {}

  Problem parse(const std::string& content) {
    std::istringstream in(content);
    for (std::string text; std::getline(in, text) && !problem_;) {
      line_++;
      text = trimmed(text);
      if (!text.empty() && text[0] != '#') line(text);
    }
    if (!problem_ && in_code_) fail("code without its end");
    if (!problem_) finish_case();
    return problem_;
  }

 private:
  void fail(std::string what) {
    if (!problem_) problem_ = {line_, std::move(what)};
  }

  Case& now() { return cases_.back(); }

  void line(const std::string& text) {
    if (in_code_) return code_line(text);
    const std::size_t space = text.find(' ');
    const std::string key = text.substr(0, space), rest = space == text.npos ? "" : trimmed(text.substr(space));
    if (key == "case") return begin_case(rest);
    if (cases_.empty()) return fail("stands before the first case: " + text);
    if (key[0] == '@') return at_insn(key.substr(1), rest);
    const auto known = keywords().find(key);
    if (known == keywords().end()) return fail("unknown word " + key);
    known->second(*this, rest);
  }

  void begin_case(const std::string& name) {
    if (name.empty()) return fail("a case without a name");
    finish_case();
    for (const Case& other : cases_)
      if (other.name == name) fail("a case of this name stands at line " + std::to_string(other.line));
    if (problem_) return;
    cases_.emplace_back();
    now().name = name;
    now().file = file_;
    now().line = line_;
    code_seen_ = false;
  }

  void finish_case() {
    if (cases_.empty() || problem_) return;
    const int here = std::exchange(line_, now().line);
    if (!code_seen_) fail("a case without code: " + now().name);
    if (!now().has_verdict) fail("a case without accept or refuse: " + now().name);
    if (now().load_errno != 0 && !now().runs.empty()) fail("a run of a refused program: " + now().name);
    line_ = here;
  }

  void code_line(const std::string& text) {
    if (text != "end") return code_.push_back({line_, text});
    in_code_ = false;
    problem_ = assemble(code_, &now().text);
    if (!problem_) check_names();
  }

  void check_names() {
    for (const MapUse& use : now().text.map_uses) {
      bool found = false;
      for (const MapSpec& map : now().maps) found |= map.name == use.map;
      if (!found && !problem_) problem_ = {use.line, "no map " + use.map + " above"};
    }
    for (std::size_t i = 1; i < now().funcs.size() && !problem_; i++)
      if (!now().text.labels.count(now().funcs[i].label)) problem_ = {now().funcs[i].line, "no label " + now().funcs[i].label};
  }

  unsigned number(const std::string& text) {
    unsigned value = 0;
    const bool hex = text.rfind("0x", 0) == 0;
    const char* first = text.data() + (hex ? 2 : 0);
    const auto [end, error] = std::from_chars(first, text.data() + text.size(), value, hex ? 16 : 10);
    if (error != std::errc{} || end != text.data() + text.size()) fail("not a number: " + text);
    return value;
  }

  unsigned named(const Names& names, const std::string& name, const char* what) {
    const auto found = names.find(name);
    if (found == names.end()) fail(std::string("unknown ") + what + " " + name);
    return found == names.end() ? 0 : found->second;
  }

  void type(const std::string& rest) {
    const Words words = words_of(rest);
    if (words.empty() || words.size() > 2) return fail("type TYPE [ATTACH-TYPE]");
    now().type = named(kTypes, words[0], "program type");
    if (words.size() == 2) now().attach_type = named(kAttachTypes, words[1], "attach type");
  }

  void map(const std::string& rest) {
    const Words words = words_of(rest);
    if (words.size() < 5) return fail("map NAME KIND KEY VALUE ENTRIES");
    MapSpec map{words[0], named(kMaps, words[1], "map kind"), number(words[2]), number(words[3]), number(words[4]), 0, {}};
    for (std::size_t i = 5; i < words.size(); i++) {
      const std::size_t at = words[i].find('@');
      if (at == std::string::npos) {
        map.flags |= named(kMapFlags, words[i], "map flag");
        continue;
      }
      const std::string field = words[i].substr(0, at);
      if (field != "spin_lock" && field != "timer") fail("unknown field " + field);
      map.fields.push_back({field, number(words[i].substr(at + 1))});
    }
    now().maps.push_back(map);
  }

  void func(const std::string& rest) {
    const std::size_t open = rest.find('('), close = rest.rfind(')');
    const Words words = words_of(rest.substr(0, open));
    if (open == rest.npos || close == rest.npos || words.size() != 2) return fail("func LABEL static|global (ARG, ...)");
    FuncSpec func{words[0], words[1] == "global", {}, line_};
    if (!func.global && words[1] != "static") fail("neither static nor global: " + words[1]);
    std::istringstream args(rest.substr(open + 1, close - open - 1));
    for (std::string arg; std::getline(args, arg, ',');) {
      arg = trimmed(arg);
      static const Names kArgs = {{"void", 0}, {"int", 1}, {"u64", 2}, {"ctx", 3}, {"ptr", 4}, {"nonnull", 5}};
      named(kArgs, arg, "argument type");
      if (arg != "void") func.args.push_back(arg);
    }
    now().funcs.push_back(func);
  }

  void verdict(int error) {
    if (std::exchange(now().has_verdict, true)) return fail("a second verdict");
    now().load_errno = error;
  }

  void at_insn(const std::string& insn, const std::string& text) {
    if (text.empty()) return fail("@N TEXT");
    now().at_insns.push_back({text, line_, number(insn)});
  }

  void run(const std::string& rest) {
    const std::size_t equals = rest.find('=');
    if (equals == rest.npos) return fail("run [HEX] = VALUE");
    Run run;
    run.line = line_;
    const std::string hex = trimmed(rest.substr(0, equals)), value = trimmed(rest.substr(equals + 1));
    if (!hex.empty()) run.data.clear();
    if (hex.size() % 2 != 0) fail("half a byte");
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      run.data.push_back(static_cast<unsigned char>(number("0x" + hex.substr(i, 2))));
    const bool negative = !value.empty() && value[0] == '-';
    const unsigned magnitude = number(negative ? value.substr(1) : value);
    run.result = negative ? 0 - magnitude : magnitude;
    now().runs.push_back(run);
  }

  void code(const std::string& rest) {
    if (!rest.empty()) return fail("code stands on a line of its own");
    if (std::exchange(code_seen_, true)) return fail("code twice");
    in_code_ = true;
    code_.clear();
  }

  void skep_judged(const std::string& rest) {
    if (rest.rfind("judged ", 0) != 0) return fail("skep judged REASON");
    now().skep_judged = rest.substr(7);
  }
  void linux_skip(const std::string& rest) {
    if (rest.rfind("skip ", 0) != 0) return fail("linux skip REASON");
    now().linux_skip = rest.substr(5);
  }

  void flags(const std::string& rest) {
    for (const std::string& word : words_of(rest)) now().flags |= named(kFlags, word, "flag");
  }

  using Keyword = std::function<void(Parser&, const std::string&)>;
  static const std::map<std::string, Keyword>& keywords() {
    static const std::map<std::string, Keyword> all = {
        {"type", &Parser::type},
        {"map", &Parser::map},
        {"func", &Parser::func},
        {"flags", &Parser::flags},
        {"run", &Parser::run},
        {"code", &Parser::code},
        {"linux", &Parser::linux_skip},
        {"skep", &Parser::skep_judged},
        {"license", [](Parser& p, const std::string& rest) { p.now().license = rest; }},
        {"level", [](Parser& p, const std::string& rest) { p.now().level = p.number(rest); }},
        {"accept", [](Parser& p, const std::string& rest) { rest.empty() ? p.verdict(0) : p.fail("accept says no more"); }},
        {"refuse", [](Parser& p, const std::string& rest) { p.verdict(static_cast<int>(p.named(kErrnos, rest, "errno"))); }},
        {"log",
         [](Parser& p, const std::string& rest) {
           p.now().in_order.push_back({rest, p.line_});
         }},
        {"absent",
         [](Parser& p, const std::string& rest) {
           p.now().absent.push_back({rest, p.line_});
         }},
        {"processed", [](Parser& p, const std::string& rest) { p.now().processed = p.number(rest); }},
    };
    return all;
  }

  std::string file_;
  std::vector<Case>& cases_;
  std::vector<SourceLine> code_;
  Problem problem_;
  int line_ = 0;
  bool in_code_ = false, code_seen_ = false;
};

}  // namespace

Problem parse_cases(const std::string& file, const std::string& content, std::vector<Case>* cases) {
  return Parser(file, cases).parse(content);
}

}  // namespace skep::cases
