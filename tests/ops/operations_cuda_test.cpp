// Every operation on the GPU beside the same in f64 on the CPU; forward, backward, and twice the same bits.
#include <array>

#include "support/gpu.h"
#include "tensor_checks.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/packed_attention.h"
#include "thinktune/ops/paged_attention.h"
#include "thinktune/ops/sample_rows.h"
#include "thinktune/ops/token_logprob.h"

namespace thinktune::ops {
namespace {

using Tensors = std::vector<at::Tensor>;

// f of leaves on the GPU in `dtype` against f of the same numbers in f64 on the CPU: results and gradients.
void expect_as_on_cpu(const std::function<Tensors(const Tensors&)>& f, const Tensors& inputs, at::Device gpu,
                      double relative, double absolute) {
  Tensors on_gpu, on_cpu;
  for (const at::Tensor& x : inputs) {
    on_gpu.push_back(leaf(x.to(gpu)));
    on_cpu.push_back(leaf(x.to(at::kDouble)));
  }
  const Tensors got = f(on_gpu), expected = f(on_cpu);
  Tensors weights, weights_gpu;
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "result " << i);
    expect_near(got[i].cpu(), expected[i].detach(), relative, absolute);
    weights.push_back(normals(expected[i].sizes(), at::kDouble, 70 + i).to(got[i].scalar_type()));
    weights_gpu.push_back(weights.back().to(gpu));
    weights.back() = weights.back().to(at::kDouble);
  }
  const Tensors right = gradients(expected, weights, on_cpu), first = gradients(got, weights_gpu, on_gpu);
  const Tensors again = gradients(f(on_gpu), weights_gpu, on_gpu);
  for (size_t i = 0; i < right.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "gradient " << i);
    expect_near(first[i].cpu(), right[i], 2 * relative, 4 * absolute);
    EXPECT_TRUE(at::equal(first[i], again[i])) << "another time other bits";
  }
}

// Rounding of the result, and of sums of some hundred terms inside.
double tolerance(at::ScalarType dtype) { return dtype == at::kBFloat16 ? 0.02 : 1e-5; }

constexpr std::array kOnGpu = {at::kFloat, at::kBFloat16};

TEST(OperationsCuda, RmsNorm) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [rows, width] : {std::pair{1, 5}, std::pair{7, 97}, std::pair{300, 576}, std::pair{33, 3072}}) {
      SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
      for (const RmsNormForm form : {RmsNormForm{1e-5, false, true}, RmsNormForm{1e-6, true, false}})
        expect_as_on_cpu([&](const Tensors& x) { return Tensors{rms_norm(x[0], x[1], form)}; },
                         {normals({rows, width}, dtype, 1), normals({width}, dtype, 2) + 1}, gpu, tolerance(dtype),
                         2 * tolerance(dtype));
    }
}

TEST(OperationsCuda, Rope) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [tokens, heads, size] : {std::array{1, 1, 2}, std::array{131, 9, 64}, std::array{17, 3, 128}}) {
      const at::Tensor angles = normals({tokens, size / 2}, at::kDouble, 3, 3.0);
      expect_as_on_cpu(
          [&](const Tensors& x) {
            const auto table = x[0].is_cuda() ? x[0].options().dtype(at::kFloat) : x[0].options();
            return Tensors{rope(x[0], at::cos(angles).to(table), at::sin(angles).to(table))};
          },
          {normals({tokens, heads, size}, dtype, 1)}, gpu, tolerance(dtype), tolerance(dtype));
    }
}

TEST(OperationsCuda, Glu) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const Activation activation : {Activation::Silu, Activation::GeluTanh})
      for (const auto& [rows, width] : {std::pair{1, 1}, std::pair{13, 97}, std::pair{200, 1536}})
        expect_as_on_cpu([&](const Tensors& x) { return Tensors{glu(x[0], activation)}; },
                         {normals({rows, 2 * width}, dtype, 1)}, gpu, tolerance(dtype), tolerance(dtype));
}

TEST(OperationsCuda, TokenLogprob) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [tokens, width, vocabulary] :
         {std::array{1, 8, 3}, std::array{67, 64, 1009}, std::array{300, 48, 49152}})
      for (const double temperature : {1.0, 0.7}) {
        SCOPED_TRACE(testing::Message() << tokens << " tokens, vocabulary " << vocabulary << " " << dtype);
        const at::Tensor targets = (at::arange(tokens, at::kLong) * 7919) % vocabulary;
        expect_as_on_cpu(
            [&](const Tensors& x) {
              const TokenLogprobs out = token_logprob(x[0], x[1], targets.to(x[0].device()),
                                                      {.transform = {.temperature = temperature},
                                                       .softcap = temperature == 1.0 ? 0.0 : 5.0,
                                                       .entropy_gradient = true});
              return Tensors{out.logprob_T, out.entropy_T};
            },
            // The head's gradient sums one term a token, each from logits and probabilities rounded to the dtype; the
            // largest error of some ten thousand elements is several of the usual ones.
            {normals({tokens, width}, dtype, 1, 0.3), normals({vocabulary, width}, dtype, 2)}, gpu, tolerance(dtype),
            4 * tolerance(dtype));
      }
}

TEST(OperationsCuda, TokenLogprobUnderATruncatedDistribution) {
  TT_REQUIRE_GPU(gpu);
  const at::Tensor targets = (at::arange(40, at::kLong) * 131) % 997;
  expect_as_on_cpu(
      [&](const Tensors& x) {
        const TokenLogprobs out =
            token_logprob(x[0], x[1], targets.to(x[0].device()), {.transform = {.temperature = 0.8, .top_k = 50}});
        return Tensors{out.logprob_T};
      },
      {normals({40, 32}, at::kFloat, 1, 0.5), normals({997, 32}, at::kFloat, 2)}, gpu, 1e-4, 1e-4);
}

// Flash attention for bf16, LibTorch's others for f32 and where there is a soft cap.
TEST(OperationsCuda, PackedAttention) {
  TT_REQUIRE_GPU(gpu);
  const std::vector<PackedGroup> groups = {{65, {63, 0, 1, 64, 65}}, {1, {1, 2}}, {64, {}}, {3, {131, 7}}};
  const int64_t tokens = 65 + 63 + 1 + 64 + 65 + 4 + 64 + 3 + 131 + 7;
  struct Form {
    int64_t heads, kv_heads, size;
    double softcap;
    int64_t window;
  };
  for (const at::ScalarType dtype : kOnGpu)
    for (const Form& form : {Form{9, 3, 64, 0, 0}, Form{4, 4, 128, 0, 33}, Form{6, 2, 32, 3, 0}, Form{24, 8, 128, 0, 0},
                             Form{2, 1, 256, 0, 0}}) {
      SCOPED_TRACE(testing::Message() << form.heads << " on " << form.kv_heads << " of " << form.size << " " << dtype);
      const AttentionOptions options = {1 / std::sqrt(static_cast<double>(form.size)), form.softcap, form.window};
      expect_as_on_cpu(
          [&](const Tensors& x) { return Tensors{packed_attention(x[0], x[1], x[2], groups, options)}; },
          {normals({tokens, form.heads, form.size}, dtype, 1), normals({tokens, form.kv_heads, form.size}, dtype, 2),
           normals({tokens, form.kv_heads, form.size}, dtype, 3)},
          gpu, tolerance(dtype), 3 * tolerance(dtype));  // scores are rounded to the dtype where there is a soft cap
    }
}

TEST(OperationsCuda, PagedAttentionAndItsRows) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [softcap, window] : {std::pair{0.0, 0}, std::pair{2.0, 0}, std::pair{0.0, 19}}) {
      const at::Tensor keys = normals({40 * 16, 3, 64}, dtype, 1), values = normals({40 * 16, 3, 64}, dtype, 2);
      const at::Tensor k = normals({5, 3, 64}, dtype, 3), v = normals({5, 3, 64}, dtype, 4);
      const at::Tensor q = normals({5, 9, 64}, dtype, 5);
      const at::Tensor table = (at::arange(5 * 7, at::kLong).view({5, 7}) * 11) % 39 + 1;
      const at::Tensor positions = at::tensor(std::vector<int64_t>{0, 15, 16, 77, 111});
      const at::Tensor rows =
          table.gather(1, (positions / 16).to(at::kLong).unsqueeze(1)).squeeze(1) * 16 + positions % 16;
      const auto attend = [&](at::Device device, at::ScalarType t) {
        const auto to = [&](const at::Tensor& x) { return x.to(device, t); };
        const at::Tensor all_keys = to(keys).clone(), all_values = to(values).clone();
        write_rows(all_keys, all_values, rows.to(device), to(k), to(v));
        return paged_attention(to(q), all_keys, all_values,
                               {table.to(device, at::kInt), (positions + 1).to(device, at::kInt), 16},
                               {.scale = 0.125, .softcap = softcap, .window = window});
      };
      expect_near(attend(gpu, dtype).cpu(), attend(at::kCPU, at::kDouble), tolerance(dtype), tolerance(dtype));
    }
}

TEST(OperationsCuda, SampledRowsAreThoseOfTheCpu) {
  TT_REQUIRE_GPU(gpu);
  for (const auto& [rows, vocabulary] :
       {std::pair{1, 3}, std::pair{67, 1009}, std::pair{5, 49152}, std::pair{3, 151936}}) {
    std::vector<core::RandomKey> keys(static_cast<size_t>(rows));
    for (size_t b = 0; b < keys.size(); ++b) keys[b] = {.seed = 3, .step = b};
    const DrawCounters counters{at::from_blob(keys.data(), {rows, int64_t{sizeof(core::RandomKey)}}, at::kByte).clone(),
                                at::arange(rows, at::kInt)};
    const DrawCounters counters_gpu{counters.keys_BX.to(gpu), counters.positions_B.to(gpu)};
    for (const LogprobTransform& transform :
         {LogprobTransform{}, LogprobTransform{0.7, 0, 1}, LogprobTransform{1.2, 40, 1}, LogprobTransform{1, 0, 0.9},
          LogprobTransform{0.9, 100, 0.8}})
      for (const bool greedy : {false, true}) {
        // In f64 under top_p, and where there are as many tokens as rounding errors to a probability: in f32 the token
        // at a border is that on either side of it, as the order of the sums has it.
        const bool is_fine = transform.top_p < 1 || vocabulary > 2000;
        const at::Tensor logits = normals({rows, vocabulary}, is_fine ? at::kDouble : at::kFloat, 1, 2.0);
        const SampledRows got = sample_rows(logits.to(gpu), transform, greedy, counters_gpu);
        const SampledRows expected = sample_rows(logits, transform, greedy, counters);
        EXPECT_TRUE(at::equal(got.ids_B.cpu(), expected.ids_B)) << rows << " rows of " << vocabulary;
        expect_near(got.logprob_B.cpu(), expected.logprob_B, 1e-5, 1e-5);
      }
  }
}

}  // namespace
}  // namespace thinktune::ops
