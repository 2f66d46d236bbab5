#include "thinktune/ops/recomputed.h"

#include "tensor_checks.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

TEST(Recomputed, GradientsOfInputAndOfWhatTheFunctionUses) {
  const at::Tensor x = leaf(normals({5, 4}, at::kDouble, 1)), weight = leaf(normals({4, 3}, at::kDouble, 2));
  const at::Tensor plain_x = leaf(x), plain_weight = leaf(weight), g = normals({5, 3}, at::kDouble, 3);
  const auto f = [](const at::Tensor& x, const at::Tensor& weight) { return at::tanh(at::mm(x, weight)).exp(); };

  int calls = 0;
  const at::Tensor twice_x = x * 2;  // not a leaf
  const at::Tensor y = recomputed(twice_x, [&](const at::Tensor& x) {
    ++calls;
    return f(x, weight);
  });
  EXPECT_EQ(calls, 1);
  const at::Tensor expected = f(plain_x * 2, plain_weight);
  EXPECT_TRUE(at::equal(y, expected));
  y.backward(g);
  expected.backward(g);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at::equal(x.grad(), plain_x.grad()));
  EXPECT_TRUE(at::equal(weight.grad(), plain_weight.grad()));
}

TEST(Recomputed, OneBehindAnother) {
  const at::Tensor weight = leaf(normals({4, 4}, at::kDouble, 2)), plain_weight = leaf(weight);
  const at::Tensor x = leaf(normals({5, 4}, at::kDouble, 1)), plain_x = leaf(x);
  at::Tensor y = x, expected = plain_x;
  for (int i = 0; i < 7; ++i) {
    y = recomputed(y, [weight](const at::Tensor& t) { return at::tanh(t.mm(weight)) + t; });
    expected = at::tanh(expected.mm(plain_weight)) + expected;
  }
  y.sum().backward();
  expected.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), plain_x.grad()));
  EXPECT_TRUE(at::allclose(weight.grad(), plain_weight.grad(), 1e-13, 1e-13));
}

TEST(Recomputed, WithoutAGradientItIsTheFunction) {
  const at::Tensor x = normals({3}, at::kFloat, 1);
  const at::Tensor y = recomputed(x, [](const at::Tensor& t) { return t * 3; });
  EXPECT_FALSE(y.requires_grad());
  EXPECT_TRUE(at::equal(y, x * 3));
}

TEST(Recomputed, HasNoSecondDerivative) {
  const at::Tensor x = leaf(normals({3}, at::kDouble, 1));
  const at::Tensor y = recomputed(x, [](const at::Tensor& t) { return t * t; });
  EXPECT_THROW(torch::autograd::grad({y.sum()}, {x}, {}, std::nullopt, /*create_graph=*/true), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
