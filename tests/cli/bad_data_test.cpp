// Problem files that are absent, empty or wrong in one line: refused before anything is written, by file and line.
#include "program.h"

namespace thinktune::cli {
namespace {

class BadData : public ProgramTest {
 protected:
  const std::string good_ = "{\"id\": \"a\", \"problem\": \"1+1?\", \"answer\": \"2\"}\n";
};

TEST_F(BadData, IsNotThere) {
  fs::remove(data_);
  expect_refused_untouched({"cannot open the", data_.string()});
}

TEST_F(BadData, IsNotNamed) {
  expect_refused_untouched({"data.train_file is missing", "data.generator"}, {"--set", "data.train_file="});
}

TEST_F(BadData, IsEmpty) {
  write_text(data_, "\n  \n");
  expect_bad_file({data_.string() + ": no problem in the file", "each line is one"});
}

TEST_F(BadData, ABadLineIsNamedByItsNumber) {
  write_text(data_, good_ + "\n{\"id\": \"b\", \"problem\": \"2+2?\", \"answer\": \"4\"\n");
  expect_bad_file({data_.string() + ":3: not valid JSON at byte", "each line must be one whole JSON object"});
}

TEST_F(BadData, NoAnswerField) {
  write_text(data_, good_ + "{\"id\": \"b\", \"problem\": \"2+2?\", \"result\": \"4\"}\n");
  expect_bad_file({data_.string() + ":2: no answer"});
}

TEST_F(BadData, NoQuestion) {
  write_text(data_, good_ + "{\"id\": \"b\", \"answer\": \"4\"}\n");
  expect_bad_file({data_.string() + ":2: no question"});
}

TEST_F(BadData, TheSameIdTwice) {
  write_text(data_, good_ + good_);
  expect_bad_file({data_.string() + ":2: the id \"a\" is already that of line 1"});
}

TEST_F(BadData, OnlyPromptsThatAreTooLong) {
  expect_refused_untouched({"every prompt is longer than prompt.max_prompt_tokens", "raise the limit"},
                           {"--set", "prompt.max_prompt_tokens=1"});
}

TEST_F(BadData, HeldOutProblemsAreReadBeforeTheFirstStep) {
  const fs::path heldout = folder_.path() / "heldout.jsonl";
  write_text(heldout, "[1, 2]\n");
  expect_bad_file({heldout.string() + ":1: a JSON object is expected"},
                  {"--set", "data.heldout_file=" + heldout.string()});
}

TEST_F(BadData, EvalRefusesTheSame) {
  write_text(data_, "{\"problem\": 3}\n");
  expect_refused(run_program({"eval", "--model", model_.string(), "--data", data_.string()}), {data_.string() + ":1: "},
                 kData);
}

TEST_F(BadData, TheTeachersPromptFile) {
  const fs::path prompt = folder_.path() / "teacher.json";
  write_text(prompt, "{\"system\": \"Judge.\"}");
  expect_bad_file({prompt.string() + ": \"examples\" is missing"},
                  {"--set", "guidance.prompt_file=" + prompt.string()});
}

}  // namespace
}  // namespace thinktune::cli
