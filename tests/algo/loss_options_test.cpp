#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "thinktune/algo/loss.h"

namespace thinktune::algo {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

void expect_complaint(const LossOptions& options, const std::string& field) {
  EXPECT_THAT([&] { validate(options); }, ThrowsMessage<core::Error>(HasSubstr(field)));
}

TEST(LossOptions, DefaultsAndEveryModeAreValid) {
  for (const auto& [name, aas] : kAasNames) EXPECT_NO_THROW(validate(LossOptions{.aas = aas})) << name;
  for (const auto& [name, aggregation] : kAggregationNames)
    EXPECT_NO_THROW(validate(LossOptions{.aggregation = aggregation})) << name;
}

TEST(LossOptions, EveryNumberHasARange) {
  for (double bad : {std::nan(""), -2e10, 2e10}) {
    SCOPED_TRACE(bad);
    expect_complaint({.clip_low = bad}, "loss.clip_low");
    expect_complaint({.clip_high = bad}, "loss.clip_high");
    expect_complaint({.dual_clip = bad}, "loss.dual_clip");
    expect_complaint({.gamma_min = bad}, "loss.gamma_min");
    expect_complaint({.gamma_max = bad}, "loss.gamma_max");
    expect_complaint({.advantage_min = bad}, "loss.advantage_min");
    expect_complaint({.advantage_max = bad}, "loss.advantage_max");
    expect_complaint({.aas_constant = bad}, "loss.aas_constant");
    expect_complaint({.fallback_probability = bad}, "loss.fallback_probability");
    expect_complaint({.sum_norm_length = bad}, "loss.sum_norm_length");
    expect_complaint({.kl_coefficient = bad}, "loss.kl_coefficient");
    expect_complaint({.entropy_coefficient = bad}, "loss.entropy_coefficient");
  }
  expect_complaint({.clip_low = 1.01}, "loss.clip_low");
  expect_complaint({.dual_clip = 1}, "loss.dual_clip");
  expect_complaint({.fallback_probability = 1.01}, "loss.fallback_probability");
}

TEST(LossOptions, AdvantageRangeMustNotBeEmpty) {
  const auto names = AllOf(HasSubstr("loss.advantage_min is 4"), HasSubstr("loss.advantage_max"));
  EXPECT_THAT([] { validate(LossOptions{.advantage_min = 4}); }, ThrowsMessage<core::Error>(names));
  EXPECT_NO_THROW(validate(LossOptions{.advantage_min = 3.9}));
}

TEST(LossOptions, ConstantOfPOverPPlusCMustBePositive) {
  expect_complaint({.aas = AasMode::POverPPlusC, .aas_constant = 0}, "loss.aas_constant");
  expect_complaint({.aas = AasMode::POverPPlusC, .aas_constant = -0.1}, "loss.aas_constant");
  EXPECT_NO_THROW(validate(LossOptions{.aas = AasMode::Constant, .aas_constant = -0.1}));
}

TEST(LossOptions, NothingIsAcceptedAndIgnored) {
  expect_complaint({.aas = AasMode::Reference, .gamma_min = 0.01}, "loss.aas = reference");
  expect_complaint({.aas = AasMode::Reference, .advantage_max = 5}, "loss.aas = reference");
  expect_complaint({.sum_norm_length = 1024}, "token-mean");
  EXPECT_NO_THROW(validate(LossOptions{.aggregation = Aggregation::SeqMeanTokenSumNorm, .sum_norm_length = 1024}));
}

}  // namespace
}  // namespace thinktune::algo
