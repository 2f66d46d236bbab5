// doctor's look at the ranks: numbers that are right, and wrong ones of one rank.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "support/lent_communicator.h"
#include "support/ranks.h"
#include "thinktune/train/doctor.h"

namespace thinktune::train {
namespace {

using testing::HasSubstr;
using thinktune::test::expect_all_well;
using thinktune::test::Lent;
using thinktune::test::run_ranks;

// On rank 1 one operation gives a number that is wrong.
class Spoiling final : public Lent {
 public:
  Spoiling(comm::Communicator& comm, std::string operation) : Lent(comm), operation_(std::move(operation)) {}
  comm::PendingPtr start_all_reduce(at::Tensor sum, const char* what) override {
    return spoil("all-reduce", sum, Lent::start_all_reduce(sum, what));
  }
  comm::PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char* what) override {
    return spoil("reduce-scatter", sum_C, Lent::start_reduce_scatter(sum_C, input_RC, what));
  }
  comm::PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char* what) override {
    comm::PendingPtr pending = Lent::start_all_gather(output_RC, input_C, what);
    return output_RC.is_floating_point() ? spoil("all-gather", output_RC, std::move(pending)) : std::move(pending);
  }
  comm::PendingPtr start_all_to_all(at::Tensor output_RC, at::Tensor input_RC, const char* what) override {
    return spoil("all-to-all", output_RC, Lent::start_all_to_all(output_RC, input_RC, what));
  }
  comm::PendingPtr start_broadcast(at::Tensor tensor, int64_t root, const char* what) override {
    return spoil("broadcast", tensor, Lent::start_broadcast(tensor, root, what));
  }

 private:
  struct Done final : comm::Pending {
    void wait() override {}
  };

  comm::PendingPtr spoil(const char* operation, at::Tensor result, comm::PendingPtr pending) const {
    if (rank() != 1 || operation != operation_) return pending;
    pending->wait();
    result.view({-1})[1] += 1;
    return std::make_unique<Done>();
  }

  std::string operation_;
};

Finding finding_of(comm::Communicator& ranks) {
  Finding result;
  examine_ranks(ranks, "cpu", [&](const Finding& finding) { result = finding; });
  return result;
}

TEST(DoctorRanks, SumsAndCopiesAreRight) {
  expect_all_well(run_ranks(3, [](comm::Communicator& ranks) {
    const Finding finding = finding_of(ranks);
    EXPECT_EQ(finding.health, Health::Ok) << finding.found;
    if (!ranks.is_first()) return;
    EXPECT_THAT(finding.found, HasSubstr("3 ranks: sums and copies are right"));
    EXPECT_THAT(finding.found, HasSubstr(" over Gloo"));
  }));
}

TEST(DoctorRanks, WrongNumbersOfAnotherRankAreRankZerosFinding) {
  expect_all_well(run_ranks(2, [](comm::Communicator& ranks) {
    for (const char* operation : {"all-reduce", "reduce-scatter", "all-gather", "all-to-all", "broadcast"}) {
      Spoiling spoiling(ranks, operation);
      const Finding finding = finding_of(spoiling);
      if (!ranks.is_first()) continue;
      EXPECT_EQ(finding.health, Health::Failed) << finding.found;
      EXPECT_EQ(finding.kind, core::ErrorKind::Device);
      EXPECT_EQ(finding.found, fmt::format("the {} over Gloo of 2 ranks gives wrong numbers on rank 1", operation));
    }
  }));
}

// A device that is not there is what this check finds, not an error of the program.
TEST(DoctorRanks, ADeviceThatIsNotThere) {
  expect_all_well(run_ranks(2, [](comm::Communicator& ranks) {
    Finding result;
    examine_ranks(ranks, "cuda:99", [&](const Finding& finding) { result = finding; });
    EXPECT_EQ(result.health, Health::Failed);
    EXPECT_EQ(result.kind, core::ErrorKind::User);
  }));
}

}  // namespace
}  // namespace thinktune::train
