// Operations on 1, 2 and 3 ranks against what they must give by their definition; numbers are small integers, so that
// every order of a sum gives the same.
#include "thinktune/comm/communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "support/errors.h"
#include "support/ranks.h"

namespace thinktune::comm {
namespace {

using test::expect_all_well;
using test::RankEnd;
using test::run_ranks;
using testing::AnyOf;
using testing::HasSubstr;

// Numbers of rank r: 1000·r, 1000·r + 1, … modulo 83: bf16 holds their sums exactly.
at::Tensor numbers(int64_t rank, int64_t count, at::ScalarType dtype) {
  return at::arange(1000 * rank, 1000 * rank + count, at::kLong).remainder(83).to(dtype);
}

class OnRanks : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Communicator, OnRanks, testing::Values(1, 2, 3));

TEST_P(OnRanks, OperationsGiveWhatTheyMustGive) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    const int64_t size = comm.size(), rank = comm.rank();
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong})
      for (const int64_t count : {1, 2, 7, 1009, 49152}) {
        SCOPED_TRACE(fmt::format("{} numbers of type {}", count, c10::toString(dtype)));
        std::vector<at::Tensor> all, wide;
        at::Tensor sum = at::zeros({count}, dtype), wide_sum = at::zeros({size * count}, dtype);
        for (int64_t r = 0; r < size; ++r) {
          sum += numbers(r, count, dtype);
          wide_sum += numbers(r, size * count, dtype);
          all.push_back(numbers(r, count, dtype));
          wide.push_back(numbers(r, size * count, dtype).narrow(0, rank * count, count));
        }
        at::Tensor own = numbers(rank, count, dtype);
        comm.all_reduce(own, "numbers");
        EXPECT_TRUE(at::equal(own, sum)) << "all-reduce";

        at::Tensor shard = at::empty({count}, dtype);
        comm.start_reduce_scatter(shard, numbers(rank, size * count, dtype), "numbers")->wait();
        EXPECT_TRUE(at::equal(shard, wide_sum.narrow(0, rank * count, count))) << "reduce-scatter";

        at::Tensor gathered = at::empty({size * count}, dtype);
        comm.start_all_gather(gathered, numbers(rank, count, dtype), "numbers")->wait();
        EXPECT_TRUE(at::equal(gathered, at::cat(all))) << "all-gather";

        at::Tensor turned = at::empty({size * count}, dtype);
        comm.start_all_to_all(turned, numbers(rank, size * count, dtype), "numbers")->wait();
        EXPECT_TRUE(at::equal(turned, at::cat(wide))) << "all-to-all";

        for (int64_t root = 0; root < size; ++root) {
          at::Tensor sent = numbers(rank, count, dtype);
          comm.broadcast(sent, root, "numbers");
          EXPECT_TRUE(at::equal(sent, numbers(root, count, dtype))) << "broadcast from " << root;
        }
      }
  }));
}

TEST_P(OnRanks, AShardMayBePartOfWhatIsGathered) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    at::Tensor all = at::zeros({comm.size() * 5}), own = all.narrow(0, comm.rank() * 5, 5);
    own.fill_(static_cast<double>(comm.rank() + 1));
    comm.start_all_gather(all, own, "weights")->wait();
    for (int64_t r = 0; r < comm.size(); ++r) EXPECT_EQ(all[5 * r + 4].item<int64_t>(), r + 1);
  }));
}

TEST_P(OnRanks, BytesOfAnyLengthAreGathered) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    for (const int64_t length : {0, 1, 4097}) {
      const auto bytes_of = [&](int64_t r) {
        return std::string(static_cast<size_t>(length * r), static_cast<char>(200 + r));
      };
      const std::vector<std::string> all = comm.all_gather_bytes(bytes_of(comm.rank()), "bytes");
      ASSERT_EQ(std::ssize(all), comm.size());
      for (int64_t r = 0; r < comm.size(); ++r) EXPECT_TRUE(all[static_cast<size_t>(r)] == bytes_of(r)) << r;
    }
    comm.barrier("nothing");
  }));
}

TEST_P(OnRanks, SeveralAreOnTheirWayAtOnce) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    std::vector<at::Tensor> sums;
    std::vector<PendingPtr> pending;
    for (int64_t i = 0; i < 40; ++i) {
      sums.push_back(at::full({1000 + i}, static_cast<double>(i)));
      pending.push_back(comm.start_all_reduce(sums.back(), "buckets"));
    }
    for (const PendingPtr& p : pending) p->wait();
    for (int64_t i = 0; i < 40; ++i) EXPECT_TRUE(sums[i].eq(i * comm.size()).all().item<bool>()) << i;
  }));
}

// An operation that is over holds nobody's memory, its own copies included, and is looked after no more.
TEST_P(OnRanks, TensorsAreLetGo) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    const int64_t size = comm.size();
    const at::Tensor share = at::ones({1000}), all = at::ones({size * 1000}), other = at::ones({size * 1000});
    const std::pair<const char*, std::function<PendingPtr()>> operations[] = {
        {"all-reduce", [&] { return comm.start_all_reduce(all, "numbers"); }},
        {"reduce-scatter", [&] { return comm.start_reduce_scatter(share, all, "numbers"); }},
        {"all-gather", [&] { return comm.start_all_gather(all, share, "numbers"); }},
        {"all-to-all", [&] { return comm.start_all_to_all(other, all, "numbers"); }},
        {"broadcast", [&] { return comm.start_broadcast(all, 0, "numbers"); }}};
    for (const auto& [name, start] : operations) {
      const PendingPtr pending = start();
      pending->wait();
      // The thread that has carried it may be about to leave it.
      for (int i = 0; i < 200 && share.use_count() + all.use_count() + other.use_count() > 3; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_EQ(share.use_count(), 1U) << name;
      EXPECT_EQ(all.use_count(), 1U) << name;
      EXPECT_EQ(other.use_count(), 1U) << name;
    }
  }));
}

// Sums that are rounded are the same on all ranks: else their weights would drift apart.
TEST_P(OnRanks, SumsAreTheSameBitsOnAllRanks) {
  expect_all_well(run_ranks(GetParam(), [](Communicator& comm) {
    at::Tensor sum = at::arange(1, 100'004, at::kFloat).reciprocal() * (1.0 + static_cast<double>(comm.rank()) / 3);
    comm.all_reduce(sum, "numbers");
    const std::string bytes(static_cast<const char*>(sum.const_data_ptr()), static_cast<size_t>(sum.nbytes()));
    for (const std::string& other : comm.all_gather_bytes(bytes, "numbers")) EXPECT_TRUE(other == bytes);
  }));
}

TEST(Communicator, ADeadRankEndsTheOthersAtOnce) {
  const std::vector<RankEnd> ends = run_ranks(
      3,
      [](Communicator& comm) {
        comm.set_step(6);
        comm.barrier("the start");
        if (comm.rank() == 1) ::raise(SIGKILL);
        at::Tensor sum = at::ones({100'000});
        comm.all_reduce(sum, "the gradients");
      },
      30);
  EXPECT_EQ(ends[1].exit_code, 128 + SIGKILL);
  for (const int64_t r : {0, 2}) {
    SCOPED_TRACE(ends[r].error);
    EXPECT_EQ(ends[r].exit_code, 3);
    EXPECT_LT(ends[r].seconds, 20);
    EXPECT_THAT(ends[r].error, HasSubstr(fmt::format("rank {}, step 7: the all-reduce of the gradients failed", r)));
  }
  EXPECT_THAT(ends[0].error, HasSubstr("rank 1 is dead or stopped"));  // rank 2 may notice only that rank 0 has ended
}

TEST(Communicator, AStoppedRankEndsTheOthersAfterTheTimeOut) {
  const std::vector<RankEnd> ends = run_ranks(
      2,
      [](Communicator& comm) {
        comm.set_step(0);
        comm.barrier("the start");
        if (comm.rank() == 0) ::raise(SIGSTOP);
        at::Tensor sum = at::ones({100'000});
        comm.all_reduce(sum, "the gradients");
      },
      3, 12);
  EXPECT_EQ(ends[0].exit_code, 128 + SIGKILL) << "the test's limit ends it";
  EXPECT_EQ(ends[1].exit_code, 3);
  EXPECT_LT(ends[1].seconds, 11);
  EXPECT_THAT(ends[1].error, HasSubstr("rank 1, step 1: the all-reduce of the gradients has not completed after 3 s"));
}

TEST(Communicator, ARankThatIsBusyElsewhereIsNamed) {
  const std::vector<RankEnd> ends = run_ranks(
      3,
      [](Communicator& comm) {
        comm.set_step(0);
        comm.barrier("the start");
        if (comm.rank() == 2) std::this_thread::sleep_for(std::chrono::seconds(8));
        comm.barrier("the end");
      },
      3, 30);
  for (const int64_t r : {0, 1}) {
    EXPECT_EQ(ends[r].exit_code, 3);
    EXPECT_THAT(ends[r].error, HasSubstr("has not completed after 3 s"));
    // Rank 0 may have ended, and the heartbeats with it, when rank 1 wants to know.
    const auto names_it = HasSubstr("rank 2 has not come: it is at operation 2 (all-gather of the start)");
    if (r == 0)
      EXPECT_THAT(ends[r].error, names_it);
    else
      EXPECT_THAT(ends[r].error, AnyOf(names_it, HasSubstr("rank 0 cannot be reached")));
  }
  EXPECT_EQ(ends[2].exit_code, 3) << "it finds the others gone";
}

TEST(Communicator, RanksThatDoNotComeAreAUserError) {
  const auto meet = [](int64_t rank, const char* address) {
    connect({.rank = rank,
             .size = 2,
             .local_rank = rank,
             .local_size = 2,
             .master_address = address,
             .master_port = 1,
             .launcher = "torchrun"},
            {.timeout_s = 2});
  };
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { meet(1, "127.0.0.1"); }),
              HasSubstr("rank 1 of 2 has not met the others at 127.0.0.1:1"));
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { meet(1, "no.such.machine.invalid"); }),
              HasSubstr("no.such.machine.invalid, cannot be found"));
}

}  // namespace
}  // namespace thinktune::comm
