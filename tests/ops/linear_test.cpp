#include "thinktune/ops/linear.h"

#include "tensor_checks.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

struct Shape {
  int64_t inputs, outputs;
};
// Odd ones, SmolLM2-135M's, and those of larger models.
const Shape kShapes[] = {{1, 1},      {7, 13},     {34, 63},     {64, 65},    {576, 960},
                         {576, 3072}, {1536, 576}, {4096, 1024}, {14336, 512}};

class PackedLinear : public testing::TestWithParam<at::ScalarType> {};

TEST_P(PackedLinear, IsTheProduct) {
  const at::ScalarType dtype = GetParam();
  for (const auto& [inputs, outputs] : kShapes)
    for (const int64_t rows : {0, 1, 2, 17, 64, 129}) {
      SCOPED_TRACE(testing::Message() << rows << " rows of " << inputs << " to " << outputs);
      const at::Tensor x = normals({rows, inputs}, dtype, 1), w = normals({outputs, inputs}, dtype, 2);
      const at::Tensor bias = normals({outputs}, dtype, 3), exact = at::linear(x.to(at::kDouble), w.to(at::kDouble));
      // Sums in f32; each rounding is relative to a sum of products near √inputs.
      const double tolerance = 2 * roundoff(at::kFloat) * std::sqrt(static_cast<double>(inputs)) + roundoff(dtype);
      expect_near(ops::linear(x, pack_weight(w)), exact, roundoff(dtype), 4 * tolerance);
      expect_near(ops::linear(x, pack_weight(w), bias), exact + bias.to(at::kDouble), roundoff(dtype), 4 * tolerance);
      expect_near(ops::linear(x, w, bias), exact + bias.to(at::kDouble), roundoff(dtype), 4 * tolerance);
    }
}

// Products with a plain weight and their gradients, against the same in double.
TEST_P(PackedLinear, HasTheGradientsOfTheProduct) {
  const at::ScalarType dtype = GetParam();
  for (const auto& [inputs, outputs] : {Shape{1, 1}, {7, 13}, {34, 63}, {64, 65}, {576, 960}, {1536, 576}})
    for (const int64_t rows : {1, 2, 17, 33, 129, 700})
      for (const bool has_bias : {false, true}) {
        SCOPED_TRACE(testing::Message() << rows << " rows of " << inputs << " to " << outputs);
        const at::Tensor x = leaf(normals({rows, inputs}, dtype, 1)), w = leaf(normals({outputs, inputs}, dtype, 2));
        const at::Tensor bias = has_bias ? leaf(normals({outputs}, dtype, 3)) : at::Tensor();
        const at::Tensor dy = normals({rows, outputs}, dtype, 4);
        ops::linear(x, w, bias).backward(dy);
        const at::Tensor x64 = x.detach().to(at::kDouble), w64 = w.detach().to(at::kDouble), dy64 = dy.to(at::kDouble);
        const auto tolerance = [&](int64_t summed) {
          return 4 * (2 * roundoff(at::kFloat) * std::sqrt(static_cast<double>(summed)) + roundoff(dtype));
        };
        expect_near(x.grad(), dy64.mm(w64), roundoff(dtype), tolerance(outputs));
        expect_near(w.grad(), dy64.t().mm(x64), roundoff(dtype), tolerance(rows));
        if (has_bias) expect_near(bias.grad(), dy64.sum(0), roundoff(dtype), tolerance(rows));
      }
}

// What makes a sample independent of slots and threads.
TEST_P(PackedLinear, ARowIsTheSameInAnyCompany) {
  const at::ScalarType dtype = GetParam();
  if (!is_packed(pack_weight(normals({4, 8}, dtype, 1))))
    GTEST_SKIP() << "there are no packed products for this type on this processor";
  const int before = at::get_num_threads();
  for (const auto& [inputs, outputs] : kShapes) {
    const at::Tensor x = normals({130, inputs}, dtype, 1), w = pack_weight(normals({outputs, inputs}, dtype, 2));
    const at::Tensor all = ops::linear(x, w);
    for (const int threads : {1, 2, 3})
      for (const int64_t rows : {1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 64, 65, 128}) {
        at::set_num_threads(threads);
        EXPECT_TRUE(at::equal(ops::linear(x.narrow(0, 0, rows), w), all.narrow(0, 0, rows)))
            << rows << " rows of " << inputs << " to " << outputs << ", " << threads << " threads";
      }
    at::set_num_threads(before);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, PackedLinear, testing::Values(at::kFloat, at::kBFloat16, at::kDouble),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST(PackedLinear, HasNoGradient) {
  const at::Tensor x = leaf(normals({2, 8}, at::kFloat, 1));
  EXPECT_THROW(ops::linear(x, pack_weight(normals({4, 8}, at::kFloat, 2))), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
