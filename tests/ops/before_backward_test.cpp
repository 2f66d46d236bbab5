#include "thinktune/ops/before_backward.h"

#include "tensor_checks.h"

namespace thinktune::ops {
namespace {

TEST(BeforeBackward, IsCalledBetweenWhatIsBehindAndWhatIsInFront) {
  const at::Tensor w = leaf(normals({4}, at::kDouble, 1)), v = leaf(normals({4}, at::kDouble, 2));
  const at::Tensor expected_w = leaf(w), expected_v = leaf(v);
  int calls = 0;
  const at::Tensor front = at::tanh(w);
  const at::Tensor y = (before_backward(front,
                                        [&] {
                                          ++calls;
                                          EXPECT_TRUE(v.grad().defined()) << "a weight behind it has its gradient";
                                          EXPECT_FALSE(w.grad().defined()) << "one in front of it has none yet";
                                        }) *
                        v)
                           .sum();
  EXPECT_EQ(calls, 0);
  y.backward();
  EXPECT_EQ(calls, 1);
  (at::tanh(expected_w) * expected_v).sum().backward();
  EXPECT_TRUE(at::equal(w.grad(), expected_w.grad()));
  EXPECT_TRUE(at::equal(v.grad(), expected_v.grad()));
}

TEST(BeforeBackward, WithoutAGradientItIsNothing) {
  const at::Tensor x = normals({3}, at::kFloat, 1);
  EXPECT_TRUE(before_backward(x, [] { FAIL(); }).is_same(x));
}

}  // namespace
}  // namespace thinktune::ops
