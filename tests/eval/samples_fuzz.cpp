// Any bytes as what an evaluation has left in its folder. Lines "===" separate samples.jsonl, its suite's summary.json,
// the summary.json above it, and the suite's summary.json and samples.jsonl of another evaluation; what is missing is
// as in the first one. The samples are read as by a call that goes on with them, the summary as its settings, and the
// two are compared: refused with Error{Data}, in a comparison Error{User} too, or values that keep what they promise.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "src/eval/sample_file.h"
#include "src/eval/summary_file.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"
#include "thinktune/eval/compare.h"

namespace {

using namespace thinktune;
namespace fs = std::filesystem;

void require(bool condition) {
  if (!condition) std::abort();
}

void write(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

std::vector<std::string_view> split(std::string_view input) {
  constexpr std::string_view kLine = "===\n";
  std::vector<std::string_view> parts;
  for (size_t begin = 0, at = 0; at != std::string_view::npos; begin = at + kLine.size()) {
    at = input.find(kLine, begin);
    parts.push_back(input.substr(begin, at - begin));
  }
  return parts;
}

bool same(const eval::SampleRow& a, const eval::SampleRow& b) {
  const eval::SampleScore &x = a.score, &y = b.score;
  return a.id == b.id && a.sample == b.sample && x.success == y.success && x.right == y.right &&
         x.measures == y.measures && x.answered == y.answered && x.unparsed == y.unparsed && x.answer == y.answer &&
         x.num_tokens == y.num_tokens && x.ending == y.ending;
}

void check_samples(const fs::path& file, const std::vector<std::string>& measures) {
  eval::SampleRows found;
  try {
    found = eval::read_sample_rows(file, measures);
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
    return;
  }
  require(found.rows.size() == found.ends.size());
  uint64_t end = 0;
  int64_t num_tokens = 0;
  for (size_t r = 0; r < found.rows.size(); ++r) {
    require(found.ends[r] > end && found.ends[r] <= fs::file_size(file));
    end = found.ends[r];
    const eval::SampleScore& score = found.rows[r].score;
    require(found.rows[r].sample >= 0 && score.num_tokens >= 0 && !(score.right && score.unparsed));
    require(!__builtin_add_overflow(num_tokens, score.num_tokens, &num_tokens));
    require(score.measures.size() == measures.size() && (score.answered || score.answer.empty()));
  }
  eval::SampleFile(file).cut_to(end);
  const eval::SampleRows again = eval::read_sample_rows(file, measures);
  require(again.ends == found.ends);
  for (size_t r = 0; r < found.rows.size(); ++r) require(same(again.rows[r], found.rows[r]));
}

void check_settings(const fs::path& file) {
  static const nlohmann::ordered_json settings = {
      {"format", 1}, {"suite", "own"}, {"data", {{"problems", 2}}}, {"stop", {"\n\n"}}};
  try {
    const nlohmann::ordered_json read = eval::read_object(file, "settings");
    require(eval::first_difference(read, read).empty());
    require(read == settings || !eval::first_difference(read, settings).empty() ||
            !eval::first_difference(settings, read).empty());
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
}

void check_comparison(const fs::path& a, const fs::path& b, bool is_same) {
  try {
    for (const eval::SuiteComparison& result : eval::compare_evaluations(a, b, 1, 5)) {
      const auto is_share = [](double value) { return value >= 0 && value <= 1 + 1e-9; };
      require(result.num_problems >= 1 && is_share(result.a) && is_share(result.b) && is_share(result.paired.p_value));
      require(std::isfinite(result.paired.interval.low) && std::isfinite(result.paired.interval.high));
      require(std::ssize(result.won) + std::ssize(result.lost) <= result.num_problems);
      if (is_same) require(result.won.empty() && result.lost.empty() && result.notes.empty());
    }
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data && error.kind() != core::ErrorKind::User) throw;
  }
}

struct Folders {
  Folders() {
    fs::create_directories(a / "own");
    fs::create_directories(b / "own");
  }
  test::TempFolder folder;
  fs::path a = folder.path() / "a", b = folder.path() / "b";
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folders folders;
  const fs::path own = folders.a / "own", other = folders.b / "own";
  const std::vector<std::string_view> parts = split({reinterpret_cast<const char*>(data), size});
  write(own / "samples.jsonl", parts[0]);
  if (parts.size() > 1) {
    const std::string_view overview = parts.size() > 2 ? parts[2] : R"({"suites": [{"suite": "own"}]})";
    write(own / "summary.json", parts[1]);
    write(folders.a / "summary.json", overview);
    write(folders.b / "summary.json", overview);
    write(other / "summary.json", parts.size() > 3 ? parts[3] : parts[1]);
    write(other / "samples.jsonl", parts.size() > 4 ? parts[4] : parts[0]);
    check_settings(own / "summary.json");
    check_comparison(folders.a, folders.b, parts.size() <= 3);
  }
  check_samples(own / "samples.jsonl", {});
  check_samples(own / "samples.jsonl", {"strict", "lenient"});
  return 0;
}
