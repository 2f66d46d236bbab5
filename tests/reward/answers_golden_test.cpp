// Agreement with labelled pairs (data folder answers/; its README says where they come from): bare answers, and whole
// outputs from which the answer has to be found first. Rows whose label is a matter of policy (`doubt`, `policy`) are
// counted, but not asked for.
#include <gtest/gtest.h>

#include <fstream>

#include "support/paths.h"
#include "thinktune/reward/equality.h"
#include "thinktune/reward/extraction.h"

namespace thinktune::reward {
namespace {

using nlohmann::json;
using rollout::Verdict;

const std::vector<Rule> kRules = {Rule::Box, Rule::Tag, Rule::Hashes, Rule::Phrase, Rule::Math, Rule::LastNumber};

std::vector<json> read_rows(const std::filesystem::path& file) {
  std::vector<json> rows;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) rows.push_back(json::parse(line));
  return rows;
}

struct Score {
  int rows = 0, agree = 0, peer = 0;

  void add(const json& row, const Equality& equality, const std::string& answer) {
    const bool equal = row["equal"], right = equality.verdict == Verdict::Right;
    ++rows;
    agree += right == equal;
    peer += row["math_verify_latex"].get<bool>() == equal;
    if (right != equal)
      std::printf("differs: %s (%s): %s | %s : %s\n", row["id"].get<std::string>().c_str(), equal ? "equal" : "not",
                  answer.c_str(), row["gold"].get<std::string>().substr(0, 80).c_str(), equality.reason.c_str());
  }
  void print(const char* name) const {
    std::printf("%s: %d of %d agree with the label; math-verify, given LaTeX: %d\n", name, agree, rows, peer);
  }
  // At least 99 in 100, and no fewer than the peer.
  void expect_good() const {
    EXPECT_GE(agree * 100, rows * 99);
    EXPECT_GE(agree, peer);
  }
};

std::string answer_in(const std::string& text) {
  const Found found = find_answer(text, kRules);
  return found.found ? found.answer : "";
}

TEST(AnswersData, PairsAgreeWithTheirLabels) {
  const auto file = test::data_folder() / "answers" / "answers.jsonl";
  TT_REQUIRE_FILE(file);
  Score hard, doubtful;
  int num_unequal = 0;
  for (const json& row : read_rows(file)) {
    const bool is_text = row["kind"] == "text", gold_is_text = row.value("gold_kind", "") == "text";
    const std::string answer = is_text ? answer_in(row["prediction"]) : row["prediction"].get<std::string>();
    const std::string gold = gold_is_text ? answer_in(row["gold"]) : row["gold"].get<std::string>();
    const Equality equality = compare_answers(answer, gold);
    (row.contains("doubt") ? doubtful : hard).add(row, equality, answer);
    if (row.contains("doubt") || row["equal"]) continue;
    ++num_unequal;
    EXPECT_NE(equality.verdict, Verdict::Right) << answer << " | " << gold;
  }
  hard.print("answers.jsonl");
  doubtful.print("answers.jsonl, doubtful labels");
  EXPECT_GT(hard.rows, 240);
  EXPECT_GT(num_unequal, 50);
  hard.expect_good();
}

TEST(AnswersData, OutputsAgreeWithTheirLabels) {
  const auto file = test::data_folder() / "answers" / "outputs.jsonl";
  TT_REQUIRE_FILE(file);
  Score hard, policy;
  for (const json& row : read_rows(file)) {
    const std::string answer = answer_in(row["output"]);
    const Equality equality = compare_answers(answer, row["gold"].get<std::string>());
    (row.contains("policy") ? policy : hard).add(row, equality, answer);
    if (!row.contains("policy") && !row["equal"]) {
      EXPECT_NE(equality.verdict, Verdict::Right) << row["id"];
    }
  }
  hard.print("outputs.jsonl");
  policy.print("outputs.jsonl, matters of policy");
  EXPECT_GT(hard.rows, 1200);
  hard.expect_good();
}

}  // namespace
}  // namespace thinktune::reward
