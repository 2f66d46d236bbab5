// Every operation on the GPU beside the same in f64 on the CPU; forward, backward, and twice the same bits.
#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/sampling_transform.h"
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

// What an element may be off by: relative to itself, and to the root mean square of all.
struct Bound {
  double relative, absolute;
};

// Two roundings to the dtype and some of f32 of the element itself; in sums on the way, of so many terms, `roundings`
// to the dtype, and those of f32, of which the largest of some ten thousand elements meets several times the usual
// error.
Bound bound(at::ScalarType dtype, double roundings, double terms) {
  const double u = roundoff(dtype), a = roundoff(at::kFloat);
  return {2 * u + 16 * a, roundings * u + 8 * (std::sqrt(terms) + 16) * a};
}

// What no bound is above, `times` for the absolute part: rounding of the result, and of sums of some hundred terms.
Bound limit(at::ScalarType dtype, double times = 1) {
  const double tolerance = dtype == at::kBFloat16 ? 0.02 : 1e-5;
  return {tolerance, times * tolerance};
}

void expect_within(const at::Tensor& got, const at::Tensor& expected, const Bound& bound, const Bound& most) {
  expect_near(got, expected, bound.relative, bound.absolute);
  expect_near(got, expected, most.relative, most.absolute);
}

// f of leaves on the GPU in `dtype` against f of the same numbers in f64 on the CPU: results and gradients, for which
// `most` is twice and four times as much.
void expect_as_on_cpu(const std::function<Tensors(const Tensors&)>& f, const Tensors& inputs, at::Device gpu,
                      const Bound& of_result, const Bound& of_gradient, const Bound& most) {
  Tensors on_gpu, on_cpu;
  for (const at::Tensor& x : inputs) {
    on_gpu.push_back(leaf(x.to(gpu)));
    on_cpu.push_back(leaf(x.to(at::kDouble)));
  }
  const Tensors got = f(on_gpu), expected = f(on_cpu);
  Tensors weights, weights_gpu;
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "result " << i);
    expect_within(got[i].cpu(), expected[i].detach(), of_result, most);
    weights.push_back(normals(expected[i].sizes(), at::kDouble, 70 + i).to(got[i].scalar_type()));
    weights_gpu.push_back(weights.back().to(gpu));
    weights.back() = weights.back().to(at::kDouble);
  }
  const Tensors right = gradients(expected, weights, on_cpu), first = gradients(got, weights_gpu, on_gpu);
  const Tensors again = gradients(f(on_gpu), weights_gpu, on_gpu);
  for (size_t i = 0; i < right.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "gradient " << i);
    expect_within(first[i].cpu(), right[i], of_gradient, {2 * most.relative, 4 * most.absolute});
    EXPECT_TRUE(at::equal(first[i], again[i])) << "another time other bits";
  }
}

constexpr std::array kOnGpu = {at::kFloat, at::kBFloat16};

TEST(OperationsCuda, RmsNorm) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [rows, width] : {std::pair{1, 5}, std::pair{7, 97}, std::pair{300, 576}, std::pair{33, 3072}}) {
      SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
      // A form may round what is normed before the weight, which the weight's gradient sums over the rows.
      for (const RmsNormForm form : {RmsNormForm{1e-5, false, true}, RmsNormForm{1e-6, true, false}})
        expect_as_on_cpu([&](const Tensors& x) { return Tensors{rms_norm(x[0], x[1], form)}; },
                         {normals({rows, width}, dtype, 1), normals({width}, dtype, 2, 0.2) + 1}, gpu,
                         bound(dtype, 0, width), bound(dtype, 6, std::max(rows, width)), limit(dtype, 2));
    }
}

TEST(OperationsCuda, Rope) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [tokens, heads, size] : {std::array{1, 1, 2}, std::array{131, 9, 64}, std::array{17, 3, 128}}) {
      const at::Tensor angles = normals({tokens, size / 2}, at::kDouble, 3, 3.0);
      expect_as_on_cpu(
          [&](const Tensors& x) {
            const auto table = x[0].options().dtype(x[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
            return Tensors{rope(x[0], at::cos(angles).to(table), at::sin(angles).to(table))};
          },
          {normals({tokens, heads, size}, dtype, 1)}, gpu, bound(dtype, 0, 2), bound(dtype, 0, 2), limit(dtype));
    }
}

TEST(OperationsCuda, Glu) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const Activation activation : {Activation::Silu, Activation::GeluTanh})
      for (const auto& [rows, width] : {std::pair{1, 1}, std::pair{13, 97}, std::pair{200, 1536}})
        expect_as_on_cpu([&](const Tensors& x) { return Tensors{glu(x[0], activation)}; },
                         {normals({rows, 2 * width}, dtype, 1)}, gpu, bound(dtype, 0, 1), bound(dtype, 0, 1),
                         limit(dtype));
}

// Logits are rounded to the dtype, once, with a cap four times; what they are off by goes into every probability. Their
// gradient is rounded once more, and is summed over the vocabulary and over the tokens.
TEST(OperationsCuda, TokenLogprob) {
  TT_REQUIRE_GPU(gpu);
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [tokens, width, vocabulary] :
         {std::array{1, 8, 3}, std::array{67, 64, 1009}, std::array{300, 48, 49152}})
      for (const double temperature : {1.0, 0.7}) {
        SCOPED_TRACE(testing::Message() << tokens << " tokens, vocabulary " << vocabulary << " " << dtype);
        const double softcap = temperature == 1.0 ? 0.0 : 5.0, roundings = softcap > 0 ? 4 : 1;
        const at::Tensor targets = (at::arange(tokens, at::kLong) * 7919) % vocabulary;
        const at::Tensor hidden = normals({tokens, width}, dtype, 1, 0.3),
                         head = normals({vocabulary, width}, dtype, 2);
        const at::Tensor logits = at::mm(hidden.to(at::kDouble), head.to(at::kDouble).t());
        const at::Tensor capped = softcap > 0 ? at::tanh(logits / softcap) * softcap : logits;
        const at::Tensor p = at::softmax(capped / temperature, 1);  // the logits that count are those of likely tokens
        const double size = (p * capped.abs()).sum(1).max().item<double>() / temperature;
        const double of_logits = (std::sqrt(roundings) * size + 1) * roundoff(dtype);
        const double terms = std::max(tokens, vocabulary);
        Bound of_result = bound(at::kFloat, 0, terms), of_gradient = bound(dtype, 0, terms);
        of_result.absolute += 4 * of_logits;
        of_gradient.relative += 2 * of_logits;
        of_gradient.absolute += 6 * of_logits;
        expect_as_on_cpu(
            [&](const Tensors& x) {
              const TokenLogprobs out = token_logprob(
                  x[0], x[1], targets.to(x[0].device()),
                  {.transform = {.temperature = temperature}, .softcap = softcap, .entropy_gradient = true});
              return Tensors{out.logprob_T, out.entropy_T};
            },
            {hidden, head}, gpu, of_result, of_gradient, limit(dtype, 4));
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
      {normals({40, 32}, at::kFloat, 1, 0.5), normals({997, 32}, at::kFloat, 2)}, gpu, bound(at::kFloat, 16, 997),
      bound(at::kFloat, 64, 997), {1e-4, 1e-4});
}

// Flash attention for bf16, LibTorch's others for f32 and where there is a soft cap: then scores too are rounded to the
// dtype, and capped in three steps. Probabilities are rounded, and in backward their gradient and, for each query head
// of a group, that of keys and values.
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
      const double of_scores = form.softcap > 0 ? 4 * form.softcap : 0,
                   terms = static_cast<double>(4 * (tokens + form.size));
      expect_as_on_cpu(
          [&](const Tensors& x) { return Tensors{packed_attention(x[0], x[1], x[2], groups, options)}; },
          {normals({tokens, form.heads, form.size}, dtype, 1), normals({tokens, form.kv_heads, form.size}, dtype, 2),
           normals({tokens, form.kv_heads, form.size}, dtype, 3)},
          gpu, bound(dtype, 6 + of_scores, terms), bound(dtype, 16 + 2 * of_scores, 4 * terms), limit(dtype, 3));
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
      expect_within(attend(gpu, dtype).cpu(), attend(at::kCPU, at::kDouble), bound(dtype, 0, 112 + 64), limit(dtype));
    }
}

// A row of logits in f64: the tokens that may be drawn, and how far a kernel's f32 weights, each within 2 roundings of
// exp and 3 of its shift, may move a sum of theirs.
struct Distribution {
  std::vector<double> p;    // 0: not kept
  double error = 0;         // of a sum of p, and of log p beside the rounding of the result
  bool is_unclear = false;  // within the error, top_p keeps one token more or less

  Distribution(const double* logits, int64_t vocabulary, const LogprobTransform& t) : p(vocabulary) {
    std::vector<double> scratch(static_cast<size_t>(vocabulary));
    const kernels::SamplingTransform all = {t.temperature, t.top_k, 1.0}, kept = {t.temperature, t.top_k, t.top_p};
    const auto before = kernels::row_transform(logits, vocabulary, all, scratch.data());
    const auto row = kernels::row_transform(logits, vocabulary, kept, scratch.data());
    const double largest = *std::max_element(logits, logits + vocabulary);
    double mass = 0, mass_above = 0, shift = 0;
    for (int64_t i = 0; i < vocabulary; ++i) {
      if (logits[i] < row.threshold) continue;
      p[i] = std::exp(logits[i] / t.temperature - row.log_normalizer);
      shift += p[i] * (largest - logits[i]) / t.temperature;
      const double of_all = std::exp(logits[i] / t.temperature - before.log_normalizer);
      mass += of_all;
      if (logits[i] > row.threshold) mass_above += of_all;
    }
    error = 2 * (3 * shift + 8) * roundoff(at::kFloat);
    is_unclear = t.top_p < 1 && (mass - t.top_p < error || t.top_p - mass_above < error);
  }

  // Whether the drawn number lies in the step of the token, as far as that can be told.
  bool may_draw(int64_t id, double uniform) const {
    const double below = std::accumulate(p.begin(), p.begin() + id, 0.0);
    return p[id] > 0 && uniform > below - error && uniform < below + p[id] + error;
  }
};

constexpr std::array kDrawn = {LogprobTransform{}, LogprobTransform{0.7, 0, 1}, LogprobTransform{1.2, 40, 1},
                               LogprobTransform{1, 0, 0.9}, LogprobTransform{0.9, 100, 0.8}};
constexpr std::array kRowsAndVocabulary = {std::pair{1, 3}, std::pair{67, 1009}, std::pair{5, 49152},
                                           std::pair{3, 151936}};

std::vector<core::RandomKey> keys_of(int64_t rows) {
  std::vector<core::RandomKey> keys(static_cast<size_t>(rows));
  for (size_t b = 0; b < keys.size(); ++b) keys[b] = {.seed = 3, .step = b};
  return keys;
}

// In f64, LibTorch's formulas, under top_p, and where there are as many tokens as rounding errors to a probability: in
// f32 the token at a border is that on either side of it, as the order of the sums has it.
TEST(OperationsCuda, SampledRowsAreThoseOfTheCpu) {
  TT_REQUIRE_GPU(gpu);
  for (const auto& [rows, vocabulary] : kRowsAndVocabulary) {
    std::vector<core::RandomKey> keys = keys_of(rows);
    const DrawCounters counters{at::from_blob(keys.data(), {rows, int64_t{sizeof(core::RandomKey)}}, at::kByte).clone(),
                                at::arange(rows, at::kInt)};
    const DrawCounters counters_gpu{counters.keys_BX.to(gpu), counters.positions_B.to(gpu)};
    for (const LogprobTransform& transform : kDrawn)
      for (const bool greedy : {false, true}) {
        const bool is_fine = transform.top_p < 1 || vocabulary > 2000;
        const at::Tensor logits = normals({rows, vocabulary}, is_fine ? at::kDouble : at::kFloat, 1, 2.0);
        const SampledRows got = sample_rows(logits.to(gpu), transform, greedy, counters_gpu);
        const SampledRows expected = sample_rows(logits, transform, greedy, counters);
        EXPECT_TRUE(at::equal(got.ids_B.cpu(), expected.ids_B)) << rows << " rows of " << vocabulary;
        expect_near(got.logprob_B.cpu(), expected.logprob_B, 1e-5, 1e-5);
      }
  }
}

// The kernel, of 512 threads' sums.
TEST(OperationsCuda, SampledRowsAreDrawnAsTheFormulasSay) {
  TT_REQUIRE_GPU(gpu);
  int64_t num_rows = 0, num_unclear = 0;
  for (const at::ScalarType dtype : kOnGpu)
    for (const auto& [rows, vocabulary] : kRowsAndVocabulary) {
      std::vector<core::RandomKey> keys = keys_of(rows);
      const DrawCounters counters{
          at::from_blob(keys.data(), {rows, int64_t{sizeof(core::RandomKey)}}, at::kByte).to(gpu),
          at::arange(rows, at::kInt).to(gpu)};
      const at::Tensor logits = normals({rows, vocabulary}, dtype, 1, 2.0), wide = logits.to(at::kDouble);
      for (const LogprobTransform& transform : kDrawn) {
        SCOPED_TRACE(testing::Message() << rows << " rows of " << vocabulary << " " << dtype << " top_p "
                                        << transform.top_p);
        const SampledRows drawn = sample_rows(logits.to(gpu), transform, false, counters),
                          greedy = sample_rows(logits.to(gpu), transform, true, counters);
        EXPECT_TRUE(at::equal(greedy.ids_B.cpu().to(at::kLong), wide.argmax(1)));
        const at::Tensor ids = drawn.ids_B.cpu(), logprobs = drawn.logprob_B.cpu();
        for (int64_t b = 0; b < rows; ++b, ++num_rows) {
          const Distribution row(wide.const_data_ptr<double>() + b * vocabulary, vocabulary, transform);
          const int64_t id = ids.const_data_ptr<int32_t>()[b];
          ASSERT_TRUE(id >= 0 && id < vocabulary) << id;
          if (row.is_unclear) {
            ++num_unclear;
            continue;
          }
          EXPECT_TRUE(row.may_draw(id, core::random_uniform(keys[static_cast<size_t>(b)], static_cast<uint32_t>(b))))
              << "row " << b << ": token " << id;
          const double logprob = std::log(row.p[id]);
          EXPECT_NEAR(logprobs.const_data_ptr<float>()[b], logprob,
                      row.error + std::abs(logprob) * roundoff(at::kFloat));
        }
      }
    }
  EXPECT_LE(num_unclear, num_rows / 20);
}

}  // namespace
}  // namespace thinktune::ops
