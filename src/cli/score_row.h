// The rows that `thinktune score` reads.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace thinktune::cli {

// What a row says, as far as it matters there. Texts may be numbers in the file; they are kept as they stand.
struct ScoreRow {
  nlohmann::json id;  // a text or a number
  std::string gold;
  std::optional<std::string> prediction, output;  // one of them
  std::optional<bool> label;
  bool mended = false;  // the line had bytes that are no UTF-8: they became U+FFFD
};

// A line with an object; `label` is the name of the field that says whether the answer is right. Throws Error{Data}
// that begins with `where`.
ScoreRow read_score_row(std::string_view line, const std::string& label, const std::string& where);

}  // namespace thinktune::cli
