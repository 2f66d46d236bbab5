// Disks that are full, read-only or broken at any call; folders that are removed; a second run; a clock that jumps.
#include <gmock/gmock.h>

#include "checkpoint/saved_run.h"
#include "fault/disks.h"
#include "fault/small_runs.h"

namespace thinktune::fault {
namespace {

using checkpoint::test::SavedRun;
using checkpoint::test::state_of;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class Disk : public SmallRuns {};

TEST_F(Disk, AnErrorAtAnyCallOfASaveLeavesAWholeCheckpoint) {
  const fs::path checkpoints = folder_.path() / "checkpoints";
  const SavedRun older(1), newer(2), loaded(3);
  for (const int code : {ENOSPC, EIO, EROFS}) {
    int64_t failed = 0;
    for (int64_t at = 0;; ++at) {
      SCOPED_TRACE(testing::Message() << std::strerror(code) << " at call " << at);
      fs::remove_all(checkpoints);
      core::make_folders(checkpoints);
      checkpoint::save(checkpoints, state_of(3), older.tensors, {.keep_last = 1});
      FailingDisk disk(at, code == ENOSPC ? 1 : 1 << 20, code);
      bool threw = false;
      try {
        const InPlaceOfTheDisk in_place(disk);
        checkpoint::save(checkpoints, state_of(5), newer.tensors, {.keep_last = 1});
      } catch (const core::Error& error) {
        threw = true;
        ++failed;
        EXPECT_EQ(error.kind(), core::ErrorKind::User);
        EXPECT_THAT(error.what(), AllOf(HasSubstr(std::strerror(code)), HasSubstr(folder_.path().string())));
        EXPECT_FALSE(error.hint().empty());
      }
      std::vector<std::string> skipped;
      const auto found = checkpoint::find_newest(checkpoints, older.config, skipped);
      ASSERT_TRUE(found);
      EXPECT_TRUE(skipped.empty());
      if (!threw) {
        EXPECT_EQ(found->state.step, 5);
      }
      checkpoint::load_tensors(found->path, loaded.tensors);
      EXPECT_TRUE(checkpoint::test::same_tensors(loaded, found->state.step == 5 ? newer : older));
      EXPECT_NO_THROW(checkpoint::save(checkpoints, state_of(6), newer.tensors, {.keep_last = 1}));
      EXPECT_EQ(checkpoint::test::names_in(checkpoints), std::set<std::string>{"step-6"});
      if (disk.count() <= at) break;
    }
    EXPECT_GT(failed, 40);
  }
}

TEST_F(Disk, AFullOneAtAnyCallOfARunStopsItAndTheRunGoesOnAfterwards) {
  const train::TrainOptions whole = options("whole");
  CountingDisk counting;
  {
    const InPlaceOfTheDisk in_place(counting);
    train(whole);
  }
  const int64_t stride = all_places() ? 1 : counting.count() / 8;
  for (int64_t at = stride / 2; at < counting.count(); at += stride) {
    SCOPED_TRACE(testing::Message() << "full from file call " << at << " of " << counting.count());
    const train::TrainOptions o = options("full");
    {
      FailingDisk disk(at, 1 << 20, ENOSPC);
      const InPlaceOfTheDisk in_place(disk);
      try {
        train(o);
        // Only an old checkpoint could not be removed any more, which is a warning: the run is done.
        EXPECT_NO_THROW(checkpoint::verify(checkpoint::folder_of(fs::path(o.output) / "checkpoints", o.steps)));
      } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::User);
        EXPECT_THAT(error.what(), AllOf(HasSubstr("No space left on device"), HasSubstr("the disk is full")));
      }
    }
    go_on(o);
    train::test::expect_same_results(whole, o);
    remove(o);
  }
}

TEST_F(Disk, AFolderRemovedWhileTheRunIsAtWorkStopsIt) {
  for (const char* gone : {"", "checkpoints", "rollouts"}) {
    SCOPED_TRACE(gone);
    const train::TrainOptions o = options("removed");
    const core::Error error = train::test::error_of([&] {
      train(o, {}, [&](int64_t step, const std::string& phase) {
        std::error_code busy;  // a checkpoint may be written there at this moment
        while (step == 1 && phase == "teacher" && fs::exists(fs::path(o.output) / gone))
          fs::remove_all(fs::path(o.output) / gone, busy);
      });
    });
    EXPECT_EQ(error.kind(), core::ErrorKind::User);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(o.output), AnyOf(HasSubstr("No such file"), HasSubstr("was removed"))));
    if (std::string(gone).empty()) {
      EXPECT_FALSE(fs::exists(o.output)) << "the folder is not made anew with half a run";
    }
    remove(o);
  }
}

TEST_F(Disk, ASecondRunOnTheSameFolderIsRefused) {
  const train::TrainOptions o = options("shared");
  bool tried = false;
  train(o, {}, [&](int64_t step, const std::string& phase) {
    if (step != 1 || phase != "teacher" || tried) return;
    tried = true;
    for (const bool resume : {false, true}) {
      EXPECT_EQ(in_child([&] {
                  const core::Error error = train::test::error_of([&] { train(o, {.resume = resume}); });
                  const std::string text = error.what();
                  if (text.find("another run is writing to " + o.output + ": process ") == std::string::npos)
                    throw std::runtime_error(text);
                }),
                0);
    }
  });
  ASSERT_TRUE(tried);
  const train::TrainOptions whole = options("whole");
  train(whole);
  train::test::expect_same_results(whole, o);
}

}  // namespace
}  // namespace thinktune::fault
