// The power goes at every point of a save, and of a run: what is left on the disk is a whole checkpoint, and the run
// that goes on from it ends as one that was never disturbed.
#include <gmock/gmock.h>

#include "checkpoint/saved_run.h"
#include "fault/disks.h"
#include "fault/small_runs.h"

namespace thinktune::fault {
namespace {

using checkpoint::test::SavedRun;
using checkpoint::test::state_of;
using Operation = CountingDisk::Operation;

struct Loss {
  Left left = Left::Nothing;
  uint32_t seed = 0;
};
const std::vector<Loss> kLosses = {
    {Left::Nothing}, {Left::Everything}, {Left::NamesOnly}, {Left::Some, 1}, {Left::Some, 2}};

class PowerLoss : public SmallRuns {};

TEST_F(PowerLoss, AtEveryPointOfASaveLeavesAWholeCheckpoint) {
  const fs::path root = folder_.path() / "disk", checkpoints = root / "checkpoints";
  const SavedRun older(1), newer(2);
  core::make_folders(checkpoints);
  checkpoint::save(checkpoints, state_of(3), older.tensors, {.keep_last = 1});
  const Platter before(root);
  RecordingDisk recording;
  {
    const InPlaceOfTheDisk in_place(recording);
    checkpoint::save(checkpoints, state_of(5), newer.tensors, {.keep_last = 1});
  }

  const SavedRun loaded(3);
  const auto check = [&](const Platter& platter, size_t cut, bool must_be_new) {
    for (const Loss& loss : kLosses) {
      SCOPED_TRACE(testing::Message() << "cut at call " << cut << " of " << recording.operations.size() << ", left "
                                      << static_cast<int>(loss.left) << ", seed " << loss.seed);
      const thinktune::test::TempFolder left;
      platter.write_to(left.path(), loss.left, loss.seed);
      std::vector<std::string> skipped;
      const auto found = checkpoint::find_newest(left.path() / "checkpoints", older.config, skipped);
      ASSERT_TRUE(found) << testing::PrintToString(skipped);
      EXPECT_TRUE(skipped.empty()) << "damaged under its own name: " << skipped.front();
      EXPECT_TRUE(found->state.step == 5 || (found->state.step == 3 && !must_be_new)) << found->state.step;
      checkpoint::load_tensors(found->path, loaded.tensors);
      EXPECT_TRUE(checkpoint::test::same_tensors(loaded, found->state.step == 5 ? newer : older));
    }
  };
  Platter platter = before;
  const std::vector<Operation>& operations = recording.operations;
  ASSERT_GT(operations.size(), 30U);
  const size_t renamed = static_cast<size_t>(
      std::find_if(operations.begin(), operations.end(),
                   [](const Operation& o) { return o.kind == Operation::Rename && o.to.filename() == "step-5"; }) -
      operations.begin());
  for (size_t cut = 0; cut <= operations.size(); ++cut) {
    check(platter, cut, cut >= renamed + 2);  // its folder is flushed right after
    if (cut == operations.size()) break;
    if (operations[cut].kind == Operation::Write) {
      Platter half = platter;
      half.apply(operations[cut], 0.5);
      check(half, cut, false);
    }
    platter.apply(operations[cut]);
    if (HasFatalFailure()) return;
  }
}

TEST_F(PowerLoss, AtAnyPointOfARunIsMadeUpFor) {
  const train::TrainOptions whole = options("whole");
  train(whole);
  const fs::path disk = folder_.path() / "disk";
  fs::create_directories(disk);
  train::TrainOptions cut = options("disk/run");
  cut.checkpoint.retention.keep_last = 1;
  Platter platter(disk);
  RecordingDisk recording;
  {
    const InPlaceOfTheDisk in_place(recording);
    train(cut);
  }
  const size_t stride = all_places() ? 1 : recording.operations.size() / 14;
  for (size_t done = 0, number = 0; done < recording.operations.size(); ++done) {
    if (done % stride == stride / 2) {
      const Loss loss = kLosses[number++ % kLosses.size()];
      SCOPED_TRACE(testing::Message() << "cut at call " << done << " of " << recording.operations.size() << ", left "
                                      << static_cast<int>(loss.left));
      fs::remove_all(disk);
      platter.write_to(disk, loss.left, static_cast<uint32_t>(done));
      go_on(cut);
      train::test::expect_same_results(whole, cut);
    }
    platter.apply(recording.operations[done]);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace thinktune::fault
