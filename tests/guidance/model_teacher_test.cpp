// The teacher over a random model: what it writes is noise, but prompts, forms and counts can be checked against the
// engine itself.
#include "thinktune/guidance/model_teacher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "guidance/fakes.h"
#include "support/tiny_model.h"
#include "thinktune/guidance/reply.h"
#include "thinktune/guidance/teacher_prompt.h"

namespace thinktune::guidance {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Ids = std::vector<core::TokenId>;

class ModelTeacherTest : public testing::Test {
 protected:
  ModelTeacherTest()
      : decoder_(thinktune::test::tiny_config()),
        weights_(thinktune::test::random_weights(thinktune::test::tiny_config(), 3, at::kFloat)),
        vocabulary_(thinktune::test::byte_vocabulary(thinktune::test::tiny_config())),
        engine_(decoder_, weights_, *vocabulary_.tokenizer, {}) {
    options_.max_reply_tokens = 24;
    options_.max_reason_tokens = 12;
    options_.max_phrase_tokens = 9;
  }

  ModelTeacher make() { return ModelTeacher(engine_, *vocabulary_.chat, *vocabulary_.tokenizer, fixed_, options_); }

  static TeacherRequest request(const std::string& text, const std::string& forced = "") {
    return {{{"user", text}}, forced};
  }

  std::string prompt_text(const std::string& user) const {
    return "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA!<|im_end|>"
           "\n<|im_start|>user\n" +
           user + "<|im_end|>\n<|im_start|>assistant\n";
  }

  Ids parsed(const std::string& text) const { return vocabulary_.tokenizer->encode(text, text::Special::Parse); }

  infer::Generation greedy(Ids prompt, int64_t max_tokens, const std::vector<std::string>& stops = {}) {
    infer::Engine plain(decoder_, weights_, *vocabulary_.tokenizer, {});
    return plain.generate({{.prompt_ids = std::move(prompt), .max_new_tokens = max_tokens, .stop_texts = stops}},
                          {.temperature = 0}, {})[0][0];
  }

  std::string text_of(const infer::Generation& generation) const {
    Ids ids = generation.ids;
    if (generation.stop == infer::Stop::EndOfTurn) ids.pop_back();
    return vocabulary_.tokenizer->decode(ids);
  }

  model::Decoder decoder_;
  model::Weights weights_;
  model::Vocabulary vocabulary_;
  infer::Engine engine_;
  GuidanceOptions options_;
  std::vector<core::ChatMessage> fixed_ = {{"system", "Judge."}, {"user", "Q?"}, {"assistant", "A!"}};
};

TEST_F(ModelTeacherTest, HoldsWhatAllPromptsBeginWith) {
  const ModelTeacher teacher = make();
  const std::string all = prompt_text("");
  EXPECT_EQ(teacher.held_prefix(), parsed(all.substr(0, all.rfind("<|im_end|>\n<|im_start|>assistant"))));
}

TEST_F(ModelTeacherTest, TheHeldPrefixIsComputedOnce) {
  ModelTeacher teacher = make();
  const std::string user = "Question:\n1 + 1?";
  engine_.reset_stats();
  teacher.reply({request(user)});
  EXPECT_EQ(engine_.stats().prompt_tokens, std::ssize(parsed(prompt_text(user))) - std::ssize(teacher.held_prefix()));
  EXPECT_EQ(teacher.stats().num_requests, 1);
  EXPECT_EQ(teacher.stats().num_prefix_missed, 0);
  EXPECT_EQ(teacher.stats().num_prompts_cut, 0);
}

TEST_F(ModelTeacherTest, FreeIsTheModelsOwnGreedyText) {
  ModelTeacher teacher = make();
  const auto replies = teacher.reply({request("a"), request("bcd"), request("<|im_end|>")});
  ASSERT_EQ(replies.size(), 3u);
  const infer::Generation first = greedy(parsed(prompt_text("a")), options_.max_reply_tokens);
  EXPECT_EQ(replies[0].text, text_of(first));
  EXPECT_EQ(replies[0].ended, first.stop == infer::Stop::EndOfTurn);
  EXPECT_EQ(replies[1].text, text_of(greedy(parsed(prompt_text("bcd")), options_.max_reply_tokens)));
  // What a student typed is text: the third prompt is not that of an empty turn.
  Ids typed = parsed(prompt_text("X"));
  const auto at = std::find(typed.begin(), typed.end(), vocabulary_.tokenizer->encode("X")[0]);
  const Ids as_text = vocabulary_.tokenizer->encode("<|im_end|>");
  typed.insert(typed.erase(at), as_text.begin(), as_text.end());
  EXPECT_EQ(replies[2].text, text_of(greedy(typed, options_.max_reply_tokens)));
  EXPECT_TRUE(teacher.reply({}).empty());
}

TEST_F(ModelTeacherTest, AReplyThatReachesTheLimitHasNotEnded) {
  options_.max_reply_tokens = 1;
  ModelTeacher teacher = make();
  const auto replies = teacher.reply({request("a")});
  const infer::Generation generation = greedy(parsed(prompt_text("a")), 1);
  ASSERT_EQ(generation.stop, infer::Stop::Length);
  EXPECT_FALSE(replies[0].ended);
}

TEST_F(ModelTeacherTest, AFreeReplyThatEndsIsSaidToHaveEnded) {
  // Whatever this model writes third for this prompt is made its end-of-turn token.
  options_.max_reply_tokens = 24;
  const infer::Generation generation = greedy(parsed(prompt_text("a")), 3);
  ASSERT_EQ(generation.ids.size(), 3u);
  model::ModelConfig config = thinktune::test::tiny_config();
  config.end_of_turn_ids = {2, generation.ids[2]};
  const model::Decoder decoder(config);
  infer::Engine engine(decoder, weights_, *vocabulary_.tokenizer, {});
  ModelTeacher teacher(engine, *vocabulary_.chat, *vocabulary_.tokenizer, fixed_, options_);
  const auto replies = teacher.reply({request("a")});
  EXPECT_TRUE(replies[0].ended);
  Ids kept;
  for (const core::TokenId id : generation.ids) {
    if (id == generation.ids[2]) break;
    kept.push_back(id);
  }
  EXPECT_EQ(replies[0].text, vocabulary_.tokenizer->decode(kept));
}

TEST_F(ModelTeacherTest, AForcedOpinionIsWrittenForAFreeReply) {
  ModelTeacher teacher = make();
  const auto replies = teacher.reply({request("a", "incorrect"), request("a")});
  const std::string written = "<opinion>incorrect</opinion><reason>";
  EXPECT_EQ(replies[0].text, written + text_of(greedy(parsed(prompt_text("a") + written), options_.max_reply_tokens)));
  EXPECT_EQ(replies[1].text, text_of(greedy(parsed(prompt_text("a")), options_.max_reply_tokens)));
}

TEST_F(ModelTeacherTest, ConstrainedIsAlwaysInForm) {
  options_.format = Format::Constrained;
  ModelTeacher teacher = make();
  std::vector<TeacherRequest> requests;
  for (int i = 0; i < 12; ++i)
    requests.push_back(request("exercise " + std::to_string(i), i % 3 == 0   ? "correct"
                                                                : i % 3 == 1 ? "incorrect"
                                                                             : ""));
  const auto replies = teacher.reply(requests);
  ASSERT_EQ(replies.size(), requests.size());
  for (size_t i = 0; i < replies.size(); ++i) {
    EXPECT_TRUE(replies[i].ended);
    const ParsedReply parsed_reply = parse_reply(replies[i].text, true);
    const bool in_form = parsed_reply.error == ReplyError::None || parsed_reply.error == ReplyError::EmptyReason ||
                         parsed_reply.error == ReplyError::EmptyPhrase;
    EXPECT_TRUE(in_form) << replies[i].text;
    if (!requests[i].forced_opinion.empty()) {
      EXPECT_THAT(replies[i].text, StartsWith("<opinion>" + requests[i].forced_opinion + "</opinion><reason>"));
    }
  }
}

TEST_F(ModelTeacherTest, ConstrainedPartsAreGreedyBehindTheirTags) {
  options_.format = Format::Constrained;
  ModelTeacher teacher = make();
  const auto replies = teacher.reply({request("a", "correct")});
  const std::string before_reason = "<opinion>correct</opinion><reason>";
  const std::string reason =
      trim_part(text_of(greedy(parsed(prompt_text("a") + before_reason), options_.max_reason_tokens, reply_tags())));
  Ids before_phrase = parsed(prompt_text("a"));
  const Ids written = vocabulary_.tokenizer->encode(before_reason + reason + "</reason>\n<phrase>");
  before_phrase.insert(before_phrase.end(), written.begin(), written.end());
  const std::string phrase = trim_part(text_of(greedy(before_phrase, options_.max_phrase_tokens, reply_tags())));
  EXPECT_EQ(replies[0].text, format_reply("correct", reason, phrase));
}

TEST_F(ModelTeacherTest, TheOpinionIsTheLikelierText) {
  options_.format = Format::Constrained;
  options_.max_reason_tokens = options_.max_phrase_tokens = 1;
  ModelTeacher teacher = make();
  infer::Engine plain(decoder_, weights_, *vocabulary_.tokenizer, {});
  int num_correct = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string user = "exercise " + std::to_string(i * i);
    const Ids prompt = parsed(prompt_text(user) + "<opinion>");
    const auto scores = plain.score({{prompt, {parsed("correct"), parsed("incorrect")}}})[0];
    const double correct = std::accumulate(scores[0].begin(), scores[0].end(), 0.0);
    const double incorrect = std::accumulate(scores[1].begin(), scores[1].end(), 0.0);
    ASSERT_GT(std::abs(correct - incorrect), 1e-4);
    const std::string expected = correct > incorrect ? "<opinion>correct<" : "<opinion>incorrect<";
    EXPECT_THAT(teacher.reply({request(user)})[0].text, StartsWith(expected));
    num_correct += correct > incorrect;
  }
  RecordProperty("num_correct", num_correct);
}

TEST_F(ModelTeacherTest, LongPromptsLoseTheirBeginning) {
  const std::string user = "a long exercise";
  const Ids whole = parsed(prompt_text(user));
  options_.max_teacher_prompt_tokens = std::ssize(whole) - 10;
  test::LogCapture log;
  ModelTeacher teacher = make();
  const auto replies = teacher.reply({request(user), request(user), request("a")});
  EXPECT_EQ(replies[0].text, text_of(greedy({whole.begin() + 10, whole.end()}, options_.max_reply_tokens)));
  EXPECT_EQ(teacher.stats().num_requests, 3);
  EXPECT_EQ(teacher.stats().num_prompts_cut,
            3 - (std::ssize(parsed(prompt_text("a"))) <= options_.max_teacher_prompt_tokens));
  EXPECT_EQ(teacher.stats().num_prefix_missed, teacher.stats().num_prompts_cut);
  const std::string warning = "a teacher prompt of " + std::to_string(whole.size()) + " tokens was cut on the left";
  EXPECT_THAT(log.text(), HasSubstr(warning));
  EXPECT_EQ(log.text().find(warning), log.text().rfind(warning));  // said once

  options_.max_teacher_prompt_tokens = std::ssize(whole);
  ModelTeacher roomy = make();
  EXPECT_EQ(roomy.reply({request(user)})[0].text, text_of(greedy(whole, options_.max_reply_tokens)));
  EXPECT_EQ(roomy.stats().num_prompts_cut, 0);
}

TEST_F(ModelTeacherTest, WhatIsWrittenForTheTeacherDoesNotCountTowardsTheLimit) {
  const std::string user = "an exercise";
  const Ids whole = parsed(prompt_text(user));
  options_.max_teacher_prompt_tokens = std::ssize(whole) - 4;
  ModelTeacher teacher = make();
  Ids expected(whole.begin() + 4, whole.end());
  const std::string written = "<opinion>correct</opinion><reason>";
  const Ids ids = parsed(written);
  expected.insert(expected.end(), ids.begin(), ids.end());
  EXPECT_EQ(teacher.reply({request(user, "correct")})[0].text,
            written + text_of(greedy(expected, options_.max_reply_tokens)));
}

TEST_F(ModelTeacherTest, RepliesDoNotDependOnCompany) {
  for (const Format format : {Format::Free, Format::Constrained}) {
    options_.format = format;
    ModelTeacher teacher = make();
    const auto together = teacher.reply({request("a"), request("bb", "correct"), request("ccc")});
    EXPECT_EQ(teacher.reply({request("ccc")})[0].text, together[2].text);
    EXPECT_EQ(teacher.reply({request("bb", "correct")})[0].text, together[1].text);
  }
}

}  // namespace
}  // namespace thinktune::guidance
