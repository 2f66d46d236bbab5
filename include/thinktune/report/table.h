// The table at the end of a run or of an evaluation.
#pragma once

#include <string>
#include <vector>

namespace thinktune::report {

struct ResultRow {
  std::string name;
  double accuracy = 0;  // 0 … 1; NaN is shown as "-", here and below
  double low = 0;       // 95 % interval, 0 … 1
  double high = 0;
  double mean_length = 0;  // tokens a response
  double seconds = 0;
};

// Lines with a header and aligned columns, each ended by a line break:
//
//   name       accuracy  95 % interval  mean length  seconds
//   gsm8k        41.3 %    37.9 – 44.8        210.4     93.1
std::string format_table(const std::vector<ResultRow>& rows);

// The same for any cells: the first row is the header, the first column is aligned left, the others right. Rows must be
// equally long.
std::string align_columns(const std::vector<std::vector<std::string>>& rows);

}  // namespace thinktune::report
