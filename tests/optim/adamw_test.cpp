#include "thinktune/optim/adamw.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace thinktune::optim {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using Tensors = std::vector<at::Tensor>;

// Empty, one, around the widths of a vector register, a prime, and more than one thread's share.
const std::vector<std::vector<int64_t>> kShapes = {{0}, {1}, {7}, {8}, {9}, {13, 17}, {3, 5, 2}, {70001}};

at::Tensor random_tensor(const std::vector<int64_t>& shape, std::mt19937& random, double scale) {
  int64_t size = 1;
  for (int64_t n : shape) size *= n;
  std::vector<float> values(size);
  for (float& x : values) x = static_cast<float>(scale * (random() / 2147483648.0 - 1));
  return at::tensor(values, at::kFloat).reshape(shape);
}

Tensors random_tensors(uint32_t seed, double scale = 1) {
  std::mt19937 random(seed);
  Tensors tensors;
  for (const auto& shape : kShapes) tensors.push_back(random_tensor(shape, random, scale));
  return tensors;
}

// Gradients of very different sizes, with zeros, as a model's are.
Tensors gradients_of_update(int64_t update) {
  Tensors gradients =
      random_tensors(1000 + static_cast<uint32_t>(update), std::pow(10.0, -static_cast<double>(update % 5)));
  gradients[6].zero_();
  return gradients;
}

Tensors copies(const Tensors& tensors) {
  Tensors result;
  for (const at::Tensor& t : tensors) result.push_back(t.detach().clone());
  return result;
}

std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().to(at::kDouble).contiguous();
  return {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()};
}

bool bitwise_equal(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i].contiguous().view(at::kInt), b[i].contiguous().view(at::kInt))) return false;
  return true;
}

void run_updates(AdamW& optimizer, int64_t begin, int64_t end) {
  for (int64_t u = begin; u < end; ++u) optimizer.step(gradients_of_update(u), 0.01 / static_cast<double>(1 + u % 3));
}

// One weight's course in f64, from the paper's algorithm.
struct Scalar {
  double w, m = 0, v = 0;
  void step(double g, double lr, int64_t t, const OptimOptions& o) {
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, t)), v_hat = v / (1 - std::pow(o.beta2, t));
    w -= lr * o.weight_decay * w;
    w -= lr * m_hat / (std::sqrt(v_hat) + o.epsilon);
  }
};

TEST(AdamW, FiftyUpdatesAgreeWithTheAlgorithmInDoubles) {
  const OptimOptions options{.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1};
  const Tensors parameters = random_tensors(1);
  std::vector<std::vector<Scalar>> expected;
  for (const at::Tensor& p : parameters) {
    auto& row = expected.emplace_back();
    for (double w : values_of(p)) row.push_back({w});
  }
  AdamW optimizer(parameters, options);
  for (int64_t u = 0; u < 50; ++u) {
    const Tensors gradients = gradients_of_update(u);
    const double lr = 0.01 / static_cast<double>(1 + u % 3);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const std::vector<double> g = values_of(gradients[i]);
      for (size_t k = 0; k < g.size(); ++k) expected[i][k].step(g[k], lr, u + 1, options);
    }
    optimizer.step(gradients, lr);
  }
  EXPECT_EQ(optimizer.num_updates(), 50);
  // A weight of at most 1 takes two roundings an update, each of half a last place, 2^-24; a step of at most 0.03 (0.01
  // times a quotient below 3) comes with some ten of its own and with the moments' drift, 50 · 2^-24.
  const double tolerance = 50 * (2 + 0.03 * (10 + 50)) * std::ldexp(1.0, -24);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::vector<double> w = values_of(parameters[i]);
    const std::vector<double> m = values_of(optimizer.first_moments()[i]), v = values_of(optimizer.second_moments()[i]);
    for (size_t k = 0; k < w.size(); ++k) {
      ASSERT_NEAR(w[k], expected[i][k].w, tolerance) << i << " " << k;
      ASSERT_NEAR(m[k], expected[i][k].m, 50 * std::ldexp(1.0, -23)) << i << " " << k;
      ASSERT_NEAR(v[k], expected[i][k].v, 50 * std::ldexp(1.0, -23)) << i << " " << k;
    }
  }
}

// Without a gradient only the decay moves a weight: it is decoupled, and not divided by the second moment.
TEST(AdamW, DecayIsDecoupled) {
  const at::Tensor p = at::tensor({2.0, -4.0}, at::kFloat);
  AdamW optimizer({p}, {.weight_decay = 0.5});
  optimizer.step({at::zeros_like(p)}, 0.25);
  EXPECT_EQ(values_of(p), (std::vector<double>{1.75, -3.5}));
}

TEST(AdamW, LearningRateZeroChangesNothingButTheState) {
  Tensors parameters = random_tensors(2);
  const Tensors before = copies(parameters);
  AdamW optimizer(parameters, {});
  optimizer.step(gradients_of_update(0), 0);
  EXPECT_TRUE(bitwise_equal(parameters, before));
  EXPECT_GT(optimizer.first_moments()[7].abs().max().item<double>(), 0);
}

TEST(AdamW, IsRepeatableToTheBit) {
  const Tensors a = random_tensors(3), b = random_tensors(3);
  AdamW first(a, {}), second(b, {});
  run_updates(first, 0, 20);
  run_updates(second, 0, 20);
  EXPECT_TRUE(bitwise_equal(a, b));
  EXPECT_FALSE(bitwise_equal(a, random_tensors(3)));
}

TEST(AdamW, RestoredRunsGoOnToTheSameBits) {
  const Tensors straight = random_tensors(4);
  AdamW optimizer(straight, {});
  run_updates(optimizer, 0, 10);
  const Tensors saved = copies(straight), first = copies(optimizer.first_moments()),
                second = copies(optimizer.second_moments());
  run_updates(optimizer, 10, 25);

  const auto resumed_with = [&](int64_t num_updates) {
    const Tensors parameters = copies(saved);
    AdamW resumed(parameters, {});
    for (size_t i = 0; i < saved.size(); ++i) {
      resumed.first_moments()[i].copy_(first[i]);
      resumed.second_moments()[i].copy_(second[i]);
    }
    resumed.restore(num_updates);
    EXPECT_EQ(resumed.num_updates(), num_updates);
    run_updates(resumed, 10, 25);
    return parameters;
  };
  EXPECT_TRUE(bitwise_equal(resumed_with(10), straight));
  EXPECT_FALSE(bitwise_equal(resumed_with(9), straight));  // the count matters, so the line above can fail
}

TEST(AdamW, GradientsMayBeStrided) {
  std::mt19937 random(5);
  const at::Tensor start = random_tensor({13, 17}, random, 1), gradient = random_tensor({17, 13}, random, 1);
  const at::Tensor a = start.clone(), b = start.clone();
  AdamW strided({a}, {}), contiguous({b}, {});
  strided.step({gradient.t()}, 0.1);
  contiguous.step({gradient.t().contiguous()}, 0.1);
  EXPECT_TRUE(bitwise_equal({a}, {b}));
}

TEST(AdamW, LeavesThatRequireGradientsAreChangedInPlace) {
  const at::Tensor p = at::ones({3}, at::kFloat).requires_grad_(true);
  AdamW optimizer({p}, {});
  (p * p).sum().backward();
  optimizer.step({p.grad()}, 0.5);
  EXPECT_LT(p.max().item<double>(), 0.6);
  EXPECT_TRUE(p.is_leaf());
  EXPECT_FALSE(optimizer.first_moments()[0].requires_grad());
}

TEST(AdamW, WithoutParametersOnlyCounts) {
  AdamW optimizer({}, {});
  optimizer.step({}, 0.1);
  EXPECT_EQ(optimizer.num_updates(), 1);
}

TEST(AdamW, BrokenInputsAreNamed) {
  const at::Tensor p = at::zeros({2, 3}, at::kFloat);
  const auto complaint = [](auto call, const std::string& text) {
    EXPECT_THAT(call, ThrowsMessage<core::Error>(HasSubstr(text)));
  };
  complaint([&] { AdamW({p.to(at::kDouble)}, {}); }, "parameter 0 is not f32");
  complaint([&] { AdamW({p, p.t()}, {}); }, "parameter 1 is not contiguous");
  complaint([&] { AdamW({p}, {.lr = -1}); }, "optim.lr");
  AdamW optimizer({p}, {});
  complaint([&] { optimizer.step({}, 0.1); }, "0 gradients for 1 parameters");
  complaint([&] { optimizer.step({at::Tensor()}, 0.1); }, "parameter 0 has no gradient");
  complaint([&] { optimizer.step({p.t()}, 0.1); }, "gradient 0 does not match");
  complaint([&] { optimizer.step({p.to(at::kDouble)}, 0.1); }, "gradient 0 does not match");
  complaint([&] { optimizer.restore(-1); }, "num_updates is -1");
  EXPECT_EQ(optimizer.num_updates(), 0);
}

}  // namespace
}  // namespace thinktune::optim
