// thinktune score: verdicts on the rows of a file.
#include <cstdlib>

#include "cli/program.h"

namespace thinktune::cli {
namespace {

class ScoreTest : public ::testing::Test {
 protected:
  Outcome score(const std::string& rows, const std::vector<std::string>& more = {}) const {
    write_text(file_, rows);
    std::vector<std::string> arguments = {"score", file_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  // The verdict lines of a run that succeeds.
  std::vector<json> verdicts(const std::string& rows, const std::vector<std::string>& more = {}) const {
    const Outcome outcome = score(rows, more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::vector<json> lines;
    std::istringstream out(outcome.out);
    for (std::string line; std::getline(out, line);) lines.push_back(json::parse(line));
    return lines;
  }

  test::TempFolder folder_;
  fs::path file_ = folder_.path() / "rows.jsonl";
};

const std::string kRows =
    "{\"id\": \"a\", \"gold\": \"5\", \"output\": \"so \\\\boxed{5}\", \"equal\": true}\n"
    "{\"id\": \"b\", \"gold\": 5, \"output\": \"The answer is 5.\", \"equal\": true}\n"
    "\n"
    "{\"id\": 3, \"gold\": \"5\", \"output\": \"no idea\", \"equal\": false}\n"
    "{\"id\": \"d\", \"gold\": \"5\", \"output\": \"\\\\boxed{6}\", \"equal\": true}\n";

TEST_F(ScoreTest, WritesOneLineARowAndASummary) {
  const Outcome outcome = score(kRows);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "{\"id\":\"a\",\"verdict\":\"right\",\"strict\":\"right\",\"lenient\":\"right\",\"extracted\":\"5\","
            "\"reason\":\"the same number\"}\n"
            "{\"id\":\"b\",\"verdict\":\"right\",\"strict\":\"unparsed\",\"lenient\":\"right\",\"extracted\":\"5\","
            "\"reason\":\"the same number (found by phrase)\"}\n"
            "{\"id\":3,\"verdict\":\"unparsed\",\"strict\":\"unparsed\",\"lenient\":\"unparsed\",\"extracted\":\"\","
            "\"reason\":\"no \\\\boxed{}, no <answer> tag, no #### line, no \\\"the answer is\\\", no formula and no "
            "number in the response\"}\n"
            "{\"id\":\"d\",\"verdict\":\"wrong\",\"strict\":\"wrong\",\"lenient\":\"wrong\",\"extracted\":\"6\","
            "\"reason\":\"another number than the gold answer\"}\n");
  EXPECT_THAT(outcome.err, HasSubstr("rows.jsonl: 4 rows in "));
  EXPECT_THAT(outcome.err, HasSubstr("strict   right 1 (25.00 %), wrong 1 (25.00 %), unparsed 2 (50.00 %)\n"));
  EXPECT_THAT(outcome.err,
              HasSubstr("lenient  right 2 (50.00 %), wrong 1 (25.00 %), unparsed 1 (25.00 %)   <- verdict"));
  EXPECT_THAT(outcome.err, HasSubstr("strict and lenient differ in 1 rows"));
  EXPECT_THAT(outcome.err,
              HasSubstr("label \"equal\": 3 (75.00 %) of 4 rows agree; 0 right against it, 1 not right against it"));
}

TEST_F(ScoreTest, TheRulesAndTheDecidingVerdictAreOptions) {
  EXPECT_EQ(verdicts(kRows, {"--decides", "strict"})[1]["verdict"], "unparsed");
  EXPECT_EQ(verdicts(kRows, {"--decides", "strict", "--strict", "phrase, box"})[1]["verdict"], "right");
  EXPECT_EQ(verdicts(kRows, {"--lenient", "box"})[1]["verdict"], "unparsed");
  EXPECT_THAT(score(kRows, {"--label", "other"}).err, Not(HasSubstr("label")));
}

TEST_F(ScoreTest, AuditListsWhereTheVerdictsDiffer) {
  const auto lines = verdicts(kRows, {"--audit"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["id"], "b");
  EXPECT_THAT(score(kRows, {"--audit"}).err, HasSubstr("4 rows"));
}

TEST_F(ScoreTest, APredictionIsAnAnswerOrATextWithOne) {
  const auto lines = verdicts(
      "{\"id\": 1, \"gold\": \"1/2\", \"prediction\": \"0.5\"}\n"
      "{\"id\": 2, \"gold\": \"1/2\", \"prediction\": 0.5}\n"
      "{\"id\": 3, \"gold\": \"1/2\", \"prediction\": \"$\\\\frac{1}{2}$\"}\n"
      "{\"id\": 4, \"gold\": \"1/2\", \"prediction\": \"7, or rather \\\\boxed{0.5}\"}\n"
      "{\"id\": 5, \"gold\": \"so it is \\\\boxed{0.5}.\", \"prediction\": \"1/2\"}\n"
      "{\"id\": 6, \"gold\": \"(B)\", \"prediction\": \"B. Paris\"}\n");
  ASSERT_EQ(lines.size(), 6u);
  for (const json& line : lines) EXPECT_EQ(line["verdict"], "right") << line;
}

TEST_F(ScoreTest, ASentenceAsPredictionIsSearchedByTheLenientRules) {
  const std::string rows =
      "{\"id\": 1, \"gold\": \"x>5\", \"prediction\": \"Therefore $x > 5$ is the solution\"}\n"
      "{\"id\": 2, \"gold\": \"7\", \"prediction\": \"Tom has in the end 7 apples\"}\n"
      "{\"id\": 3, \"gold\": \"no real solutions\", \"prediction\": \"no real solutions\"}\n"
      "{\"id\": 4, \"gold\": \"7\", \"prediction\": \"Tom has in the end 8 apples\"}\n"
      "{\"id\": 5, \"gold\": \"7\", \"prediction\": \"a 7 b 8\"}\n";  // no sentence: not searched
  const auto lenient = verdicts(rows), strict = verdicts(rows, {"--decides", "strict"});
  const std::vector<std::string> expected = {"right", "right", "right", "wrong"};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(lenient[i]["verdict"], expected[i]) << lenient[i];
  EXPECT_NE(lenient[4]["verdict"], "right");
  EXPECT_NE(strict[0]["verdict"], "right");
  EXPECT_EQ(strict[0]["lenient"], "right");
  EXPECT_EQ(strict[2]["verdict"], "right");
}

TEST_F(ScoreTest, ReadsTheStandardInput) {
  write_text(file_, kRows);
  const fs::path out = folder_.path() / "out";
  const std::string command = std::string(TT_BINARY) + " score - < " + file_.string() + " > " + out.string() + " 2> " +
                              (folder_.path() / "err").string();
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(read_text(out), score(kRows).out);
  EXPECT_THAT(read_text(folder_.path() / "err"), StartsWith("standard input: 4 rows"));
}

TEST_F(ScoreTest, BytesThatAreNoUtf8AreReplacedAndCounted) {
  const Outcome outcome = score("{\"id\": \"a\xff\", \"gold\": \"5\", \"output\": \"\xe2\x80 \\\\boxed{5}\"}\n");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(json::parse(outcome.out)["verdict"], "right");
  EXPECT_EQ(json::parse(outcome.out)["id"], "a\uFFFD");
  EXPECT_THAT(outcome.err, HasSubstr("1 rows have bytes that are no UTF-8"));
}

TEST_F(ScoreTest, RepeatedIdsAreCounted) {
  const std::string row = "{\"id\": \"a\", \"gold\": \"5\", \"output\": \"5\"}\n";
  EXPECT_THAT(score(row + row + row).err, HasSubstr("2 rows have an id that stood before"));
}

TEST_F(ScoreTest, OtherFieldsAreSkippedHoweverDeep) {
  const std::string deep(100'000, '[');
  const auto lines = verdicts("{\"x\": " + deep + std::string(100'000, ']') +
                              ", \"y\": {\"id\": 9, \"gold\": 9}, \"id\": 1, \"gold\": \"5\", \"output\": \"5\"}\r\n");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["id"], 1);
  EXPECT_EQ(lines[0]["verdict"], "right");
}

TEST_F(ScoreTest, BadRowsAreRefusedByTheirLineAndNothingIsWritten) {
  const std::string good = "{\"id\": \"a\", \"gold\": \"5\", \"output\": \"5\"}\n";
  const auto refused = [&](const std::string& row, const std::vector<std::string>& parts) {
    std::vector<std::string> all = {"rows.jsonl:2: "};
    all.insert(all.end(), parts.begin(), parts.end());
    expect_refused(score(good + row + "\n" + good), all, kData);
  };
  refused("{\"id\": 1,", {"not valid JSON at byte"});
  refused("{\"id\": \"\xff\",", {"not valid JSON at byte"});
  refused("{\"id\": 1} x", {"not valid JSON at byte"});
  refused("[1]", {"a JSON object is expected"});
  refused("5", {"a JSON object is expected"});
  refused("{\"gold\": \"5\", \"output\": \"5\"}", {"the row has no \"id\""});
  refused("{\"id\": null, \"gold\": \"5\", \"output\": \"5\"}", {"the row has no \"id\""});
  refused("{\"id\": 1, \"output\": \"5\"}", {"the row has no \"gold\""});
  refused("{\"id\": 1, \"gold\": \"5\"}", {"the row has no \"prediction\" or \"output\""});
  refused("{\"id\": 1, \"gold\": \"5\", \"output\": \"5\", \"prediction\": \"5\"}",
          {"both \"prediction\" and \"output\""});
  refused("{\"id\": 1, \"gold\": [\"5\"], \"output\": \"5\"}", {"\"gold\" must be a text, it is a list"});
  refused("{\"id\": 1, \"gold\": true, \"output\": \"5\"}", {"\"gold\" must be a text, it is a boolean"});
  refused("{\"id\": 1, \"gold\": {}, \"output\": \"5\"}", {"\"gold\" must be a text, it is an object"});
  refused("{\"id\": 1, \"gold\": 1e999, \"output\": \"5\"}", {"a number is too large for JSON"});
  refused("{\"id\": 1, \"id\": 2, \"gold\": 1, \"output\": \"5\"}", {"\"id\" is there twice"});
}

TEST_F(ScoreTest, BadCommandLinesAreRefused) {
  expect_refused(run_program({"score", (folder_.path() / "none").string()}), {"cannot open", "none"});
  expect_refused(run_program({"score"}), {});
  expect_refused(score(""), {"has no rows"}, kData);
  expect_refused(score("\n \n"), {"has no rows"}, kData);
  expect_refused(score(kRows, {"--strict", "boxes"}), {"--strict: \"boxes\" is no rule", "box, tag, hashes"});
  expect_refused(score(kRows, {"--lenient", ""}), {"--lenient"});
  expect_refused(score(kRows, {"--lenient", "box,box"}), {"--lenient names box twice"});
  expect_refused(score(kRows, {"--decides", "both"}), {"--decides"});
}

}  // namespace
}  // namespace thinktune::cli
