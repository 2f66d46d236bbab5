#include "thinktune/ops/token_logprob.h"

#include "kernels/sampling_transform.h"
#include "src/ops/logit_rows.h"
#include "support/peak_memory.h"
#include "tensor_checks.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

struct Inputs {
  at::Tensor hidden_TD, head_VD, targets_T;
};

Inputs make_inputs(int64_t tokens, int64_t width, int64_t vocabulary, at::ScalarType dtype, double scale = 1.0) {
  at::Tensor targets = at::empty({tokens}, at::kLong);
  for (int64_t t = 0; t < tokens; ++t) targets[t] = static_cast<int64_t>((t * 7919 + 13) % vocabulary);
  return {normals({tokens, width}, dtype, 1), normals({vocabulary, width}, dtype, 2, scale), targets};
}

// What is kept, by a full sort of each row of logits in f64.
at::Tensor kept_by_sort(const at::Tensor& logits_TV, const at::Tensor& targets_T, const LogprobTransform& transform) {
  const at::Tensor sorted = std::get<0>(at::sort(logits_TV, /*stable=*/true, 1, /*descending=*/true));
  at::Tensor kept_sorted = at::ones_like(sorted, at::kBool);
  if (transform.top_k > 0 && transform.top_k < sorted.size(1))
    kept_sorted = sorted >= sorted.narrow(1, transform.top_k - 1, 1);
  if (transform.top_p < 1) {
    const at::Tensor p = at::softmax((sorted / transform.temperature).masked_fill(~kept_sorted, -INFINITY), 1);
    kept_sorted =
        kept_sorted & ((p.cumsum(1) - p) < transform.top_p);  // what stands before it does not yet reach top_p
  }
  const at::Tensor smallest = sorted.masked_fill(~kept_sorted, INFINITY).amin(1, /*keepdim=*/true);
  return (logits_TV >= smallest).scatter(1, targets_T.unsqueeze(1), true);  // with all ties of the smallest
}

// The definition, differentiable by autograd: log_softmax of the whole [T, V].
TokenLogprobs by_formula(const at::Tensor& logits_TV, const at::Tensor& targets_T, const LogprobTransform& transform) {
  const at::Tensor kept = kept_by_sort(logits_TV.detach(), targets_T, transform);
  const at::Tensor logprobs = at::log_softmax((logits_TV / transform.temperature).masked_fill(~kept, -1e300), 1);
  return {logprobs.gather(1, targets_T.unsqueeze(1)).squeeze(1),
          -(logprobs.exp() * logprobs.masked_fill(~kept, 0)).sum(1)};
}

const LogprobTransform kTransforms[] = {
    {}, {.temperature = 0.6}, {.top_k = 5}, {.top_p = 0.8}, {.temperature = 1.4, .top_k = 20, .top_p = 0.9}};

TEST(TokenLogprob, LikeTheFormula) {
  const OneThread one_thread;
  for (at::ScalarType dtype : {at::kFloat, at::kDouble})
    for (int64_t tokens : {0, 1, 2, 7, 8, 9, 23})
      for (int64_t vocabulary : {1, 2, 31, 97, 1000})
        for (const LogprobTransform& transform : kTransforms) {
          SCOPED_TRACE(testing::Message()
                       << c10::toString(dtype) << " " << tokens << " tokens of " << vocabulary << ", temperature "
                       << transform.temperature << " top_k " << transform.top_k << " top_p " << transform.top_p);
          const Inputs in = make_inputs(tokens, 16, vocabulary, dtype, 0.5);
          const TokenLogprobs out =
              token_logprob(in.hidden_TD, in.head_VD, in.targets_T, {.transform = transform, .chunk_tokens = 8});
          EXPECT_EQ(out.logprob_T.scalar_type(), dtype);
          const at::Tensor logits = in.hidden_TD.to(at::kDouble).mm(in.head_VD.to(at::kDouble).t());
          const TokenLogprobs expected = by_formula(logits, in.targets_T, transform);
          // Logits of size ~2·4 with D = 16 roundings, divided by the temperature, and what exp and log add.
          const double absolute = (16 * 8 / transform.temperature + 100) * roundoff(dtype);
          // Not relative to the values: a log-probability is a difference of such logits, and can itself be near 0.
          const auto near = [&](const at::Tensor& a, const at::Tensor& e, double tolerance) {
            EXPECT_TRUE(((a.to(at::kDouble) - e).abs() <= tolerance).all().item<bool>()) << a << e;
          };
          near(out.logprob_T, expected.logprob_T, absolute);
          near(out.entropy_T, expected.entropy_T, absolute * (1 + std::log(vocabulary)));
        }
}

TEST(TokenLogprob, RealVocabulary) {
  for (at::ScalarType dtype : kDtypes) {
    SCOPED_TRACE(c10::toString(dtype));
    const Inputs in = make_inputs(3, 8, 49152, dtype);
    const TokenLogprobs out = token_logprob(in.hidden_TD, in.head_VD, in.targets_T, {.chunk_tokens = 2});
    // bf16: the product comes out in bf16, and the formula starts from that.
    const at::Tensor logits = (dtype == at::kBFloat16 ? at::mm(in.hidden_TD, in.head_VD.t())
                                                      : in.hidden_TD.to(at::kDouble).mm(in.head_VD.to(at::kDouble).t()))
                                  .to(at::kDouble);
    const TokenLogprobs expected = by_formula(logits, in.targets_T, {});
    const double accum = roundoff(dtype == at::kDouble ? at::kDouble : at::kFloat);
    EXPECT_EQ(out.logprob_T.scalar_type(), dtype == at::kDouble ? at::kDouble : at::kFloat);
    expect_near(out.logprob_T, expected.logprob_T, 4 * accum, 200 * accum);
    expect_near(out.entropy_T, expected.entropy_T, 4 * accum, 200 * accum);
  }
}

TEST(TokenLogprob, GradientsLikeAutograd) {
  const OneThread one_thread;
  for (at::ScalarType dtype : kDtypes)
    for (const LogprobTransform& transform : kTransforms)
      for (bool entropy_gradient : {false, true}) {
        SCOPED_TRACE(testing::Message() << c10::toString(dtype) << ", temperature " << transform.temperature
                                        << " top_k " << transform.top_k << " top_p " << transform.top_p << ", entropy "
                                        << entropy_gradient);
        // One chunk in bf16: which tokens a truncation keeps is decided by bf16 logits, and the formula is to see the
        // same ones.
        const Inputs in = make_inputs(13, 24, 61, dtype, 0.4);
        const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
        const TokenLogprobs out =
            token_logprob(hidden, head, in.targets_T,
                          {.transform = transform, .chunk_tokens = 5, .entropy_gradient = entropy_gradient});
        EXPECT_EQ(out.entropy_T.requires_grad(), entropy_gradient);
        const at::Tensor g = normals({13}, out.logprob_T.scalar_type(), 3),
                         h = normals({13}, out.logprob_T.scalar_type(), 4);
        std::vector<at::Tensor> outs = {out.logprob_T}, weights = {g};
        if (entropy_gradient) outs.push_back(out.entropy_T), weights.push_back(h);
        const auto grads = gradients(outs, weights, {hidden, head});

        // The formula's gradient with respect to the logits that the op itself sees; the products with it in f64.
        const at::Tensor logits = leaf(at::mm(in.hidden_TD, in.head_VD.t()).to(at::kDouble));
        const TokenLogprobs expected = by_formula(logits, in.targets_T, transform);
        std::vector<at::Tensor> expected_outs = {expected.logprob_T}, expected_weights = {g.to(at::kDouble)};
        if (entropy_gradient)
          expected_outs.push_back(expected.entropy_T), expected_weights.push_back(h.to(at::kDouble));
        const at::Tensor dlogits = gradients(expected_outs, expected_weights, {logits})[0];
        const double u = roundoff(dtype);
        EXPECT_EQ(grads[0].scalar_type(), dtype);
        EXPECT_EQ(grads[1].scalar_type(), dtype);
        expect_near(grads[0], dlogits.mm(in.head_VD.to(at::kDouble)), 4 * u, (dtype == at::kBFloat16 ? 8 : 300) * u);
        expect_near(grads[1], dlogits.t().mm(in.hidden_TD.to(at::kDouble)), 4 * u,
                    (dtype == at::kBFloat16 ? 8 : 300) * u);
      }
}

TEST(TokenLogprob, SoftcapLikeAutograd) {
  const OneThread one_thread;
  const double cap = 2.5;  // logits reach several times that
  for (at::ScalarType dtype : {at::kFloat, at::kDouble})
    for (const LogprobTransform& transform : {kTransforms[0], kTransforms[1]}) {
      SCOPED_TRACE(c10::toString(dtype));
      const Inputs in = make_inputs(13, 24, 61, dtype, 0.4);
      const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
      const TokenLogprobs out =
          token_logprob(hidden, head, in.targets_T,
                        {.transform = transform, .softcap = cap, .chunk_tokens = 5, .entropy_gradient = true});
      const at::Tensor twin_hidden = leaf(in.hidden_TD.to(at::kDouble)), twin_head = leaf(in.head_VD.to(at::kDouble));
      const at::Tensor logits = at::tanh(twin_hidden.mm(twin_head.t()) / cap) * cap;
      EXPECT_GT(twin_hidden.mm(twin_head.t()).abs().max().item<double>(), 1.5 * cap);
      const TokenLogprobs expected = by_formula(logits, in.targets_T, transform);
      const double u = roundoff(dtype);
      expect_near(out.logprob_T, expected.logprob_T, 4 * u, 300 * u);
      expect_near(out.entropy_T, expected.entropy_T, 4 * u, 300 * u);
      const at::Tensor g = normals({13}, dtype, 3), h = normals({13}, dtype, 4);
      const auto grads = gradients({out.logprob_T, out.entropy_T}, {g, h}, {hidden, head});
      const auto expected_grads = gradients({expected.logprob_T, expected.entropy_T},
                                            {g.to(at::kDouble), h.to(at::kDouble)}, {twin_hidden, twin_head});
      for (size_t i = 0; i < 2; ++i) expect_near(grads[i], expected_grads[i], 4 * u, 400 * u);
    }
}

TEST(TokenLogprob, Slopes) {
  const OneThread one_thread;
  for (const LogprobTransform& transform :
       {LogprobTransform{}, LogprobTransform{.temperature = 0.7, .top_k = 6}, LogprobTransform{.top_p = 0.85}}) {
    const Inputs in = make_inputs(4, 3, 11, at::kDouble);
    const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
    expect_slopes(
        [&] {
          const TokenLogprobs out = token_logprob(
              hidden, head, in.targets_T, {.transform = transform, .chunk_tokens = 3, .entropy_gradient = true});
          return std::vector<at::Tensor>{out.logprob_T, out.entropy_T};
        },
        {hidden, head}, 1e-7);
  }
}

TEST(TokenLogprob, ChunksDoNotShow) {
  const OneThread one_thread;
  const Inputs in = make_inputs(29, 16, 301, at::kDouble);
  std::vector<std::vector<at::Tensor>> results;
  for (int64_t chunk : {1000, 1, 4, 28, 29}) {
    const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
    const TokenLogprobs out =
        token_logprob(hidden, head, in.targets_T,
                      {.chunk_tokens = chunk, .backward_tokens = chunk + 1, .backward_vocabulary = 5 * chunk});
    results.push_back(gradients({out.logprob_T}, {normals({29}, at::kDouble, 5)}, {hidden, head}));
    results.back().push_back(out.logprob_T);
    results.back().push_back(out.entropy_T);
    for (size_t i = 0; i < 4; ++i) expect_near(results.back()[i], results.front()[i], 1e-14, 1e-13);
  }
}

// Forward and backward of 4,096 tokens: whole logits would be 2.5 GB, and so would their gradients.
TEST(TokenLogprob, MemoryDoesNotGrowWithTokensTimesVocabulary) {
  constexpr int64_t kTokens = 4096, kWidth = 32, kVocabulary = 152064, kMega = 1 << 20;
  const Inputs in = make_inputs(kTokens, kWidth, kVocabulary, at::kFloat);
  const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
  const test::PeakMemory meter;
  { at::ones({64 * kMega}, at::kByte); }
  if (!meter.rise()) GTEST_SKIP() << "it cannot be told how much memory is resident";
  ASSERT_GE(*meter.rise(), 60 * kMega) << "the meter does not see what is allocated";

  const test::PeakMemory peak;
  const TokenLogprobs out = token_logprob(hidden, head, in.targets_T, {});
  gradients({out.logprob_T}, {normals({kTokens}, at::kFloat, 5)}, {hidden, head});
  const int64_t head_gradient = kVocabulary * kWidth * 4, logits = int64_t{1} << 26;  // 2^24 numbers at a time
  EXPECT_LE(*peak.rise(), head_gradient + logits + 32 * kMega);
  std::printf("vocabulary %ld, %ld tokens: %.0f MB\n", kVocabulary, kTokens, static_cast<double>(*peak.rise()) / 1e6);
}

TEST(TokenLogprob, TokensWithoutGradientCostNothingAndChangeNothing) {
  const OneThread one_thread;
  const Inputs in = make_inputs(20, 12, 53, at::kDouble);
  at::Tensor g = normals({20}, at::kDouble, 6);
  for (int64_t t : {0, 3, 4, 5, 19}) g[t] = 0;
  for (const LogprobTransform& transform : {LogprobTransform{}, LogprobTransform{.top_k = 7}}) {
    const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
    const TokenLogprobs out = token_logprob(hidden, head, in.targets_T, {.transform = transform, .chunk_tokens = 6});
    const auto grads = gradients({out.logprob_T}, {g}, {hidden, head});
    const at::Tensor logits = leaf(in.hidden_TD.mm(in.head_VD.t()));
    const at::Tensor dlogits = gradients({by_formula(logits, in.targets_T, transform).logprob_T}, {g}, {logits})[0];
    expect_near(grads[0], dlogits.mm(in.head_VD), 1e-13, 1e-13);
    expect_near(grads[1], dlogits.t().mm(in.hidden_TD), 1e-13, 1e-13);
    EXPECT_EQ(grads[0][4].abs().max().item<double>(), 0);
  }
  // No gradient at all: zeros, of the right shape.
  const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
  const auto zero = gradients({token_logprob(hidden, head, in.targets_T, {}).logprob_T}, {at::zeros({20}, at::kDouble)},
                              {hidden, head});
  EXPECT_TRUE(at::equal(zero[0], at::zeros_like(hidden)));
  EXPECT_TRUE(at::equal(zero[1], at::zeros_like(head)));
}

TEST(TokenLogprob, OneGradientAlone) {
  const OneThread one_thread;
  const Inputs in = make_inputs(9, 12, 53, at::kFloat);
  const at::Tensor g = normals({9}, at::kFloat, 7);
  const at::Tensor hidden = leaf(in.hidden_TD), head = leaf(in.head_VD);
  const auto both = gradients({token_logprob(hidden, head, in.targets_T, {}).logprob_T}, {g}, {hidden, head});
  EXPECT_TRUE(
      at::equal(gradients({token_logprob(hidden, in.head_VD, in.targets_T, {}).logprob_T}, {g}, {hidden})[0], both[0]));
  EXPECT_TRUE(
      at::equal(gradients({token_logprob(in.hidden_TD, head, in.targets_T, {}).logprob_T}, {g}, {head})[0], both[1]));
  at::NoGradGuard no_grad;
  EXPECT_FALSE(token_logprob(hidden, head, in.targets_T, {}).logprob_T.requires_grad());
}

TEST(TokenLogprob, SamplerSeesTheSameNumbers) {
  // The sampler calls row_transform on f32 logits; for those tokens the trainer's log-probability is the same double,
  // rounded.
  const Inputs in = make_inputs(6, 16, 5003, at::kFloat);
  const at::Tensor logits = at::mm(in.hidden_TD, in.head_VD.t());
  for (const LogprobTransform& t : kTransforms) {
    const at::Tensor best = logits.argmax(1);
    const TokenLogprobs out = token_logprob(in.hidden_TD, in.head_VD, best, {.transform = t});
    std::vector<float> scratch(5003);
    for (int64_t i = 0; i < 6; ++i) {
      const float* row = logits[i].const_data_ptr<float>();
      const kernels::RowTransform sampler =
          kernels::row_transform(row, 5003, {t.temperature, t.top_k, t.top_p}, scratch.data());
      const float logprob = static_cast<float>(row[best[i].item<int64_t>()] / t.temperature - sampler.log_normalizer);
      EXPECT_EQ(out.logprob_T[i].item<float>(), logprob);
    }
  }
}

TEST(TokenLogprob, CompositeRowsLikeKernels) {
  const Inputs in = make_inputs(11, 16, 97, at::kDouble);
  const at::Tensor logits = in.hidden_TD.mm(in.head_VD.t());
  const auto rows = [&] {
    const auto empty = [] { return at::empty({11}, at::kDouble); };
    return LogitRows{logits.clone(), in.targets_T, empty(), empty(), empty(), empty()};
  };
  for (const LogprobTransform& transform : kTransforms) {
    const LogitRows kernel = rows(), composite = rows();
    row_statistics_cpu(kernel, transform);
    row_statistics_composite(composite, transform);
    expect_near(composite.logprob_C, kernel.logprob_C, 1e-13, 1e-13);
    expect_near(composite.entropy_C, kernel.entropy_C, 1e-13, 1e-13);
    expect_near(composite.log_normalizer_C, kernel.log_normalizer_C, 1e-13, 1e-13);
    // A threshold is one of the logits, or anything below all of them.
    EXPECT_TRUE(at::equal(logits < composite.threshold_C.unsqueeze(1), logits < kernel.threshold_C.unsqueeze(1)));
    const at::Tensor g = normals({11}, at::kDouble, 8), h = normals({11}, at::kDouble, 9);
    row_gradients_cpu(kernel, transform, g, h);
    row_gradients_composite(composite, transform, g, h);
    expect_near(composite.logits_CV, kernel.logits_CV, 1e-12, 1e-13);
  }
}

TEST(TokenLogprob, ThreadsDoNotShow) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor logits = normals({37, 3001}, dtype, 10, 3.0);
    const Inputs in = make_inputs(37, 1, 3001, dtype);
    for (const LogprobTransform& transform : kTransforms)
      expect_same_for_any_threads([&] {
        const auto empty = [&] { return at::empty({37}, dtype); };
        const LogitRows rows{logits.clone(), in.targets_T, empty(), empty(), empty(), at::empty({37}, at::kDouble)};
        row_statistics(rows, transform);
        row_gradients(rows, transform, normals({37}, at::kDouble, 11), normals({37}, at::kDouble, 12));
        return std::vector<at::Tensor>{rows.logits_CV, rows.logprob_C, rows.entropy_C, rows.threshold_C,
                                       rows.log_normalizer_C};
      });
  }
}

TEST(TokenLogprob, NanShows) {
  const Inputs in = make_inputs(3, 8, 40, at::kFloat);
  in.hidden_TD[1][2] = NAN;
  const TokenLogprobs out =
      token_logprob(in.hidden_TD, in.head_VD, in.targets_T, {.transform = {.top_k = 3, .top_p = 0.9}});
  for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(std::isnan(out.logprob_T[t].item<float>()), t == 1);
}

TEST(TokenLogprob, RefusesWhatItCannotDo) {
  const Inputs in = make_inputs(3, 8, 40, at::kFloat);
  const auto call = [&](const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                        TokenLogprobOptions options = {}) { token_logprob(hidden, head, targets, options); };
  EXPECT_NO_THROW(call(in.hidden_TD, in.head_VD, in.targets_T));
  EXPECT_THROW(call(in.hidden_TD, in.head_VD.t(), in.targets_T), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD.to(at::kDouble), in.targets_T), core::Error);
  EXPECT_THROW(call(in.hidden_TD.to(at::kHalf), in.head_VD.to(at::kHalf), in.targets_T), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T.to(at::kInt)), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T + 40), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T - 40), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T.narrow(0, 0, 2)), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T, {.chunk_tokens = 0}), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T, {.transform = {.temperature = 0}}), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T, {.transform = {.top_k = -1}}), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T, {.transform = {.top_p = 0}}), core::Error);
  EXPECT_THROW(call(in.hidden_TD, in.head_VD, in.targets_T, {.transform = {.top_p = NAN}}), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
