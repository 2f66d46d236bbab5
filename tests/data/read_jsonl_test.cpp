#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {
namespace {

using ::testing::HasSubstr;

class ReadJsonl : public ::testing::Test {
 protected:
  std::vector<Problem> read(const std::string& content) {
    core::write_file_atomically(file(), content);
    return read_jsonl(file());
  }
  std::filesystem::path file() const { return folder_.path() / "problems.jsonl"; }

  // The file is refused with Error{Data} whose message has `place` ("problems.jsonl:2") and `what`.
  void expect_refused(const std::string& content, const std::string& place, const std::string& what) {
    SCOPED_TRACE(content.substr(0, 100));
    EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { read(content); }),
                testing::AllOf(HasSubstr(place), HasSubstr(what)));
  }

 private:
  test::TempFolder folder_;
};

const std::string kGood = R"({"id": "a", "problem": "1+1?", "answer": "2"})";

TEST_F(ReadJsonl, ReadsProblemsInOrder) {
  const auto problems = read(R"({"id": "a", "problem": "1+1?", "answer": "2", "solution": "1+1=2", "level": 3})"
                             "\n"
                             R"({"problem": "½+½?", "answer": 1})"
                             "\n"
                             R"({"id": 7, "problem": "1/2?", "answer": 0.5, "solution": null})");
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems[0].id, "a");
  EXPECT_EQ(problems[0].problem, "1+1?");
  EXPECT_EQ(problems[0].answer, "2");
  EXPECT_EQ(problems[0].solution, "1+1=2");
  EXPECT_TRUE(problems[0].messages.empty());
  EXPECT_EQ(problems[1].id, "problems.jsonl:2");
  EXPECT_EQ(problems[1].problem, "½+½?");
  EXPECT_EQ(problems[1].answer, "1");
  EXPECT_EQ(problems[1].solution, "");
  EXPECT_EQ(problems[2].id, "7");
  EXPECT_EQ(problems[2].answer, "0.5");
}

TEST_F(ReadJsonl, ReadsConversations) {
  const auto problems =
      read(R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},)"
           R"( {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "1+1?"}], "answer": -2})");
  ASSERT_EQ(problems.size(), 1u);
  ASSERT_EQ(problems[0].messages.size(), 4u);
  EXPECT_EQ(problems[0].messages[0].role, "system");
  EXPECT_EQ(problems[0].messages[2].content, "Yes?");
  EXPECT_EQ(problems[0].problem, "1+1?");
  EXPECT_EQ(problems[0].answer, "-2");
}

TEST_F(ReadJsonl, ToleratesByteOrderMarkCarriageReturnsAndBlankLines) {
  const auto problems =
      read("\xEF\xBB\xBF" + kGood + "\r\n\r\n  \t\n" + R"({"problem": "2+2?", "answer": "4"})" + "\r\n");
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].answer, "2");
  EXPECT_EQ(problems[1].id, "problems.jsonl:4");
}

TEST_F(ReadJsonl, RefusesLinesThatAreNoJsonObject) {
  expect_refused(kGood + "\n{\"problem\": \"x\"", "problems.jsonl:2", "not valid JSON at byte 16");
  expect_refused(kGood + "\nnot json\n", "problems.jsonl:2", "not valid JSON");
  expect_refused(kGood + kGood, "problems.jsonl:1", "not valid JSON");
  expect_refused("[" + kGood + "]", "problems.jsonl:1", "object is expected, this is array");
  expect_refused("\"text\"", "problems.jsonl:1", "this is string");
  expect_refused("{\"problem\": \"\xFF\", \"answer\": \"1\"}", "problems.jsonl:1", "not valid JSON");
  expect_refused(R"({"problem": "\ud800", "answer": "1"})", "problems.jsonl:1", "not valid JSON");
  expect_refused(R"({"problem": "x", "answer": 1e999})", "problems.jsonl:1", "out_of_range");
}

TEST_F(ReadJsonl, RefusesNestingBombs) {
  const std::string open(1'000'000, '[');
  expect_refused(kGood + "\n{\"problem\": " + open, "problems.jsonl:2", "nested deeper than 64");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_refused(objects, "problems.jsonl:1", "nested deeper than 64");
  // Brackets in a text are text.
  EXPECT_EQ(read("{\"problem\": \"\\\"" + open + "\", \"answer\": 1}").size(), 1u);
}

TEST_F(ReadJsonl, RefusesEndlessLines) {
  expect_refused(kGood + "\n{\"problem\": \"" + std::string(16u << 20, 'x') + "\", \"answer\": 1}", "problems.jsonl:2",
                 "bytes long");
}

TEST_F(ReadJsonl, RefusesMissingAndEmptyFields) {
  expect_refused(R"({"answer": "2"})", "problems.jsonl:1", "no question");
  expect_refused(R"({"problem": " ", "answer": "2"})", "problems.jsonl:1", "no question");
  expect_refused(R"({"problem": null, "answer": "2"})", "problems.jsonl:1", "no question");
  expect_refused(R"({"problem": "x"})", "problems.jsonl:1", "no answer");
  expect_refused(R"({"problem": "x", "answer": ""})", "problems.jsonl:1", "no answer");
  expect_refused(R"({"problem": "x", "answer": null})", "problems.jsonl:1", "no answer");
}

TEST_F(ReadJsonl, RefusesFieldsOfTheWrongType) {
  expect_refused(R"({"problem": 5, "answer": "2"})", "problems.jsonl:1", "\"problem\" must be a text, it is number");
  expect_refused(R"({"problem": "x", "answer": true})", "problems.jsonl:1", "\"answer\" must be a text or a number");
  expect_refused(R"({"problem": "x", "answer": ["2"]})", "problems.jsonl:1", "\"answer\" must be a text or a number");
  expect_refused(R"({"id": {}, "problem": "x", "answer": "2"})", "problems.jsonl:1",
                 "\"id\" must be a text or a number");
  expect_refused(R"({"problem": "x", "answer": "2", "solution": 3})", "problems.jsonl:1",
                 "\"solution\" must be a text");
  expect_refused(R"({"problem": "x", "answer": 123456789012345678901234567890})", "problems.jsonl:1", "too large");
}

TEST_F(ReadJsonl, RefusesConversationsThatCannotBeAnswered) {
  const auto with = [](const std::string& messages) { return R"({"answer": "2", "messages": )" + messages + "}"; };
  expect_refused(with("[]"), "problems.jsonl:1", "at least one turn");
  expect_refused(with("{}"), "problems.jsonl:1", "must be a list");
  expect_refused(with(R"(["hi"])"), "problems.jsonl:1: message 1", "must be an object");
  expect_refused(with(R"([{"role": "user"}])"), "problems.jsonl:1: message 1", "no \"content\"");
  expect_refused(with(R"([{"content": "x"}])"), "problems.jsonl:1: message 1", "no \"role\"");
  expect_refused(with(R"([{"role": "tool", "content": "x"}])"), "problems.jsonl:1: message 1", "role \"tool\"");
  expect_refused(with(R"([{"role": "user", "content": ["x"]}])"), "problems.jsonl:1: message 1", "must be a text");
  expect_refused(with(R"([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])"),
                 "problems.jsonl:1", "the last turn is the assistant's");
  expect_refused(
      with(
          R"([{"role": "user", "content": "x"}, {"role": "system", "content": "y"}, {"role": "user", "content": "z"}])"),
      "problems.jsonl:1: message 2", "only the first turn");
  expect_refused(with(R"([{"role": "user", "content": ""}])"), "problems.jsonl:1", "no question");
  expect_refused(R"({"answer": "2", "problem": "x", "messages": [{"role": "user", "content": "y"}]})",
                 "problems.jsonl:1", "differ");
  EXPECT_EQ(read(R"({"answer": "2", "problem": "x", "messages": [{"role": "user", "content": "x"}]})").size(), 1u);
}

TEST_F(ReadJsonl, RefusesRepeatedIds) {
  expect_refused(kGood + "\n\n" + kGood, "problems.jsonl:3", "\"a\" is already that of line 1");
  expect_refused(R"({"id": "problems.jsonl:2", "problem": "x", "answer": 1})"
                 "\n"
                 R"({"problem": "y", "answer": 1})",
                 "problems.jsonl:2", "is already that of line 1");
}

TEST_F(ReadJsonl, RefusesFilesWithoutProblems) {
  expect_refused("", "problems.jsonl", "no problem in the file");
  expect_refused("\n \r\n", "problems.jsonl", "no problem in the file");
  EXPECT_THROW(read_jsonl(file().parent_path() / "absent.jsonl"), core::Error);
}

}  // namespace
}  // namespace thinktune::data
