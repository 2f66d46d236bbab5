// Memory that does not suffice while rollouts and the teacher's replies are sampled, or in the passes of an update.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>

#include <fstream>
#include <sstream>

#include "fault/disks.h"
#include "fault/small_runs.h"
#include "support/small_memory.h"
#include "thinktune/train/doctor.h"

namespace thinktune::fault {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using thinktune::test::SmallMemory;

class Memory : public SmallRuns {
 protected:
  static constexpr int64_t kSequences = 12;  // 4 prompts of 3 rollouts: all of a step at a time

  Memory() {
    logger_ = std::make_shared<spdlog::logger>("memory", std::make_shared<spdlog::sinks::ostream_sink_st>(log_));
    logger_->set_level(spdlog::level::warn);
    before_ = spdlog::default_logger();
    spdlog::set_default_logger(logger_);
  }
  ~Memory() override { spdlog::set_default_logger(before_); }

  train::TrainOptions options(const std::string& output, int64_t sequences = kSequences) const {
    train::TrainOptions o = SmallRuns::options(output);
    o.engine.max_sequences = sequences;
    o.checkpoint.background = false;  // the memory in sampling is sampling's alone
    return o;
  }

  // Its own first model teaches.
  train::TrainOptions taught_options(const std::string& output, guidance::Format format) const {
    train::TrainOptions o = options(output);
    o.steps = 2;
    o.loss.kl_coefficient = 0.01;  // a random model earns nothing, but it learns
    train::test::let_the_model_teach(o, folder_.path());
    o.guidance.format = format;
    o.guidance.max_reply_tokens = 24;
    return o;
  }

  // On a machine whose memory is small in the second step's `phase`.
  static std::unique_ptr<train::Trainer> second_step_on(SmallMemory& memory, const train::TrainOptions& o,
                                                        const std::string& phase,
                                                        std::unique_ptr<guidance::Teacher> teacher = nullptr) {
    auto trainer = std::make_unique<train::Trainer>(o, "{}\n", std::move(teacher));
    trainer->stops().observer = [&memory, phase](int64_t step, const std::string& now) {
      memory.watching = step == 1 && now == phase;
    };
    return trainer;
  }

  // Trains on a machine whose memory is small in the sampling of steps from `from` on.
  static int64_t train_on(SmallMemory& memory, const train::TrainOptions& o, int64_t from = 0) {
    train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
    trainer.stops().observer = [&](int64_t step, const std::string& phase) {
      memory.watching = phase == "sampling" && step >= from;
    };
    trainer.run();
    return trainer.parts().engine->max_sequences();
  }

  int64_t peak_of(int64_t sequences) const {
    SmallMemory memory;
    const train::TrainOptions o = options("peak", sequences);
    train_on(memory, o);
    remove(o);
    return memory.peak_bytes;
  }

  int64_t times_said(const std::string& words) const {
    int64_t times = 0;
    const std::string log = log_.str();
    for (size_t at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++times;
    return times;
  }

  std::ostringstream log_;

 private:
  std::shared_ptr<spdlog::logger> logger_, before_;
};

TEST_F(Memory, GoesOnWithFewerSequencesAndSaysSoOnce) {
  const int64_t all = peak_of(kSequences), half = peak_of(kSequences / 2), quarter = peak_of(kSequences / 4);
  ASSERT_GT(all, half);
  ASSERT_GT(half, quarter);
  const train::TrainOptions whole = options("whole");
  train(whole);
  ASSERT_EQ(log_.str(), "");
  for (const auto& [limit, sequences] : {std::pair(half, kSequences / 2), std::pair(quarter, kSequences / 4)}) {
    SCOPED_TRACE(testing::Message() << limit << " bytes of " << all);
    log_.str("");
    SmallMemory memory;
    memory.limit_bytes = limit;
    const train::TrainOptions o = options("small");
    EXPECT_EQ(train_on(memory, o, /*from=*/1), sequences);
    EXPECT_LE(memory.peak_bytes, limit);
    train::test::expect_same_results(whole, o);
    const auto said = "going on with " + std::to_string(sequences) + " (the same rollouts, more slowly)";
    EXPECT_EQ(times_said(said), 1) << log_.str();
    EXPECT_THAT(log_.str(), HasSubstr("step 2: out of memory while sampling 12 sequences at a time"));
    EXPECT_EQ(times_said("out of memory"), sequences == kSequences / 2 ? 1 : 2) << log_.str();
    remove(o);
  }
}

TEST_F(Memory, AnAllocationThatFailsOnceChangesNothing) {
  const train::TrainOptions whole = options("whole");
  int64_t allocations = 0;
  {
    SmallMemory memory;
    train_on(memory, whole, /*from=*/2);
    allocations = memory.num_allocations;
  }
  ASSERT_GT(allocations, 1000);
  const int64_t stride = all_places() ? 1 + allocations / 400 : allocations / 12;
  for (int64_t at = 0; at < allocations; at += stride) {
    SCOPED_TRACE(testing::Message() << "allocation " << at << " of " << allocations);
    log_.str("");
    SmallMemory memory;
    memory.fails_at = at;
    const train::TrainOptions o = options("failed");
    EXPECT_EQ(train_on(memory, o, /*from=*/2), kSequences / 2);
    train::test::expect_same_results(whole, o);
    EXPECT_EQ(times_said("going on with 6 "), 1) << log_.str();
    ASSERT_FALSE(HasFailure());
    remove(o);
  }
}

TEST_F(Memory, AnEvaluationGoesOnWithFewerSequencesToo) {
  const train::TrainOptions whole = options("whole");
  train(whole);
  const train::TrainOptions o = options("small");
  train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
  bool failed = false;
  trainer.stops().observer = [&, looks = 0](int64_t step, const std::string& phase) mutable {
    // The first look is the phase's beginning; the second one a round of sampling.
    if (step == 1 && phase == "evaluation" && ++looks == 2 && !std::exchange(failed, true)) throw std::bad_alloc();
  };
  trainer.run();
  EXPECT_TRUE(failed);
  EXPECT_EQ(times_said("going on with 6 "), 1) << log_.str();
  train::test::expect_same_results(whole, o);
}

TEST_F(Memory, TheTeacherGoesOnWithFewerSequencesToo) {
  for (const guidance::Format format : {guidance::Format::Free, guidance::Format::Constrained}) {
    SCOPED_TRACE(format == guidance::Format::Free ? "free" : "constrained");
    const train::TrainOptions whole = taught_options("whole", format);
    int64_t allocations = 0;
    {
      SmallMemory memory;
      second_step_on(memory, whole, "teacher")->run();
      allocations = memory.num_allocations;
    }
    ASSERT_GT(allocations, 50);
    const int64_t stride = all_places() ? 1 + allocations / 400 : allocations / 6;
    for (int64_t at = 0; at < allocations; at += stride) {
      SCOPED_TRACE(testing::Message() << "allocation " << at << " of " << allocations);
      log_.str("");
      SmallMemory memory;
      memory.fails_at = at;
      const train::TrainOptions o = taught_options("failed", format);
      const auto trainer = second_step_on(memory, o, "teacher");
      trainer->run();
      EXPECT_EQ(trainer->parts().teacher_engine->max_sequences(), kSequences / 2);
      EXPECT_EQ(trainer->parts().engine->max_sequences(), kSequences) << "the student has memory enough";
      train::test::expect_same_results(whole, o);
      EXPECT_EQ(times_said("going on with 6 (the same teacher's replies, more slowly)"), 1) << log_.str();
      ASSERT_FALSE(HasFailure());
      remove(o);
    }
    remove(whole);
  }
}

TEST_F(Memory, ASaveWithoutMemoryForItsCopyIsWaitedFor) {
  const train::TrainOptions whole = options("whole");
  train(whole);
  train::TrainOptions o = options("failed");
  o.checkpoint.background = true;
  SmallMemory memory;
  memory.fails_at = 0;
  train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
  trainer.stops().observer = [&](int64_t step, const std::string& phase) {
    memory.watching = step == 0 && phase == "saving";  // before any save is under way
  };
  trainer.run();
  EXPECT_GT(memory.num_allocations, 0);
  EXPECT_EQ(times_said("training waits for this save: there is no memory for the copy"), 1) << log_.str();
  train::test::expect_same_results(whole, o);
}

// doctor samples as a run does.
TEST_F(Memory, DoctorGoesOnWithFewerSequencesAndNamesMemory) {
  train::TrainOptions o = options("none");
  o.engine.max_sequences = kSequences;
  const auto base_model = [&](SmallMemory& memory) {
    train::Finding found;
    memory.watching = true;
    train::examine_run(o, {.sampled = true, .num_problems = 4}, [&](const train::Finding& finding) {
      if (finding.check == "base model") found = finding;
    });
    memory.watching = false;
    return found;
  };
  int64_t peak = 0;
  {
    SmallMemory memory;
    EXPECT_THAT(base_model(memory).found, Not(HasSubstr("memory sufficed")));
    peak = memory.peak_bytes;
  }
  {
    SmallMemory memory;
    memory.limit_bytes = peak - 1;
    const train::Finding found = base_model(memory);
    EXPECT_NE(found.health, train::Health::Failed) << found.found;
    EXPECT_THAT(found.found, HasSubstr("; memory sufficed for 6 sequences at a time"));
  }
  SmallMemory memory;
  memory.limit_bytes = 0;
  const train::Finding found = base_model(memory);
  EXPECT_EQ(found.health, train::Health::Failed);
  EXPECT_EQ(found.kind, core::ErrorKind::Device);
  EXPECT_EQ(found.found, "out of memory");
}

TEST_F(Memory, NotEvenOneReplyStopsClearly) {
  const train::TrainOptions o = taught_options("none", guidance::Format::Free);
  SmallMemory memory;
  memory.limit_bytes = 0;
  const auto trainer = second_step_on(memory, o, "teacher");
  const core::Error error = train::test::error_of([&] { trainer->run(); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("step 2: out of memory while sampling one sequence of up to"),
                                  HasSubstr("(of the teacher's replies)"), HasSubstr("max_teacher_prompt_tokens")));
  EXPECT_EQ(trainer->last_checkpoint(), fs::path(o.output) / "checkpoints" / "step-1");
}

TEST_F(Memory, PassesOfAnUpdateStopClearlyAndTheRunGoesOn) {
  train::TrainOptions whole = options("whole");
  whole.loss.kl_coefficient = 0.01;
  train(whole);
  for (const auto& [phase, at] : {std::pair("old log-probs", 0), std::pair("old log-probs", 100),
                                  std::pair("update", 0), std::pair("update", 300)}) {
    SCOPED_TRACE(testing::Message() << phase << ", allocation " << at);
    train::TrainOptions o = options("stopped");
    o.loss = whole.loss;
    {
      SmallMemory memory;
      memory.fails_at = at;
      const auto trainer = second_step_on(memory, o, phase, train::test::answering_teacher(o));
      const core::Error error = train::test::error_of([&] { trainer->run(); });
      EXPECT_EQ(error.kind(), core::ErrorKind::Device);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(std::string("step 2: out of memory in the phase ") + phase),
                                      HasSubstr("lower update.micro_batch_tokens (here 512)")));
      EXPECT_EQ(trainer->last_checkpoint(), fs::path(o.output) / "checkpoints" / "step-1");
    }
    train(o, {.resume = true});
    train::test::expect_same_results(whole, o);
    remove(o);
  }
}

TEST_F(Memory, NotEvenOneSequenceStopsClearly) {
  const train::TrainOptions o = options("none");
  SmallMemory memory;
  train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
  trainer.stops().observer = [&](int64_t step, const std::string& phase) {
    memory.watching = step == 1 && phase == "sampling";
    if (memory.watching) memory.limit_bytes = 0;
  };
  const core::Error error = train::test::error_of([&] { trainer.run(); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("step 2: out of memory while sampling one sequence of up to"),
                                  HasSubstr("rollout.max_new_tokens")));
  EXPECT_EQ(times_said("going on with "), 3) << log_.str();  // 6, 3, 1
  EXPECT_EQ(trainer.last_checkpoint(), fs::path(o.output) / "checkpoints" / "step-1");
}

}  // namespace
}  // namespace thinktune::fault
