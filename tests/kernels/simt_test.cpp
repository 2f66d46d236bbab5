// The layer that runs kernels on the CPU finds what it is there to find.
#include <gmock/gmock.h>

#include "support/simt/cuda.h"

namespace thinktune::simt {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

void run(unsigned threads, const std::function<void()>& kernel, size_t dynamic_bytes = 0, Index grid = {1, 1, 1}) {
  Machine::instance().launch(grid, threads, dynamic_bytes, kernel);
}

TEST(Simt, RunsEveryThreadOfEveryBlock) {
  std::vector<int> seen(3 * 2 * 64);
  run(64, [&] { ++seen[(blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x]; }, 0, {3, 2, 1});
  EXPECT_THAT(seen, testing::Each(1));
}

TEST(Simt, SharedMemoryIsOfTheBlock) {
  std::vector<int> out(4 * 96);
  run(96,
      [&] {
        TT_SHARED(int, values, 96);
        values[threadIdx.x] = static_cast<int>(threadIdx.x + 1000 * blockIdx.x);
        __syncthreads();
        out[blockIdx.x * 96 + threadIdx.x] = values[95 - threadIdx.x];
      },
      0, {4, 1, 1});
  for (int i = 0; i < 4 * 96; ++i) EXPECT_EQ(out[i], 95 - i % 96 + 1000 * (i / 96));
}

TEST(Simt, ShufflesAndVotes) {
  std::vector<float> sums(64);
  std::vector<unsigned> votes(64);
  std::vector<double> before(64);
  run(64, [&] {
    float sum = static_cast<float>(threadIdx.x);
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    sums[threadIdx.x] = sum;
    votes[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
    before[threadIdx.x] = __shfl_up_sync(0xffffffffu, 0.5 * threadIdx.x, 1);
    EXPECT_EQ(__shfl_sync(0xffffffffu, threadIdx.x, 5), threadIdx.x / 32 * 32 + 5);
    EXPECT_EQ(__shfl_down_sync(0xffffffffu, threadIdx.x, 30), threadIdx.x % 32 < 2 ? threadIdx.x + 30 : threadIdx.x);
  });
  for (unsigned t = 0; t < 64; ++t) {
    EXPECT_EQ(sums[t], t < 32 ? 496 : 496 + 1024);
    EXPECT_EQ(votes[t], t < 32 ? 0x49249249u : 0x92492492u);
    EXPECT_EQ(before[t], t % 32 == 0 ? 0.5 * t : 0.5 * (t - 1));
  }
}

TEST(Simt, CountsByAtomics) {
  int total = 0;
  run(256, [&] {
    TT_SHARED(int, count, 1);
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    atomicAdd(&count[0], 2);
    __syncthreads();
    if (threadIdx.x == 77) total = count[0];
  });
  EXPECT_EQ(total, 512);
}

TEST(Simt, FindsABarrierThatSomeThreadsDoNotReach) {
  EXPECT_THAT(
      [] {
        run(64, [] {
          if (threadIdx.x != 40) __syncthreads();
        });
      },
      ThrowsMessage<Violation>(HasSubstr("thread 40 has finished")));
}

// Kernels stand outside the checks' macros, inside of which all lines are one.
TEST(Simt, FindsThreadsAtDifferentBarriers) {
  const auto kernel = [] {
    if (threadIdx.x < 32)
      __syncthreads();
    else
      __syncthreads();
  };
  EXPECT_THAT([&] { run(64, kernel); }, ThrowsMessage<Violation>(HasSubstr("the threads of a block part")));
}

TEST(Simt, FindsAWarpThatParts) {
  const auto half_shuffles = [] {
    if (threadIdx.x % 2 == 0) __shfl_sync(0xffffffffu, 1, 0);
  };
  const auto two_places = [] {
    if (threadIdx.x % 2 == 0)
      __syncwarp();
    else
      __syncwarp();
  };
  const auto two_barriers = [] {
    if (threadIdx.x < 16)
      __syncthreads();
    else
      __syncwarp();
  };
  for (const std::function<void()>& kernel :
       {std::function<void()>(half_shuffles), std::function<void()>(two_places), std::function<void()>(two_barriers)})
    EXPECT_THAT([&] { run(32, kernel); }, ThrowsMessage<Violation>(HasSubstr("the threads of a warp part")));
}

TEST(Simt, FindsPartsOfAWarp) {
  EXPECT_THAT([] { run(32, [] { __syncwarp(0xffffu); }); }, ThrowsMessage<Violation>(HasSubstr("a part of a warp")));
}

TEST(Simt, FindsSharedElementsOutOfBounds) {
  for (int index : {-1, 8})
    EXPECT_THAT(
        [index] {
          run(32, [index] {
            TT_SHARED(float, values, 8);
            if (threadIdx.x == 3) values[index] = 1;
          });
        },
        ThrowsMessage<Violation>(HasSubstr("thread 3: shared element " + std::to_string(index) + " of an array of 8")));
  EXPECT_THAT(
      [] {
        run(
            32,
            [] {
              TT_DYNAMIC_SHARED(float, values);
              if (threadIdx.x == 3) values[16] = 1;
            },
            64);
      },
      ThrowsMessage<Violation>(HasSubstr("shared element 16 of an array of 16")));
}

TEST(Simt, FindsReadsOfWhatNobodyWrote) {
  const auto kernel = [] {
    TT_SHARED(float, values, 32);
    if (threadIdx.x != 9) values[threadIdx.x] = 1;
    __syncthreads();
    volatile float sum = values[(threadIdx.x + 1) % 32];
    (void)sum;
  };
  EXPECT_THAT([&] { run(32, kernel); }, ThrowsMessage<Violation>(HasSubstr("element 9, which nobody has written")));
  // Nor does a block see what the one before it left behind.
  EXPECT_THAT(
      [] {
        run(32,
            [] {
              TT_SHARED(int, value, 1);
              if (blockIdx.x == 0 && threadIdx.x == 0) value[0] = 1;
              __syncthreads();
              if (threadIdx.x == 5) (void)static_cast<int>(value[0]);
            },
            0, {2, 1, 1});
      },
      ThrowsMessage<Violation>(HasSubstr("block 1,0")));
}

TEST(Simt, FindsAMissingBarrier) {
  // Write, then read by another thread, in an order in which the value would have been right.
  EXPECT_THAT(
      [] {
        run(64, [] {
          TT_SHARED(int, values, 64);
          values[threadIdx.x] = 1;
          if (threadIdx.x > 0) (void)static_cast<int>(values[threadIdx.x - 1]);
        });
      },
      ThrowsMessage<Violation>(HasSubstr("another thread wrote with no barrier between")));
  // Read, then written again by another.
  EXPECT_THAT(
      [] {
        run(64, [] {
          TT_SHARED(int, value, 1);
          if (threadIdx.x == 0) value[0] = 1;
          __syncthreads();
          (void)static_cast<int>(value[0]);
          if (threadIdx.x == 63) value[0] = 2;
        });
      },
      ThrowsMessage<Violation>(HasSubstr("another thread read with no barrier between")));
  // The last reader of several is the writer.
  EXPECT_THAT(
      [] {
        run(32, [] {
          TT_SHARED(int, value, 1);
          if (threadIdx.x == 0) value[0] = 1;
          __syncwarp();
          (void)static_cast<int>(value[0]);
          if (threadIdx.x == 5) value[0] = 2;
        });
      },
      ThrowsMessage<Violation>(HasSubstr("another thread read with no barrier between")));
  // Two writers.
  EXPECT_THAT(
      [] {
        run(32, [] {
          TT_SHARED(int, value, 1);
          value[0] = 1;
        });
      },
      ThrowsMessage<Violation>(HasSubstr("another thread wrote with no barrier between")));
}

TEST(Simt, AShuffleOrdersNoMemory) {
  const auto kernel = [](bool barrier) {
    return [barrier] {
      TT_SHARED(int, values, 32);
      values[threadIdx.x] = 1;
      if (barrier)
        __syncwarp();
      else
        __shfl_sync(0xffffffffu, 1, 0);
      (void)static_cast<int>(values[(threadIdx.x + 1) % 32]);
    };
  };
  EXPECT_NO_THROW(run(32, kernel(true)));
  EXPECT_THAT([&] { run(32, kernel(false)); }, ThrowsMessage<Violation>(HasSubstr("no barrier between")));
}

TEST(Simt, AWarpsBarrierOrdersNoOtherWarp) {
  EXPECT_THAT(
      [] {
        run(64, [] {
          TT_SHARED(int, values, 64);
          values[threadIdx.x] = 1;
          __syncwarp();
          (void)static_cast<int>(values[(threadIdx.x + 32) % 64]);
        });
      },
      ThrowsMessage<Violation>(HasSubstr("nobody has written")));
  EXPECT_THAT(
      [] {
        run(64, [] {
          TT_SHARED(int, values, 64);
          values[threadIdx.x] = 1;
          __syncwarp();
          if (threadIdx.x >= 32) (void)static_cast<int>(values[threadIdx.x - 32]);
        });
      },
      ThrowsMessage<Violation>(HasSubstr("another thread wrote with no barrier between")));
}

TEST(Simt, PassesOnWhatAKernelThrowsAndRunsTheNextOne) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(run(128,
                     [] {
                       if (threadIdx.x == 70) throw std::runtime_error("from a kernel");
                       __syncthreads();
                     }),
                 std::runtime_error);
    int finished = 0;
    run(128, [&] {
      __syncthreads();
      ++finished;
    });
    EXPECT_EQ(finished, 128);
  }
}

TEST(Simt, RefusesImpossibleLaunches) {
  EXPECT_THROW(run(33, [] {}), Violation);
  EXPECT_THROW(run(2048, [] {}), Violation);
  EXPECT_THROW(run(32, [] { TT_SHARED(double, values, 6145); }), Violation);
}

}  // namespace
}  // namespace thinktune::simt
