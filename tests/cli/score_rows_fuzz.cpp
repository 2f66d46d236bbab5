// Any bytes as a file of rows for `thinktune score`, a row a line: refused with Error{Data}, or a row with what the
// answer checker needs, in UTF-8.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "src/cli/score_row.h"
#include "thinktune/core/error.h"

namespace {

using namespace thinktune;

void require(bool condition) {
  if (!condition) std::abort();
}

// The row as a file has it again.
nlohmann::json written(const cli::ScoreRow& row) {
  nlohmann::json json = {{"id", row.id}, {"gold", row.gold}};
  if (row.prediction) json["prediction"] = *row.prediction;
  if (row.output) json["output"] = *row.output;
  if (row.label) json["right"] = *row.label;
  return json;
}

void check(std::string_view line) {
  try {
    const cli::ScoreRow row = cli::read_score_row(line, "right", "rows.jsonl:1");
    require(row.id.is_string() || row.id.is_number());
    require(row.prediction.has_value() != row.output.has_value());
    const std::string again = written(row).dump();  // throws for what is no UTF-8
    const cli::ScoreRow reread = cli::read_score_row(again, "right", "rows.jsonl:1");
    require(!reread.mended && written(reread) == written(row));
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
    require(error.message().starts_with("rows.jsonl:1: "));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    check(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return 0;
}
