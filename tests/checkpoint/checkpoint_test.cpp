#include "thinktune/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "checkpoint/saved_run.h"
#include "support/errors.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::names_in;
using test::same_tensors;
using test::SavedRun;
using test::state_of;
using testing::ElementsAre;
using testing::IsEmpty;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() { core::make_folder(folder_); }

  fs::path save_step(int64_t step, int64_t keep_last = 0) const {
    return save(folder_, state_of(step), run_.tensors, {.keep_last = keep_last});
  }

  std::optional<Found> newest() {
    skipped_.clear();
    return find_newest(folder_, run_.config, skipped_);
  }

  thinktune::test::TempFolder temporary_;
  const fs::path folder_ = temporary_.path() / "checkpoints";
  const SavedRun run_{1};
  std::vector<std::string> skipped_;
};

TEST_F(CheckpointTest, WhatIsSavedIsLoadedBitForBit) {
  EXPECT_EQ(save_step(12), folder_ / "step-12");
  const auto found = newest();
  ASSERT_TRUE(found);
  EXPECT_THAT(skipped_, IsEmpty());
  EXPECT_EQ(found->path, folder_ / "step-12");
  EXPECT_EQ(found->state.step, 12);
  EXPECT_EQ(found->state.data_position, 84U);
  EXPECT_EQ(found->state.num_updates, 24);
  EXPECT_EQ(found->state.guard, "{\"a\": 1}");
  EXPECT_EQ(found->state.config, "{\n}\n");
  const SavedRun other(2);
  ASSERT_FALSE(same_tensors(run_, other));
  load_tensors(found->path, other.tensors);
  EXPECT_TRUE(same_tensors(run_, other));
}

TEST_F(CheckpointTest, IsAModelFolderOfThePolicy) {
  const model::Pretrained saved(save_step(1));
  const auto loaded = model::tensor_list(saved.load_weights(at::kBFloat16)), policy = model::tensor_list(run_.policy);
  ASSERT_EQ(loaded.size(), policy.size());
  for (size_t i = 0; i < loaded.size(); ++i) EXPECT_TRUE(at::equal(loaded[i], policy[i]));
  EXPECT_EQ(saved.load_vocabulary().tokenizer->vocab_size(), run_.config.vocab_size);
}

TEST_F(CheckpointTest, TheSameStateGivesTheSameBytes) {
  fs::create_directory(temporary_.path() / "other");
  const fs::path first = save_step(1),
                 second = save(temporary_.path() / "other", state_of(1), run_.tensors, {.keep_last = 0});
  EXPECT_EQ(names_in(first), names_in(second));
  for (const std::string& name : names_in(first))
    EXPECT_TRUE(core::read_file(first / name, "file") == core::read_file(second / name, "file")) << name;
}

TEST_F(CheckpointTest, TheNewestIsFoundByNumber) {
  for (const int64_t step : {2, 10, 9}) save_step(step);
  EXPECT_EQ(newest()->state.step, 10);
}

TEST_F(CheckpointTest, NoFolderAndAnEmptyFolderHaveNone) {
  EXPECT_FALSE(newest());
  fs::create_directories(folder_);
  EXPECT_FALSE(newest());
  EXPECT_THAT(skipped_, IsEmpty());
}

TEST_F(CheckpointTest, OlderOnesAreRemovedAndNothingElse) {
  for (const int64_t step : {2, 10, 20}) save_step(step);
  for (const char* other : {"step-", "step-x", "notes"}) fs::create_directories(folder_ / other);
  std::ofstream(folder_ / "step-3") << "a file, not a folder";
  save_step(30, 2);
  EXPECT_THAT(names_in(folder_), ElementsAre("notes", "step-", "step-20", "step-3", "step-30", "step-x"));
  save_step(31, 1);
  EXPECT_THAT(names_in(folder_), ElementsAre("notes", "step-", "step-3", "step-31", "step-x"));
}

TEST_F(CheckpointTest, WithoutALimitAllAreKept) {
  for (const int64_t step : {1, 2, 3, 4}) save_step(step, 0);
  EXPECT_EQ(names_in(folder_).size(), 4U);
}

TEST_F(CheckpointTest, TheBestStayBesidesTheLast) {
  const Scores scores = {{1, 0.4}, {2, 0.6}, {3, 0.6}, {4, 0.5}, {5, 0.1}, {6, 0.9}};
  for (const int64_t step : {1, 2, 3, 4, 5})
    save(folder_, state_of(step), run_.tensors, {.keep_last = 1, .keep_best = 2}, scores);
  EXPECT_THAT(names_in(folder_), ElementsAre("step-2", "step-3", "step-5"));
  save(folder_, state_of(6), run_.tensors, {.keep_last = 1, .keep_best = 1}, scores);
  EXPECT_THAT(names_in(folder_), ElementsAre("step-6"));
}

TEST_F(CheckpointTest, OfEqualScoresTheOldestIsTheBest) {
  const Scores scores = {{1, 0.4}, {2, 0.6}, {3, 0.6}};
  EXPECT_TRUE(is_among_best(scores, 2, 1));
  EXPECT_FALSE(is_among_best(scores, 3, 1));
  EXPECT_TRUE(is_among_best(scores, 3, 2));
  EXPECT_FALSE(is_among_best(scores, 1, 2));
  EXPECT_FALSE(is_among_best(scores, 4, 9)) << "it has no score";
  EXPECT_FALSE(is_among_best(scores, 2, 0));
}

TEST_F(CheckpointTest, LaterOnesAreSetAsideAndNeverDeleted) {
  for (const int64_t step : {1, 2, 3}) save_step(step);
  EXPECT_THAT(set_aside_later(folder_, 1),
              ElementsAre(folder_ / "set-aside-1-of-step-3", folder_ / "set-aside-1-of-step-2"));
  EXPECT_EQ(newest()->state.step, 1);
  save_step(3);
  save(folder_, state_of(3), run_.tensors, {.keep_last = 1});  // a whole one of the same step is in the way
  EXPECT_THAT(names_in(folder_),
              ElementsAre("set-aside-1-of-step-2", "set-aside-1-of-step-3", "set-aside-2-of-step-3", "step-3"));
  for (const std::string& name : names_in(folder_)) EXPECT_NO_THROW(verify(folder_ / name));
}

TEST_F(CheckpointTest, ANamedOneIsFound) {
  for (const int64_t step : {1, 12}) save_step(step);
  for (const std::string& name :
       {std::string("1"), std::string("step-1"), (folder_ / "step-1").string(), (folder_ / "step-1").string() + "/"})
    EXPECT_EQ(find_named(folder_, name, run_.config).state.step, 1) << name;
  EXPECT_THAT(thinktune::test::message_of_error(core::ErrorKind::User, [&] { find_named(folder_, "3", run_.config); }),
              testing::AllOf(testing::HasSubstr("no checkpoint 3"), testing::HasSubstr("step-12, step-1")));
}

// A resume has gone back behind a damaged checkpoint: keep_last must not take that one for the newest and remove what
// is whole.
TEST_F(CheckpointTest, ADamagedNewerOneDoesNotPushOutWholeOnes) {
  for (const int64_t step : {2, 4}) save_step(step);
  fs::remove(folder_ / "step-4" / "manifest.json");
  save_step(3, 1);
  const auto found = newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state.step, 3);
  EXPECT_FALSE(fs::exists(folder_ / "step-2"));
  save_step(4, 1);  // replaces the damaged one
  EXPECT_EQ(newest()->state.step, 4);
  EXPECT_THAT(names_in(folder_), ElementsAre("step-4"));
}

TEST_F(CheckpointTest, WhatACrashLeftIsIgnoredAndCleared) {
  save_step(1);
  // One of another process, and one of a process that had this one's number: its files must not get into the
  // checkpoint.
  const std::string own = "-" + std::to_string(::getpid());
  for (const std::string& name : {std::string(".tmp-step-2-1"), ".tmp-step-2" + own}) {
    fs::create_directories(folder_ / name);
    std::ofstream(folder_ / name / "half.safetensors") << "half";
  }
  EXPECT_EQ(newest()->state.step, 1);
  EXPECT_THAT(skipped_, IsEmpty());
  const fs::path saved = save_step(2);
  EXPECT_THAT(names_in(folder_), ElementsAre("step-1", "step-2"));
  EXPECT_FALSE(fs::exists(saved / "half.safetensors"));
  EXPECT_NO_THROW(verify(saved));
}

TEST(CheckpointOptions, NegativeNumbersAreRefused) {
  EXPECT_NO_THROW(validate(CheckpointOptions{}));
  EXPECT_THROW(validate(CheckpointOptions{.every = -1}), core::Error);
  EXPECT_THROW(validate(CheckpointOptions{.retention = {.keep_last = -1}}), core::Error);
}

}  // namespace
}  // namespace thinktune::checkpoint
