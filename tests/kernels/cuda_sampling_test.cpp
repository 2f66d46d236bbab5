#include <algorithm>

#include "kernel_inputs.h"
#include "kernels/cuda/sample_tokens.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaSampling : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaSampling, DeviceElements);

struct Drawn {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
};

core::RandomKey key_of(int64_t b) {
  return {.seed = 0x123456789abcdefull,
          .step = 7,
          .prompt = static_cast<uint64_t>(b) << 33,
          .sample = static_cast<uint32_t>(b % 5)};
}

template <class E>
Drawn run(const std::vector<E>& logits, int64_t batch, int64_t vocabulary, const SamplingTransform& transform) {
  std::vector<core::RandomKey> keys;
  std::vector<uint32_t> positions;
  for (int64_t b = 0; b < batch; ++b) {
    keys.push_back(key_of(b));
    positions.push_back(static_cast<uint32_t>(3 * b));
  }
  DeviceBuffer<E> logits_d(logits);
  DeviceBuffer<core::RandomKey> keys_d(keys);
  DeviceBuffer<uint32_t> positions_d(positions);
  DeviceBuffer<int32_t> ids(batch);
  DeviceBuffer<float> logprobs(batch);
  cuda::sample_tokens<E>(logits_d.data(), batch, vocabulary, transform, keys_d.data(), positions_d.data(), ids.data(),
                         logprobs.data(), nullptr);
  return {ids.read(), logprobs.read()};
}

// Of a sum of probabilities, and of the logarithm of one. A weight is exp of a shift that is rounded three times, in
// float: (3 · |shift| + 2) roundings, and as many in what all weigh, of which a pack of eight is added in float.
// mean_shift: of the kept tokens, as they are drawn.
double draw_error(double mean_shift) { return 2 * (3 * mean_shift + 2 + 7) * kRoundoff<float>; }

// The inverse of the cumulative distribution in double. The kernel's token is one at whose step, made wider by the
// rounding of its weights, the drawn number lies: hardly ever more than one.
template <class E>
void expect_drawn(const std::vector<E>& logits, int64_t b, int64_t vocabulary, const SamplingTransform& t, int32_t id,
                  float logprob, int& ambiguous) {
  const E* row = logits.data() + b * vocabulary;
  std::vector<double> wide, scratch(vocabulary);
  for (int64_t i = 0; i < vocabulary; ++i) wide.push_back(widen(row[i]));
  const auto kept = row_transform(wide.data(), vocabulary, t, scratch.data());
  const double all_normalizer =
      row_transform(wide.data(), vocabulary, {t.temperature, t.top_k, 1.0}, scratch.data()).log_normalizer;
  const double u = core::random_uniform(key_of(b), static_cast<uint32_t>(3 * b));
  const double max = *std::max_element(wide.begin(), wide.end());
  double mean_shift = 0, mass = 0, mass_above = 0;  // masses: of what top_p cuts, with and without its smallest token
  for (double x : wide) {
    if (x < kept.threshold) continue;
    const double of_all = std::exp(x / t.temperature - all_normalizer);
    mean_shift += std::exp(x / t.temperature - kept.log_normalizer) * (max - x) / t.temperature;
    mass += of_all;
    if (x > kept.threshold) mass_above += of_all;
  }
  const double error = draw_error(mean_shift);
  if (t.top_p < 1 && (mass - t.top_p < error || t.top_p - mass_above < error)) {  // one token more, or less
    ++ambiguous;
    return;
  }
  double below = 0;
  int64_t expected = -1, last = -1;
  bool near_border = false;
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (wide[i] < kept.threshold) continue;
    last = i;
    const double up_to = below + std::exp(wide[i] / t.temperature - kept.log_normalizer);
    if (expected < 0 && up_to > u) {
      expected = i;
      near_border = up_to - u < error || u - below < error;
    }
    below = up_to;
  }
  if (expected < 0) expected = last;
  ASSERT_GE(id, 0);
  ASSERT_LT(id, vocabulary);
  if (near_border) {
    ++ambiguous;
  } else {
    EXPECT_EQ(id, expected) << "sequence " << b;
  }
  const double expected_logprob = wide[id] / t.temperature - kept.log_normalizer;
  EXPECT_NEAR(logprob, expected_logprob,
              std::min(error + std::abs(expected_logprob) * kRoundoff<float>, 1e-5 * (1 + std::abs(logprob))));
}

TYPED_TEST(CudaSampling, DrawsTheTokenThatTheCpuDraws) {
  using E = TypeParam;
  int drawn = 0, ambiguous = 0;
  for (int64_t vocabulary : {1, 2, 17, 64, 511, 1031, 4096})
    for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{0.7}, SamplingTransform{1.0, 20},
                                       SamplingTransform{1.3, 0, 0.8}, SamplingTransform{0.9, 50, 0.95}})
      for (int64_t batch : {0, 1, 7}) {
        SCOPED_TRACE(testing::Message() << vocabulary << " " << t.temperature << " " << t.top_k << " " << t.top_p);
        const auto logits = normals<E>(batch * vocabulary, 11, 2.5);
        const Drawn d = run(logits, batch, vocabulary, t);
        for (int64_t b = 0; b < batch; ++b, ++drawn)
          expect_drawn(logits, b, vocabulary, t, d.ids[b], d.logprobs[b], ambiguous);
      }
  EXPECT_LT(ambiguous, drawn / 20);
}

TYPED_TEST(CudaSampling, RealVocabularies) {
  using E = TypeParam;
  int ambiguous = 0;
  for (int64_t vocabulary : {49152, 151936}) {
    const auto logits = normals<E>(3 * vocabulary, 12, 3.0);
    for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{0.8, 40, 0.9}}) {
      const Drawn d = run(logits, 3, vocabulary, t);
      for (int64_t b = 0; b < 3; ++b) expect_drawn(logits, b, vocabulary, t, d.ids[b], d.logprobs[b], ambiguous);
    }
  }
  EXPECT_LE(ambiguous, 2);
}

// Flat logits: the drawn number times the vocabulary, whatever the segments.
TYPED_TEST(CudaSampling, ReachesEveryPlaceOfTheRow) {
  using E = TypeParam;
  const int64_t vocabulary = 1000, batch = 200;
  const Drawn d = run(std::vector<E>(batch * vocabulary, narrow<E>(1.5f)), batch, vocabulary, {1.0});
  std::vector<int> segments(16);
  for (int64_t b = 0; b < batch; ++b) {
    const double place = core::random_uniform(key_of(b), static_cast<uint32_t>(3 * b)) * vocabulary;
    EXPECT_EQ(d.ids[b], static_cast<int32_t>(place));  // weights of one, and their sums, are exact
    EXPECT_NEAR(d.logprobs[b], -std::log(1000.0), std::log(1000.0) * kRoundoff<float> + 4 * kRoundoff<double>);
    ++segments[d.ids[b] / 63];
  }
  for (int n : segments) EXPECT_GT(n, 0);
}

TYPED_TEST(CudaSampling, GreedyTakesTheFirstOfTheLargest) {
  using E = TypeParam;
  const int64_t vocabulary = 1500;
  auto logits = normals<E>(2 * vocabulary, 13);
  for (int i : {700, 701, 1400}) logits[i] = narrow<E>(9);
  logits[vocabulary + 1499] = narrow<E>(9);
  const Drawn d = run(logits, 2, vocabulary, {0.0, 3, 0.5});
  EXPECT_EQ(d.ids, (std::vector<int32_t>{700, 1499}));
  double sum = 0, shifts = 0;
  for (int64_t i = 0; i < vocabulary; ++i) {
    const double x = widen(logits[i]), e = std::exp(x);
    sum += e;
    shifts += e * (9 - x);
  }
  const double logprob = 9 - std::log(sum);
  EXPECT_NEAR(d.logprobs[0], logprob, draw_error(shifts / sum) + std::abs(logprob) * kRoundoff<float>);
}

TYPED_TEST(CudaSampling, ARowThatIsNotFiniteGetsNoToken) {
  using E = TypeParam;
  auto logits = normals<E>(3 * 64, 14);
  logits[5] = narrow<E>(NAN);
  logits[64 + 7] = narrow<E>(INFINITY);
  for (double temperature : {0.0, 1.0}) {
    const Drawn d = run(logits, 3, 64, {temperature});
    EXPECT_EQ(d.ids[0], -1);
    EXPECT_EQ(d.ids[1], -1);
    EXPECT_GE(d.ids[2], 0);
    EXPECT_TRUE(std::isnan(d.logprobs[0]) && std::isnan(d.logprobs[1]));
  }
}

TYPED_TEST(CudaSampling, NeverTakesWhatIsRuledOut) {
  using E = TypeParam;
  std::vector<E> logits(50 * 40, narrow<E>(-INFINITY));
  for (int64_t b = 0; b < 50; ++b) logits[b * 40 + 31] = narrow<E>(-2.0f);
  for (int32_t id : run(logits, 50, 40, {1.0}).ids) EXPECT_EQ(id, 31);
}

}  // namespace
}  // namespace thinktune::kernels
