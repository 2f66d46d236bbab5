#include "thinktune/ops/gradient_sum.h"

#include <functional>
#include <string>
#include <vector>

#include "tensor_checks.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/embedding.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/linear.h"
#include "thinktune/ops/token_logprob.h"

namespace thinktune::ops {
namespace {

using Op = std::function<at::Tensor(const at::Tensor& weight)>;

at::Tensor bf16(at::IntArrayRef sizes, uint64_t seed) { return normals(sizes, at::kBFloat16, seed); }

// Each op with a weight of its own, and the same in f64.
struct Case {
  const char* name;
  at::Tensor weight;
  Op op, twin;
};

std::vector<Case> cases() {
  const RmsNormForm form{.epsilon = 1e-5, .round_before_weight = true};
  const at::Tensor matrix = bf16({65, 64}, 13), ones = at::ones({64}, at::kBFloat16);
  const at::Tensor x = bf16({129, 64}, 1), gate_up = bf16({70, 2 * 34}, 2), hidden = bf16({33, 48}, 3);
  const at::Tensor ids = at::randperm(90).narrow(0, 0, 41), targets = at::arange(33) * 5;
  const auto f64 = [](const at::Tensor& t) { return t.to(at::kDouble); };
  return {
      {"linear", bf16({65, 64}, 4), [=](const at::Tensor& w) { return ops::linear(x, w); },
       [=](const at::Tensor& w) { return ops::linear(f64(x), w); }},
      // The hidden layer is one of bf16 in both.
      {"glu_linear", bf16({31, 34}, 5), [=](const at::Tensor& w) { return glu_linear(gate_up, Activation::Silu, w); },
       [=](const at::Tensor& w) { return ops::linear(f64(glu(gate_up, Activation::Silu)), w); }},
      {"bias", bf16({65}, 10), [=](const at::Tensor& b) { return ops::linear(x, matrix, b); },
       [=](const at::Tensor& b) { return ops::linear(f64(x), f64(matrix), b); }},
      // The row is rounded before it meets the weight in both.
      {"rms_norm", bf16({64}, 11), [=](const at::Tensor& w) { return rms_norm(x, w, form); },
       [=](const at::Tensor& w) { return f64(rms_norm(x, ones, form)) * w; }},
      {"add_rms_norm", bf16({64}, 12), [=](const at::Tensor& w) { return add_rms_norm(x, x, w, form).normed_TD; },
       [=](const at::Tensor& w) { return f64(rms_norm(2 * x, ones, form)) * w; }},
      {"embedding", bf16({90, 24}, 6), [=](const at::Tensor& w) { return ops::embedding(w, ids); },
       [=](const at::Tensor& w) { return ops::embedding(w, ids); }},
      {"token_logprob", normals({300, 48}, at::kBFloat16, 7, 0.2),
       [=](const at::Tensor& w) { return token_logprob(hidden, w, targets, {.backward_vocabulary = 128}).logprob_T; },
       [=](const at::Tensor& w) { return token_logprob(f64(hidden), w, targets, {}).logprob_T; }}};
}

TEST(GradientSum, IsWhatTheOperationComputesBeforeItRounds) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const at::Tensor summed = leaf(c.weight), plain = leaf(c.weight), exact = leaf(c.weight.to(at::kDouble));
    const auto sum = sum_gradients(summed, [] {});
    const at::Tensor y = c.op(summed), dy = normals(y.sizes(), y.scalar_type(), 9);
    y.backward(dy);
    c.op(plain).backward(dy);
    c.twin(exact).backward(dy.to(at::kDouble));
    ASSERT_EQ(summed.grad().scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(summed.grad().to(at::kBFloat16), plain.grad()));
    // Of the head the logits' gradients are bf16, whatever sums them.
    const bool from_logits = c.name == std::string("token_logprob");
    expect_near(summed.grad(), exact.grad(), 0, from_logits ? 0.1 : 1e-5);
  }
}

TEST(GradientSum, GrowsByEachPassWithoutRoundingToBf16) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const at::Tensor summed = leaf(c.weight);
    const auto sum = sum_gradients(summed, [] {});
    const at::Tensor y = c.op(summed), dy = normals(y.sizes(), y.scalar_type(), 9);
    y.backward(dy);
    const at::Tensor once = summed.grad().clone();
    for (int pass = 2; pass <= 5; ++pass) {
      c.op(summed).backward(dy);
      expect_near(summed.grad(), pass * once.to(at::kDouble), 0, 1e-6 * pass);
    }
    summed.mutable_grad() = at::Tensor();
    c.op(summed).backward(dy);
    EXPECT_TRUE(at::equal(summed.grad(), once));
  }
}

// As an embedding that is also the head: the sum is announced when both have come.
TEST(GradientSum, AnnouncesAPassOnceWhenAllOfItIsIn) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    const at::Tensor weight = leaf(normals({40, 16}, dtype, 1)), exact = leaf(weight.detach().to(at::kDouble));
    const at::Tensor ids = at::tensor({3, 3, 17, 3, 39}, at::kLong), targets = at::tensor({1, 3, 0, 2, 39}, at::kLong);
    const auto loss = [&](const at::Tensor& w) {
      return token_logprob(ops::embedding(w, ids).tanh(), w, targets, {}).logprob_T.sum() +
             rms_norm(w.narrow(0, 0, 2), w[5], {.epsilon = 1e-5}).sum();
    };
    int announced = 0;
    at::Tensor seen;
    auto sum = sum_gradients(weight, [&] {
      ++announced;
      seen = weight.grad().clone();
    });
    loss(weight).backward();
    EXPECT_EQ(announced, 1);
    EXPECT_EQ(seen.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(seen, weight.grad()));
    loss(exact).backward();
    expect_near(seen, exact.grad(), 0, dtype == at::kFloat ? 1e-5 : 0.05);
    const at::Tensor once = seen;
    loss(weight).backward();
    EXPECT_EQ(announced, 2);
    expect_near(seen, 2 * once, 0, 1e-5);
    sum.reset();
    loss(weight).backward();
    EXPECT_EQ(announced, 2) << "nobody listens any more";
  }
}

TEST(GradientSum, RowsThatAreReadOftenAddUpInF32) {
  const at::Tensor weight = leaf(at::zeros({3, 8}, at::kBFloat16));
  const auto sum = sum_gradients(weight, [] {});
  const at::Tensor ids = at::ones({1000}, at::kLong);
  ops::embedding(weight, ids).backward(at::full({1000, 8}, 1.0078125, at::kBFloat16));
  EXPECT_TRUE(at::equal(weight.grad()[1], at::full({8}, 1007.8125)));
  EXPECT_EQ(weight.grad()[0].abs().sum().item<float>() + weight.grad()[2].abs().sum().item<float>(), 0);
}

TEST(GradientSum, OfWhatIsNoLeafIsAnError) {
  const at::Tensor weight = leaf(bf16({4, 4}, 1));
  EXPECT_THROW((void)sum_gradients(weight * 2, [] {}), core::Error);
  EXPECT_THROW((void)sum_gradients(weight.detach(), [] {}), core::Error);
  EXPECT_THROW((void)ops::embedding(weight, at::zeros({2})), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
