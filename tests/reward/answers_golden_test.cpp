// Agreement with labelled pairs from the tests of other checkers (data folder answers/), for the pairs that this
// checker is for: a number on both sides. The labels that depend on a policy (`doubt`) are left out.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "support/paths.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

using nlohmann::json;

std::vector<json> read_rows(const std::filesystem::path& file) {
  std::vector<json> rows;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) rows.push_back(json::parse(line));
  return rows;
}

// A plain number by a rule of its own, independent of the checker: so a number that the checker fails to read still
// counts.
bool is_numeric(const std::string& written) {
  static const std::regex kDressing(R"(\$|\\!|\\,|\s|\\left|\\right|\(|\))");
  static const std::regex kNumber(
      R"([-+]?(\d[\d,]*(\{,\}\d+)*(\.\d+)?|\.\d+|\d*\\[dt]?frac\{?-?\d+\}?\{?-?\d+\}?|\d+/\d+)(\\?%|percent|\^\\circ|\\text\{.*\})?\.?)");
  return std::regex_match(std::regex_replace(written, kDressing, ""), kNumber);
}

TEST(AnswersData, NumericPairsAgreeWithTheirLabels) {
  const auto file = test::data_folder() / "answers" / "answers.jsonl";
  TT_REQUIRE_FILE(file);
  int num_pairs = 0, num_agree = 0;
  for (const json& row : read_rows(file)) {
    const std::string answer = row["prediction"], gold = row["gold"];
    if (row["kind"] != "answer" || row.contains("doubt") || !is_numeric(answer) || !is_numeric(gold)) continue;
    const bool right = compare_answers(answer, gold).verdict == Verdict::Right;
    ++num_pairs;
    num_agree += right == row["equal"].get<bool>();
    if (right != row["equal"].get<bool>()) std::printf("differs: %s | %s\n", answer.c_str(), gold.c_str());
  }
  std::printf("numeric pairs: %d of %d agree\n", num_agree, num_pairs);
  EXPECT_GT(num_pairs, 100);
  EXPECT_GE(num_agree, num_pairs - 2);  // 130 of 130 when this was written
}

TEST(AnswersData, NoUnequalPairPasses) {
  const auto file = test::data_folder() / "answers" / "answers.jsonl";
  TT_REQUIRE_FILE(file);
  int num_unequal = 0;
  for (const json& row : read_rows(file)) {
    if (row["kind"] != "answer" || row.contains("doubt") || row["equal"].get<bool>()) continue;
    ++num_unequal;
    const std::string answer = row["prediction"], gold = row["gold"];
    EXPECT_NE(compare_answers(answer, gold).verdict, Verdict::Right) << answer << " | " << gold;
  }
  EXPECT_GT(num_unequal, 50);
}

// Whole outputs with a box, where the gold answer is a number.
TEST(AnswersData, BoxedOutputsAgreeWithTheirLabels) {
  const auto file = test::data_folder() / "answers" / "outputs.jsonl";
  TT_REQUIRE_FILE(file);
  const auto reward = make_reward({});
  int num_rows = 0, num_agree = 0, num_passed_wrongly = 0;
  for (const json& row : read_rows(file)) {
    const std::string output = row["output"], gold = row["gold"];
    std::string box;
    if (row.contains("policy") || !is_numeric(gold) || !find_last_box(output, box)) continue;
    const bool right = reward->judge(output, gold, true).verdict == Verdict::Right;
    const bool equal = row["equal"];
    ++num_rows;
    num_agree += right == equal;
    num_passed_wrongly += right && !equal;
    if (right != equal) std::printf("differs (%s): %s | %s\n", equal ? "equal" : "not", box.c_str(), gold.c_str());
  }
  std::printf("boxed outputs: %d of %d agree, %d passed wrongly\n", num_agree, num_rows, num_passed_wrongly);
  EXPECT_GT(num_rows, 300);
  EXPECT_EQ(num_passed_wrongly, 0);
  EXPECT_GE(num_agree, num_rows - 8);  // 752 of 752 when this was written
}

}  // namespace
}  // namespace thinktune::reward
