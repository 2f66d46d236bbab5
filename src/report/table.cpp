#include "thinktune/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "thinktune/core/error.h"

namespace thinktune::report {
namespace {

// Columns on the screen: continuation bytes of UTF-8 take none.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string number(double value, double factor, const char* unit) {
  return std::isfinite(value) ? fmt::format("{:.1f}{}", factor * value, unit) : "-";
}

}  // namespace

std::string align_columns(const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return "";
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    TT_CHECK(row.size() == widths.size(), "a row with {} cells in a table of {} columns", row.size(), widths.size());
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - width_of(row[c]), ' ');
      if (c > 0) text += "  ";
      const bool last = c + 1 == row.size();
      text += c == 0 ? row[c] + (last ? "" : padding) : padding + row[c];
    }
    text += '\n';
  }
  return text;
}

std::string format_table(const std::vector<ResultRow>& rows) {
  std::vector<std::vector<std::string>> cells = {{"name", "accuracy", "95 % interval", "mean length", "seconds"}};
  for (const ResultRow& row : rows) {
    const bool has_interval = std::isfinite(row.low) && std::isfinite(row.high);
    cells.push_back({row.name, number(row.accuracy, 100, " %"),
                     has_interval ? fmt::format("{:.1f} – {:.1f}", 100 * row.low, 100 * row.high) : "-",
                     number(row.mean_length, 1, ""), number(row.seconds, 1, "")});
  }
  return align_columns(cells);
}

}  // namespace thinktune::report
