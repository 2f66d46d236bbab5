#include "thinktune/checkpoint/saver.h"

#include <gmock/gmock.h>

#include <condition_variable>

#include "checkpoint/saved_run.h"
#include "support/errors.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/file_layer.h"

namespace thinktune::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::SavedRun;
using test::state_of;
using testing::HasSubstr;

// A disk that waits before it makes a checkpoint's folder, and may refuse it then.
class SlowDisk final : public core::FileLayer {
 public:
  SlowDisk() { core::replace_files(this); }
  ~SlowDisk() override { core::replace_files(nullptr); }

  int make_folder(const fs::path& path) override {
    if (path.filename() == "checkpoints") return core::FileLayer::make_folder(path);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return goes_on_; });
    if (!refuses_) return core::FileLayer::make_folder(path);
    errno = ENOSPC;
    return -1;
  }
  void go_on(bool refuses = false) {
    {
      const std::lock_guard lock(mutex_);
      goes_on_ = true;
      refuses_ = refuses;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool goes_on_ = false, refuses_ = false;
};

class SaverTest : public testing::Test {
 protected:
  thinktune::test::TempFolder temporary_;
  const fs::path folder_ = temporary_.path() / "checkpoints";
};

TEST_F(SaverTest, AFolderThatWasRemovedIsNotMadeAnew) {
  const SavedRun run(1);
  Saver saver(folder_, {});
  saver.save(state_of(1), run.tensors, {});
  fs::remove_all(folder_);
  for (const bool beside : {false, true}) {
    const std::string message = thinktune::test::message_of_error(core::ErrorKind::User, [&] {
      beside ? saver.start(state_of(2), run.tensors, {}) : saver.save(state_of(2), run.tensors, {});
    });
    EXPECT_THAT(message, HasSubstr(folder_.string() + " was removed"));
  }
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(SaverTest, WritesWhatWasThereAtTheStart) {
  const SavedRun run(1), same(1), loaded(2);
  SlowDisk disk;
  Saver saver(folder_, {});
  saver.start(state_of(4), run.tensors, {});
  EXPECT_TRUE(saver.is_busy());
  EXPECT_TRUE(saver.newest().empty());
  for (const at::Tensor& tensor : run.all()) tensor.fill_(7);  // training goes on
  run.policy.embedding.fill_(7);
  disk.go_on();
  saver.wait();
  EXPECT_EQ(saver.newest(), folder_ / "step-4");
  verify(saver.newest());
  load_tensors(saver.newest(), loaded.tensors);
  EXPECT_TRUE(test::same_tensors(loaded, same));
  const model::Weights policy = model::Pretrained(saver.newest()).load_weights(at::kBFloat16);
  EXPECT_TRUE(at::equal(policy.embedding, same.policy.embedding));
  EXPECT_GT(saver.held_up_s(), 0);
}

TEST_F(SaverTest, GivesTheSameBytesAsSave) {
  const SavedRun run(1);
  Saver saver(folder_, {});
  saver.start(state_of(4), run.tensors, {});
  saver.wait();
  fs::create_directory(temporary_.path() / "other");
  const fs::path other = save(temporary_.path() / "other", state_of(4), run.tensors, {});
  for (const std::string& name : test::names_in(other))
    EXPECT_TRUE(core::read_file(other / name, "file") == core::read_file(saver.newest() / name, "file")) << name;
}

// f32: the weights that compute are the master weights, and are copied once.
TEST_F(SaverTest, F32WeightsAreSavedToo) {
  SavedRun run(1);
  run.policy = thinktune::test::random_weights(run.config, 1, at::kFloat);
  run.tensors.master = model::tensor_list(run.policy);
  Saver saver(folder_, {});
  saver.start(state_of(4), run.tensors, {});
  saver.wait();
  const model::Weights policy = model::Pretrained(saver.newest()).load_weights(at::kFloat);
  EXPECT_TRUE(at::equal(policy.embedding, run.policy.embedding));
}

TEST_F(SaverTest, AnErrorComesOutAtTheNextCall) {
  const SavedRun run(1);
  {
    SlowDisk disk;
    Saver saver(folder_, {});
    saver.start(state_of(4), run.tensors, {});
    disk.go_on(/*refuses=*/true);
    EXPECT_THAT(thinktune::test::message_of_error(core::ErrorKind::User, [&] { saver.wait(); }),
                HasSubstr("No space left on device"));
    EXPECT_NO_THROW(saver.wait()) << "it is told once";
    EXPECT_TRUE(saver.newest().empty());
  }
  Saver saver(folder_, {});
  saver.save(state_of(5), run.tensors, {});
  EXPECT_EQ(saver.newest(), folder_ / "step-5");
}

}  // namespace
}  // namespace thinktune::checkpoint
