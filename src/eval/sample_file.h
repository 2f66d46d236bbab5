// samples.jsonl: grows by whole chunks while a benchmark runs, and is cut back to its last whole chunk when one goes on
// with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/eval/metrics.h"

namespace thinktune::eval {

// A row as metrics and comparisons need it; its text is not kept.
struct SampleRow {
  std::string id;
  int64_t sample = 0;
  SampleScore score;
};

// Throws Error{Data} naming `where` for a row that this program has not written.
SampleRow parse_sample_row(const nlohmann::json& row, const std::vector<std::string>& measures,
                           const std::string& where);

// All whole rows of a file, and how many bytes they take. A last line without a line break, or without a whole object,
// is left out: the run was stopped while it was written. Throws Error{Data} for damage anywhere else.
struct SampleRows {
  std::vector<SampleRow> rows;
  std::vector<uint64_t> ends;  // bytes up to the end of each row
};
SampleRows read_sample_rows(const std::filesystem::path& file, const std::vector<std::string>& measures);

// A file that only this process writes. Throws Error{User} with the system's reason, or if another process has it.
class SampleFile {
 public:
  explicit SampleFile(std::filesystem::path path);
  SampleFile(const SampleFile&) = delete;
  SampleFile& operator=(const SampleFile&) = delete;
  ~SampleFile();

  void cut_to(uint64_t num_bytes);
  void append(std::string_view lines);  // they are on the disk after it

 private:
  [[noreturn]] void fail(const char* verb) const;

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace thinktune::eval
