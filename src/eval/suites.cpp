#include "thinktune/eval/suites.h"

#include <xxhash.h>

#include <algorithm>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace fs = std::filesystem;

const std::vector<SuiteInfo>& suites() {
  constexpr SuiteKind kMath = SuiteKind::Math, kChoice = SuiteKind::Choice;
  static const std::vector<SuiteInfo> all = {
      {"math500",
       kMath,
       {"math500/test.jsonl"},
       500,
       "github.com/openai/prm800k, prm800k/math_splits/test.jsonl (MIT)",
       "the answer is what stands in the solution's last \\boxed{}"},
      {"aime2024", kMath, {"aime2024/test.jsonl"}, 30, "huggingface.co/datasets/HuggingFaceH4/aime_2024", ""},
      {"aime2025", kMath, {"aime2025/test.jsonl"}, 30, "huggingface.co/datasets/yentinglin/aime_2025", ""},
      {"amc2023",
       kMath,
       {"amc2023/test.jsonl"},
       40,
       "github.com/QwenLM/Qwen2.5-Math, evaluation/data/amc23/test.jsonl",
       ""},
      {"gpqa_diamond",
       kChoice,
       {"gpqa/gpqa_diamond.csv", "gpqa_diamond.csv"},
       198,
       "github.com/idavidrein/gpqa, dataset.zip (its README has the password), or the gated data set "
       "huggingface.co/datasets/Idavidrein/gpqa (CC BY 4.0)",
       "the CSV as it is published; its authors ask that no question be shown in the open"},
      {"gsm8k",
       kMath,
       {"gsm8k/test.jsonl"},
       1319,
       "github.com/openai/grade-school-math, grade_school_math/data/test.jsonl (MIT)",
       "the answer is what stands behind ####; the solution is the source's whole answer"},
      {"svamp",
       kMath,
       {"svamp/test.jsonl"},
       1000,
       "github.com/arkilpatel/SVAMP, SVAMP.json (MIT)",
       "the problem is Body and Question joined"},
      {"multiarith",
       kMath,
       {"multiarith/test.jsonl"},
       600,
       "github.com/AGI-Edgerunners/LLM-Adapters, dataset/MultiArith/MultiArith.json",
       ""},
      {"arc_challenge",
       kChoice,
       {"arc_challenge/test.jsonl"},
       1172,
       "huggingface.co/datasets/allenai/ai2_arc, ARC-Challenge (CC BY-SA 4.0)",
       "\"choices\" is the list of texts, the answer a letter; the first is A"},
      {"arc_easy",
       kChoice,
       {"arc_easy/test.jsonl"},
       2376,
       "huggingface.co/datasets/allenai/ai2_arc, ARC-Easy (CC BY-SA 4.0)",
       "\"choices\" is the list of texts, the answer a letter; the first is A"},
  };
  return all;
}

std::vector<std::string> suite_names() {
  std::vector<std::string> names;
  for (const SuiteInfo& suite : suites()) names.emplace_back(suite.name);
  return names;
}

const SuiteInfo& find_suite(std::string_view name) {
  for (const SuiteInfo& suite : suites())
    if (suite.name == name) return suite;
  throw core::user_error(
      fmt::format("there is no suite \"{}\"", name),
      fmt::format("suites: {}; for problems of your own, --data FILE.jsonl", fmt::join(suite_names(), ", ")));
}

uint64_t hash_of(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

std::string hash_hex(std::string_view bytes) { return fmt::format("{:016x}", hash_of(bytes)); }

namespace {

core::Error missing_file(const SuiteInfo& info, const fs::path& data_dir) {
  std::vector<std::string> places;
  for (const std::string_view file : info.files) places.push_back((data_dir / file).string());
  const bool is_csv = info.files[0].ends_with(".csv");
  std::string hint =
      fmt::format("{} lives at {}; put it there under that name{}", info.name, info.source,
                  is_csv ? ", as it is" : R"(, as JSONL rows {"id", "problem", "answer"[, "solution"][, "choices"]})");
  if (!info.note.empty()) hint += fmt::format(" ({})", info.note);
  return core::user_error(
      fmt::format("the suite {} is not in the data folder: there is no {}", info.name, fmt::join(places, " and no ")),
      hint);
}

Suite read_suite(std::string name, SuiteKind kind, const fs::path& file, bool is_gpqa) {
  Suite suite{.name = std::move(name), .kind = kind, .file = file, .file_hash = {}, .problems = {}};
  suite.file_hash = hash_hex(core::read_file(file, "data file"));
  suite.problems = is_gpqa ? read_gpqa(file) : data::read_jsonl(file);
  return suite;
}

void check_choices(const Suite& suite) {
  for (const data::Problem& problem : suite.problems) {
    if (problem.choices.empty() != (suite.kind == SuiteKind::Math))
      throw core::data_error(
          fmt::format("{}: the problem \"{}\" {}", suite.file.string(), problem.id,
                      problem.choices.empty() ? "has no choices, others have" : "has choices, others have none"),
          "a suite is either multiple choice or not: use two files");
    if (!problem.messages.empty())
      throw core::data_error(
          fmt::format("{}: the problem \"{}\" brings its own messages", suite.file.string(), problem.id),
          "a protocol writes the prompt: give \"problem\" alone, or evaluate by a --config, which asks with them");
  }
}

}  // namespace

Suite load_suite(const SuiteInfo& info, const fs::path& data_dir) {
  for (const std::string_view name : info.files) {
    const fs::path file = data_dir / name;
    if (!fs::exists(file)) continue;
    Suite suite = read_suite(std::string(info.name), info.kind, file, name.ends_with(".csv"));
    check_choices(suite);
    return suite;
  }
  throw missing_file(info, data_dir);
}

Suite load_own_suite(const fs::path& file) {
  Suite suite = read_suite(file.stem().string(), SuiteKind::Math, file, false);
  if (!suite.problems[0].choices.empty()) suite.kind = SuiteKind::Choice;
  check_choices(suite);
  return suite;
}

}  // namespace thinktune::eval
