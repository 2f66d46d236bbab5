// The real teacher of the quickstart: SmolLM2-135M with configs/teacher/arithmetic.json.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <iostream>

#include "guidance/fakes.h"
#include "support/paths.h"
#include "thinktune/guidance/model_teacher.h"
#include "thinktune/guidance/reply.h"
#include "thinktune/guidance/teacher_prompt.h"
#include "thinktune/model/pretrained.h"

namespace thinktune::guidance {
namespace {

// One-step problems as the built-in generator words them, with a wrong response each.
struct Problem {
  const char* question;
  const char* response;
  const char* solution;
  const char* answer;
};
constexpr Problem kProblems[] = {
    {"Ana has 17 books. Ana gives 9 books to Leo. How many books does Ana have left?",
     "17 + 9 = 26. The answer is \\boxed{26}.", "17 - 9 = 8. The answer is \\boxed{8}.", "8"},
    {"There are 12 marbles in a box. Ben puts 7 more marbles into the box. How many marbles are in the box now?",
     "There are 12 marbles. The answer is \\boxed{12}.", "12 + 7 = 19. The answer is \\boxed{19}.", "19"},
    {"There are 6 bags with 8 shells in each bag. How many shells are there in total?",
     "6 + 8 = 14 shells. The answer is \\boxed{14}.", "6 * 8 = 48. The answer is \\boxed{48}.", "48"},
    {"Mia had 23 stamps but lost 5 of them. How many stamps does Mia have now?",
     "Mia has 23 - 5 = 17. The answer is \\boxed{17}.", "23 - 5 = 18. The answer is \\boxed{18}.", "18"},
    {"Sam buys 14 eggs on Monday and 11 eggs on Tuesday. How many eggs does Sam buy in all?",
     "14 * 11 = 154. The answer is \\boxed{154}.", "14 + 11 = 25. The answer is \\boxed{25}.", "25"},
    {"One ticket costs 7 dollars. How many dollars do 3 tickets cost?", "7 - 3 = 4. The answer is \\boxed{4}.",
     "3 * 7 = 21. The answer is \\boxed{21}.", "21"},
    {"A rope is 20 meters long. Eva cuts off 13 meters. How many meters of rope are left?",
     "The rope is 20 + 13 = 33 meters. The answer is \\boxed{33}.", "20 - 13 = 7. The answer is \\boxed{7}.", "7"},
    {"Lily reads 9 pages every day. How many pages does Lily read in 4 days?",
     "Lily reads 9 + 4 = 13 pages. The answer is \\boxed{13}.", "4 * 9 = 36. The answer is \\boxed{36}.", "36"},
};

class SmolLm2 : public testing::TestWithParam<Format> {};

TEST_P(SmolLm2, ShownTheSolutionItTeachesArithmetic) {
  const auto file = thinktune::test::model_file();
  TT_REQUIRE_FILE(file);
  const model::Pretrained pretrained(file);
  const model::Weights weights = pretrained.load_weights(at::kFloat);
  const model::Vocabulary vocabulary = pretrained.load_vocabulary();
  const model::Decoder decoder(pretrained.config());
  infer::Engine engine(decoder, weights, *vocabulary.tokenizer, {});

  GuidanceOptions options;
  options.format = GetParam();
  options.teacher_sees = TeacherSees::Solution;
  options.max_reply_tokens = options.max_phrase_tokens = 96;
  options.max_reason_tokens = 48;
  const PromptView view{.teacher_sees = options.teacher_sees};
  const TeacherPrompt prompt =
      TeacherPrompt::read(thinktune::test::source_folder() / "configs" / "teacher" / "arithmetic.json");
  ModelTeacher teacher(engine, *vocabulary.chat, *vocabulary.tokenizer, prompt.fixed_messages(view), options);

  std::vector<TeacherRequest> requests;
  for (const Problem& problem : kProblems)
    requests.push_back(
        {{TeacherPrompt::request_message({problem.question, problem.response, "", problem.solution}, view)},
         "incorrect"});
  const auto replies = teacher.reply(requests);
  int num_valid = 0, num_right = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    const ParsedReply reply = parse_reply(replies[i].text, replies[i].ended);
    std::cout << core::name_of(kReplyErrorNames, reply.error) << ": " << replies[i].text << "\n";
    num_valid += reply.error == ReplyError::None;
    num_right += reply.phrase.find("\\boxed{" + std::string(kProblems[i].answer) + "}") != std::string::npos;
  }
  EXPECT_EQ(teacher.stats().num_prefix_missed, 0);
  if (options.format == Format::Constrained) {
    EXPECT_EQ(num_valid, std::ssize(replies));
  }
  EXPECT_GE(num_right, 6) << "of " << replies.size();
}

INSTANTIATE_TEST_SUITE_P(Formats, SmolLm2, testing::Values(Format::Free, Format::Constrained),
                         [](const auto& info) { return std::string(core::name_of(kFormatNames, info.param)); });

}  // namespace
}  // namespace thinktune::guidance
