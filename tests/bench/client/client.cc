// Measures rows on whatever answers bpf(2) here: bare on Linux, or under `skep run`. See ../README.md.
//
//   bench_client [OPTION...] list             the rows
//   bench_client [OPTION...] ROW...           one line of JSON a row
//   bench_client [OPTION...] serve            the same for each line of standard input
//   bench_client [OPTION...] check [PREFIX]   right results? A line for each group that is wrong or left out
// OPTION: --quick (less time a row)
#include <cstdio>
#include <iostream>
#include <string_view>

#include "bpf_calls.h"
#include "rows.h"

namespace skep::bench {

std::vector<GroupSpec> all_rows() {
  std::vector<GroupSpec> rows;
  add_compute_rows(&rows);
  add_map_rows(&rows);
  add_client_rows(&rows);
  add_buffer_rows(&rows);
  add_load_rows(&rows);
  add_memory_rows(&rows);
  return rows;
}

namespace {

/// The large maps differ from the small ones in their size alone, and take long to look through.
bool is_large(std::string_view group) { return group.ends_with("64K") || group.ends_with("128K") || group.ends_with("1M"); }

class Client {
 public:
  void list() const {
    for (const GroupSpec& spec : rows_)
      for (const std::string& operation : spec.operations) std::printf("%s/%s\n", spec.name.c_str(), operation.c_str());
  }

  void answer(const std::string& row) {
    std::string line;
    try {
      const std::size_t slash = row.rfind('/');
      for (const auto& [name, value] : group(row.substr(0, slash)).measure(row.substr(slash + 1))) {
        char figure[64];
        std::snprintf(figure, sizeof figure, ", \"%s\": %.4f", name.c_str(), value);
        line += figure;
      }
    } catch (const Skip& skip) {
      line = std::string(", \"skip\": \"") + skip.what() + "\"";
    } catch (const Busy& busy) {
      line = std::string(", \"busy\": \"") + busy.what() + "\"";
    } catch (const std::exception& error) {
      line = std::string(", \"wrong\": \"") + error.what() + "\"";
    }
    std::printf("{\"row\": \"%s\"%s}\n", row.c_str(), line.c_str());
    std::fflush(stdout);
  }

  /// The process's exit status: 0 all that could be checked is right, 77 nothing could be.
  int check(std::string_view prefix) {
    int wrong = 0, right = 0, left_out = 0;
    for (const GroupSpec& spec : rows_) {
      if (!spec.name.starts_with(prefix) || is_large(spec.name)) continue;
      try {
        group(spec.name).check();
        ++right;
      } catch (const Skip& skip) {
        std::printf("%s: left out: %s\n", spec.name.c_str(), skip.what());
        ++left_out;
      } catch (const std::exception& error) {
        std::printf("%s: WRONG: %s\n", spec.name.c_str(), error.what());
        ++wrong;
      }
    }
    std::printf("%d right, %d wrong, %d left out\n", right, wrong, left_out);
    constexpr int NOTHING_HERE = 77;
    return wrong != 0 ? 1 : right == 0 ? NOTHING_HERE : 0;
  }

 private:
  Group& group(const std::string& name) {
    if (name == name_ && group_ != nullptr) return *group_;
    group_.reset();
    for (const GroupSpec& spec : rows_) {
      if (spec.name != name) continue;
      group_ = spec.make(name);
      name_ = name;
      return *group_;
    }
    throw Wrong("no row of this name");
  }

  const std::vector<GroupSpec> rows_ = all_rows();
  std::unique_ptr<Group> group_;
  std::string name_;
};

int run(std::vector<std::string> args) {
  std::erase_if(args, [](const std::string& arg) {
    if (arg != "--quick") return false;
    g_effort = {3e5, 3e6, 3};
    return true;
  });
  if (args.empty()) {
    std::fprintf(stderr, "usage: bench_client [--quick] list | serve | check [PREFIX] | ROW...\n");
    return 2;
  }
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
  libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
  pin_to(allowed_cpus().back());
  Client client;
  if (args[0] == "list") return client.list(), 0;
  if (args[0] == "check") {
    g_effort = {2e4, 1e5, 3};
    return client.check(args.size() > 1 ? args[1] : "");
  }
  if (args[0] != "serve") {
    for (const std::string& row : args) client.answer(row);
    return 0;
  }
  for (std::string row; std::getline(std::cin, row);) client.answer(row);
  return 0;
}

}  // namespace
}  // namespace skep::bench

int main(int argc, char** argv) { return skep::bench::run({argv + 1, argv + argc}); }
