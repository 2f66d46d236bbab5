// How tensors are handed to the CUDA kernels, without a GPU: gpu_kernels_cuda.cpp over the kernels' text that g++ has
// compiled (tests/support/simt), on tensors of the CPU, against the CPU's operations. On a GPU operations_cuda_test
// does the rest.
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "kernels/cuda/decode_attention.h"
#include "src/ops/element.h"
#include "src/ops/gpu_kernels.h"
#include "support/tiny_model.h"
#include "tensor_checks.h"
#include "thinktune/algo/loss.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/model_runner.h"
#include "thinktune/ops/fused.h"
#include "thinktune/optim/adamw.h"

namespace thinktune::ops {

namespace gpu {
namespace {
bool cpu_is_a_gpu = false;
}  // namespace

bool has_kernels(const at::Tensor& tensor) {
  return cpu_is_a_gpu && (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
}
kernels::cuda::Stream current_stream(at::Device) { return nullptr; }
int64_t num_multiprocessors(at::Device) { return 5; }
}  // namespace gpu

namespace {

// While one lives, operations on the CPU's tensors go the way of a GPU's: to the kernels.
struct OnKernels {
  OnKernels() { gpu::cpu_is_a_gpu = true; }
  ~OnKernels() { gpu::cpu_is_a_gpu = false; }
};

constexpr std::array kDtypes = {at::kFloat, at::kBFloat16};

// One rounding of the result, and sums of some hundred terms in another order.
double tolerance(at::ScalarType dtype) { return dtype == at::kBFloat16 ? 0.01 : 1e-5; }

// Not contiguous, and at an odd address: columns 1 … of a wider matrix.
at::Tensor awkward(const at::Tensor& t) {
  std::vector<int64_t> wider = t.sizes().vec();
  wider.back() += 3;
  const at::Tensor all = at::zeros(wider, t.options());
  const at::Tensor part = all.narrow(-1, 1, t.size(-1));
  part.copy_(t);
  return part;
}

TEST(GpuKernels, RmsNormAndItsGradients) {
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [rows, width] : {std::pair{1, 5}, std::pair{7, 97}, std::pair{131, 64}})
      for (const RmsNormForm form : {RmsNormForm{1e-5, false, true}, RmsNormForm{1e-6, true, false}}) {
        SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
        const at::Tensor x = leaf(normals({rows, width}, dtype, 1)), weight = leaf(normals({width}, dtype, 2) + 1);
        const at::Tensor dy = normals({rows, width}, dtype, 3);
        const at::Tensor y = rms_norm(x, weight, form);
        y.backward(dy);
        const at::NoGradGuard no_grad;
        const at::Tensor inverse = at::empty({rows}, at::kFloat);
        expect_near(gpu::rms_norm_forward(awkward(x), {}, weight.detach(), form, inverse), y.detach(), tolerance(dtype),
                    tolerance(dtype));
        const at::Tensor dx = at::empty({rows, width}, dtype), dweight = at::empty({width}, dtype);
        gpu::rms_norm_backward(awkward(x), weight.detach(), form, inverse, awkward(dy), {}, dx, dweight);
        expect_near(dx, x.grad(), 2 * tolerance(dtype), 4 * tolerance(dtype));
        expect_near(dweight, weight.grad(), 2 * tolerance(dtype), 16 * tolerance(dtype));
        gpu::rms_norm_backward(x.detach(), weight.detach(), form, inverse, dy, {}, dx, {});
        expect_near(dx, x.grad(), 2 * tolerance(dtype), 4 * tolerance(dtype));
      }
}

// The operation that blocks call, with the kernels and without.
TEST(GpuKernels, AddRmsNormAsOnTheCpu) {
  for (const at::ScalarType dtype : kDtypes) {
    std::vector<at::Tensor> results[2];
    for (const bool on_kernels : {false, true}) {
      const at::Tensor x = leaf(normals({37, 97}, dtype, 1)), delta = leaf(normals({37, 97}, dtype, 2)),
                       weight = leaf(normals({97}, dtype, 3));
      std::optional<OnKernels> kernels;
      if (on_kernels) kernels.emplace();
      const AddedNorm added = add_rms_norm(x, delta, weight, {.epsilon = 1e-5});
      torch::autograd::backward({added.sum_TD, added.normed_TD},
                                {normals({37, 97}, dtype, 4), normals({37, 97}, dtype, 5)});
      results[on_kernels ? 1 : 0] = {added.sum_TD.detach(), added.normed_TD.detach(), x.grad(), delta.grad(),
                                     weight.grad()};
    }
    EXPECT_TRUE(at::equal(results[0][0], results[1][0]));
    for (size_t i = 1; i < results[0].size(); ++i)
      expect_near(results[1][i], results[0][i], 2 * tolerance(dtype), 16 * tolerance(dtype));
  }
}

// A residual stream: x is added to it, and both ways of its gradient come back together.
TEST(GpuKernels, RmsNormBehindAnAdditionAndItsGradients) {
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [rows, width] : {std::pair{1, 5}, std::pair{7, 97}, std::pair{131, 64}})
      for (const RmsNormForm form : {RmsNormForm{1e-5, false, true}, RmsNormForm{1e-6, true, false}}) {
        SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
        const at::Tensor x = leaf(normals({rows, width}, dtype, 1)), before = leaf(normals({rows, width}, dtype, 2));
        const at::Tensor weight = leaf(normals({width}, dtype, 3) + 1);
        const at::Tensor dy = normals({rows, width}, dtype, 4), dsum = normals({rows, width}, dtype, 5);
        const at::Tensor sum = before + x, y = rms_norm(sum, weight, form);
        torch::autograd::backward({y, sum}, {dy, dsum});
        const at::NoGradGuard no_grad;
        const at::Tensor residual = before.detach().clone(), inverse = at::empty({rows}, at::kFloat);
        const at::Tensor got = gpu::rms_norm_forward(awkward(x), residual, weight.detach(), form, inverse);
        EXPECT_TRUE(at::equal(residual, sum.detach()));
        expect_near(got, y.detach(), tolerance(dtype), tolerance(dtype));
        const at::Tensor dx = at::empty({rows, width}, dtype), dweight = at::empty({width}, dtype);
        gpu::rms_norm_backward(residual, weight.detach(), form, inverse, awkward(dy), awkward(dsum), dx, dweight);
        expect_near(dx, x.grad(), 2 * tolerance(dtype), 4 * tolerance(dtype));
        EXPECT_TRUE(at::equal(x.grad(), before.grad()));
        expect_near(dweight, weight.grad(), 2 * tolerance(dtype), 16 * tolerance(dtype));
      }
}

TEST(GpuKernels, Rope) {
  for (const at::ScalarType dtype : kDtypes)
    for (const int64_t head : {6, 64}) {
      SCOPED_TRACE(testing::Message() << head << " " << dtype);
      // A slice of queries, keys and values in one row, as the decoder has it.
      const at::Tensor qkv = normals({5, 7, head}, dtype, 1), x = qkv.narrow(1, 2, 3);
      const at::Tensor angle = normals({5, head / 2}, at::kFloat, 2), cos = angle.cos(), sin = angle.sin();
      expect_near(gpu::rope(x, awkward(cos), sin, true), rope(x, cos, sin), tolerance(dtype), tolerance(dtype));
      expect_near(gpu::rope(x, cos, sin, false), rope(x, cos, -sin), tolerance(dtype), tolerance(dtype));
    }
}

TEST(GpuKernels, GluAndItsGradient) {
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [rows, width] : {std::pair{1, 3}, std::pair{9, 64}})
      for (const Activation activation : {Activation::Silu, Activation::GeluTanh}) {
        SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
        const at::Tensor gate_up = leaf(normals({rows, 2 * width}, dtype, 1)), dout = normals({rows, width}, dtype, 2);
        const at::Tensor out = glu(gate_up, activation);
        out.backward(dout);
        const at::NoGradGuard no_grad;
        expect_near(gpu::glu_forward(awkward(gate_up), activation), out.detach(), tolerance(dtype), tolerance(dtype));
        expect_near(gpu::glu_backward(gate_up.detach(), awkward(dout), activation), gate_up.grad(), tolerance(dtype),
                    tolerance(dtype));
      }
}

TEST(GpuKernels, TokenLogprobsAndTheirGradient) {
  for (const at::ScalarType dtype : kDtypes)
    for (const LogprobTransform& transform :
         {LogprobTransform{}, LogprobTransform{0.7, 0, 1.0}, LogprobTransform{1.0, 9, 1.0}}) {
      SCOPED_TRACE(testing::Message() << dtype << " top " << transform.top_k);
      const int64_t rows = 5, vocabulary = 137;
      const at::Tensor logits = normals({rows, vocabulary}, dtype, 1) * 3;
      const auto numbers = [&](at::ScalarType type) { return at::empty({rows}, type); };
      const auto make = [&] {
        // The target need not be among the kept.
        return LogitRows{logits.clone(),      at::tensor({0, 136, 7, 60, 99}, at::kLong),
                         numbers(at::kFloat), numbers(at::kFloat),
                         numbers(at::kFloat), numbers(at::kDouble)};
      };
      const LogitRows right = make(), got = make();
      row_statistics_cpu(right, transform);
      gpu::row_statistics(got, transform);
      expect_near(got.logprob_C, right.logprob_C, 1e-5, 1e-5);
      expect_near(got.entropy_C, right.entropy_C, 1e-5, 1e-5);
      expect_near(got.log_normalizer_C, right.log_normalizer_C, 1e-5, 1e-5);
      EXPECT_TRUE(at::equal(got.threshold_C, right.threshold_C));
      const at::Tensor grad_logprob = normals({rows}, at::kDouble, 2), grad_entropy = normals({rows}, at::kDouble, 3);
      row_gradients_cpu(right, transform, grad_logprob, grad_entropy);
      gpu::row_gradients(got, transform, grad_logprob, grad_entropy);
      expect_near(got.logits_CV, right.logits_CV, tolerance(dtype), tolerance(dtype));
    }
}

TEST(GpuKernels, ScratchOfAttentionIsWhatThePlanCounts) {
  for (const int64_t tokens : {1, 128, 129, 2048})
    EXPECT_EQ(paged_attention_scratch_bytes(5, 24, 80, tokens),
              kernels::cuda::paged_attention_scratch_bytes(
                  {.num_kv_heads = 8, .group_size = 3, .head_size = 80, .max_context = tokens}, 5));
}

// The CPU's operation, which gathers the rows, against the kernel, which reads the pages.
TEST(GpuKernels, AttentionOverPages) {
  constexpr int64_t kPageTokens = 16, kPages = 40, K = 2;
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [group, head] : {std::pair{1, 8}, std::pair{3, 64}, std::pair{4, 32}})
      for (const AttentionOptions& options :
           {AttentionOptions{.scale = 0.2}, AttentionOptions{.scale = 0.3, .softcap = 5, .window = 19}}) {
        SCOPED_TRACE(testing::Message() << dtype << " group " << group << " head " << head);
        const at::Tensor pool = normals({2, kPages * kPageTokens, K, head}, dtype, 1);
        const at::Tensor keys = pool[0], values = pool[1];
        // Sequences of one token, of a page's last, of several pages; a place that stands for none. As the runner has
        // it, a table is a column of another tensor.
        const at::Tensor table = at::tensor({3, 0, 0, 5, 0, 0, 7, 9, 3, 0, 0, 0}, at::kInt).view({4, 3});
        const PagedBatch batch{table.t().contiguous().t(), at::tensor({1, 16, 42, 1}, at::kInt), kPageTokens};
        const at::Tensor q = awkward(normals({4, K * group, head}, dtype, 2));
        expect_near(gpu::paged_attention(q, keys, values, batch, options),
                    paged_attention(q, keys, values, batch, options), 2 * tolerance(dtype), tolerance(dtype));

        const at::Tensor k = awkward(normals({3, K, head}, dtype, 3)), v = awkward(normals({3, K, head}, dtype, 4));
        const at::Tensor rows = at::tensor({48, 95, 153}, at::kLong), other = pool.clone();
        gpu::write_rows(keys, values, rows, k, v);
        write_rows(other[0], other[1], rows, k, v);
        EXPECT_TRUE(at::equal(pool, other));
      }
}

DrawCounters counters_of(const std::vector<core::RandomKey>& keys, const std::vector<uint32_t>& positions) {
  const auto B = std::ssize(keys);
  const DrawCounters counters{at::empty({B, int64_t{sizeof(core::RandomKey)}}, at::kByte), at::empty({B}, at::kInt)};
  std::memcpy(counters.keys_BX.mutable_data_ptr(), keys.data(), keys.size() * sizeof(core::RandomKey));
  std::memcpy(counters.positions_B.mutable_data_ptr(), positions.data(), positions.size() * sizeof(uint32_t));
  return counters;
}

// Beside the CPU's sampler, and the formulas in f64.
TEST(GpuKernels, SampledRows) {
  constexpr int64_t kRows = 9;
  std::vector<core::RandomKey> keys;
  std::vector<uint32_t> positions;
  for (uint32_t b = 0; b < kRows; ++b) {
    keys.push_back({.seed = 0xfedcba9876543210, .step = 3 + b, .prompt = uint64_t{b} << 34, .sample = b % 4});
    positions.push_back(1000 * b);
  }
  const DrawCounters counters = counters_of(keys, positions);
  for (const at::ScalarType dtype : kDtypes)
    for (const int64_t vocabulary : {1, 5, 137, 1031})
      for (const infer::SamplingOptions& sampling :
           {infer::SamplingOptions{0}, infer::SamplingOptions{1}, infer::SamplingOptions{0.7, 9},
            infer::SamplingOptions{1.2, 0, 0.8}, infer::SamplingOptions{0.9, 40, 0.9}}) {
        SCOPED_TRACE(testing::Message() << dtype << " " << vocabulary << " temperature " << sampling.temperature);
        const at::Tensor logits = normals({kRows, vocabulary}, dtype, 7, 2.0);
        const bool greedy = sampling.temperature == 0;
        const LogprobTransform transform =
            greedy ? LogprobTransform{} : LogprobTransform{sampling.temperature, sampling.top_k, sampling.top_p};
        const SampledRows got = gpu::sample_rows(awkward(logits), transform, greedy, counters);
        const SampledRows twin = sample_rows(logits.to(at::kDouble), transform, greedy, counters);
        const std::vector<infer::SampledToken> cpu = infer::sample_tokens(logits, sampling, keys, positions);
        EXPECT_TRUE(at::equal(got.ids_B, twin.ids_B));
        expect_near(got.logprob_B, twin.logprob_B, 1e-5, 1e-5);
        for (int64_t b = 0; b < kRows; ++b) {
          EXPECT_EQ(data<int32_t>(got.ids_B)[b], cpu[static_cast<size_t>(b)].id);
          EXPECT_NEAR(data<float>(got.logprob_B)[b], cpu[static_cast<size_t>(b)].logprob, 1e-5);
        }
      }
  at::Tensor logits = normals({2, 7}, at::kFloat, 1);
  logits[1][3] = std::numeric_limits<float>::quiet_NaN();
  const DrawCounters two = counters_of({keys[0], keys[1]}, {0, 1});
  const SampledRows got = gpu::sample_rows(logits, {}, false, two);
  EXPECT_TRUE(std::isfinite(got.logprob_B[0].item<float>()) && std::isnan(got.logprob_B[1].item<float>()));
  EXPECT_THROW(gpu::sample_rows(logits, {}, false, counters), core::Error);
}

// Through algo::policy_loss, with autograd, as the trainer takes it.
TEST(GpuKernels, PolicyLossAndItsGradient) {
  using algo::AasMode;
  constexpr int64_t kTokens = 2311;  // more than two blocks' worth
  const auto run = [](const algo::LossOptions& options, at::ScalarType dtype, bool teacher) {
    const auto column = [&](uint64_t seed, double scale) { return normals({kTokens}, at::kFloat, seed, scale); };
    algo::LossInputs in;
    in.logprobs_M = leaf((-column(1, 1.5).abs()).to(dtype));
    in.old_logprobs_M = (in.logprobs_M.detach().to(at::kFloat) + column(2, 0.3)).to(dtype);
    in.advantages_M = column(3, 1.5).to(dtype);
    in.guided_M = column(4, 1).gt(0.5);
    in.weights_M = column(5, 1).abs().mul(1e-3).to(dtype);
    if (options.kl_coefficient != 0)
      in.reference_logprobs_M = (in.logprobs_M.detach().to(at::kFloat) + column(6, 0.5)).to(dtype);
    if (options.entropy_coefficient != 0) in.entropy_M = leaf(column(7, 1).abs().to(dtype));
    const algo::LossParts parts = algo::policy_loss(in, teacher, options);
    (parts.loss * 3).backward();
    std::vector<at::Tensor> all = {parts.loss.detach().reshape({1}),
                                   parts.token_loss_M,
                                   parts.ratio_M,
                                   parts.gamma_M,
                                   parts.shaped_M,
                                   parts.shaped_used_M,
                                   parts.clipped_M,
                                   parts.dual_clipped_M,
                                   in.logprobs_M.grad()};
    if (options.kl_coefficient != 0) all.push_back(parts.kl_M);
    if (options.entropy_coefficient != 0) all.push_back(in.entropy_M.grad());
    return all;
  };
  for (const AasMode aas : {AasMode::Paper, AasMode::Reference, AasMode::Constant, AasMode::POverPPlusC, AasMode::Off})
    for (const bool plain : {false, true}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(aas) << (plain ? " plain" : ""));
      const algo::LossOptions options{.aas = aas,
                                      .single_clip_without_teacher = plain,
                                      .kl_coefficient = plain ? 0 : 0.05,
                                      .entropy_coefficient = plain ? 0 : 0.01};
      const std::vector<at::Tensor> twin = run(options, at::kDouble, false), cpu = run(options, at::kFloat, false);
      const OnKernels on_kernels;
      const std::vector<at::Tensor> got = run(options, at::kFloat, false), again = run(options, at::kFloat, false);
      ASSERT_EQ(got.size(), cpu.size());
      for (size_t i = 0; i < got.size(); ++i) {
        SCOPED_TRACE(testing::Message() << "result " << i);
        EXPECT_EQ(got[i].scalar_type(), cpu[i].scalar_type());
        EXPECT_TRUE(at::equal(got[i], again[i]));
        if (got[i].scalar_type() == at::kBool)
          EXPECT_TRUE(at::equal(got[i], cpu[i]));
        else
          expect_near(got[i], cpu[i], 2e-5, 1e-5);
        // In f64 a token can lie on the other side of a border; few do.
        EXPECT_LE((got[i].to(at::kDouble) - twin[i].to(at::kDouble)).abs().gt(1e-3).sum().item<int64_t>(), 3);
      }
    }
}

TEST(GpuKernels, PolicyLossOfNoTokens) {
  const OnKernels on_kernels;
  const at::Tensor none = at::zeros({0}), logprobs = leaf(none);
  const algo::LossParts parts = algo::policy_loss({.logprobs_M = logprobs,
                                                   .old_logprobs_M = none,
                                                   .advantages_M = none,
                                                   .guided_M = none.to(at::kBool),
                                                   .weights_M = none},
                                                  true, {});
  EXPECT_EQ(parts.loss.item<float>(), 0);
  parts.loss.backward();
  EXPECT_EQ(logprobs.grad().numel(), 0);
}

TEST(GpuKernels, GradientNormAndItsClip) {
  const auto make = [] {
    std::vector<at::Tensor> tensors;
    uint64_t seed = 1;
    // Parts of one tensor, as ranks exchange them: at any address.
    const at::Tensor all = normals({120000}, at::kFloat, 50);
    int64_t begin = 0;
    for (const int64_t size : {0, 1, 7, 16384, 16385, 40003}) {
      tensors.push_back(all.narrow(0, begin, size));
      begin += size;
      tensors.push_back(normals({size}, at::kFloat, ++seed));
    }
    return tensors;
  };
  const auto values = [](const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& t : tensors) copies.push_back(t.contiguous().clone());
    return at::cat(copies);
  };
  for (const double max_norm : {0.0, 0.5, 1e6}) {
    SCOPED_TRACE(max_norm);
    const std::vector<at::Tensor> cpu = make(), got = make(), again = make();
    const double norm = optim::scale_to_norm(cpu, optim::sum_of_squares(cpu), max_norm);
    const OnKernels on_kernels;
    EXPECT_NEAR(optim::scale_to_norm(got, optim::sum_of_squares(got), max_norm), norm, 1e-12 * norm);
    EXPECT_EQ(optim::scale_to_norm(again, optim::sum_of_squares(again), max_norm), optim::global_norm(make()));
    expect_near(values(got), values(cpu), 2e-7, 0);
    EXPECT_TRUE(at::equal(values(got), values(again)));
  }
  std::vector<at::Tensor> bad = make();
  bad[6][11] = std::numeric_limits<float>::infinity();
  const at::Tensor before = values(bad);
  const OnKernels on_kernels;
  EXPECT_EQ(optim::clip_by_global_norm(bad, 0.5), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(at::equal(values(bad), before));
}

// The GPU's engine whole: every operation of a decode step by its kernel, steps ahead of the host, in buckets.
TEST(GpuKernels, AnEngineOverThemDrawsTheCpusTokens) {
  std::vector<model::ModelConfig> configs = test::tiny_configs_of_families();
  configs.push_back(test::tiny_config());
  for (const model::ModelConfig& config : configs) {
    SCOPED_TRACE(config.family);
    const model::Decoder decoder(config);
    const model::Weights weights = test::random_weights(config, 9, at::kFloat);
    const model::Vocabulary vocabulary = test::byte_vocabulary(config);
    const infer::EngineOptions options{.max_sequences = 5, .kv_cache_mib = 16};
    infer::Engine cpu(decoder, weights, *vocabulary.tokenizer, options);
    infer::Engine paged(decoder, weights, *vocabulary.tokenizer, options,
                        infer::make_paged_runner(decoder, weights, options));
    std::vector<infer::Request> requests;
    for (uint64_t p = 0; p < 3; ++p) {
      infer::Request& request = requests.emplace_back();
      request.num_samples = 3;
      request.max_new_tokens = 4 + 3 * static_cast<int64_t>(p);
      request.prompt_number = 100 + p;
      for (uint64_t i = 0; i < 15 + 2 * p; ++i)
        request.prompt_ids.push_back(static_cast<core::TokenId>(40 + 3 * p + i));
    }
    for (const infer::SamplingOptions& sampling : {infer::SamplingOptions{0}, infer::SamplingOptions{0.9, 50}}) {
      const auto expected = cpu.generate(requests, sampling, {.seed = 5});
      const OnKernels on_kernels;
      const auto got = paged.generate(requests, sampling, {.seed = 5});
      for (size_t r = 0; r < expected.size(); ++r)
        for (size_t s = 0; s < expected[r].size(); ++s) {
          EXPECT_EQ(got[r][s].ids, expected[r][s].ids) << "request " << r << " sample " << s;
          for (size_t i = 0; i < expected[r][s].logprobs.size(); ++i)
            EXPECT_NEAR(got[r][s].logprobs[i], expected[r][s].logprobs[i], 1e-4);
        }
    }
  }
}

TEST(GpuKernels, WhatIsNotAlikeIsRefused) {
  const at::Tensor x = normals({2, 8}, at::kFloat, 1), weight = normals({8}, at::kBFloat16, 2);
  EXPECT_THROW(gpu::rms_norm_forward(x, {}, weight, {}, {}), core::Error);
  EXPECT_THROW(gpu::rms_norm_forward(x.to(at::kDouble), {}, weight.to(at::kDouble), {}, {}), core::Error);
  EXPECT_THROW(gpu::glu_backward(x, normals({2, 8}, at::kFloat, 3), Activation::Silu), core::Error);
  EXPECT_THROW(gpu::rope(x.view({2, 1, 8}), normals({2, 3}, at::kFloat, 4), normals({2, 4}, at::kFloat, 5), true),
               core::Error);
}

}  // namespace
}  // namespace thinktune::ops
