// Advantages, clipped policy losses and the KL estimate against verl's own functions.
#include <gtest/gtest.h>

#include <map>

#include "golden_batch.h"
#include "support/paths.h"
#include "thinktune/algo/advantages.h"

namespace thinktune::algo::test {
namespace {

using nlohmann::json;

std::filesystem::path golden_file(const std::string& name) {
  return thinktune::test::golden_folder() / "grpo_variants" / name;
}

std::vector<double> grouped_advantages(const json& inputs, const AdvantageOptions& options) {
  const auto rewards = inputs.at("rewards").get<std::vector<double>>();
  const auto ids = inputs.at("group").get<std::vector<int>>();
  const auto guided = inputs.at("guided").get<std::vector<uint8_t>>();
  std::map<int, std::vector<size_t>> members;
  for (size_t i = 0; i < ids.size(); ++i) members[ids[i]].push_back(i);
  std::vector<double> advantages(rewards.size());
  for (const auto& [id, indices] : members) {
    std::vector<double> group_rewards;
    std::vector<uint8_t> group_guided;
    for (size_t i : indices) {
      group_rewards.push_back(rewards[i]);
      group_guided.push_back(guided[i]);
    }
    const std::vector<double> group = group_advantages(group_rewards, group_guided, options);
    for (size_t k = 0; k < indices.size(); ++k) advantages[indices[k]] = group[k];
  }
  return advantages;
}

TEST(GrpoVariantsGolden, Advantages) {
  TT_REQUIRE_FILE(golden_file("advantages.json"));
  const json golden = thinktune::test::read_json(golden_file("advantages.json"));
  EXPECT_EQ(golden.at("cases").size(), 6u);
  for (const json& c : golden.at("cases")) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    const auto normalized = c.at("expected").at("grpo_unbiased_std_eps1e-6").get<std::vector<double>>();
    const auto differences = c.at("expected").at("dr_grpo_no_std").get<std::vector<double>>();
    // The reference's deviation of equal inexact rewards is rounding noise; ours is 0. A mean is rounded in the last
    // places of the rewards, however small their differences are.
    const double rounding = 4 * std::ldexp(largest(c.at("inputs").at("rewards").get<std::vector<double>>()), -53);
    expect_close(grouped_advantages(c.at("inputs"), {}), normalized, 1e-7, "normalized", 1e-9);
    expect_close(grouped_advantages(c.at("inputs"), {.normalize_std = false}), differences, 1e-12, "differences",
                 rounding);
  }
}

struct Variant {
  std::string key;
  LossOptions options;
};

std::vector<Variant> variants() {
  LossOptions higher, no_dual;
  higher.clip_high = 0.28;
  no_dual.dual_clip = 1e9;
  std::vector<Variant> all = {
      {"verl/ppo_clip_dual3", {}}, {"verl/no_dual", no_dual}, {"verl/clip_higher_dual3", higher}};
  for (const std::string& name : kAggregations) {
    if (name == "token-mean") continue;
    higher.aggregation = aggregation_named(name);
    all.push_back({"verl/clip_higher_dual3/" + name, higher});
  }
  return all;
}

void check_variant(const GoldenBatch& golden, const json& expected, const LossOptions& options) {
  const Result result = run(golden, options);
  const std::vector<double> losses = to_vector(result.parts.token_loss_M);
  if (expected.contains("per_token_loss")) {
    std::vector<double> masked;
    for (size_t i = 0; i < losses.size(); ++i) masked.push_back(losses[i] * golden.mask[i]);
    expect_close(masked, flat(expected.at("per_token_loss")), 1e-12, "per_token_loss");
  }
  const std::vector<double> weights = golden.weights(options);
  double scale = 0;
  for (size_t i = 0; i < losses.size(); ++i) scale += weights[i] * std::abs(losses[i]);
  EXPECT_NEAR(result.loss, expected.at("loss"), 1e-12 * scale);
  expect_close(result.gradient, flat(expected.at("grad")), 1e-12, "gradient");
  const json& metrics = expected.at("metrics");
  EXPECT_NEAR(golden.masked_mean(to_vector(result.parts.clipped_M)), metrics.at("pg_clipfrac"), 1e-7);
  EXPECT_NEAR(golden.masked_mean(to_vector(result.parts.dual_clipped_M)), metrics.at("pg_clipfrac_lower"), 1e-7);
  EXPECT_NEAR(golden.masked_mean(to_vector(-result.parts.ratio_M.log())), metrics.at("ppo_kl"), 1e-7);
}

TEST(GrpoVariantsGolden, ClippedPolicyLosses) {
  TT_REQUIRE_FILE(golden_file("policy_losses.json"));
  const json golden = thinktune::test::read_json(golden_file("policy_losses.json"));
  EXPECT_EQ(golden.at("cases").size(), 3u);
  for (const json& c : golden.at("cases")) {
    const GoldenBatch batch(c);
    for (const Variant& variant : variants()) {
      SCOPED_TRACE(c.at("name").get<std::string>() + " " + variant.key);
      check_variant(batch, c.at("expected").at(variant.key), variant.options);
    }
  }
}

TEST(GrpoVariantsGolden, KlK3) {
  TT_REQUIRE_FILE(golden_file("kl.json"));
  const json golden = thinktune::test::read_json(golden_file("kl.json"));
  EXPECT_EQ(golden.at("cases").size(), 2u);
  size_t num_unclamped = 0;  // the bare formula stands in the f64 case only
  for (const json& c : golden.at("cases")) {
    const bool f32 = c.at("dtype") == "f32";
    SCOPED_TRACE(f32 ? "f32" : "f64");
    const double relative = f32 ? 2e-6 : 1e-12, absolute = f32 ? 1e-6 : 1e-12;
    const at::ScalarType dtype = f32 ? at::kFloat : at::kDouble;
    const at::Tensor logprobs = to_tensor(flat(c.at("inputs").at("log_prob")), dtype).requires_grad_(true);
    const at::Tensor reference = to_tensor(flat(c.at("inputs").at("ref_log_prob")), dtype);
    const at::Tensor mask = to_tensor(flat(c.at("inputs").at("response_mask")), dtype);
    const at::Tensor k3 = kl_k3(logprobs, reference);
    (k3 * mask).sum().backward();
    const std::vector<double> values = to_vector(k3), gradient = to_vector(logprobs.grad());

    const auto check = [&](const std::string& key, bool below_clamp_only) {
      const std::vector<double> expected = flat(c.at("expected").at(key).at("values"));
      const std::vector<double> expected_gradient = flat(c.at("expected").at(key).at("grad_of_masked_sum"));
      size_t num_compared = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        if (below_clamp_only && expected[i] > 10) continue;
        ++num_compared;
        EXPECT_NEAR(values[i], expected[i], relative * std::abs(expected[i]) + absolute) << key << " " << i;
        EXPECT_NEAR(gradient[i], expected_gradient[i], relative * std::abs(expected_gradient[i]) + absolute)
            << key << " " << i;
      }
      return num_compared;
    };
    EXPECT_EQ(check("reference/k3", false), 48u);
    EXPECT_EQ(check("verl2026/k3", false), 48u);
    if (!c.at("expected").contains("unclamped/k3")) continue;
    ++num_unclamped;
    const size_t num_below = check("unclamped/k3", true);
    EXPECT_GT(num_below, 30u);
    EXPECT_LT(num_below, 48u);  // the clamp was met
  }
  EXPECT_EQ(num_unclamped, 1u);
}

}  // namespace
}  // namespace thinktune::algo::test
