#include "thinktune/data/source.h"

#include <gmock/gmock.h>

#include <fstream>

#include "support/errors.h"
#include "support/paths.h"

namespace thinktune::data {
namespace {

using testing::HasSubstr;

TEST(DataSource, ExactlyOneSourceIsNeeded) {
  const std::pair<DataOptions, const char*> cases[] = {
      {{}, "data.train_file is missing"},
      {{.heldout_file = "b.jsonl"}, "data.train_file is missing"},
      {{.generator = Generator::Arithmetic, .train_file = "a.jsonl"}, "a generator and files"},
      {{.generator = Generator::Arithmetic, .heldout_file = "b.jsonl"}, "a generator and files"},
      {{.generator = Generator::Arithmetic, .arithmetic = {.num_train = 0}}, "num_train"},
      {{.generator = Generator::Arithmetic, .arithmetic = {.levels = {"hard"}}}, "hard"},
      {{.generator = Generator::Arithmetic, .arithmetic = {.levels = {}}}, "levels"},
  };
  for (const auto& [options, expected] : cases) {
    EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { validate(options); }), HasSubstr(expected));
  }
  EXPECT_NO_THROW(validate(DataOptions{.generator = Generator::Arithmetic}));
  EXPECT_NO_THROW(validate(DataOptions{.train_file = "a.jsonl"})) << "looks at nothing outside the options";
}

TEST(DataSource, TheGeneratorGivesBothSplits) {
  const DataOptions options{.generator = Generator::Arithmetic,
                            .arithmetic = {.num_train = 9, .num_heldout = 4, .levels = {"mul_9"}, .seed = 3}};
  const Problems problems = load_problems(options);
  ASSERT_EQ(problems.train.size(), 9U);
  ASSERT_EQ(problems.heldout.size(), 4U);
  EXPECT_EQ(problems.train[5].problem, generate_arithmetic(options.arithmetic, ArithmeticSplit::Train)[5].problem);
  EXPECT_EQ(problems.heldout[2].problem, generate_arithmetic(options.arithmetic, ArithmeticSplit::HeldOut)[2].problem);
  for (const Problem& held : problems.heldout)
    for (const Problem& train : problems.train) EXPECT_NE(held.problem, train.problem);
}

TEST(DataSource, FilesGiveTheSplitsTheyAreNamedFor) {
  const test::TempFolder folder;
  const auto train = folder.path() / "train.jsonl", heldout = folder.path() / "heldout.jsonl";
  std::ofstream(train) << R"({"id": "t1", "problem": "1 + 1?", "answer": 2})"
                          "\n"
                          R"({"id": "t2", "problem": "1 + 2?", "answer": "3"})"
                          "\n";
  std::ofstream(heldout) << R"({"id": "h1", "problem": "2 + 2?", "answer": "4", "solution": "We add."})"
                            "\n";
  const Problems both = load_problems({.train_file = train.string(), .heldout_file = heldout.string()});
  ASSERT_EQ(both.train.size(), 2U);
  ASSERT_EQ(both.heldout.size(), 1U);
  EXPECT_EQ(both.train[0].answer, "2");
  EXPECT_EQ(both.train[1].id, "t2");
  EXPECT_EQ(both.heldout[0].solution, "We add.");
  EXPECT_TRUE(load_problems({.train_file = train.string()}).heldout.empty()) << "no file: no evaluations";
}

TEST(DataSource, AFileThatIsNotThereIsNamed) {
  const test::TempFolder folder;
  const std::string missing = (folder.path() / "missing.jsonl").string();
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { load_problems({.train_file = missing}); }),
              HasSubstr(missing));
}

}  // namespace
}  // namespace thinktune::data
