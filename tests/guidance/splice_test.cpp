#include "thinktune/guidance/splice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guidance/fakes.h"
#include "thinktune/core/error.h"

namespace thinktune::guidance {
namespace {

using namespace test;
using ::testing::Each;
using ::testing::ElementsAre;

const ParsedReply kReply{.opinion = "incorrect", .reason = "no", .phrase = "add"};
constexpr Origin S = Origin::Student, J = Origin::Joint, R = Origin::Reason, P = Origin::Phrase;

SpliceResult spliced(Rollout& rollout, SpliceOptions options = {}, const ParsedReply& reply = kReply) {
  options.end_of_turn = kEnd;
  return splice(rollout, reply, ByteTokenizer(), options);
}

void expect_consistent(const Rollout& rollout) {
  EXPECT_EQ(rollout.origin.size(), rollout.ids.size());
  EXPECT_EQ(rollout.sampler_logprobs.size(), rollout.ids.size());
  EXPECT_TRUE(rollout.old_logprobs.empty());
}

TEST(Splice, BehindTheStudentsIds) {
  Rollout rollout = ended_rollout("hm");
  const SpliceResult result = spliced(rollout);
  EXPECT_EQ(result.outcome, SpliceOutcome::Whole);
  EXPECT_FALSE(result.reply_cut);
  EXPECT_THAT(rollout.ids, ElementsAre('h', 'm', kTwoLines, 'n', 'o', kTwoLines, 'a', 'd', 'd', kEnd));
  EXPECT_THAT(rollout.origin, ElementsAre(S, S, J, R, R, P, P, P, P, P));
  EXPECT_THAT(rollout.sampler_logprobs, ElementsAre(-.5f, -.5f, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(rollout.text, "hm\n\nno\n\nadd");
  EXPECT_EQ(rollout.finish, Finish::EndOfTurn);
  expect_consistent(rollout);
}

TEST(Splice, TheStudentsIdsAreNeverEncodedAgain) {
  // "\n", "\n" as two tokens: encoding the text again would make one of them.
  Rollout rollout = ended_rollout("ab");
  rollout.ids = {'\n', '\n', kEnd};
  rollout.text = "\n\n";
  spliced(rollout);
  EXPECT_EQ(rollout.ids[0], '\n');
  EXPECT_EQ(rollout.ids[1], '\n');
  EXPECT_EQ(rollout.ids[2], kTwoLines);
}

TEST(Splice, AnotherEndOfTurnTokenIsReplacedByTheOneThatIsWritten) {
  Rollout rollout = ended_rollout("h", false, kOtherEnd);
  spliced(rollout);
  EXPECT_EQ(rollout.ids.back(), kEnd);
  EXPECT_EQ(std::count(rollout.ids.begin(), rollout.ids.end(), kOtherEnd), 0);
}

TEST(Splice, SpecialTokensOfTheTeacherAreText) {
  Rollout rollout = ended_rollout("h");
  spliced(rollout, {}, {.opinion = "correct", .reason = "<|end|>", .phrase = "<|stop|>"});
  EXPECT_EQ(std::count(rollout.ids.begin(), rollout.ids.end(), kEnd), 1);
  EXPECT_EQ(std::count(rollout.ids.begin(), rollout.ids.end(), kOtherEnd), 0);
  EXPECT_EQ(rollout.text, "h\n\n<|end|>\n\n<|stop|>");
}

TEST(Splice, CutAtTheResponseLimit) {
  Rollout whole = ended_rollout("hm");
  EXPECT_EQ(spliced(whole, {.response_limit = 10}).outcome, SpliceOutcome::Whole);
  EXPECT_EQ(whole.ids.size(), 10u);

  Rollout cut = ended_rollout("hm");
  EXPECT_EQ(spliced(cut, {.response_limit = 9}).outcome, SpliceOutcome::Cut);
  EXPECT_THAT(cut.ids, ElementsAre('h', 'm', kTwoLines, 'n', 'o', kTwoLines, 'a', 'd', 'd'));
  EXPECT_EQ(cut.finish, Finish::Length);
  EXPECT_EQ(cut.text, "hm\n\nno\n\nadd");
  expect_consistent(cut);

  Rollout short_one = ended_rollout("hm");
  EXPECT_EQ(spliced(short_one, {.response_limit = 4}).outcome, SpliceOutcome::Cut);
  EXPECT_THAT(short_one.ids, ElementsAre('h', 'm', kTwoLines, 'n'));
  EXPECT_THAT(short_one.origin, ElementsAre(S, S, J, R));
}

TEST(Splice, NoRoomForATokenLeavesTheRolloutAlone) {
  Rollout rollout = ended_rollout("hm", true);
  EXPECT_EQ(spliced(rollout, {.response_limit = 2}).outcome, SpliceOutcome::NoRoom);
  const Rollout same = ended_rollout("hm", true);
  EXPECT_EQ(rollout.ids, same.ids);
  EXPECT_EQ(rollout.origin, same.origin);
  EXPECT_EQ(rollout.sampler_logprobs, same.sampler_logprobs);
  EXPECT_EQ(rollout.old_logprobs, same.old_logprobs);
  EXPECT_EQ(rollout.finish, Finish::EndOfTurn);
  EXPECT_EQ(rollout.text, "hm");
}

TEST(Splice, TheTeachersWordsAreCutBeforeUse) {
  Rollout uncut = ended_rollout("h");
  EXPECT_FALSE(spliced(uncut, {.max_used_reply_tokens = 7}).reply_cut);
  Rollout rollout = ended_rollout("h");
  const SpliceResult result = spliced(rollout, {.max_used_reply_tokens = 5});
  EXPECT_TRUE(result.reply_cut);
  EXPECT_EQ(result.outcome,
            SpliceOutcome::Whole);  // the end of turn stands behind the cut words, as in the public code
  EXPECT_THAT(rollout.ids, ElementsAre('h', kTwoLines, 'n', 'o', kTwoLines, 'a', kEnd));
  EXPECT_THAT(rollout.origin, ElementsAre(S, J, R, R, P, P, P));
  EXPECT_EQ(rollout.text, "h\n\nno\n\na");
}

TEST(Splice, ReplaceByThePhrase) {
  Rollout rollout = ended_rollout("nonsense");
  EXPECT_EQ(spliced(rollout, {.use = Use::Replace}).outcome, SpliceOutcome::Whole);
  EXPECT_THAT(rollout.ids, ElementsAre('a', 'd', 'd', kEnd));
  EXPECT_THAT(rollout.origin, Each(P));
  EXPECT_THAT(rollout.sampler_logprobs, Each(0.0f));
  EXPECT_EQ(rollout.text, "add");
  expect_consistent(rollout);

  Rollout cut = ended_rollout("nonsense");
  EXPECT_EQ(spliced(cut, {.use = Use::Replace, .response_limit = 3}).outcome, SpliceOutcome::Cut);
  EXPECT_THAT(cut.ids, ElementsAre('a', 'd', 'd'));
  EXPECT_EQ(cut.finish, Finish::Length);
}

TEST(Splice, BrokenPromisesAreFound) {
  Rollout cut = cut_rollout("h");
  EXPECT_THROW(spliced(cut), core::Error);
  Rollout good = ended_rollout("h");
  EXPECT_THROW(spliced(good, {}, {.error = ReplyError::BadOpinion}), core::Error);
  Rollout ragged = ended_rollout("h");
  ragged.origin.pop_back();
  EXPECT_THROW(spliced(ragged), core::Error);
}

TEST(Masks, AnUnguidedRolloutIsInTheLossWholeAndNeverShaped) {
  for (const LossOn loss_on : {LossOn::WholeTrajectory, LossOn::GuidanceTokens}) {
    EXPECT_THAT(loss_mask(ended_rollout("ab"), loss_on), ElementsAre(1, 1, 1));  // the end-of-turn token too
    EXPECT_THAT(guided_mask(ended_rollout("ab"), loss_on), ElementsAre(0, 0, 0));
    EXPECT_TRUE(loss_mask(Rollout{}, loss_on).empty());
  }
}

TEST(Masks, OfAGuidedRollout) {
  Rollout rollout = ended_rollout("ab");
  spliced(rollout, {}, {.opinion = "correct", .reason = "c", .phrase = "d"});
  rollout.guidance.guided = true;
  EXPECT_THAT(loss_mask(rollout, LossOn::WholeTrajectory), ElementsAre(1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(guided_mask(rollout, LossOn::WholeTrajectory), ElementsAre(1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(loss_mask(rollout, LossOn::GuidanceTokens), ElementsAre(0, 0, 0, 1, 1, 1, 1));
  EXPECT_THAT(guided_mask(rollout, LossOn::GuidanceTokens), ElementsAre(0, 0, 0, 1, 1, 1, 1));
}

TEST(Masks, OfACutOne) {
  Rollout rollout = ended_rollout("ab");
  spliced(rollout, {.response_limit = 3});
  rollout.guidance.guided = true;
  EXPECT_THAT(loss_mask(rollout, LossOn::WholeTrajectory), ElementsAre(1, 1, 1));
  EXPECT_THAT(loss_mask(rollout, LossOn::GuidanceTokens), ElementsAre(0, 0, 0));  // nothing of the teacher's is left
}

}  // namespace
}  // namespace thinktune::guidance
