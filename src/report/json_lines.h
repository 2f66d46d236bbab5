// A file of rows {"step": N, …}, one a line, whose steps never fall.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/append_file.h"
#include "thinktune/report/metrics.h"

namespace thinktune::report {

using Row = nlohmann::ordered_json;

// One line with its line break. Bytes that are not UTF-8 become U+FFFD.
std::string to_line(const Row& row);

// Adds the metrics to the row. Values that are not finite become null; their names are returned.
std::vector<std::string> add_metrics(Row& row, const Metrics& metrics);

class JsonLines {
 public:
  // Opens the file, locks it if asked, and reads its steps. An unfinished last line is cut off. Throws Error{Data}
  // naming file and line for a line that is no object with a step, or whose step falls.
  explicit JsonLines(std::filesystem::path path, bool lock = false);

  // Rows of one step, in one write.
  void append(int64_t step, const std::vector<Row>& rows);

  // Removes all rows of `step` and later ones.
  void cut_from(int64_t step);

  bool has(int64_t step) const;
  bool empty() const { return rows_.empty(); }
  int64_t last_step() const { return rows_.back().step; }
  void sync() { file_.sync(); }

 private:
  void read_steps();

  struct At {
    int64_t step;
    uint64_t offset;
  };
  AppendFile file_;
  std::vector<At> rows_;
};

}  // namespace thinktune::report
