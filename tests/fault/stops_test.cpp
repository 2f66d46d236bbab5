// What a run says that ends by an exception of another kind than ours.
#include "src/cli/stops.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <new>
#include <stdexcept>

#include "fault/small_runs.h"
#include "src/cli/ranks.h"
#include "thinktune/core/last_words.h"

namespace thinktune::fault {
namespace {

using core::ErrorKind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr c10::SourceLocation kPlace = {"function", "file.cpp", 7};

// As LibTorch throws it: a text and where, and a backtrace behind it.
c10::Error libtorch_error(const char* text) { return {kPlace, text}; }

class Stops : public SmallRuns {
 protected:
  // As the run of that output ends when `exception` is thrown in the update of its second step.
  template <class Exception>
  core::Error end_by(const std::string& output, const Exception& exception) {
    const train::TrainOptions o = options(output);
    train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
    trainer.stops().observer = [&](int64_t step, const std::string& phase) {
      if (step == 1 && phase == "update") throw exception;
    };
    const core::Error error =
        train::test::error_of([&] { cli::run_to_its_end(trainer, {}, {.output = fs::path(o.output)}); });
    EXPECT_THAT(error.hint(), AllOf(HasSubstr("where: step 2, update; 1 of 3 steps are done\n  saved, and whole: " +
                                              (fs::path(o.output) / "checkpoints" / "step-1").string()),
                                    HasSubstr("\n  when that is mended, to go on: "), testing::EndsWith(" --resume")));
    return error;
  }
};

TEST_F(Stops, AFailedGpuIsTheMachines) {
  const core::Error error =
      end_by("gpu", libtorch_error("CUDA error: an illegal memory access was encountered\nSearch for `cudaError'"));
  EXPECT_EQ(error.kind(), ErrorKind::Device);
  EXPECT_EQ(error.message(), "CUDA error: an illegal memory access was encountered");
  EXPECT_THAT(error.hint(), StartsWith("the GPU or its driver has failed"));
}

TEST_F(Stops, AFailureOfLibTorchIsABugWithoutItsBacktrace) {
  const core::Error error = end_by("torch", libtorch_error("a shape is wrong\nmore of it"));
  EXPECT_EQ(error.kind(), ErrorKind::Internal);
  EXPECT_EQ(error.message(), "LibTorch: a shape is wrong");
  EXPECT_THAT(error.hint(), AllOf(StartsWith("this is a bug in thinktune"), Not(HasSubstr("frame"))));
}

TEST_F(Stops, AFileThatCannotBeUsedIsTheUsers) {
  const core::Error error =
      end_by("file", fs::filesystem_error("status", "/a/b", std::make_error_code(std::errc::permission_denied)));
  EXPECT_EQ(error.kind(), ErrorKind::User);
  EXPECT_EQ(error.message(), "cannot use /a/b: Permission denied");
}

TEST(StopsOfAnyCommand, ExceptionsHaveTheirExitCodes) {
  const auto kind_of = [](const std::exception& exception) { return train::to_error(exception).kind(); };
  for (const char* text : {"CUDA error: unspecified launch failure", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when",
                           "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "NCCL error in: x.cpp:7, unhandled cuda error",
                           "CUDA driver error: invalid argument"})
    EXPECT_EQ(kind_of(libtorch_error(text)), ErrorKind::Device) << text;
  EXPECT_EQ(kind_of(c10::OutOfMemoryError(kPlace, "CUDA out of memory. Tried to allocate 2 GiB")), ErrorKind::Device);
  EXPECT_EQ(kind_of(std::bad_alloc()), ErrorKind::Device);
  EXPECT_EQ(kind_of(std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again))),
            ErrorKind::Device);
  EXPECT_EQ(kind_of(core::data_error("a damaged file")), ErrorKind::Data);
  EXPECT_EQ(kind_of(std::runtime_error("x")), ErrorKind::Internal);
}

TEST(StopsOfAnyCommand, AProcessThatHangsSaysWhatWasSavedAndHowToGoOn) {
  const auto end = [] {
    core::set_saved("saved, and whole: a/step-4");
    core::set_way_on("to go on: x --resume");
    cli::end_stuck("rank 1, step 5: the all-reduce has not completed");
  };
  EXPECT_EXIT(end(), testing::ExitedWithCode(core::exit_code(ErrorKind::Device)),
              "^error: rank 1, step 5: the all-reduce has not completed\n  saved, and whole: a/step-4\n  to go on: x "
              "--resume\n$");
}

}  // namespace
}  // namespace thinktune::fault
