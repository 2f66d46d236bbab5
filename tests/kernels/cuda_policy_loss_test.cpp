#include <algorithm>

#include "kernel_inputs.h"
#include "kernels/cuda/policy_loss.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

using cuda::PolicyLossOptions;
using cuda::Shaping;
using test::DeviceBuffer;

class CudaPolicyLoss : public test::DeviceTest {};

struct Token {
  double logp, old, advantage, reference, entropy, weight;
  bool guided;
};

// The formulas of include/thinktune/algo/loss.h, in double, with p of the denominator given: it is a constant.
struct Twin {
  double policy, ratio, gamma, shaped, kl, total;
  bool used, clipped, dual_clipped;
};
Twin twin(const Token& t, double logp, const PolicyLossOptions& o) {
  Twin out{};
  out.ratio = std::exp(std::clamp(logp - t.old, -20.0, 20.0));
  const double unclipped = -t.advantage * out.ratio;
  const double bound = -t.advantage * std::clamp(out.ratio, 1 - o.clip_low, 1 + o.clip_high);
  double ppo = std::max(unclipped, bound);
  out.clipped = bound > unclipped;
  out.dual_clipped = t.advantage < 0 && ppo > -t.advantage * o.dual_clip;
  if (t.advantage < 0 && o.use_dual_clip) ppo = std::min(ppo, -t.advantage * o.dual_clip);
  switch (o.aas) {
    case Shaping::Paper:
      out.gamma = std::clamp(o.gamma_min + (o.gamma_max - o.gamma_min) * (o.advantage_max - t.advantage) /
                                               (o.advantage_max - o.advantage_min),
                             std::min(o.gamma_min, o.gamma_max), std::max(o.gamma_min, o.gamma_max));
      break;
    case Shaping::Reference:
      out.gamma = -0.001;
      break;
    case Shaping::Off:
      out.gamma = 0;
      break;
    default:
      out.gamma = o.aas_constant;
  }
  const double fixed = std::exp(std::min(t.logp, 20.0)), d = fixed + out.gamma;
  if (o.aas == Shaping::POverPPlusC) {
    out.shaped = 1 / (1 + std::exp(std::log(o.aas_constant) - logp));
  } else {
    const double s = d == 0 && out.gamma == 0 ? 1 : d <= 0 ? 1.0001 : d > 1 ? 0.9999 : fixed / d;
    out.shaped = s * std::exp(logp - t.logp);
  }
  out.used = o.aas != Shaping::Off && t.guided && !(t.advantage < 0 && fixed < o.fallback_probability);
  out.policy = out.used ? -t.advantage * out.shaped : ppo;
  const double difference = std::clamp(t.reference - logp, -20.0, 20.0);
  out.kl = std::clamp(std::expm1(difference) - difference, -10.0, 10.0);
  out.total = t.weight * (out.policy + o.kl_coefficient * out.kl - o.entropy_coefficient * t.entropy);
  return out;
}

struct Result {
  double loss;
  std::vector<float> grad, grad_entropy, policy, ratio, gamma, shaped, kl;
  std::vector<uint8_t> used, clipped, dual_clipped;
};

Result run(const std::vector<Token>& tokens, const PolicyLossOptions& o) {
  std::vector<float> columns[6];
  std::vector<uint8_t> guided;
  for (const Token& t : tokens) {
    const double values[] = {t.logp, t.old, t.advantage, t.reference, t.entropy, t.weight};
    for (int i = 0; i < 6; ++i) columns[i].push_back(static_cast<float>(values[i]));
    guided.push_back(t.guided);
  }
  const size_t n = tokens.size();
  DeviceBuffer<float> logp(columns[0]), old(columns[1]), advantage(columns[2]), reference(columns[3]),
      entropy(columns[4]), weight(columns[5]);
  DeviceBuffer<uint8_t> guided_d(guided), used(n), clipped(n), dual(n);
  DeviceBuffer<float> grad(n), grad_entropy(n), policy(n), ratio(n), gamma(n), shaped(n), kl(n);
  DeviceBuffer<double> loss(1), scratch(cuda::policy_loss_scratch(static_cast<int64_t>(n)));
  const auto flags = [](const DeviceBuffer<uint8_t>& b) { return reinterpret_cast<bool*>(b.data()); };
  cuda::policy_loss(
      {logp.data(), old.data(), advantage.data(), flags(guided_d), reference.data(), entropy.data(), weight.data()}, o,
      static_cast<int64_t>(n), scratch.data(),
      {loss.data(), grad.data(), grad_entropy.data(), policy.data(), ratio.data(), gamma.data(), shaped.data(),
       flags(used), flags(clipped), flags(dual), kl.data()},
      nullptr);
  return {loss.read()[0], grad.read(), grad_entropy.read(), policy.read(),  ratio.read(), gamma.read(),
          shaped.read(),  kl.read(),   used.read(),         clipped.read(), dual.read()};
}

std::vector<Token> tokens_of(int64_t n, uint64_t seed) {
  const auto z = widened(normals<float>(6 * n, seed));
  std::vector<Token> tokens;
  for (int64_t i = 0; i < n; ++i) {
    // Exactly representable in float, so that both sides read the same numbers.
    const auto f = [](double x) { return static_cast<double>(static_cast<float>(x)); };
    const double logp = f(-std::abs(z[6 * i]) * 3);
    tokens.push_back({logp, f(logp + 0.3 * z[6 * i + 1]), f(2 * z[6 * i + 2]), f(logp + 0.5 * z[6 * i + 3]),
                      f(std::abs(z[6 * i + 4])), i % 7 == 3 ? 0.0 : f(0.125 / static_cast<double>(1 + i % 5)),
                      i % 3 == 0});
  }
  return tokens;
}

// Relative, of p/d, p = exp(logp), d = p + γ: p is within two roundings, γ within eight of its range, and the sum and
// the quotient are rounded; where γ is about −p that is much of d. Of p/(p + c): of exp(log c − logp).
double shaped_error(const Token& t, const Twin& w, const PolicyLossOptions& o) {
  const double u = kRoundoff<float>, p = std::exp(t.logp);
  if (o.aas == Shaping::POverPPlusC) return (2 * std::abs(std::log(o.aas_constant)) + std::abs(t.logp) + 6) * u;
  return (6 + (2 * p + 8 * (0.002 + std::abs(w.gamma))) / std::abs(p + w.gamma)) * u;
}

std::vector<PolicyLossOptions> all_options() {
  std::vector<PolicyLossOptions> all;
  for (Shaping aas : {Shaping::Paper, Shaping::Reference, Shaping::Constant, Shaping::POverPPlusC, Shaping::Off})
    for (bool dual : {true, false})
      for (double kl : {0.0, 0.05}) {
        PolicyLossOptions o;
        o.aas = aas;
        o.use_dual_clip = dual;
        o.kl_coefficient = kl;
        o.entropy_coefficient = kl / 10;
        o.clip_high = 0.28;
        o.dual_clip = 1.5;
        all.push_back(o);
      }
  return all;
}

TEST_F(CudaPolicyLoss, EqualsTheFormulasAndFiniteDifferences) {
  for (const PolicyLossOptions& o : all_options())
    for (int64_t n : {0, 1, 1023, 1024, 2503}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(o.aas) << o.use_dual_clip << " kl " << o.kl_coefficient
                                      << " n " << n);
      const auto tokens = tokens_of(n, 21);
      const Result r = run(tokens, o);
      const double u = kRoundoff<float>;
      double loss = 0, magnitude = 0;
      for (int64_t i = 0; i < n; ++i) {
        const Token& t = tokens[i];
        const Twin w = twin(t, t.logp, o);
        const double scale = 1 + std::abs(t.advantage) * (1 + w.ratio);
        const double of_shaped = std::abs(t.advantage * w.shaped) * shaped_error(t, w, o);
        loss += w.total;
        magnitude += t.weight * (scale + std::abs(t.logp));
        EXPECT_NEAR(r.ratio[i], w.ratio, w.ratio * 8 * u);
        EXPECT_NEAR(r.policy[i], w.policy, scale * 16 * u + std::min(of_shaped, std::abs(w.policy) * 300 * u));
        EXPECT_NEAR(r.gamma[i], w.gamma, 8 * u * (0.002 + std::abs(w.gamma)));
        EXPECT_NEAR(r.shaped[i], w.shaped,
                    std::abs(w.shaped) *
                        std::min(shaped_error(t, w, o), (16 + 2e-3 / std::abs(std::exp(t.logp) + w.gamma)) * 4 * u));
        EXPECT_NEAR(r.kl[i], w.kl, (1 + std::abs(t.logp)) * 8 * u);
        EXPECT_EQ(r.used[i] != 0, w.used);
        EXPECT_EQ(r.clipped[i] != 0, w.clipped);
        EXPECT_EQ(r.dual_clipped[i] != 0, w.dual_clipped);
        EXPECT_EQ(r.grad_entropy[i], o.entropy_coefficient != 0
                                         ? static_cast<float>(-t.weight * static_cast<float>(o.entropy_coefficient))
                                         : 0);
        // Of KL's slope, exp(difference) − 1. The finite difference is off by its rounding and its third derivative:
        // every derivative of exp is exp, and that of p/(p + c) is no larger than itself.
        const double difference = t.reference - t.logp;
        const double of_kl = o.kl_coefficient * (1 + std::abs(difference)) * std::exp(difference);
        const double step = 1e-6, all = scale + std::abs(t.advantage * w.shaped) + of_kl + std::abs(w.total);
        const double slope = (twin(t, t.logp + step, o).total - twin(t, t.logp - step, o).total) / (2 * step);
        EXPECT_NEAR(r.grad[i], slope,
                    std::min(t.weight * ((scale + of_kl) * 16 * u + 2 * of_shaped +
                                         all * (step * step + 8 * kRoundoff<double> / step)),
                             t.weight * scale * (1e-5 + std::abs(w.shaped) * 300 * u) + 1e-9))
            << i;
      }
      EXPECT_NEAR(r.loss, loss, magnitude * 40 * u);
    }
}

// On-policy both sides of the clip are the same: the whole gradient comes back.
TEST_F(CudaPolicyLoss, TiesGiveHalfToEachSide) {
  PolicyLossOptions o;
  o.aas = Shaping::Off;
  const Result r = run({{-1, -1, 2, 0, 0, 1, false}, {-1, -1, -2, 0, 0, 1, false}}, o);
  EXPECT_EQ(r.grad, (std::vector<float>{-2, 2}));
  o.dual_clip = 1;  // limit and single clip are equal, too
  EXPECT_EQ(run({{-1, -1, -2, 0, 0, 1, false}}, o).grad, std::vector<float>{1});
}

TEST_F(CudaPolicyLoss, TakesTheLimitsWherePUnderflows) {
  PolicyLossOptions o;
  o.fallback_probability = 0;
  o.aas = Shaping::Constant;
  for (const auto& [gamma, shaped] : {std::pair<double, float>{-0.001, 1.0001f}, {0.001, 0.0f}, {0.0, 1.0f}}) {
    o.aas_constant = gamma;
    const Result r = run({{-1e4, -1e4, 1.5, -1e4, 0, 1, true}}, o);
    EXPECT_EQ(r.shaped[0], shaped);
    EXPECT_EQ(r.grad[0], -1.5f * shaped);
  }
  o.aas_constant = -1;  // the pole: p is 1 exactly
  EXPECT_EQ(run({{0, 0, 1.5, 0, 0, 1, true}}, o).shaped[0], 1.0001f);
  // Far off-policy everything stays finite.
  o.kl_coefficient = 0.1;
  const Result far =
      run({{-1, -300, -2, -400, 0, 1, false}, {-300, -1, 2, -1, 0, 1, true}, {-300, -1, -2, -1, 0, 1, false}}, o);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(std::isfinite(far.grad[i]) && std::isfinite(far.policy[i]) && std::isfinite(far.kl[i])) << i;
  EXPECT_EQ(far.grad[0], 0);  // dual clip and the cut of KL have taken it
}

TEST_F(CudaPolicyLoss, TheSumDoesNotDependOnTheRun) {
  const auto tokens = tokens_of(5000, 3);
  EXPECT_EQ(run(tokens, {}).loss, run(tokens, {}).loss);
}

TEST_F(CudaPolicyLoss, RefusesWhatTheContractExcludes) {
  DeviceBuffer<float> x(std::vector<float>(4, -1.0f));
  DeviceBuffer<double> sums(4);
  DeviceBuffer<uint8_t> flags(std::vector<uint8_t>(4, 0));
  const cuda::PolicyLossInputs in{x.data(), x.data(), x.data(), reinterpret_cast<bool*>(flags.data()),
                                  nullptr,  nullptr,  x.data()};
  PolicyLossOptions kl, entropy, constant;
  kl.kl_coefficient = entropy.entropy_coefficient = 0.1;
  constant.aas = Shaping::POverPPlusC;
  constant.aas_constant = 0;
  for (const PolicyLossOptions& o : {kl, entropy, constant})
    EXPECT_THROW(cuda::policy_loss(in, o, 4, sums.data(), {sums.data()}, nullptr), core::Error);
}

}  // namespace
}  // namespace thinktune::kernels
