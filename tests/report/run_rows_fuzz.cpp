// Any bytes, behind a first one, as metrics.jsonl and as eval.jsonl of a run that is resumed; the first one is how many
// rows the checkpoint knows to be on the disk, 255: all. Refused with Error{Data}, or rows that are a beginning of what
// was there, are read again as they are, and go on.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "src/report/json_lines.h"
#include "support/temp_folder.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/report/reporter.h"

namespace {

using namespace thinktune;
using report::JsonLines;

void require(bool condition) {
  if (!condition) std::abort();
}

std::string content_of(const std::filesystem::path& file) { return core::read_file(file, "report"); }

// Rows that were opened once are all good: a resume that knows of every one changes nothing.
void check_open_again(const std::filesystem::path& file, int64_t num_rows) {
  const std::string before = content_of(file);
  require(JsonLines(file).num_rows() == num_rows && content_of(file) == before);
}

void check_rows(JsonLines& rows, const std::filesystem::path& file) {
  const std::string before = content_of(file);
  const int64_t num_rows = rows.num_rows(), last = rows.empty() ? 0 : rows.last_step();
  require(last >= 0 && (rows.empty() || rows.has(last)));
  rows.append(last, {{{"step", last}, {"loss", 0.5}}, {{"step", last}, {"text", "\xff"}}});
  require(rows.num_rows() == num_rows + 2 && rows.last_step() == last);
  check_open_again(file, num_rows + 2);
  rows.cut_from(last);
  require(!rows.has(last) && before.starts_with(content_of(file)));
  check_open_again(file, rows.num_rows());
  rows.cut_from(0);
  require(rows.empty() && content_of(file).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const test::TempFolder folder;
  static const std::filesystem::path file = folder.path() / "eval.jsonl";
  if (size == 0) return 0;
  const int64_t num_flushed = data[0] == 255 ? std::numeric_limits<int64_t>::max() : data[0];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::ofstream(file, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
  const std::map<int64_t, double> evaluations = report::read_evaluations(folder.path(), "heldout", "accuracy");
  for (const auto& [step, accuracy] : evaluations) require(step >= 0 && std::isfinite(accuracy));
  try {
    JsonLines rows(file, num_flushed);
    const std::string kept = content_of(file);
    require(text.starts_with(kept) && (kept.empty() || kept.back() == '\n'));
    require(std::count(kept.begin(), kept.end(), '\n') == rows.num_rows());
    check_open_again(file, rows.num_rows());
    const std::map<int64_t, double> kept_evaluations = report::read_evaluations(folder.path(), "heldout", "accuracy");
    for (const auto& [step, accuracy] : kept_evaluations) require(rows.has(step));
    // An unfinished last line counts for nothing, whether it is cut off already or not.
    if (kept.size() == text.rfind('\n') + 1) require(kept_evaluations == evaluations);
    check_rows(rows, file);
  } catch (const core::Error& error) {
    // What a checkpoint does not know of is cut off, whatever it is.
    if (error.kind() != core::ErrorKind::Data || num_flushed == 0) throw;
    require(content_of(file) == text);
  }
  return 0;
}
