#include "thinktune/eval/protocols.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

using core::ErrorKind;
using test::message_of_error;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const data::Problem kMath = {.id = "m", .problem = "How many {choices}?", .answer = "18"};
const data::Problem kChoice = {
    .id = "c", .problem = "Which?", .answer = "B", .choices = {" Iron [title] ore", "Salt  [see fig.] water", "Tin"}};

Task task_of(const char* protocol, const char* suite, SuiteKind kind = SuiteKind::Math) {
  return resolve_task(find_protocol(protocol), suite, kind, {}).task;
}

TEST(Protocols, NamesAreUniqueAndTasksWhole) {
  std::set<std::string> names;
  for (const Protocol& protocol : protocols()) {
    EXPECT_TRUE(names.insert(protocol.full_name()).second);
    EXPECT_NE(protocol.source, "");
    std::set<std::string> suites;
    for (const Task& task : protocol.tasks) {
      SCOPED_TRACE(protocol.full_name() + " " + task.suite);
      EXPECT_TRUE(suites.insert(task.suite).second);
      const std::string suite = task.suite;
      if (suite != kAnyMath && suite != kAnyChoice) find_suite(suite);
      EXPECT_NE(task.question.find("{problem}"), std::string::npos);
      const auto measures = task.measures();
      EXPECT_NE(std::find(measures.begin(), measures.end(), task.decides), measures.end());
      if (task.form != PromptForm::Score) {
        EXPECT_GT(task.max_new_tokens, 0);
        EXPECT_FALSE(task.strict.empty());
        EXPECT_FALSE(task.lenient.empty());
        EXPECT_TRUE(task.samples == 1 || task.temperature > 0);
      }
      if (task.num_examples > 0) {
        EXPECT_NE(task.examples_file, "");
        EXPECT_NE(task.examples_source, "");
      }
    }
  }
}

TEST(Protocols, AreFoundByNameAndVersion) {
  EXPECT_EQ(find_protocol("lm-eval").full_name(), "lm-eval/1");
  EXPECT_EQ(&find_protocol("lm-eval/1"), &find_protocol("lm-eval"));
  EXPECT_THAT(message_of_error(ErrorKind::User, [] { find_protocol("lm-eval/9"); }),
              AllOf(HasSubstr("lm-eval/9"), HasSubstr("simple-evals/1")));
  EXPECT_THAT(message_of_error(ErrorKind::User, [] { find_protocol(""); }), HasSubstr("thinktuning/1"));
}

TEST(Protocols, OursAsksEverySuite) {
  for (const SuiteInfo& info : suites())
    EXPECT_NO_THROW(resolve_task(find_protocol("thinktuning"), std::string(info.name), info.kind, {}));
}

TEST(Protocols, ASuiteThatIsNotDefinedIsRefusedWithThoseThatAre) {
  EXPECT_THAT(message_of_error(ErrorKind::User, [] { task_of("simple-evals", "gsm8k"); }),
              AllOf(HasSubstr("simple-evals/1 does not say how to ask gsm8k"), HasSubstr("math500, gpqa_diamond")));
  EXPECT_THAT(message_of_error(ErrorKind::User, [] { task_of("lm-eval", "homework"); }),
              HasSubstr("does not say how to ask homework"));
}

// Word by word as published.
TEST(Protocols, Prompts) {
  EXPECT_EQ(render_question(task_of("thinktuning", "svamp"), kMath, {}),
            "How many {choices}?\nPlease reason step by step, and put your final answer within \\boxed{}.");
  EXPECT_EQ(render_question(task_of("lm-eval", "gsm8k"), kMath, {}), "Question: How many {choices}?\nAnswer:");
  EXPECT_EQ(render_question(task_of("lm-eval", "math500"), kMath, {}), "Problem:\nHow many {choices}?\n\nSolution:");
  EXPECT_EQ(render_question(task_of("lm-eval", "gpqa_diamond", SuiteKind::Choice), kChoice, {}),
            "What is the correct answer to this question:Which?\nChoices:\n(A) Iron. ore\n(B) Salt  water\n(C) Tin\n"
            "Let's think step by step: ");
  EXPECT_EQ(render_question(task_of("lm-eval", "arc_easy", SuiteKind::Choice), kChoice, {}),
            "Question: Which?\nAnswer:");
  EXPECT_EQ(render_choice(task_of("lm-eval", "arc_easy", SuiteKind::Choice), kChoice, 2), " Tin");
  EXPECT_EQ(render_question(task_of("simple-evals", "gpqa_diamond", SuiteKind::Choice), kChoice, {}),
            "Answer the following multiple choice question. The last line of your response should be of the following "
            "format: "
            "'Answer: $LETTER' (without quotes) where LETTER is one of ABC. Think step by step before "
            "answering.\n\nWhich?\n\n"
            "A)  Iron [title] ore\nB) Salt  [see fig.] water\nC) Tin");
  EXPECT_THAT(render_question(task_of("lighteval", "aime2025"), kMath, {}),
              AllOf(HasSubstr("'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct'"),
                    HasSubstr("before answering.\n\nHow many {choices}?")));
}

TEST(Protocols, WorkedExamplesComeFirst) {
  const std::vector<data::Example> examples = {{"1+1?", "1+1=2\n#### 2"}, {"{problem}?", "#### 3"}};
  EXPECT_EQ(render_question(task_of("lm-eval", "gsm8k"), kMath, examples),
            "Question: 1+1?\nAnswer: 1+1=2\n#### 2\n\nQuestion: {problem}?\nAnswer: #### 3\n\n"
            "Question: How many {choices}?\nAnswer:");
}

TEST(Protocols, WorkedExamplesAreTheFirstOfTheUsersFile) {
  const test::TempFolder folder;
  const Task task = task_of("lm-eval", "math500");
  EXPECT_THAT(message_of_error(ErrorKind::User, [&] { load_examples(task, folder.path()); }),
              AllOf(HasSubstr((folder.path() / "math500/fewshot.jsonl").string()), HasSubstr("four worked examples"),
                    HasSubstr("lm_eval/tasks/minerva_math/utils.py")));
  std::filesystem::create_directories(folder.path() / "math500");
  std::ofstream file(folder.path() / "math500/fewshot.jsonl");
  for (int i = 0; i < 3; ++i) file << "{\"problem\": \"p" << i << "\", \"solution\": \"s\"}\n" << std::flush;
  EXPECT_THAT(message_of_error(ErrorKind::User, [&] { load_examples(task, folder.path()); }),
              HasSubstr("has 3 worked examples, 4 are asked"));
  for (int i = 3; i < 6; ++i) file << "{\"problem\": \"p" << i << "\", \"solution\": \"s\"}\n" << std::flush;
  const auto examples = load_examples(task, folder.path());
  ASSERT_EQ(examples.size(), 4u);
  EXPECT_EQ(examples[3].problem, "p3");
  EXPECT_TRUE(load_examples(task_of("thinktuning", "gsm8k"), folder.path()).empty());
}

TEST(ResolveTask, OverridesAreNamed) {
  const ResolvedTask plain = resolve_task(find_protocol("thinktuning"), "gsm8k", SuiteKind::Math, {});
  EXPECT_TRUE(plain.changed.empty());
  EXPECT_EQ(plain.task.suite, "gsm8k");
  EXPECT_EQ(plain.task.temperature, 0);
  EXPECT_EQ(plain.task.max_new_tokens, 1024);
  const ResolvedTask changed = resolve_task(find_protocol("thinktuning"), "gsm8k", SuiteKind::Math,
                                            {.samples = 4, .max_new_tokens = 1024, .temperature = 0.6});
  EXPECT_THAT(changed.changed, ElementsAre("samples", "temperature")) << "1024 is the protocol's own";
  const auto json = to_json(changed);
  EXPECT_EQ(json.at("protocol"), "thinktuning/1");
  EXPECT_EQ(json.at("changed").size(), 2u);
  EXPECT_EQ(json.at("sampling").at("samples"), 4);
  EXPECT_EQ(json.at("extraction").at("strict")[0], "box");
}

TEST(ResolveTask, RefusesWhatMakesNoSense) {
  const auto refusal = [](const char* protocol, const char* suite, SuiteKind kind, const Overrides& overrides) {
    return message_of_error(ErrorKind::User, [&] { resolve_task(find_protocol(protocol), suite, kind, overrides); });
  };
  EXPECT_THAT(refusal("thinktuning", "gsm8k", SuiteKind::Math, {.samples = 4}),
              AllOf(HasSubstr("4 samples of gsm8k at temperature 0"), HasSubstr("--temperature")));
  EXPECT_THAT(refusal("lighteval", "math500", SuiteKind::Math, {.temperature = 0.0}), HasSubstr("--samples 1"));
  EXPECT_THAT(refusal("lm-eval", "arc_easy", SuiteKind::Choice, {.temperature = 0.5}),
              HasSubstr("draws nothing: temperature cannot be changed"));
}

}  // namespace
}  // namespace thinktune::eval
