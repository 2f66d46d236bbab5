#include "thinktune/ops/device.h"

#include <ATen/Context.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

std::string refusal(const std::string& name) {
  try {
    open_device(name);
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::User) << name;
    return error.what();
  }
  return "";
}

TEST(Device, NamesAreReadStrictly) {
  for (const char* name : {"auto", "cpu", "cuda", "cuda:0", "cuda:7", "cuda:127"})
    EXPECT_NO_THROW(check_device_name(name, "device")) << name;
  for (const char* name : {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1x", "cuda:+1", "cuda:128", "cuda: 1", "cpu:0"})
    EXPECT_THROW(check_device_name(name, "device"), core::Error) << name;
  EXPECT_NE(refusal("gpu").find("cuda:N"), std::string::npos);
}

TEST(Device, TheCpuIsAlwaysThere) {
  EXPECT_EQ(open_device("cpu"), at::kCPU);
  EXPECT_EQ(describe(at::kCPU), "CPU");
  EXPECT_EQ(memory_of(at::kCPU).total, 0);
  synchronize(at::kCPU);
  const ProfilerRange range("a phase");
}

TEST(Device, AWantOfMemoryIsKnownByItsTypeOrItsWords) {
  const auto is_known = [](auto fail) {
    try {
      fail();
    } catch (const std::exception& error) {
      return is_out_of_memory(error);
    }
    ADD_FAILURE() << "nothing was thrown";
    return false;
  };
  EXPECT_TRUE(is_known([] { throw std::bad_alloc(); }));
  EXPECT_TRUE(
      is_known([] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 2 GiB"); }));
  EXPECT_TRUE(is_known([] { c10::GetCPUAllocator()->allocate(size_t{1} << 60); }));
  EXPECT_TRUE(is_known([] { TORCH_CHECK(false, "CUDA error: out of memory\nCompile with …"); }));  // of a graph
  EXPECT_TRUE(is_known(
      [] { TORCH_CHECK(false, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"); }));
  EXPECT_FALSE(is_known([] { TORCH_CHECK(false, "CUDA error: an illegal memory access was encountered"); }));
  EXPECT_FALSE(is_known([] { throw std::runtime_error("CUDA error: out of memory"); }));
}

TEST(Device, WhatIsNotThereIsRefusedAndSaysWhy) {
  const std::string support = cuda_support();
  if (support == "no CUDA") {
    EXPECT_NE(refusal("cuda").find("cmake --preset cuda"), std::string::npos);
    EXPECT_EQ(open_device("auto"), at::kCPU);
  } else if (support.find("no GPU") != std::string::npos) {
    EXPECT_NE(refusal("cuda:0").find("there is no GPU"), std::string::npos);
    EXPECT_EQ(open_device("auto"), at::kCPU);
  } else {
    EXPECT_NE(refusal("cuda:127").find("cuda:0"), std::string::npos);
    EXPECT_EQ(open_device("auto"), at::Device(at::kCUDA, 0));
    EXPECT_NE(describe(at::Device(at::kCUDA, 0)).find("cuda:0"), std::string::npos);
    EXPECT_GT(memory_of(at::Device(at::kCUDA, 0)).total, 0);
  }
}

// In a process of its own: the settings are the process's.
TEST(Device, DeterministicSettingsAreTaken) {
  const auto take = [] {
    ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
    compute_deterministically();
    const at::Context& context = at::globalContext();
    const bool taken =
        context.deterministicAlgorithms() && !context.deterministicAlgorithmsWarnOnly() &&
        !context.deterministicFillUninitializedMemory() && !context.allowTF32CuBLAS() &&
        context.allowBF16ReductionCuBLAS() == at::CuBLASReductionOption::DisallowReducedPrecisionAllowSplitK &&
        std::string(std::getenv("CUBLAS_WORKSPACE_CONFIG")) == ":4096:8";
    std::_Exit(taken ? 0 : 1);
  };
  EXPECT_EXIT(take(), testing::ExitedWithCode(0), "");
}

TEST(Device, EachRankOfAMachineHasTheGpuOfItsNumber) {
  for (const char* name : {"cuda", "auto"})
    for (const int64_t rank : {0, 3, 7})
      EXPECT_EQ(device_of_rank(name, {.rank = rank, .size = 8}, 8), "cuda:" + std::to_string(rank)) << name;
  EXPECT_EQ(device_of_rank("cuda", {.rank = 1, .size = 2}, 8), "cuda:1");
  EXPECT_EQ(device_of_rank("cpu", {.rank = 1, .size = 2}, 8), "cpu");
  EXPECT_EQ(device_of_rank("auto", {.rank = 1, .size = 2}, 0), "auto") << "the CPU, as for one rank";
}

TEST(Device, OneRankOfAMachineHasWhatTheSettingSays) {
  for (const char* name : {"auto", "cpu", "cuda", "cuda:0", "cuda:5"})
    for (const int64_t gpus : {0, 1, 8}) EXPECT_EQ(device_of_rank(name, {}, gpus), name);
}

TEST(Device, RanksThatSeeTheirOwnGpuOnlyTakeIt) {
  EXPECT_EQ(device_of_rank("cuda", {.rank = 5, .size = 8, .may_see_only_its_own = true}, 1), "cuda:0");
  EXPECT_EQ(device_of_rank("cuda", {.rank = 5, .size = 8, .may_see_only_its_own = true}, 8), "cuda:5");
}

TEST(Device, RanksWithoutAGpuOfTheirOwnAreRefused) {
  const auto refusal_of = [](const std::string& name, const LocalRank& local, int64_t gpus) {
    try {
      return "taken: " + device_of_rank(name, local, gpus);
    } catch (const core::Error& error) {
      EXPECT_EQ(error.kind(), core::ErrorKind::User) << name;
      return std::string(error.what());
    }
  };
  EXPECT_NE(refusal_of("cuda:0", {.rank = 1, .size = 2}, 2).find("2 ranks, and each needs a GPU of its own"),
            std::string::npos);
  for (const char* name : {"cuda", "auto"})
    EXPECT_NE(refusal_of(name, {.rank = 0, .size = 4}, 1).find("4 ranks on this machine, but 1 GPU to see"),
              std::string::npos)
        << name;
  EXPECT_NE(refusal_of("cuda", {.rank = 0, .size = 2}, 0).find("0 GPUs"), std::string::npos);
  EXPECT_NE(refusal_of("cuda", {.rank = 0, .size = 4, .may_see_only_its_own = true}, 2).find("2 GPUs"),
            std::string::npos);
}

}  // namespace
}  // namespace thinktune::ops
