#include "report/json_lines.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::report {

std::string to_line(const Row& row) {
  return row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

nlohmann::json parse_row(std::string_view line) {
  if (core::is_nested_deeper(line)) return nullptr;
  nlohmann::json row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  const bool has_step = row.is_object() && row.contains("step") && row["step"].is_number_integer();
  if (!has_step || core::json_integer(row["step"]) < 0) return nullptr;
  return row;
}

std::vector<std::string> add_metrics(Row& row, const Metrics& metrics) {
  std::vector<std::string> not_finite;
  for (const auto& [name, value] : metrics.entries()) {
    TT_CHECK(!row.contains(name), "a metric is called {}, which a row has already", name);
    row[name] = value;  // null if it is not finite: JSON has no such number
    if (std::isfinite(value)) continue;
    row[name] = nullptr;
    not_finite.push_back(name);
  }
  return not_finite;
}

JsonLines::JsonLines(std::filesystem::path path, int64_t num_flushed) : file_(std::move(path)) {
  read_steps(num_flushed);
}

void JsonLines::read_steps(int64_t num_flushed) {
  const std::string content = core::read_file(file_.path(), "report");
  size_t begin = 0;
  for (size_t line = 1; begin < content.size(); ++line) {
    const size_t end = content.find('\n', begin);
    if (end == std::string::npos) break;  // a crash in the middle of a write
    const nlohmann::json row = parse_row(std::string_view(content).substr(begin, end - begin));
    const int64_t step = row.is_null() ? -1 : core::json_integer(row["step"]);
    const bool fits = !row.is_null() && (rows_.empty() || step >= rows_.back().step);
    if (!fits && num_rows() >= num_flushed) break;
    if (!fits)
      throw core::data_error(
          fmt::format("{}:{}: {}", file_.path().string(), line,
                      row.is_null() ? "no row with a step" : "the step is smaller than the one before"),
          "the file is damaged: move it away, the run then begins a new one");
    rows_.push_back({step, begin});
    begin = end + 1;
  }
  file_.cut_to(begin);
}

void JsonLines::append(int64_t step, const std::vector<Row>& rows) {
  TT_CHECK(rows_.empty() || step >= rows_.back().step, "{}: step {} after step {}", file_.path().string(), step,
           rows_.back().step);
  std::string lines;
  std::vector<At> added;
  for (const Row& row : rows) {
    added.push_back({step, file_.size() + lines.size()});
    lines += to_line(row);
  }
  file_.append(lines);
  rows_.insert(rows_.end(), added.begin(), added.end());
}

void JsonLines::cut_from(int64_t step) {
  const auto first = std::find_if(rows_.begin(), rows_.end(), [&](const At& row) { return row.step >= step; });
  if (first == rows_.end()) return;
  file_.cut_to(first->offset);
  rows_.erase(first, rows_.end());
}

bool JsonLines::has(int64_t step) const {
  return std::any_of(rows_.begin(), rows_.end(), [&](const At& row) { return row.step == step; });
}

}  // namespace thinktune::report
