// rms_norm, rope and glu against the composite formulas in f64 (values, and autograd through them) and finite
// differences.
#include "thinktune/ops/fused.h"

#include "src/ops/composite.h"
#include "tensor_checks.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/linear.h"

namespace thinktune::ops {
namespace {

using Op = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// One operation on inputs of one dtype: forward and gradients of `op` against those of `formula` on the same numbers in
// f64. rounding_steps: roundings to the dtype on the way; sum_length: of the longest sum, in the accumulation type.
void expect_like_formula(const Op& op, const Op& formula, const std::vector<at::Tensor>& inputs, double rounding_steps,
                         double sum_length) {
  std::vector<at::Tensor> mine, twins;
  for (const at::Tensor& t : inputs) {
    mine.push_back(leaf(t));
    twins.push_back(leaf(t.to(at::kDouble)));
  }
  const at::ScalarType dtype = inputs[0].scalar_type();
  const double accum = roundoff(dtype == at::kDouble ? at::kDouble : at::kFloat);
  const double relative = rounding_steps * roundoff(dtype), absolute = (sum_length + 20) * accum;
  const at::Tensor out = op(mine), expected = formula(twins);
  EXPECT_EQ(out.scalar_type(), dtype);
  EXPECT_TRUE(out.is_contiguous());
  expect_near(out, expected, relative, absolute);

  const at::Tensor dout = normals(out.sizes(), dtype, 77);
  const std::vector<at::Tensor> grads = gradients({out}, {dout}, mine);
  const std::vector<at::Tensor> expected_grads = gradients({expected}, {dout.to(at::kDouble)}, twins);
  for (size_t i = 0; i < grads.size(); ++i) {
    EXPECT_EQ(grads[i].scalar_type(), dtype);
    // A gradient is a sum of terms that were rounded each.
    expect_near(grads[i], expected_grads[i], relative, absolute + (dtype == at::kBFloat16 ? 8 * roundoff(dtype) : 0));
  }

  at::NoGradGuard no_grad;
  const at::Tensor plain = op(mine);
  EXPECT_FALSE(plain.requires_grad());
  EXPECT_TRUE(at::equal(plain, out));
}

const int64_t kTokens[] = {0, 1, 2, 63, 64, 65, 131};

const RmsNormForm kForm = {.epsilon = 1e-5};
const RmsNormForm kForms[] = {kForm, {1e-6, true, false}, {1e-5, false, false}};

// The same numbers as the addition and the norm one after the other; gradients to one rounding less.
TEST(AddRmsNorm, LikeAdditionAndNorm) {
  for (const RmsNormForm& form : kForms)
    for (at::ScalarType dtype : kDtypes)
      for (int64_t tokens : kTokens)
        for (int64_t width : {2, 17, 576}) {
          SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << tokens << " x " << width);
          const std::vector<at::Tensor> inputs = {normals({tokens, width}, dtype, 1),
                                                  normals({tokens, width}, dtype, 2), normals({width}, dtype, 3)};
          const std::vector<at::Tensor> douts = {normals({tokens, width}, dtype, 4),
                                                 normals({tokens, width}, dtype, 5)};
          std::vector<at::Tensor> fused, apart;
          for (const at::Tensor& t : inputs) fused.push_back(leaf(t)), apart.push_back(leaf(t));
          const AddedNorm added = add_rms_norm(fused[0], fused[1], fused[2], form);
          const at::Tensor sum = apart[0] + apart[1], normed = rms_norm(sum, apart[2], form);
          EXPECT_TRUE(at::equal(added.sum_TD, sum));
          EXPECT_TRUE(at::equal(added.normed_TD, normed));
          const auto mine = gradients({added.sum_TD, added.normed_TD}, douts, fused);
          const auto theirs = gradients({sum, normed}, douts, apart);
          EXPECT_TRUE(at::equal(mine[0], mine[1]));
          EXPECT_TRUE(at::equal(mine[2], theirs[2]));
          expect_near(mine[0], theirs[0].to(at::kDouble), 3 * roundoff(dtype), 8 * roundoff(dtype));

          at::NoGradGuard no_grad;
          const AddedNorm plain = add_rms_norm(inputs[0], inputs[1], inputs[2], form);
          EXPECT_TRUE(at::equal(plain.sum_TD, sum) && at::equal(plain.normed_TD, normed));
          EXPECT_TRUE(at::equal(inputs[0], apart[0]));  // what is added to stays
        }
}

TEST(AddRmsNorm, RefusesWhatDoesNotFit) {
  const at::Tensor x = normals({3, 8}, at::kFloat, 1), weight = normals({8}, at::kFloat, 2);
  EXPECT_THROW(add_rms_norm(x, normals({3, 7}, at::kFloat, 3), weight, kForm), core::Error);
  EXPECT_THROW(add_rms_norm(x, x.to(at::kBFloat16), weight, kForm), core::Error);
  EXPECT_THROW(add_rms_norm(x, x, normals({7}, at::kFloat, 3), kForm), core::Error);
}

TEST(RmsNorm, LikeTheFormula) {
  const OneThread one_thread;
  for (const RmsNormForm& form : kForms)
    for (at::ScalarType dtype : kDtypes)
      for (int64_t tokens : kTokens)
        for (int64_t width : {2, 15, 16, 17, 97, 576}) {  // 1: the gradient is all cancellation, see tests/kernels
          SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << tokens << " x " << width);
          const Op op = [&](const auto& in) { return rms_norm(in[0], in[1], form); };
          const Op formula = [&](const auto& in) { return composite_rms_norm(in[0], in[1], form); };
          expect_like_formula(op, formula, {normals({tokens, width}, dtype, 1), normals({width}, dtype, 2)}, 3,
                              width + tokens);
        }
}

TEST(Rope, LikeTheFormula) {
  const OneThread one_thread;
  for (at::ScalarType dtype : kDtypes)
    for (int64_t tokens : kTokens)
      for (int64_t head_size : {2, 14, 30, 32, 34, 64}) {
        SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << tokens << " x 3 x " << head_size);
        const at::Tensor angle = normals({tokens, head_size / 2}, at::kDouble, 3, 3.0);
        const at::ScalarType table = dtype == at::kDouble ? at::kDouble : at::kFloat;
        const at::Tensor cos = angle.cos().to(table), sin = angle.sin().to(table);
        const Op op = [&](const auto& in) { return rope(in[0], cos, sin); };
        const Op formula = [&](const auto& in) {
          return composite_rope(in[0], cos.to(at::kDouble), sin.to(at::kDouble));
        };
        expect_like_formula(op, formula, {normals({tokens, 3, head_size}, dtype, 4)}, 1.01, 2);
      }
}

const Activation kActivations[] = {Activation::Silu, Activation::GeluTanh};

TEST(Glu, LikeTheFormula) {
  const OneThread one_thread;
  for (const Activation activation : kActivations)
    for (at::ScalarType dtype : kDtypes)
      for (int64_t tokens : kTokens)
        for (int64_t width : {0, 1, 15, 16, 17, 97, 1536}) {
          SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << tokens << " x " << width);
          const Op op = [&](const auto& in) { return glu(in[0], activation); };
          const Op formula = [&](const auto& in) { return composite_glu(in[0], activation); };
          // A gradient's terms, dout · up · σ · (1 + |gate| z'), reach many times the root mean square of the gradient,
          // with GELU, whose z' grows with gate², more so.
          const double terms = activation == Activation::Silu ? 100 : 400;
          expect_like_formula(op, formula, {normals({tokens, 2 * width}, dtype, 5, 2.0)}, 1.01, terms);
        }
}

TEST(RmsNorm, Slopes) {
  for (const RmsNormForm& form : kForms) {
    const at::Tensor x = leaf(normals({3, 17}, at::kDouble, 6)), weight = leaf(normals({17}, at::kDouble, 7));
    expect_slopes([&] { return std::vector<at::Tensor>{rms_norm(x, weight, form)}; }, {x, weight}, 1e-8);
    const at::Tensor delta = leaf(normals(x.sizes(), at::kDouble, 9));
    const auto added = [&] {
      const AddedNorm both = add_rms_norm(x, delta, weight, form);
      return std::vector<at::Tensor>{both.sum_TD, both.normed_TD};
    };
    expect_slopes(added, {x, delta, weight}, 1e-8);
  }
}

TEST(Rope, Slopes) {
  const at::Tensor x = leaf(normals({3, 2, 6}, at::kDouble, 8)), angle = normals({3, 3}, at::kDouble, 9);
  expect_slopes([&] { return std::vector<at::Tensor>{rope(x, angle.cos(), angle.sin())}; }, {x}, 1e-8);
}

TEST(Glu, Slopes) {
  for (const Activation activation : kActivations) {
    const at::Tensor x = leaf(normals({3, 22}, at::kDouble, 10));
    expect_slopes([&] { return std::vector<at::Tensor>{glu(x, activation)}; }, {x}, 1e-8);
  }
}

TEST(GluLinear, TheBitsOfGluAndLinear) {
  for (const Activation activation : kActivations)
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble})
      for (const int64_t tokens : {1, 70}) {
        SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << tokens);
        const at::Tensor gate_up = leaf(normals({tokens, 96}, dtype, 15)), weight = leaf(normals({34, 48}, dtype, 16));
        const at::Tensor gate_up_2 = leaf(gate_up.detach()), weight_2 = leaf(weight.detach());
        const at::Tensor y = glu_linear(gate_up, activation, weight),
                         y_2 = ops::linear(glu(gate_up_2, activation), weight_2);
        EXPECT_TRUE(at::equal(y, y_2));
        const at::Tensor dy = normals(y.sizes(), dtype, 17);
        y.backward(dy);
        y_2.backward(dy);
        EXPECT_TRUE(at::equal(gate_up.grad(), gate_up_2.grad()));
        EXPECT_TRUE(at::equal(weight.grad(), weight_2.grad()));
      }
}

TEST(GluLinear, Slopes) {
  for (const Activation activation : kActivations) {
    const at::Tensor gate_up = leaf(normals({3, 22}, at::kDouble, 18)),
                     weight = leaf(normals({5, 11}, at::kDouble, 19));
    expect_slopes([&] { return std::vector<at::Tensor>{glu_linear(gate_up, activation, weight)}; }, {gate_up, weight},
                  1e-8);
  }
}

TEST(Fused, OneGradientAlone) {
  const at::Tensor x = normals({70, 33}, at::kFloat, 11), weight = normals({33}, at::kFloat, 12),
                   dy = normals({70, 33}, at::kFloat, 13);
  const at::Tensor both_x = leaf(x), both_weight = leaf(weight);
  const auto both = gradients({rms_norm(both_x, both_weight, kForm)}, {dy}, {both_x, both_weight});
  const at::Tensor only_x = leaf(x), only_weight = leaf(weight);
  EXPECT_TRUE(at::equal(gradients({rms_norm(only_x, weight, kForm)}, {dy}, {only_x})[0], both[0]));
  EXPECT_TRUE(at::equal(gradients({rms_norm(x, only_weight, kForm)}, {dy}, {only_weight})[0], both[1]));
}

TEST(Fused, ViewsWithGapsAndTransposedGradients) {
  // Queries as a part of one wider row, as a fused projection leaves them.
  const at::Tensor wide = leaf(normals({5, 7, 16}, at::kFloat, 14)), angle = normals({5, 8}, at::kFloat, 15);
  const at::Tensor part = wide.narrow(1, 2, 3);
  ASSERT_FALSE(part.is_contiguous());
  const at::Tensor out = rope(part, angle.cos(), angle.sin());
  EXPECT_TRUE(at::equal(out, rope(part.contiguous(), angle.cos(), angle.sin())));
  // A gradient that arrives in another order of dimensions.
  const at::Tensor dy = normals({16, 3, 5}, at::kFloat, 16).permute({2, 1, 0});
  const at::Tensor grad = gradients({out}, {dy}, {wide})[0];
  EXPECT_TRUE(at::equal(grad.narrow(1, 2, 3), rope(dy.contiguous(), angle.cos(), -angle.sin())));
  EXPECT_EQ(grad.narrow(1, 0, 2).abs().max().item<float>(), 0);

  const at::Tensor x_t = normals({33, 4}, at::kFloat, 17).t(), weight = normals({33}, at::kFloat, 18);
  EXPECT_TRUE(at::equal(rms_norm(x_t, weight, kForm), rms_norm(x_t.contiguous(), weight, kForm)));
  EXPECT_TRUE(at::equal(glu(normals({8, 3}, at::kFloat, 19).t(), Activation::Silu),
                        glu(normals({8, 3}, at::kFloat, 19).t().contiguous(), Activation::Silu)));
}

TEST(Fused, ThreadsDoNotShow) {
  for (at::ScalarType dtype : kDtypes) {
    SCOPED_TRACE(c10::toString(dtype));
    const at::Tensor x = normals({517, 192}, dtype, 20), weight = normals({192}, dtype, 21),
                     angle = normals({517, 32}, at::kDouble, 22);
    const at::ScalarType table = dtype == at::kDouble ? at::kDouble : at::kFloat;
    expect_same_for_any_threads([&] {
      const at::Tensor a = leaf(x), w = leaf(weight), b = leaf(x), c = leaf(x.view({517, 3, 64}));
      const std::vector<at::Tensor> outs = {rms_norm(a, w, kForm), glu(b, Activation::GeluTanh),
                                            rope(c, angle.cos().to(table), angle.sin().to(table))};
      std::vector<at::Tensor> all = gradients(outs, {x, x.narrow(1, 0, 96), x.view({517, 3, 64})}, {a, w, b, c});
      all.insert(all.end(), outs.begin(), outs.end());
      return all;
    });
  }
}

TEST(Fused, RefusesWhatItCannotDo) {
  const at::Tensor x = normals({2, 8}, at::kFloat, 23), weight = normals({8}, at::kFloat, 24);
  EXPECT_THROW(rms_norm(x, normals({7}, at::kFloat, 1), kForm), core::Error);
  EXPECT_THROW(rms_norm(x, weight.to(at::kBFloat16), kForm), core::Error);
  EXPECT_THROW(rms_norm(x.to(at::kHalf), weight.to(at::kHalf), kForm), core::Error);
  EXPECT_THROW(rms_norm(x.view({1, 2, 8}), weight, kForm), core::Error);
  EXPECT_THROW(glu(normals({2, 7}, at::kFloat, 1), Activation::Silu), core::Error);
  const at::Tensor heads = normals({2, 3, 8}, at::kFloat, 25), angle = normals({2, 4}, at::kFloat, 26);
  EXPECT_THROW(rope(heads, angle.narrow(1, 0, 3), angle), core::Error);
  EXPECT_THROW(rope(heads, angle.to(at::kDouble), angle.to(at::kDouble)), core::Error);
  EXPECT_THROW(rope(normals({2, 3, 7}, at::kFloat, 1), angle, angle), core::Error);
}

TEST(Fused, NoSecondDerivative) {
  const at::Tensor x = leaf(normals({2, 8}, at::kDouble, 27));
  const at::Tensor out = glu(x, Activation::Silu);
  EXPECT_THROW(torch::autograd::grad({out.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
