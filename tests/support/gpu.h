// The GPU of tests that need one; without it they skip and print why.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"

namespace thinktune::test {

// THINKTUNE_TEST_GPU is set where a GPU must be there: a test then fails without it.
inline std::optional<at::Device> gpu(std::string& why_not) {
  try {
    return ops::open_device("cuda");
  } catch (const core::Error& error) {
    if (std::getenv("THINKTUNE_TEST_GPU") != nullptr) throw;
    why_not = error.message();
    return std::nullopt;
  }
}

}  // namespace thinktune::test

#define TT_REQUIRE_GPU(device)                                                 \
  std::string tt_why_not;                                                      \
  const std::optional<at::Device> tt_gpu = ::thinktune::test::gpu(tt_why_not); \
  if (!tt_gpu) GTEST_SKIP() << tt_why_not;                                     \
  [[maybe_unused]] const at::Device device = *tt_gpu
