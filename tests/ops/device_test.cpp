#include "thinktune/ops/device.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace thinktune::ops
