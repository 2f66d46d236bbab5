#include "thinktune/eval/compare.h"

#include <algorithm>
#include <climits>
#include <nlohmann/json.hpp>

#include "eval/sample_file.h"
#include "eval/summary_file.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"

namespace thinktune::eval {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

core::Error not_finished(const fs::path& folder) {
  return core::user_error(fmt::format("{} is no finished evaluation: it has no summary.json", folder.string()),
                          "it is made by thinktune eval … --out FOLDER; one that was stopped goes on by the same "
                          "command");
}

core::Error not_as_written(const fs::path& folder) {
  return core::data_error(
      fmt::format("{}: not a summary as an evaluation writes it", (folder / "summary.json").string()));
}

bool is_folder_name(const std::string& name) {
  return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

std::vector<std::string> suites_of(const fs::path& folder) {
  if (!fs::exists(folder / "summary.json")) throw not_finished(folder);
  const ordered_json overview = read_object(folder / "summary.json", "summary");
  std::vector<std::string> names;
  try {
    for (const ordered_json& suite : overview.at("suites")) names.push_back(suite.at("suite").get<std::string>());
  } catch (const nlohmann::json::exception&) {
    throw not_as_written(folder);
  }
  if (!std::all_of(names.begin(), names.end(), is_folder_name)) throw not_as_written(folder);
  return names;
}

// One suite of one evaluation.
struct Side {
  ordered_json summary;
  std::vector<std::string> ids;
  std::vector<double> means;

  std::string text(const char* key) const { return summary.at(key).get<std::string>(); }
};

Side read_side(const fs::path& folder) {
  if (!fs::exists(folder / "summary.json")) throw not_finished(folder);
  Side side{.summary = read_object(folder / "summary.json", "summary"), .ids = {}, .means = {}};
  try {
    const int64_t samples = core::json_integer(side.summary.at("metrics").at("samples"));
    const int64_t problems = core::json_integer(side.summary.at("metrics").at("problems"));
    side.text("suite");
    side.text("protocol");
    side.text("metric");
    side.summary.at("data").at("xxh64").get<std::string>();
    side.summary.at("model").at("path").get<std::string>();
    const SampleRows found = read_sample_rows(folder / "samples.jsonl", {});
    const int64_t num_rows = std::ssize(found.rows);
    if (samples < 1 || problems < 1 || num_rows % samples != 0 || num_rows / samples != problems)
      throw core::data_error(fmt::format("{}: {} samples, its summary counts {} problems with {} each",
                                         (folder / "samples.jsonl").string(), num_rows, problems, samples),
                             "the file was changed: evaluate again");
    for (size_t r = 0; r < found.rows.size(); ++r) {
      if (r % static_cast<size_t>(samples) == 0) {
        side.ids.push_back(found.rows[r].id);
        side.means.push_back(0);
      }
      side.means.back() += found.rows[r].score.success ? 1.0 / static_cast<double>(samples) : 0;
    }
  } catch (const nlohmann::json::exception&) {
    throw not_as_written(folder);
  }
  return side;
}

void check_comparable(const Side& a, const Side& b, const std::string& suite) {
  const auto refuse = [&](const std::string& what) {
    return core::user_error(fmt::format("the two evaluations of {} cannot be compared: {}", suite, what),
                            "evaluate both models by the same command but for --model and --out");
  };
  if (a.text("protocol") != b.text("protocol"))
    throw refuse(fmt::format("one is by {}, the other by {}", a.text("protocol"), b.text("protocol")));
  if (a.summary.at("data").at("xxh64") != b.summary.at("data").at("xxh64")) throw refuse("their data files differ");
  if (a.ids.size() != b.ids.size())
    throw refuse(fmt::format("one has {} problems, the other {}", a.ids.size(), b.ids.size()));
  if (a.ids != b.ids) throw refuse("their problems differ");
  if (a.summary.at("metric") != b.summary.at("metric")) throw refuse("they measure different things");
}

std::vector<std::string> notes_on(const Side& a, const Side& b) {
  std::vector<std::string> notes;
  for (const auto& [key, value] : a.summary.items()) {
    if (key == "metrics" || key == "model" || key == "chunk_problems" || key == "slots") continue;
    const std::string difference =
        first_difference(value, b.summary.contains(key) ? b.summary.at(key) : ordered_json(), key);
    if (!difference.empty() && key != "changed") notes.push_back(difference);
  }
  const std::string precision = first_difference(a.summary.at("model").value("precision", ordered_json()),
                                                 b.summary.at("model").value("precision", ordered_json()), "precision");
  if (!precision.empty()) notes.push_back(precision);
  return notes;
}

}  // namespace

std::vector<SuiteComparison> compare_evaluations(const fs::path& a_folder, const fs::path& b_folder, uint64_t seed,
                                                 int64_t num_resamples) {
  const std::vector<std::string> suites = suites_of(a_folder), others = suites_of(b_folder);
  if (suites != others)
    throw core::user_error(
        fmt::format("the two evaluations are of different suites: {} has {}, {} has {}", a_folder.string(),
                    fmt::join(suites, ", "), b_folder.string(), fmt::join(others, ", ")),
        "evaluate both models by the same command but for --model and --out");
  std::vector<SuiteComparison> results;
  for (const std::string& suite : suites) {
    const Side a = read_side(a_folder / suite), b = read_side(b_folder / suite);
    check_comparable(a, b, suite);
    SuiteComparison& result = results.emplace_back();
    result.suite = suite;
    result.protocol = a.text("protocol");
    result.a_model = a.summary.at("model").at("path").get<std::string>();
    result.b_model = b.summary.at("model").at("path").get<std::string>();
    result.num_problems = std::ssize(a.ids);
    result.paired = compare_paired(a.means, b.means, seed, num_resamples);
    for (size_t i = 0; i < a.ids.size(); ++i) {
      result.a += a.means[i] / static_cast<double>(a.ids.size());
      result.b += b.means[i] / static_cast<double>(a.ids.size());
      if (b.means[i] > a.means[i] + 1e-9) result.won.push_back(a.ids[i]);
      if (b.means[i] < a.means[i] - 1e-9) result.lost.push_back(a.ids[i]);
    }
    result.notes = notes_on(a, b);
  }
  return results;
}

void write_overview(const fs::path& folder, const std::vector<std::string>& suites) {
  ordered_json overview = {{"suites", ordered_json::array()}};
  for (const std::string& suite : suites)
    overview["suites"].push_back(read_object(folder / suite / "summary.json", "summary"));
  core::write_file_atomically(folder / "summary.json",
                              overview.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace thinktune::eval
