// The rows of the table. A row is a group and an operation: "map/hash-8/128K" and "lookup". What a group prepares (a loaded
// program, a map of a million entries) is kept for all its rows and for all rounds.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace skep::bench {

/// What one measurement found: names and numbers. "ns" is the one that sides are compared by.
using Figures = std::vector<std::pair<std::string, double>>;

class Group {
 public:
  virtual ~Group() = default;
  /// Throws Skip or Wrong.
  virtual Figures measure(const std::string& operation) = 0;
  /// Runs each operation a little and looks at what came of it. Throws Skip or Wrong.
  virtual void check() = 0;
};

struct GroupSpec {
  std::string name;
  std::vector<std::string> operations;
  std::unique_ptr<Group> (*make)(const std::string& name);
};

// One function a kind of row, each in its own file.
void add_compute_rows(std::vector<GroupSpec>* rows);
void add_map_rows(std::vector<GroupSpec>* rows);
void add_client_rows(std::vector<GroupSpec>* rows);
void add_buffer_rows(std::vector<GroupSpec>* rows);
void add_load_rows(std::vector<GroupSpec>* rows);
void add_memory_rows(std::vector<GroupSpec>* rows);

std::vector<GroupSpec> all_rows();

}  // namespace skep::bench
