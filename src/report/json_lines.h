// A file of rows {"step": N, …}, one a line, whose steps never fall.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "report/append_file.h"
#include "thinktune/report/metrics.h"

namespace thinktune::report {

using Row = nlohmann::ordered_json;

// One line with its line break. Bytes that are not UTF-8 become U+FFFD.
std::string to_line(const Row& row);

// What a line without its line break says; null where it is no row: no object, one without a step from 0 on, or one
// that is nested deeper than any reader takes.
nlohmann::json parse_row(std::string_view line);

// Adds the metrics to the row. Values that are not finite become null; their names are returned.
std::vector<std::string> add_metrics(Row& row, const Metrics& metrics);

class JsonLines {
 public:
  // Opens the file and reads its steps. An unfinished last line is cut off. A line that is no row, or whose step
  // falls, throws Error{Data} naming file and line where it is one of the first `num_flushed`; behind them a power loss
  // may have left anything, and it is cut off with all that follows.
  explicit JsonLines(std::filesystem::path path, int64_t num_flushed = std::numeric_limits<int64_t>::max());

  // Rows of one step, in one write.
  void append(int64_t step, const std::vector<Row>& rows);

  // Removes all rows of `step` and later ones.
  void cut_from(int64_t step);

  bool has(int64_t step) const;
  bool empty() const { return rows_.empty(); }
  int64_t last_step() const { return rows_.back().step; }
  int64_t num_rows() const { return std::ssize(rows_); }
  void sync() { file_.sync(); }

 private:
  void read_steps(int64_t num_flushed);

  struct At {
    int64_t step;
    uint64_t offset;
  };
  AppendFile file_;
  std::vector<At> rows_;
};

}  // namespace thinktune::report
