// The policy loss against a statement in plain doubles, one token at a time, and its gradient against central
// differences.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "golden_batch.h"

namespace thinktune::algo::test {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

struct Token {
  double logprob, old, advantage, reference = 0, entropy = 0, weight = 1;
  bool guided = false;
};

LossInputs inputs_of(const std::vector<Token>& tokens, at::ScalarType dtype, bool with_reference = false,
                     bool with_entropy = false) {
  const auto column = [&](auto field) {
    std::vector<double> values;
    for (const Token& t : tokens) values.push_back(static_cast<double>(t.*field));
    return to_tensor(values, dtype);
  };
  LossInputs in;
  in.logprobs_M = column(&Token::logprob).requires_grad_(true);
  in.old_logprobs_M = column(&Token::old);
  in.advantages_M = column(&Token::advantage);
  in.guided_M = column(&Token::guided).to(at::kBool);
  in.weights_M = column(&Token::weight);
  if (with_reference) in.reference_logprobs_M = column(&Token::reference);
  if (with_entropy) in.entropy_M = column(&Token::entropy).requires_grad_(true);
  return in;
}

double hand_ppo(const Token& t, const LossOptions& o) {
  const double ratio = std::exp(t.logprob - t.old);
  const double clipped = std::min(std::max(ratio, 1 - o.clip_low), 1 + o.clip_high);
  const double single = std::max(-t.advantage * ratio, -t.advantage * clipped);
  return t.advantage < 0 ? std::min(single, -t.advantage * o.dual_clip) : single;
}

// The denominator sees `frozen`, the log-probability at which the derivative is taken: that is what stop-gradient
// means.
double hand_shaped(const Token& t, double frozen, const LossOptions& o) {
  const double p = std::exp(t.logprob), constant_p = std::exp(frozen);
  if (o.aas == AasMode::POverPPlusC) return p / (p + o.aas_constant);
  double gamma = o.aas == AasMode::Reference ? -0.001 : o.aas_constant;
  if (o.aas == AasMode::Paper) {
    gamma = o.gamma_min +
            (o.gamma_max - o.gamma_min) * (o.advantage_max - t.advantage) / (o.advantage_max - o.advantage_min);
    gamma = std::min(std::max(gamma, std::min(o.gamma_min, o.gamma_max)), std::max(o.gamma_min, o.gamma_max));
  }
  double denominator = constant_p + gamma;
  if (denominator < 0) denominator = constant_p / 1.0001;
  if (denominator > 1) denominator = constant_p / 0.9999;
  return p / denominator;
}

double hand_loss(const Token& t, double frozen, const LossOptions& o) {
  const bool falls_back = t.advantage < 0 && std::exp(frozen) < o.fallback_probability;
  const bool shaped = t.guided && o.aas != AasMode::Off && !falls_back;
  const double policy = shaped ? -t.advantage * hand_shaped(t, frozen, o) : hand_ppo(t, o);
  const double difference = t.reference - t.logprob;
  const double k3 = std::min(std::exp(difference) - difference - 1, 10.0);
  return t.weight * (policy + o.kl_coefficient * k3 - o.entropy_coefficient * t.entropy);
}

std::vector<Token> random_tokens(int count, uint32_t seed) {
  std::mt19937 random(seed);
  const auto uniform = [&](double low, double high) { return low + (high - low) * (random() / 4294967296.0); };
  std::vector<Token> tokens;
  for (int i = 0; i < count; ++i) {
    Token t{};
    t.logprob = -std::exp(uniform(-7, 2.3));  // p from .001 to .00005 and up to .999
    t.old = t.logprob + uniform(-1.5, 1.5);
    t.advantage = uniform(-6, 6);
    t.reference = t.logprob + uniform(-2, 2);
    t.entropy = uniform(0, 5);
    t.weight = uniform(0, 0.1);
    t.guided = i % 3 != 0;
    tokens.push_back(t);
  }
  return tokens;
}

void expect_hand_formula(const LossOptions& o, bool with_kl = false, bool with_entropy = false) {
  const std::vector<Token> tokens = random_tokens(301, 17);
  const LossInputs in = inputs_of(tokens, at::kDouble, with_kl, with_entropy);
  const LossParts parts = policy_loss(in, true, o);
  parts.loss.backward();
  const std::vector<double> gradient = to_vector(in.logprobs_M.grad());
  double sum = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    sum += hand_loss(t, t.logprob, o);
    const double step = 1e-6;  // central differences: error of order step², and 1e-16/step from rounding
    Token above = t, below = t;
    above.logprob += step;
    below.logprob -= step;
    const double slope = (hand_loss(above, t.logprob, o) - hand_loss(below, t.logprob, o)) / (2 * step);
    EXPECT_NEAR(gradient[i], slope, 1e-8 * (1 + std::abs(slope))) << "token " << i << ", logprob " << t.logprob;
  }
  EXPECT_NEAR(parts.loss.item<double>(), sum, 1e-12 * (1 + std::abs(sum)));
  if (with_entropy) {
    const std::vector<double> slopes = to_vector(in.entropy_M.grad());
    for (size_t i = 0; i < tokens.size(); ++i) EXPECT_DOUBLE_EQ(slopes[i], -o.entropy_coefficient * tokens[i].weight);
  }
}

TEST(PolicyLoss, EveryModeAgreesWithTheFormula) {
  for (const auto& [name, aas] : kAasNames) {
    SCOPED_TRACE(std::string(name));
    expect_hand_formula({.aas = aas});
  }
}

TEST(PolicyLoss, ConstantGammaOfEitherSign) {
  for (double gamma : {-0.5, -0.01, 0.0, 0.01, 0.5}) {
    SCOPED_TRACE(gamma);
    expect_hand_formula({.aas = AasMode::Constant, .aas_constant = gamma});
  }
}

TEST(PolicyLoss, EveryNumberOfTheFormulaIsRead) {
  expect_hand_formula({.clip_low = 0.05, .clip_high = 0.6, .dual_clip = 1.2});
  expect_hand_formula({.gamma_min = -0.02, .gamma_max = 0.3, .advantage_min = -2, .advantage_max = 3});
  expect_hand_formula({.aas = AasMode::POverPPlusC, .aas_constant = 0.7, .fallback_probability = 0.3});
}

TEST(PolicyLoss, KlAndEntropy) {
  expect_hand_formula({.kl_coefficient = 0.3}, true);
  expect_hand_formula({.entropy_coefficient = 0.2}, false, true);
  expect_hand_formula({.aas = AasMode::Off, .kl_coefficient = 0.3, .entropy_coefficient = 0.2}, true, true);
}

TEST(PolicyLoss, KlWithoutACoefficientIsOnlyReported) {
  const std::vector<Token> tokens = random_tokens(20, 3);
  const LossParts with = policy_loss(inputs_of(tokens, at::kDouble, true), true, {});
  const LossParts without = policy_loss(inputs_of(tokens, at::kDouble), true, {});
  EXPECT_EQ(with.loss.item<double>(), without.loss.item<double>());
  EXPECT_FALSE(without.kl_M.defined());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double difference = tokens[i].reference - tokens[i].logprob;
    EXPECT_NEAR(to_vector(with.kl_M)[i], std::exp(difference) - difference - 1, 1e-13);
  }
}

TEST(PolicyLoss, ModesDiffer) {
  const std::vector<Token> tokens = random_tokens(50, 5);
  std::vector<double> losses;
  for (const auto& [name, aas] : kAasNames)
    losses.push_back(policy_loss(inputs_of(tokens, at::kDouble), true, {.aas = aas}).loss.item<double>());
  for (size_t i = 0; i < losses.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      EXPECT_GT(std::abs(losses[i] - losses[j]), 1e-6) << kAasNames[i].first << kAasNames[j].first;
}

// At ratio 1 both sides of the clip are equal: half the gradient from each is the whole.
TEST(PolicyLoss, OnPolicyGradientIsTheWholeAdvantage) {
  std::vector<Token> tokens;
  for (double advantage : {-2.0, -0.5, 0.0, 1.5})
    tokens.push_back({.logprob = -1, .old = -1, .advantage = advantage, .weight = 0.25});
  const LossInputs in = inputs_of(tokens, at::kFloat);
  policy_loss(in, false, {}).loss.backward();
  EXPECT_EQ(to_vector(in.logprobs_M.grad()), (std::vector<double>{0.5, 0.125, 0, -0.375}));
}

TEST(PolicyLoss, WithoutATeacherThePublicCodeLeavesTheDualClipOut) {
  const std::vector<Token> tokens = {{.logprob = -1, .old = -3, .advantage = -1}};  // ratio e²
  const LossOptions defect{.single_clip_without_teacher = true};
  const auto loss = [&](bool teacher, const LossOptions& o) {
    return policy_loss(inputs_of(tokens, at::kDouble), teacher, o);
  };
  EXPECT_DOUBLE_EQ(loss(false, defect).loss.item<double>(), std::exp(2.0));
  EXPECT_DOUBLE_EQ(loss(true, defect).loss.item<double>(), 3);
  EXPECT_DOUBLE_EQ(loss(false, {}).loss.item<double>(), 3);
  EXPECT_TRUE(loss(false, {}).dual_clipped_M.item<bool>());
  EXPECT_TRUE(loss(false, defect).dual_clipped_M.item<bool>());
  EXPECT_TRUE(loss(false, defect).token_loss_M.item<double>() > 3);
}

TEST(PolicyLoss, PartsSayWhatHappened) {
  const std::vector<Token> tokens = {
      {.logprob = -1, .old = -2, .advantage = 1},                       // ratio e: upper clip
      {.logprob = -2, .old = -1, .advantage = -1},                      // ratio 1/e: lower clip
      {.logprob = -1, .old = -1, .advantage = 1},                       // inside
      {.logprob = -0.5, .old = -1, .advantage = -2, .guided = true},    // shaped
      {.logprob = -5.5, .old = -5.5, .advantage = -2, .guided = true},  // p = .004: PPO
      {.logprob = -5.5, .old = -5.5, .advantage = 2, .guided = true},   // shaped
  };
  const LossParts parts = policy_loss(inputs_of(tokens, at::kDouble), true, {});
  EXPECT_EQ(to_vector(parts.clipped_M), (std::vector<double>{1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(to_vector(parts.dual_clipped_M), (std::vector<double>{0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(to_vector(parts.shaped_used_M), (std::vector<double>{0, 0, 0, 1, 0, 1}));
  EXPECT_DOUBLE_EQ(parts.ratio_M[0].item<double>(), std::exp(1.0));
  EXPECT_DOUBLE_EQ(parts.gamma_M[3].item<double>(), -0.0005);
  EXPECT_DOUBLE_EQ(parts.gamma_M[5].item<double>(), 0.0005);
  for (const at::Tensor& t : {parts.token_loss_M, parts.ratio_M, parts.gamma_M, parts.shaped_M})
    EXPECT_FALSE(t.requires_grad());
  EXPECT_TRUE(parts.loss.requires_grad());
}

TEST(PolicyLoss, MicroBatchesSumToTheWholeBatch) {
  const LossOptions options{.kl_coefficient = 0.1, .entropy_coefficient = 0.01};
  for (at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const std::vector<Token> tokens = random_tokens(101, 9);
    const LossInputs whole = inputs_of(tokens, dtype, true, true);
    const at::Tensor loss = policy_loss(whole, true, options).loss;
    loss.backward();
    double sum = 0;
    std::vector<double> gradient;
    for (size_t begin = 0; begin < tokens.size(); begin += 13) {
      const std::vector<Token> share(tokens.begin() + begin, tokens.begin() + std::min(begin + 13, tokens.size()));
      const LossInputs in = inputs_of(share, dtype, true, true);
      const at::Tensor part = policy_loss(in, true, options).loss;
      part.backward();
      sum += part.item<double>();
      for (double g : to_vector(in.logprobs_M.grad())) gradient.push_back(g);
    }
    EXPECT_EQ(gradient, to_vector(whole.logprobs_M.grad()));  // a token's gradient does not see its neighbours
    EXPECT_NEAR(sum, loss.item<double>(), dtype == at::kDouble ? 1e-13 : 1e-5);
  }
}

TEST(PolicyLoss, OfNoTokensIsZero) {
  const LossInputs in = inputs_of({}, at::kFloat);
  const LossParts parts = policy_loss(in, true, {});
  parts.loss.backward();
  EXPECT_EQ(parts.loss.item<double>(), 0);
  EXPECT_EQ(in.logprobs_M.grad().numel(), 0);
}

// Every combination of what a model can say: certain, impossible, below what exp can hold, and ratios that overflow.
TEST(PolicyLoss, IsFiniteForEveryFiniteInput) {
  const std::vector<double> logprobs = {0,     -1e-8, -0.5, -6.907755278982137, -6.9078, -20, -90, -104, -800,
                                        -3e38, 1e-6,  100};
  for (double gamma : {-1.0, -0.001, 0.0, 0.1}) {
    for (const auto& [name, aas] : kAasNames) {
      LossOptions options{.aas = aas, .kl_coefficient = 0.1};
      if (aas == AasMode::POverPPlusC && gamma <= 0) continue;
      options.aas_constant = gamma;
      std::vector<Token> tokens;
      for (double logprob : logprobs)
        for (double other : logprobs)
          for (double advantage : {-1e20, -1.0, 0.0, 1e-30, 1.0, 1e20})
            for (bool guided : {false, true})
              tokens.push_back(
                  {.logprob = logprob, .old = other, .advantage = advantage, .reference = other, .guided = guided});
      for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
        const LossInputs in = inputs_of(tokens, dtype, true);
        const LossParts parts = policy_loss(in, true, options);
        parts.loss.backward();
        for (const at::Tensor& t :
             {parts.loss, parts.token_loss_M, parts.ratio_M, parts.shaped_M, parts.kl_M, in.logprobs_M.grad()})
          EXPECT_TRUE(t.isfinite().all().item<bool>()) << name << " " << gamma << " " << c10::toString(dtype);
      }
    }
  }
}

TEST(PolicyLoss, LimitsWhereTheProbabilityUnderflows) {
  const auto shaped = [](double logprob, double gamma) {
    const LossOptions options{.aas = AasMode::Constant, .aas_constant = gamma};
    return policy_loss(inputs_of({{.logprob = logprob, .old = logprob, .advantage = 1, .guided = true}}, at::kFloat),
                       true, options)
        .shaped_M.item<double>();
  };
  EXPECT_FLOAT_EQ(shaped(-200, -0.001), 1.0001F);
  EXPECT_EQ(shaped(-200, 0.001), 0);
  EXPECT_EQ(shaped(-200, 0), 1);
  EXPECT_EQ(shaped(-3, 0), 1);
  EXPECT_FLOAT_EQ(shaped(0, -1), 1.0001F);  // the pole itself
  EXPECT_FLOAT_EQ(shaped(0, 0.5), 0.9999F);
}

TEST(KlK3, IsAccurateWhereTheTermsCancel) {
  const at::Tensor logprobs = at::tensor({-1.0}, at::kDouble), reference = logprobs + 1e-7;
  const double difference = (reference - logprobs).item<double>();
  EXPECT_NEAR(kl_k3(logprobs, reference).item<double>(), difference * difference * (0.5 + difference / 6), 1e-22);
  EXPECT_EQ(kl_k3(logprobs, logprobs).item<double>(), 0);
}

TEST(PolicyLoss, BrokenInputsAreNamed) {
  const auto complaint = [](const LossInputs& in, const LossOptions& options, const std::string& text) {
    EXPECT_THAT([&] { policy_loss(in, true, options); }, ThrowsMessage<core::Error>(HasSubstr(text)));
  };
  const std::vector<Token> tokens = random_tokens(4, 1);
  LossInputs in = inputs_of(tokens, at::kDouble);
  in.advantages_M = in.advantages_M.narrow(0, 0, 3);
  complaint(in, {}, "advantages_M");
  in = inputs_of(tokens, at::kDouble);
  in.guided_M = in.guided_M.to(at::kByte);
  complaint(in, {}, "not bool");
  in = inputs_of(tokens, at::kDouble);
  in.weights_M = at::Tensor();
  complaint(in, {}, "weights_M");
  in = inputs_of(tokens, at::kDouble);
  in.logprobs_M = in.logprobs_M.to(at::kBFloat16);
  complaint(in, {}, "not f32 or f64");
  complaint(inputs_of(tokens, at::kDouble), {.kl_coefficient = 0.1}, "reference_logprobs_M");
  complaint(inputs_of(tokens, at::kDouble), {.entropy_coefficient = 0.1}, "entropy_M");
}

}  // namespace
}  // namespace thinktune::algo::test
