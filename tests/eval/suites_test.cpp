#include "thinktune/eval/suites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using test::message_of_error;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class Suites : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) const {
    const fs::path file = folder_.path() / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }

  test::TempFolder folder_;
};

// The 78 columns of the published file, by name.
std::vector<std::string> gpqa_header() {
  std::vector<std::string> names;
  for (const char* part :
       {"Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Explanation"})
    names.push_back(std::string("Pre-Revision ") + part);
  names.insert(names.end(), {"Self-reported question-writing time (minutes)", "Question", "Correct Answer",
                             "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Explanation",
                             "Revision Comments (from Question Writer)", "Subdomain", "Writer's Difficulty Estimate"});
  for (const char* part :
       {"Question", "Explanation", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"})
    names.push_back(std::string("Extra Revised ") + part);
  names.insert(names.end(), {"Non-Expert Validator Accuracy", "Majority Non-Expert Vals Incorrect",
                             "Expert Validator Accuracy", "Record ID", "High-level domain", "Question Writer"});
  for (const char* who : {"_EV_1", "_EV_2"})
    for (int i = 0; i < 12; ++i) names.push_back("Field " + std::to_string(i) + who);
  for (const char* who : {"_NEV_1", "_NEV_2", "_NEV_3"})
    for (int i = 0; i < 8; ++i) names.push_back("Field " + std::to_string(i) + who);
  names.insert(names.end(), {"Expert Validator Disagreement Category", "Canary String"});
  return names;
}

std::string quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

// Made-up records: "What is N plus 1?" with line breaks, commas and quotes, and decoys in the look-alike columns.
std::string gpqa_csv(int num_records, const std::map<std::string, std::string>& changes = {}) {
  const std::vector<std::string> header = gpqa_header();
  std::string text = "\xEF\xBB\xBF";
  for (size_t c = 0; c < header.size(); ++c) text += (c > 0 ? "," : "") + quoted(header[c]);
  text += "\r\n";
  for (int r = 0; r < num_records; ++r) {
    std::map<std::string, std::string> fields = {
        {"Record ID", "rec" + std::to_string(r)},
        {"Question", "A made-up question,\nover \"two\" lines: what is " + std::to_string(r) + " plus 1?"},
        {"Correct Answer", "right " + std::to_string(r + 1)},
        {"Incorrect Answer 1", "wrong a"},
        {"Incorrect Answer 2", "wrong b\n"},
        {"Incorrect Answer 3", "wrong, c"},
        {"Canary String", "no canary: these rows are made up"}};
    if (r == 1)
      for (const auto& [name, value] : changes) fields[name] = value;
    for (size_t c = 0; c < header.size(); ++c) {
      const auto field = fields.find(header[c]);
      text += (c > 0 ? "," : "") + quoted(field != fields.end() ? field->second : "decoy");
    }
    text += "\r\n";
  }
  return text;
}

TEST_F(Suites, TheHeaderHasTheColumnsOfThePublishedFile) {
  const std::vector<std::string> header = gpqa_header();
  EXPECT_EQ(header.size(), 78u);
  EXPECT_EQ(std::set<std::string>(header.begin(), header.end()).size(), 78u);
}

TEST_F(Suites, ReadsGpqaByExactColumnNames) {
  const auto problems = read_gpqa(write("gpqa.csv", gpqa_csv(40)));
  ASSERT_EQ(problems.size(), 40u);
  std::map<std::string, int> letters;
  for (size_t i = 0; i < problems.size(); ++i) {
    const data::Problem& p = problems[i];
    EXPECT_EQ(p.id, "rec" + std::to_string(i));
    EXPECT_EQ(p.problem, "A made-up question,\nover \"two\" lines: what is " + std::to_string(i) + " plus 1?");
    EXPECT_THAT(p.choices, UnorderedElementsAre("right " + std::to_string(i + 1), "wrong a", "wrong b\n", "wrong, c"));
    ASSERT_EQ(p.answer.size(), 1u);
    EXPECT_EQ(p.choices.at(static_cast<size_t>(p.answer[0] - 'A')), "right " + std::to_string(i + 1));
    ++letters[p.answer];
  }
  EXPECT_EQ(letters.size(), 4u) << "the right answer stands everywhere";
  for (const auto& [letter, count] : letters) EXPECT_GE(count, 3) << letter;
}

// The order of choices is part of every number that was ever reported: a change of it must be noticed.
TEST_F(Suites, GpqasOrderIsAFunctionOfTheRecordsId) {
  const auto few = read_gpqa(write("few.csv", gpqa_csv(3))), many = read_gpqa(write("many.csv", gpqa_csv(30)));
  for (size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].choices, many[i].choices);
  std::string answers;
  for (const data::Problem& p : many) answers += p.answer;
  EXPECT_EQ(answers, "CACDBBCADDCADBDDBCCCDBBCADBBDA");
}

TEST_F(Suites, GpqaNamesTheLineOfABadRecord) {
  const auto bad = [&](const std::map<std::string, std::string>& changes) {
    const fs::path file = write("bad.csv", gpqa_csv(3, changes));
    return message_of_error(ErrorKind::Data, [&] { read_gpqa(file); });
  };
  EXPECT_THAT(bad({{"Question", "  "}}), AllOf(HasSubstr("bad.csv:5"), HasSubstr("\"Question\" is empty")));
  EXPECT_THAT(bad({{"Incorrect Answer 3", ""}}), HasSubstr("\"Incorrect Answer 3\" is empty"));
  EXPECT_THAT(bad({{"Record ID", "rec0"}}), HasSubstr("the record \"rec0\" is already that of line 2"));
  const fs::path cut = write("cut.csv", gpqa_csv(2).substr(0, gpqa_csv(2).size() - 40));
  EXPECT_THAT(message_of_error(ErrorKind::Data, [&] { read_gpqa(cut); }), HasSubstr("never closed"));
  const fs::path none = write("none.csv", gpqa_csv(0));
  EXPECT_THAT(message_of_error(ErrorKind::Data, [&] { read_gpqa(none); }), HasSubstr("no row below the header"));
  const fs::path other = write("other.csv", "Question,Correct Answer\na,b\n");
  EXPECT_THAT(message_of_error(ErrorKind::Data, [&] { read_gpqa(other); }),
              HasSubstr("the header has no column \"Record ID\""));
}

TEST_F(Suites, GpqaIsFoundUnderBothNames) {
  write("gpqa_diamond.csv", gpqa_csv(2));
  EXPECT_EQ(load_suite(find_suite("gpqa_diamond"), folder_.path()).problems.size(), 2u);
  write("gpqa/gpqa_diamond.csv", gpqa_csv(5));
  EXPECT_EQ(load_suite(find_suite("gpqa_diamond"), folder_.path()).problems.size(), 5u);
}

TEST_F(Suites, AMissingFileIsExplained) {
  for (const SuiteInfo& info : suites()) {
    const std::string text = message_of_error(ErrorKind::User, [&] { load_suite(info, folder_.path()); });
    for (const std::string_view file : info.files) EXPECT_THAT(text, HasSubstr((folder_.path() / file).string()));
    EXPECT_THAT(text, AllOf(HasSubstr(std::string(info.source)), HasSubstr("put it there under that name")));
  }
}

TEST_F(Suites, UnknownNamesAreRefusedWithThoseThereAre) {
  EXPECT_THAT(message_of_error(ErrorKind::User, [] { find_suite("math5000"); }),
              AllOf(HasSubstr("math5000"), HasSubstr("gpqa_diamond, gsm8k")));
}

TEST_F(Suites, ReadsRowsWithChoices) {
  write("arc_challenge/test.jsonl",
        "{\"id\": \"1\", \"problem\": \"Which?\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": \"C\"}\n");
  const Suite suite = load_suite(find_suite("arc_challenge"), folder_.path());
  EXPECT_EQ(suite.kind, SuiteKind::Choice);
  EXPECT_THAT(suite.problems[0].choices, ElementsAre("x", "y", "z"));
  EXPECT_EQ(suite.problems[0].answer, "C");
  EXPECT_EQ(suite.file_hash.size(), 16u);
}

TEST_F(Suites, RefusesChoicesThatCannotBeAsked) {
  const auto bad = [&](const std::string& row) {
    const fs::path file = write("own.jsonl", row + "\n");
    return message_of_error(ErrorKind::Data, [&] { load_own_suite(file); });
  };
  EXPECT_THAT(bad(R"({"problem": "?", "choices": ["x"], "answer": "A"})"), HasSubstr("a list of 2 to 26 texts"));
  EXPECT_THAT(bad(R"({"problem": "?", "choices": ["x", 2], "answer": "A"})"), HasSubstr("a list of 2 to 26 texts"));
  EXPECT_THAT(bad(R"({"problem": "?", "choices": {"text": []}, "answer": "A"})"), HasSubstr("a list of 2 to 26 texts"));
  EXPECT_THAT(bad(R"({"problem": "?", "choices": ["x", "y"], "answer": "C"})"),
              HasSubstr("none of the letters A to B"));
  EXPECT_THAT(bad(R"({"problem": "?", "choices": ["x", "y"], "answer": "x"})"),
              HasSubstr("none of the letters A to B"));
  EXPECT_THAT(bad("{\"id\": \"1\", \"problem\": \"?\", \"answer\": \"2\"}\n"
                  R"({"id": "2", "problem": "?", "choices": ["x", "y"], "answer": "A"})"),
              HasSubstr("has choices, others have none"));
  EXPECT_THAT(bad(R"({"messages": [{"role": "user", "content": "?"}], "answer": "2"})"),
              HasSubstr("brings its own messages"));
}

TEST_F(Suites, AnOwnFileIsASuiteNamedAfterIt) {
  const Suite suite = load_own_suite(write("homework.jsonl", "{\"problem\": \"1+1\", \"answer\": 2}\n"));
  EXPECT_EQ(suite.name, "homework");
  EXPECT_EQ(suite.kind, SuiteKind::Math);
}

}  // namespace
}  // namespace thinktune::eval
