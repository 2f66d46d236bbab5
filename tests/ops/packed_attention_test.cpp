#include "thinktune/ops/packed_attention.h"

#include "tensor_checks.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

struct Inputs {
  std::vector<PackedGroup> groups;
  at::Tensor q, k, v;
  AttentionOptions options;
};

Inputs make_inputs(std::vector<PackedGroup> groups, int64_t heads, int64_t kv_heads, int64_t head_size,
                   at::ScalarType dtype) {
  int64_t tokens = 0;
  for (const PackedGroup& group : groups) {
    tokens += group.prompt_tokens;
    for (const int64_t n : group.response_tokens) tokens += n;
  }
  return {std::move(groups),
          leaf(normals({tokens, heads, head_size}, dtype, 1)),
          leaf(normals({tokens, kv_heads, head_size}, dtype, 2)),
          leaf(normals({tokens, kv_heads, head_size}, dtype, 3)),
          {.scale = 1 / std::sqrt(static_cast<double>(head_size))}};
}

at::Tensor attend(const Inputs& in) { return packed_attention(in.q, in.k, in.v, in.groups, in.options); }

// Ragged on purpose: responses of no token, of one, one short of a block of columns, a block, one more, a prime;
// prompts below, at and above a block.
const std::vector<PackedGroup> kRagged = {{65, {63, 0, 1, 64, 65}},
                                          {1, {1, 2}},
                                          {64, {}},
                                          {3, {131, 7}},
                                          {130, {17, 17, 17}},
                                          {40, {100, 120, 0, 90, 200, 150, 30, 60}}};  // three parts

struct Form {
  int64_t heads, kv_heads, head_size;
  double softcap;
  int64_t window;
};
const Form kForms[] = {{9, 3, 64, 0, 0}, {4, 1, 24, 0, 0},  {2, 2, 5, 0, 0}, {4, 4, 80, 0, 33},
                       {6, 2, 32, 3, 0}, {3, 1, 16, 2, 70}, {50, 1, 8, 0, 2}};

// The LibTorch formulas in f64, on the same numbers.
void expect_equal_to_composite(at::ScalarType dtype, double absolute) {
  for (const Form& form : kForms) {
    SCOPED_TRACE(testing::Message() << form.heads << " heads on " << form.kv_heads << " of " << form.head_size
                                    << ", cap " << form.softcap << ", window " << form.window);
    Inputs in = make_inputs(kRagged, form.heads, form.kv_heads, form.head_size, dtype);
    in.options.softcap = form.softcap;
    in.options.window = form.window;
    const at::Tensor q = leaf(in.q.to(at::kDouble)), k = leaf(in.k.to(at::kDouble)), v = leaf(in.v.to(at::kDouble));
    const at::Tensor out = attend(in);
    const at::Tensor expected = packed_varlen_attention(q, k, v, make_packed_layout(in.groups, at::kCPU), in.options);
    expect_near(out, expected, 2 * roundoff(dtype), absolute);
    const at::Tensor dout = normals(out.sizes(), dtype, 4);
    const std::vector<at::Tensor> got = gradients({out}, {dout}, {in.q, in.k, in.v});
    const std::vector<at::Tensor> right = gradients({expected}, {dout.to(at::kDouble)}, {q, k, v});
    for (size_t i = 0; i < 3; ++i) {
      SCOPED_TRACE(i);
      // Backward reads the result after its rounding: Σ dout · out is off by about 8 · 2^-9 for 64 elements near 1.
      expect_near(got[i], right[i], 2 * roundoff(dtype), absolute + (dtype == at::kBFloat16 ? 0.1 : 0));
    }
  }
}

TEST(PackedAttention, EqualsTheFormulasInDouble) { expect_equal_to_composite(at::kDouble, 1e-12); }
TEST(PackedAttention, EqualsTheFormulasInFloat) { expect_equal_to_composite(at::kFloat, 2e-5); }
// Where tiles multiply, probabilities are rounded: each by its share of a value, of which the largest is near 5.
TEST(PackedAttention, EqualsTheFormulasInBfloat16) {
  expect_equal_to_composite(at::kBFloat16, 5 * roundoff(at::kBFloat16));
}

TEST(PackedAttention, GradientsAreSlopes) {
  Inputs in = make_inputs({{3, {2, 0, 4}}, {2, {1}}}, 4, 2, 3, at::kDouble);
  for (const auto& [softcap, window] : {std::pair{0.0, 0}, std::pair{1.5, 0}, std::pair{0.0, 3}}) {
    in.options.softcap = softcap;
    in.options.window = window;
    expect_slopes([&] { return std::vector<at::Tensor>{attend(in)}; }, {in.q, in.k, in.v}, 1e-7);
  }
}

// Rows of a tensor that another operation cut out of a wider one.
TEST(PackedAttention, TakesViews) {
  const Inputs in = make_inputs({{5, {3, 2}}}, 4, 2, 16, at::kFloat);
  const at::Tensor wide = at::cat({in.q.flatten(1), in.k.flatten(1), in.v.flatten(1)}, 1).detach();
  const std::vector<at::Tensor> parts = wide.split_with_sizes({64, 32, 32}, 1);
  const at::Tensor out = packed_attention(parts[0].unflatten(1, {4, 16}), parts[1].unflatten(1, {2, 16}),
                                          parts[2].unflatten(1, {2, 16}), in.groups, in.options);
  EXPECT_TRUE(at::equal(out, attend(in)));
}

TEST(PackedAttention, DoesNotDependOnThreads) {
  const Inputs in = make_inputs(kRagged, 9, 3, 64, at::kBFloat16);
  const at::Tensor dout = normals(in.q.sizes(), at::kBFloat16, 4);
  std::vector<std::vector<at::Tensor>> runs;
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    const at::Tensor out = attend(in);
    runs.push_back(gradients({out}, {dout}, {in.q, in.k, in.v}));
    runs.back().push_back(out);
  }
  at::set_num_threads(before);
  for (size_t run = 1; run < runs.size(); ++run)
    for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(at::equal(runs[run][i], runs[0][i])) << "run " << run << " tensor " << i;
}

// A response is the same in any company, and so is the prompt.
TEST(PackedAttention, ARowIsAFunctionOfWhatItSees) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const int64_t window : {0, 50}) {
      Inputs in = make_inputs({{70, {30, 90}}}, 4, 2, 32, dtype);
      in.options.window = window;
      const at::Tensor out = attend(in);
      const auto alone = [&](const at::Tensor& x) { return at::cat({x.narrow(0, 0, 70), x.narrow(0, 100, 90)}); };
      const at::Tensor second = packed_attention(alone(in.q), alone(in.k), alone(in.v), {{70, {90}}}, in.options);
      EXPECT_TRUE(at::equal(second, alone(out))) << c10::toString(dtype) << ", window " << window;
    }
}

TEST(PackedAttention, RefusesWhatDoesNotFit) {
  const Inputs in = make_inputs({{3, {2}}}, 4, 2, 8, at::kFloat);
  EXPECT_THROW(packed_attention(in.q, in.k, in.v, {{3, {3}}}, in.options), core::Error);
  EXPECT_THROW(packed_attention(in.q, in.k, in.v, {{0, {5}}}, in.options), core::Error);
  EXPECT_THROW(packed_attention(in.q, in.k, in.v, {{6, {-1}}}, in.options), core::Error);
  EXPECT_THROW(packed_attention(in.q, in.k.narrow(1, 0, 1).expand({5, 3, 8}), in.v, in.groups, in.options),
               core::Error);
  EXPECT_THROW(packed_attention(in.q, in.k.to(at::kDouble), in.v, in.groups, in.options), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
