// The policy loss against numbers that the public code of ThinkTuning made (and, for `paper`, the same code with its
// clamp mended).
#include <gtest/gtest.h>

#include "golden_batch.h"
#include "support/paths.h"

namespace thinktune::algo::test {
namespace {

using nlohmann::json;

LossOptions options_of(const json& c) {
  const json& p = c.at("params");
  LossOptions o;
  o.clip_low = p.at("clip_low");
  o.clip_high = p.at("clip_high");
  o.dual_clip = p.at("dual_clip_c");
  o.gamma_min = p.at("gamma_min");
  o.gamma_max = p.at("gamma_max");
  o.advantage_min = p.at("adv_min");
  o.advantage_max = p.at("adv_max");
  o.fallback_probability = p.at("fallback_prob");
  EXPECT_EQ(p.at("den_neg_div").get<double>(), 1.0001);
  EXPECT_EQ(p.at("den_one_div").get<double>(), 0.9999);
  const bool reference = c.at("mode") == "reference";
  o.aas = reference ? AasMode::Reference : AasMode::Paper;
  o.single_clip_without_teacher = reference;
  return o;
}

std::vector<double> weighted(const std::vector<double>& weights, const std::vector<double>& values, bool magnitude) {
  std::vector<double> products;
  for (size_t i = 0; i < weights.size(); ++i)
    products.push_back(weights[i] == 0 ? 0.0 : weights[i] * (magnitude ? std::abs(values[i]) : values[i]));
  return products;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (double x : values) total += x;
  return total;
}

// What does not depend on the aggregation.
void check_tokens(const GoldenBatch& golden, const LossParts& parts, const json& expected, double tolerance) {
  expect_close(to_vector(parts.token_loss_M), flat(expected.at("per_token_loss")), tolerance, "per_token_loss");
  expect_close(to_vector(parts.gamma_M), flat(expected.at("gamma")), tolerance, "gamma");
  expect_close(to_vector(parts.shaped_M), flat(expected.at("shaped_ratio")), tolerance, "shaped_ratio");
  expect_close(to_vector(parts.ratio_M), flat(expected.at("ratio")), tolerance, "ratio");
  EXPECT_EQ(to_vector(parts.shaped_used_M), flat(expected.at("shaped_used")));
  EXPECT_NEAR(golden.masked_mean(to_vector(parts.clipped_M)), expected.at("clip_fraction"), 1e-7);
  EXPECT_NEAR(golden.masked_mean(to_vector(parts.dual_clipped_M)), expected.at("clip_fraction_lower"), 1e-7);
  // The reference's mean divides by the count + 1e-8.
  const double kl = golden.masked_mean(to_vector(-parts.ratio_M.log()));
  EXPECT_NEAR(kl, expected.at("ppo_kl"), tolerance + 1e-8 * std::abs(kl)) << "ppo_kl";
}

// A loss is a sum of terms that cancel: its tolerance is relative to the sum of their magnitudes.
void check_case(const json& c, double tolerance, size_t* num_gradients) {
  SCOPED_TRACE(c.at("name").get<std::string>() + " " + c.at("mode").get<std::string>() + " " +
               c.at("dtype").get<std::string>());
  const GoldenBatch golden(c);
  const json& expected = c.at("expected");
  const std::vector<double> token_losses = flat(expected.at("per_token_loss"));
  for (const std::string& name : kAggregations) {
    SCOPED_TRACE(name);
    LossOptions options = options_of(c);
    options.aggregation = aggregation_named(name);
    const Result result = run(golden, options);
    check_tokens(golden, result.parts, expected, tolerance);
    const double scale = sum(weighted(golden.weights(options), token_losses, /*magnitude=*/true));
    EXPECT_NEAR(result.loss, expected.at("loss/" + name), tolerance * scale);
    if (!expected.contains("grad/" + name)) continue;
    ++*num_gradients;
    expect_close(result.gradient, flat(expected.at("grad/" + name)), tolerance, "gradient");
  }
}

struct File {
  std::string name;
  size_t num_cases, num_gradients;  // so that a golden that lost its content does not pass
  double f64_tolerance, f32_tolerance;
};

void check_file(const File& file) {
  const auto path = thinktune::test::golden_folder() / "thinktuning_loss" / file.name;
  TT_REQUIRE_FILE(path);
  const json golden = thinktune::test::read_json(path);
  EXPECT_EQ(golden.at("cases").size(), file.num_cases);
  size_t num_gradients = 0;
  for (const json& c : golden.at("cases"))
    check_case(c, c.at("dtype") == "f32" ? file.f32_tolerance : file.f64_tolerance, &num_gradients);
  EXPECT_EQ(num_gradients, file.num_gradients);
}

TEST(ThinktuningLossGolden, PaperF64) { check_file({"paper_f64.json", 10, 31, 1e-12, 0}); }
TEST(ThinktuningLossGolden, PaperF32) { check_file({"paper_f32.json", 10, 10, 0, 3e-6}); }
TEST(ThinktuningLossGolden, ReferenceF64) { check_file({"reference_f64.json", 7, 28, 1e-12, 0}); }
TEST(ThinktuningLossGolden, ReferenceF32) { check_file({"reference_f32.json", 7, 7, 0, 3e-6}); }
TEST(ThinktuningLossGolden, TokensNextToThePolesAndSwitches) { check_file({"thresholds.json", 4, 4, 1e-9, 1e-3}); }

json degenerate_cases(const std::string& name) {
  const json golden = thinktune::test::read_json(thinktune::test::golden_folder() / "thinktuning_loss/degenerate.json");
  json cases = json::array();
  for (const json& c : golden.at("cases"))
    if (c.at("name") == name) cases.push_back(c);
  EXPECT_EQ(cases.size(), 2u) << name;
  return cases;
}

// Where p underflows the reference is NaN, and so is every sum it enters. The finite entries must agree; the others
// take the limit.
TEST(ThinktuningLossGolden, ProbabilityUnderflowsToZero) {
  TT_REQUIRE_FILE(thinktune::test::golden_folder() / "thinktuning_loss/degenerate.json");
  for (const json& c : degenerate_cases("prob_underflows_to_zero")) {
    SCOPED_TRACE(c.at("mode").get<std::string>());
    const GoldenBatch golden(c);
    const json& expected = c.at("expected");
    const std::vector<double> ratio = flat(expected.at("ratio")), used = flat(expected.at("shaped_used"));
    std::vector<double> token_losses = flat(expected.at("per_token_loss"));
    size_t num_replaced = 0;
    for (size_t i = 0; i < token_losses.size(); ++i) {
      if (!std::isnan(token_losses[i])) continue;
      token_losses[i] = -golden.advantages[i] * (used[i] != 0 ? 1.0001 : ratio[i]);
      ++num_replaced;
    }
    EXPECT_EQ(num_replaced, c.at("mode") == "reference" ? 2u : 1u);
    for (const std::string& name : kAggregations) {
      SCOPED_TRACE(name);
      LossOptions options = options_of(c);
      options.aggregation = aggregation_named(name);
      const Result result = run(golden, options);
      check_tokens(golden, result.parts, expected, 1e-12);
      expect_close(to_vector(result.parts.token_loss_M), token_losses, 1e-12, "token loss");
      EXPECT_NEAR(result.loss, sum(weighted(golden.weights(options), token_losses, false)), 1e-12);
      expect_close(result.gradient, flat(expected.at("grad/" + name)), 1e-12, "gradient");
      // Every branch here has the token's own loss as its derivative: -A·p/d, and -A·ratio inside the clip.
      expect_close(result.gradient, weighted(golden.weights(options), token_losses, false), 1e-12, "gradient and loss");
    }
  }
}

// The public code of 2025 divides the sequence means by all rows, and has NaN in one of them; sequences without a
// counting token are left out here, as in verl of 2026. One of two rows is empty, so those two means are twice the
// reference's.
TEST(ThinktuningLossGolden, RowWithoutTokens) {
  TT_REQUIRE_FILE(thinktune::test::golden_folder() / "thinktuning_loss/degenerate.json");
  for (const json& c : degenerate_cases("a_row_without_tokens")) {
    SCOPED_TRACE(c.at("mode").get<std::string>());
    const GoldenBatch golden(c);
    const json& expected = c.at("expected");
    const std::vector<double> token_losses = flat(expected.at("per_token_loss"));
    for (const std::string& name : kAggregations) {
      SCOPED_TRACE(name);
      LossOptions options = options_of(c);
      options.aggregation = aggregation_named(name);
      const Result result = run(golden, options);
      check_tokens(golden, result.parts, expected, 1e-12);
      const double factor =
          options.aggregation == Aggregation::SeqMeanTokenSum || options.aggregation == Aggregation::SeqMeanTokenMean
              ? 2.0
              : 1.0;
      std::vector<double> gradient = flat(expected.at("grad/" + name));
      for (double& g : gradient) g = std::isnan(g) ? 0.0 : factor * g;
      expect_close(result.gradient, gradient, 1e-12, "gradient");
      const json& loss = expected.at("loss/" + name);
      const double by_hand = sum(weighted(golden.weights(options), token_losses, false));
      EXPECT_NEAR(result.loss, loss.is_null() ? by_hand : factor * loss.get<double>(), 1e-12);
    }
  }
}

}  // namespace
}  // namespace thinktune::algo::test
