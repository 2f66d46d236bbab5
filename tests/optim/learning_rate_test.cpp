#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "thinktune/optim/adamw.h"

namespace thinktune::optim {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(LearningRate, Constant) {
  const OptimOptions o{.lr = 0.25};
  for (int64_t u : {0, 1, 99}) EXPECT_EQ(learning_rate(o, u, 100), 0.25);
}

TEST(LearningRate, WarmUpRisesFromTheFirstUpdate) {
  const OptimOptions o{.lr = 0.5, .warmup_updates = 4};
  EXPECT_DOUBLE_EQ(learning_rate(o, 0, 10), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 10), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(o, 3, 10), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(o, 4, 10), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(o, 9, 10), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 2), 0.2);  // a run shorter than its warm-up
}

TEST(LearningRate, LinearAndCosineEndOneUpdateAfterTheLast) {
  const OptimOptions linear{.lr = 1, .schedule = LrKind::Linear, .warmup_updates = 2, .min_lr_share = 0.2};
  EXPECT_DOUBLE_EQ(learning_rate(linear, 2, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 6, 10), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 9, 10), 1 - 0.8 * 7 / 8);
  const OptimOptions cosine{.lr = 1, .schedule = LrKind::Cosine, .warmup_updates = 2, .min_lr_share = 0.2};
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 2, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 6, 10), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 8, 10), 0.2 + 0.8 * 0.5 * (1 - std::sqrt(0.5)));
  for (LrKind kind : {LrKind::Linear, LrKind::Cosine}) {
    const OptimOptions o{.lr = 1, .schedule = kind};
    for (int64_t u = 1; u < 50; ++u) EXPECT_LT(learning_rate(o, u, 50), learning_rate(o, u - 1, 50));
    EXPECT_GT(learning_rate(o, 49, 50), 0);
  }
}

TEST(LearningRate, OutsideTheRunIsABug) {
  EXPECT_THROW(learning_rate({}, -1, 10), core::Error);
  EXPECT_THROW(learning_rate({}, 10, 10), core::Error);
}

TEST(OptimOptions, Validation) {
  const auto complaint = [](const OptimOptions& options, const std::string& field) {
    EXPECT_THAT([&] { validate(options); }, ThrowsMessage<core::Error>(HasSubstr(field)));
  };
  EXPECT_NO_THROW(validate(OptimOptions{}));
  for (double bad : {std::nan(""), -1.0, 1e12}) {
    complaint({.lr = bad}, "optim.lr");
    complaint({.beta1 = bad}, "optim.beta1");
    complaint({.beta2 = bad}, "optim.beta2");
    complaint({.epsilon = bad}, "optim.epsilon");
    complaint({.weight_decay = bad}, "optim.weight_decay");
    complaint({.max_grad_norm = bad}, "optim.max_grad_norm");
    complaint({.schedule = LrKind::Linear, .min_lr_share = bad}, "optim.min_lr_share");
  }
  complaint({.lr = 0}, "optim.lr");
  complaint({.beta1 = 1}, "optim.beta1");
  complaint({.epsilon = 0}, "optim.epsilon");
  complaint({.warmup_updates = -1}, "optim.warmup_updates");
  complaint({.min_lr_share = 0.1}, "optim.schedule = constant");
  EXPECT_NO_THROW(validate(OptimOptions{.schedule = LrKind::Cosine, .min_lr_share = 0.1}));
}

}  // namespace
}  // namespace thinktune::optim
