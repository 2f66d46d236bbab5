// Single steps: what a step does with responses, replies and numbers that are not as hoped.
#include <gmock/gmock.h>

#include <fstream>
#include <limits>

#include "src/train/stages.h"
#include "thinktune/train/batch.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

using guidance::TeacherReply;
using rollout::Finish;
using rollout::Origin;
using test::answering_teacher;
using test::copies;
using test::error_of;
using test::make_run;
using test::same_bits;
using test::small_options;
using testing::AllOf;
using testing::HasSubstr;

class StepTest : public testing::Test {
 protected:
  TrainOptions options(double end_bias = test::kSometimesEnds) const {
    test::write_model(folder_.path() / "model", 1, end_bias);
    return small_options(folder_.path());
  }
  static std::unique_ptr<train::Run> guided_run(const TrainOptions& o,
                                                test::AnsweringTeacher::Script script = nullptr) {
    return make_run(o, answering_teacher(o, std::move(script)));
  }
  // A step that finds nothing to learn from: no update, nothing moves, and it is counted.
  static void expect_no_update(train::Run& run, StepRecord& record, const std::vector<at::Tensor>& before) {
    EXPECT_TRUE(same_bits(before, run.policy->parameters()));
    EXPECT_EQ(run.optimiser->num_updates(), 0);
    const report::Metrics metrics = test::metrics_of(record);
    EXPECT_EQ(metrics.at("optim/updates"), 0);
    EXPECT_EQ(metrics.at("optim/updates_without_signal"), 1);
    EXPECT_EQ(metrics.at("update/sequences"), 0);
    EXPECT_EQ(metrics.at("update/sequences_without_gradient"), 12);
    EXPECT_EQ(metrics.at("loss/policy"), 0);
  }

  thinktune::test::TempFolder folder_;
};

TEST_F(StepTest, GuidedRolloutsAreRewardedAndMasked) {
  const TrainOptions o = options();
  auto run = guided_run(o);
  const StepRecord record = train_step(*run, 0);
  EXPECT_GT(record.guidance.num_guided, 0);
  int64_t guided = 0;
  for (const rollout::Group& group : record.groups) {
    int64_t guided_here = 0;
    for (const rollout::Rollout& r : group.rollouts) {
      guided_here += r.guidance.guided;
      ASSERT_EQ(r.origin.size(), r.ids.size());
      ASSERT_EQ(r.sampler_logprobs.size(), r.ids.size());
      if (!r.guidance.guided) {
        EXPECT_EQ(r.judgement.reward, 0);
        EXPECT_TRUE(std::all_of(r.origin.begin(), r.origin.end(), [](Origin from) { return from == Origin::Student; }));
        continue;
      }
      EXPECT_EQ(r.judgement.reward, 1);
      EXPECT_EQ(r.guidance.before.reward, 0);
      EXPECT_EQ(r.guidance.outcome, "guided");
      EXPECT_EQ(r.finish, Finish::EndOfTurn);
      EXPECT_EQ(r.ids.back(), 2);
      EXPECT_EQ(r.origin.back(), Origin::Phrase);
      EXPECT_TRUE(std::is_sorted(r.origin.begin(), r.origin.end())) << "student, joint, reason, phrase";
      EXPECT_GT(r.advantage, 0);
    }
    EXPECT_LE(guided_here, 1) << "one of each group";
    for (const rollout::Rollout& r : group.rollouts)
      if (!r.guidance.guided) {
        EXPECT_EQ(r.advantage < 0, guided_here == 1) << r.advantage;
      }
    guided += guided_here;
  }
  EXPECT_EQ(guided, record.guidance.num_guided);

  for (const guidance::LossOn loss_on : {guidance::LossOn::WholeTrajectory, guidance::LossOn::GuidanceTokens}) {
    TrainOptions other = o;
    other.guidance.loss_on = loss_on;
    for (const MiniBatch& mini : make_mini_batches(record.groups, other)) {
      EXPECT_TRUE(mini.has_guided);
      for (const MicroBatch& micro : mini.micro_batches)
        for (const rollout::TrainGroup& group : micro.groups)
          for (const rollout::TrainSequence& s : group.sequences) {
            const bool is_guided = s.advantage > 0, whole = loss_on == guidance::LossOn::WholeTrajectory;
            for (size_t i = 0; i < s.ids.size(); ++i) {
              // "\n\n" is two tokens here
              const bool is_joint = !s.sampled[i] && ((i > 0 && s.sampled[i - 1]) || (i > 1 && s.sampled[i - 2]));
              const bool is_teachers = !s.sampled[i] && !is_joint;
              EXPECT_EQ(s.loss_mask[i], !is_guided || whole || is_teachers);
              EXPECT_EQ(s.guided_mask[i], is_guided && (whole || is_teachers));
            }
            EXPECT_EQ(std::find(s.sampled.begin(), s.sampled.end(), 0) != s.sampled.end(), is_guided);
          }
    }
  }
}

TEST_F(StepTest, WithABaselineOfUnguidedRolloutsOnlyTheGuidedOneHasAnAdvantage) {
  TrainOptions o = options();
  o.advantage.baseline = algo::Baseline::Unguided;
  auto run = guided_run(o);
  const StepRecord record = train_step(*run, 0);
  ASSERT_GT(record.guidance.num_guided, 0);
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& r : group.rollouts) EXPECT_EQ(r.advantage > 0, r.guidance.guided) << r.advantage;
  EXPECT_EQ(test::metrics_of(record).at("update/sequences"), static_cast<double>(record.guidance.num_guided));
}

TEST_F(StepTest, EmptyResponsesAreCountedAndTeachNothing) {
  auto run = guided_run(options(test::kEndsAtOnce));
  const auto before = copies(run->policy->parameters());
  StepRecord record = train_step(*run, 0);
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& r : group.rollouts) {
      ASSERT_EQ(r.ids, std::vector<core::TokenId>{2});
      EXPECT_EQ(r.finish, Finish::EndOfTurn);
      EXPECT_EQ(r.text, "");
      EXPECT_EQ(r.judgement.verdict, rollout::Verdict::Unparsed);
    }
  EXPECT_EQ(record.guidance.num_empty, 12);
  EXPECT_EQ(record.guidance.num_eligible, 0);
  EXPECT_EQ(record.guidance.num_groups_without_eligible, 4);
  EXPECT_EQ(record.guidance.num_asked, 0);
  expect_no_update(*run, record, before);
}

TEST_F(StepTest, AnEmptyResponseCanBeTrainedOn) {  // its end-of-turn token is predicted by the prompt alone
  TrainOptions o = options(test::kEndsAtOnce);
  o.guidance.enabled = false;
  o.loss.entropy_coefficient = 0.1;
  auto run = make_run(o);
  const auto before = copies(run->policy->parameters());
  const StepRecord record = train_step(*run, 0);
  EXPECT_EQ(test::metrics_of(record).at("optim/updates"), 1);
  EXPECT_EQ(test::metrics_of(record).at("update/sequences"), 12);
  EXPECT_FALSE(same_bits(before, run->policy->parameters()));
}

TEST_F(StepTest, CutResponsesAreNeitherEligibleNorRewarded) {
  TrainOptions o = options(test::kNeverEnds);
  o.rollout.max_new_tokens = 7;
  o.reward.answer.decides = reward::Decides::Lenient;
  auto run = guided_run(o);
  const auto before = copies(run->policy->parameters());
  StepRecord record = train_step(*run, 0);
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& r : group.rollouts) {
      EXPECT_EQ(r.ids.size(), 7U);
      EXPECT_EQ(r.finish, Finish::Length);
      EXPECT_EQ(r.judgement.reward, 0);
    }
  EXPECT_EQ(record.guidance.num_eligible, 0);
  EXPECT_EQ(record.guidance.num_empty, 0);
  EXPECT_EQ(record.guidance.num_groups_without_eligible, 4);
  EXPECT_EQ(record.guidance.ended_share, 0);
  expect_no_update(*run, record, before);
}

TEST_F(StepTest, EqualGroupsMoveNothing) {
  TrainOptions o = options();
  o.guidance.enabled = false;
  auto run = make_run(o);
  const auto before = copies(run->policy->parameters());
  StepRecord record = train_step(*run, 0);
  expect_no_update(*run, record, before);
  EXPECT_EQ(run->teacher, nullptr);
  EXPECT_EQ(run->initial_weights, nullptr) << "plain GRPO without KL holds the weights once";
}

TEST_F(StepTest, AMiniBatchWithoutSignalIsSkippedAlone) {
  TrainOptions o = options();
  o.update.mini_batch_prompts = 1;
  auto run = guided_run(o, [](const std::string& gold, int64_t number) {
    return TeacherReply{
        number % 2 == 0 ? guidance::format_reply("incorrect", "No.", "\\boxed{" + gold + "}") : "no tags", true};
  });
  const StepRecord record = train_step(*run, 0);
  const report::Metrics metrics = test::metrics_of(record);
  EXPECT_GT(record.guidance.num_guided, 0);
  EXPECT_EQ(metrics.at("optim/updates"), static_cast<double>(record.guidance.num_guided));
  EXPECT_EQ(metrics.at("optim/updates_without_signal"), static_cast<double>(4 - record.guidance.num_guided));
  EXPECT_EQ(run->optimiser->num_updates(), record.guidance.num_guided);
}

TEST_F(StepTest, InvalidRepliesLeaveTheRolloutsAndAreCounted) {
  auto run = guided_run(options(), [](const std::string&, int64_t number) {
    const TeacherReply replies[] = {{"I do not know.", true},
                                    {guidance::format_reply("incorrect", "No.", "\\boxed{1}"), false},
                                    {guidance::format_reply("perhaps", "No.", "\\boxed{1}"), true},
                                    {guidance::format_reply("incorrect", " ", "\\boxed{1}"), true}};
    return replies[number % 4];
  });
  const auto before = copies(run->policy->parameters());
  StepRecord record = train_step(*run, 0);
  EXPECT_EQ(record.guidance.num_replies_valid, 0);
  EXPECT_EQ(record.guidance.num_guided, 0);
  ASSERT_EQ(record.guidance.num_asked, 4) << "the test wants every group to have an eligible rollout";
  for (const char* outcome : {"missing_opinion", "not_ended", "bad_opinion", "empty_reason"})
    EXPECT_EQ(record.guidance.outcomes[outcome], 1) << outcome;
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& r : group.rollouts)
      EXPECT_EQ(std::count(r.origin.begin(), r.origin.end(), Origin::Student), std::ssize(r.ids));
  expect_no_update(*run, record, before);
}

TEST_F(StepTest, GuidedResponsesAreCutAtTheirLimit) {
  TrainOptions o = options();
  o.guidance.response_limit = 34;
  auto run = guided_run(o, [](const std::string& gold, int64_t) {
    return TeacherReply{
        guidance::format_reply("incorrect", "No, that is not what was asked.", "It is \\boxed{" + gold + "}."), true};
  });
  const auto before = copies(run->policy->parameters());
  StepRecord record = train_step(*run, 0);
  EXPECT_GT(record.guidance.num_guided, 0);
  EXPECT_EQ(record.guidance.num_cut, record.guidance.num_guided);
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& r : group.rollouts)
      if (r.guidance.guided) {
        EXPECT_EQ(r.ids.size(), 34U);
        EXPECT_EQ(r.finish, Finish::Length);
        EXPECT_EQ(r.judgement.reward, 0);
      }
  expect_no_update(*run, record, before);
}

TEST_F(StepTest, PromptsOverTheLimitAreLeftOutAndCounted) {
  TrainOptions o = options();
  o.guidance.enabled = false;
  auto all = make_run(o);
  EXPECT_EQ(all->prompts->num_too_long(), 0);
  std::vector<size_t> lengths;
  for (const rollout::Prompt& prompt : all->prompts->next(12)) lengths.push_back(prompt.ids.size());
  std::sort(lengths.begin(), lengths.end());
  ASSERT_LT(lengths.front(), lengths[6]);

  o.prompt.max_prompt_tokens = static_cast<int64_t>(lengths[6]) - 1;
  auto some = make_run(o);
  const int64_t kept = std::lower_bound(lengths.begin(), lengths.end(), lengths[6]) - lengths.begin();
  EXPECT_EQ(some->prompts->size(), kept);
  EXPECT_EQ(some->prompts->num_too_long(), 12 - kept);
  for (const rollout::Group& group : train_step(*some, 0).groups) EXPECT_LT(group.prompt.ids.size(), lengths[6]);

  for (const rollout::Prompt& prompt : some->heldout) EXPECT_LT(prompt.ids.size(), lengths[6]);
  const auto short_enough = [&](const rollout::Prompt& prompt) { return prompt.ids.size() < lengths[6]; };
  EXPECT_EQ(std::ssize(some->heldout), std::count_if(all->heldout.begin(), all->heldout.end(), short_enough));

  o.prompt.max_prompt_tokens = 3;
  const core::Error none = error_of([&] { make_run(o); });
  EXPECT_EQ(none.kind(), core::ErrorKind::User);
  EXPECT_THAT(none.message(), HasSubstr("prompt.max_prompt_tokens"));
}

TEST_F(StepTest, OnlyTheFirstHeldOutProblemsAreTakenIfAsked) {
  TrainOptions o = options();
  o.guidance.enabled = false;
  const auto all = make_run(o);
  o.eval.num_problems = 2;
  const auto some = make_run(o);
  ASSERT_EQ(all->heldout.size(), 3U);
  ASSERT_EQ(some->heldout.size(), 2U);
  EXPECT_EQ(some->heldout[1].id, all->heldout[1].id);
}

TEST_F(StepTest, PromptsAreNumberedByTheirPlaceInTheRun) {
  TrainOptions o = options();
  o.guidance.enabled = false;
  auto run = make_run(o);
  const auto first = run->prompts->next(7), second = run->prompts->next(7);
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(first[i].number, i);
    EXPECT_EQ(second[i].number, 7 + i);
  }
  EXPECT_EQ(run->prompts->position(), 14U);
  run->prompts->restore(7);
  const auto again = run->prompts->next(7);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(again[i].ids, second[i].ids);
}

TEST_F(StepTest, ANaNWeightStopsBeforeTheUpdateAndIsNamed) {
  TrainOptions o = options();
  // The bf16 copy takes the NaN over when the student has sampled.
  o.precision = Precision::Bf16;
  Policy* policy = nullptr;
  auto run = guided_run(o, [&](const std::string& gold, int64_t) {
    policy->refresh_compute_weights();
    return TeacherReply{guidance::format_reply("incorrect", "No.", "\\boxed{" + gold + "}"), true};
  });
  policy = run->policy.get();
  run->policy->parameters()[0].detach()[17][3].fill_(std::numeric_limits<float>::quiet_NaN());
  const auto before = copies(run->policy->parameters());
  const core::Error error = error_of([&] { train_step(*run, 2); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.message(), HasSubstr("step 3: a weight of model.embed_tokens.weight is not finite"));
  EXPECT_TRUE(same_bits(before, run->policy->parameters()));
  EXPECT_EQ(run->optimiser->num_updates(), 0);
}

TEST_F(StepTest, ANaNWeightThatTheSamplerReadsStopsTheStepToo) {
  auto run = guided_run(options());
  run->policy->parameters()[0].detach().fill_(std::numeric_limits<float>::quiet_NaN());
  const core::Error error = error_of([&] { train_step(*run, 0); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("step 1: the logits of sequence "),
                    HasSubstr("are not finite (a weight of model.embed_tokens.weight is not finite)")));
  EXPECT_EQ(run->optimiser->num_updates(), 0);
}

TEST_F(StepTest, ANaNWeightThatTheTeacherReadsIsNamed) {
  TrainOptions o = options();
  test::let_the_model_teach(o, folder_.path());
  auto run = make_run(o);
  run->initial_weights->layers[1].down.fill_(std::numeric_limits<float>::quiet_NaN());
  run->teacher_engine->weights_changed();
  const core::Error error = error_of([&] { train_step(*run, 0); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("step 1: the logits of sequence "),
                    HasSubstr("(a weight of the frozen first model's model.layers.1.mlp.down_proj.weight is not")));
  EXPECT_EQ(run->optimiser->num_updates(), 0);
}

// From weights that are finite: a product that no number of f32 can hold.
TEST_F(StepTest, ALossThatIsNotFiniteStopsBeforeTheUpdate) {
  for (const Precision precision : {Precision::F32, Precision::Bf16}) {
    TrainOptions o = options();
    o.precision = precision;
    auto run = guided_run(o);
    run->options.loss.entropy_coefficient = 3e38;
    const auto before = copies(run->policy->parameters());
    const core::Error error = error_of([&] { train_step(*run, 4); });
    EXPECT_EQ(error.kind(), core::ErrorKind::Device);
    EXPECT_THAT(error.message(), HasSubstr("step 5: the loss is not finite (all weights are); the weights were not "
                                           "changed in this update"));
    EXPECT_TRUE(same_bits(before, run->policy->parameters()));
    EXPECT_EQ(run->optimiser->num_updates(), 0);
  }
}

// The KL term reads the first model.
TEST_F(StepTest, ALossThatIsNotFiniteNamesTheTensor) {
  TrainOptions o = options();
  o.loss.kl_coefficient = 0.1;
  auto run = guided_run(o);
  run->initial_weights->final_norm.fill_(std::numeric_limits<float>::quiet_NaN());
  const auto before = copies(run->policy->parameters());
  const core::Error error = error_of([&] { train_step(*run, 0); });
  EXPECT_THAT(
      error.message(),
      HasSubstr("step 1: the loss is not finite (a weight of the frozen first model's model.norm.weight is not"));
  EXPECT_TRUE(same_bits(before, run->policy->parameters()));
  EXPECT_EQ(run->optimiser->num_updates(), 0);
}

TEST_F(StepTest, AnInfiniteGradientStopsBeforeTheUpdateAndIsNamed) {
  for (const Precision precision : {Precision::F32, Precision::Bf16}) {
    TrainOptions o = options();
    o.precision = precision;
    auto run = guided_run(o);
    // In the order of tensor_list: embedding, then six a layer (norm, qkv, output, norm, gate_up, down).
    run->policy->on_gradient([&policy = *run->policy](size_t parameter) {
      if (parameter == 1 + 6 + 2)
        policy.set_gradient(parameter, policy.take_gradient(parameter) * std::numeric_limits<float>::infinity());
    });
    const auto before = copies(run->policy->parameters());
    const core::Error error = error_of([&] { train_step(*run, 1); });
    EXPECT_EQ(error.kind(), core::ErrorKind::Device);
    EXPECT_THAT(error.message(),
                HasSubstr("step 2: the gradient of model.layers.1.self_attn.o_proj.weight is not finite"));
    EXPECT_TRUE(same_bits(before, run->policy->parameters()));
    EXPECT_EQ(run->optimiser->num_updates(), 0);
  }
}

TEST_F(StepTest, TheKlTermIsZeroAtTheInitialModelAndGrows) {
  TrainOptions o = options();
  o.loss.kl_coefficient = 0.1;
  auto run = guided_run(o);
  EXPECT_NEAR(test::metrics_of(train_step(*run, 0)).at("policy/kl_to_reference"), 0, 1e-10);
  ASSERT_EQ(run->optimiser->num_updates(), 1);
  EXPECT_GT(test::metrics_of(train_step(*run, 1)).at("policy/kl_to_reference"), 1e-8);
  // With the term every sequence has a gradient, those of equal groups too.
  o.guidance.enabled = false;
  auto plain = make_run(o);
  EXPECT_EQ(test::metrics_of(train_step(*plain, 0)).at("update/sequences"), 12);
}

TEST_F(StepTest, OldLogprobsComeFromWhereTheOptionSays) {
  TrainOptions o = options();
  auto run = guided_run(o);
  const StepRecord record = train_step(*run, 0);  // the policy has moved since: sampler and policy can be told apart
  run->sampler_is_proved = true;
  const auto check = [&](int64_t mini_batch_prompts, OldLogprobs old) {
    run->options.update = {.mini_batch_prompts = mini_batch_prompts, .micro_batch_tokens = 300, .old_logprobs = old};
    std::vector<MiniBatch> minis = make_mini_batches(record.groups, run->options);
    add_old_logprobs(*run, minis);
    int64_t teachers = 0;
    for (const MiniBatch& mini : minis)
      for (const MicroBatch& micro : mini.micro_batches) {
        const at::Tensor policy_M = response_logprobs(*run->decoder, run->policy->compute_weights(), micro.groups,
                                                      logprob_options(run->options), Gradient::None)
                                        .logprob_T;
        const float* policy = policy_M.const_data_ptr<float>();
        for (const rollout::TrainGroup& group : micro.groups)
          for (const rollout::TrainSequence& s : group.sequences) {
            if (mini_batch_prompts == 4 && old == OldLogprobs::Policy) {
              EXPECT_TRUE(s.old_logprobs.empty()) << "the one update's own pass has them";
              continue;
            }
            ASSERT_EQ(s.old_logprobs.size(), s.ids.size());
            for (size_t i = 0; i < s.ids.size(); ++i, ++policy) {
              const bool recorded = old == OldLogprobs::Sampler && s.sampled[i];
              EXPECT_EQ(s.old_logprobs[i], recorded ? s.sampler_logprobs[i] : *policy);
              teachers += !s.sampled[i];
            }
          }
      }
    EXPECT_EQ(teachers > 0, mini_batch_prompts != 4 || old == OldLogprobs::Sampler);
  };
  for (const int64_t mini_batch_prompts : {2, 4})
    for (const OldLogprobs old : {OldLogprobs::Policy, OldLogprobs::Sampler}) check(mini_batch_prompts, old);
}

// A policy that is not the one which has sampled stands for a sampler that computes something else.
TEST_F(StepTest, OldLogprobsOfASamplerThatIsWrongEndTheRun) {
  TrainOptions o = options();
  o.update.old_logprobs = OldLogprobs::Sampler;
  auto run = guided_run(o);
  EXPECT_FALSE(run->sampler_is_proved);
  StepRecord record = train_step(*run, 0);
  EXPECT_TRUE(run->sampler_is_proved);
  std::vector<MiniBatch> minis = make_mini_batches(record.groups, o);
  EXPECT_NO_THROW(add_old_logprobs(*run, minis)) << "it was compared once";
  for (rollout::Group& group : record.groups)
    for (rollout::Rollout& rollout : group.rollouts)
      for (float& logprob : rollout.sampler_logprobs) logprob -= 0.25F;
  minis = make_mini_batches(record.groups, o);
  run->sampler_is_proved = false;
  const core::Error error = error_of([&] { add_old_logprobs(*run, minis); });
  EXPECT_EQ(error.kind(), core::ErrorKind::User);
  EXPECT_THAT(error.message(), testing::HasSubstr("differ by up to"));
  EXPECT_THAT(error.hint(), testing::HasSubstr("update.old_logprobs to policy"));
  EXPECT_FALSE(run->sampler_is_proved);
  minis = make_mini_batches(record.groups, o);
  for (MiniBatch& mini : minis) mini.micro_batches.clear();
  EXPECT_NO_THROW(add_old_logprobs(*run, minis));
  EXPECT_FALSE(run->sampler_is_proved) << "nothing was compared";
}

TEST_F(StepTest, SamplerAndTrainerAgree) {
  for (const OldLogprobs old : {OldLogprobs::Policy, OldLogprobs::Sampler})
    for (const infer::SamplingOptions& sampling :
         {infer::SamplingOptions{}, infer::SamplingOptions{.temperature = 0.7, .top_k = 200, .top_p = 0.95}}) {
      TrainOptions o = options();
      o.update.old_logprobs = old;
      o.rollout.sampling = sampling;
      auto run = guided_run(o);
      const StepRecord record = train_step(*run, 0);
      ASSERT_EQ(run->optimiser->num_updates(), 1);
      const report::Metrics metrics = test::metrics_of(record);
      EXPECT_LT(metrics.at("mismatch/max"), 1e-4);
      // Two ways of computing never agree in every bit: a 0 would mean that something is compared with itself.
      EXPECT_GT(metrics.at("mismatch/max"), 0) << core::name_of(kOldLogprobsNames, old);
      EXPECT_LE(metrics.at("mismatch/mean"), metrics.at("mismatch/p99"));
      EXPECT_LE(metrics.at("mismatch/p99"), metrics.at("mismatch/max"));
      EXPECT_EQ(metrics.at("mismatch/max"), record.updates.largest_mismatch());
      EXPECT_NEAR(metrics.at("policy/ratio_max"), 1, 1e-4);
      EXPECT_NEAR(metrics.at("policy/kl_to_old"), 0, 1e-5);
    }
}

}  // namespace
}  // namespace thinktune::train
