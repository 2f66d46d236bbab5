#include <algorithm>
#include <functional>

#include "kernel_inputs.h"
#include "kernels/cuda/token_logprob.h"
#include "kernels/sampling_transform.h"
#include "kernels/softmax_row.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaLogits : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaLogits, DeviceElements);

struct Statistics {
  std::vector<float> logprob, entropy, threshold;
  std::vector<double> log_normalizer;
};

template <class E>
Statistics run(const std::vector<E>& logits, const std::vector<int64_t>& targets, int64_t vocabulary,
               const SamplingTransform& transform) {
  const size_t rows = targets.size();
  DeviceBuffer<E> logits_d(logits);
  DeviceBuffer<int64_t> targets_d(targets);
  DeviceBuffer<float> logprob(rows), entropy(rows), threshold(rows);
  DeviceBuffer<double> log_normalizer(rows);
  cuda::row_statistics<E>(logits_d.data(), targets_d.data(), static_cast<int64_t>(rows), vocabulary, transform,
                          {logprob.data(), entropy.data(), threshold.data(), log_normalizer.data()}, nullptr);
  return {logprob.read(), entropy.read(), threshold.read(), log_normalizer.read()};
}

// exp of a shift s in float has the relative error (|s| + 4) roundings; a sum of n packs adds 8 more.
double sum_error(double range, double temperature) { return (range / temperature + 16) * kRoundoff<float>; }

// The definitions in double, with the threshold that the kernel found.
template <class E>
void expect_right(const std::vector<E>& logits, int64_t target, const SamplingTransform& t, float logprob,
                  float entropy, float threshold, double log_normalizer) {
  double max = -INFINITY, min = INFINITY;
  for (E x : logits) {
    max = std::max<double>(max, widen(x));
    if (std::isfinite(widen(x))) min = std::min<double>(min, widen(x));
  }
  double sum = 0, shifts = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (widen(logits[i]) < threshold && static_cast<int64_t>(i) != target) continue;
    const double s = (widen(logits[i]) - max) / t.temperature, e = std::exp(s);
    sum += e;
    if (e > 0) shifts += e * s;
  }
  const double error = sum_error(std::min(max - min, 104 * t.temperature), t.temperature);
  const double expected_normalizer = max / t.temperature + std::log(sum);
  const double expected = widen(logits[target]) / t.temperature - expected_normalizer;
  EXPECT_NEAR(log_normalizer, expected_normalizer, error + std::abs(expected_normalizer) * kRoundoff<float>);
  EXPECT_NEAR(logprob, expected, error + (std::abs(expected) + std::abs(expected_normalizer)) * kRoundoff<float>);
  const double expected_entropy = std::log(sum) - shifts / sum;
  EXPECT_NEAR(entropy, expected_entropy, error * (2 - shifts / sum + std::log(sum)));
}

TYPED_TEST(CudaLogits, WholeDistributionEqualsTheDefinition) {
  using E = TypeParam;
  for (int64_t vocabulary : {1, 2, 7, 8, 511, 512, 1031, 4096})
    for (double temperature : {1.0, 0.6, 1.7})
      for (int64_t rows : {0, 1, 3}) {
        SCOPED_TRACE(testing::Message() << vocabulary << " " << temperature);
        const auto logits = normals<E>(rows * vocabulary, 1, 6.0);
        std::vector<int64_t> targets;
        for (int64_t r = 0; r < rows; ++r) targets.push_back((r * 7919 + vocabulary - 1) % vocabulary);
        const SamplingTransform t{temperature};
        const Statistics s = run(logits, targets, vocabulary, t);
        for (int64_t r = 0; r < rows; ++r) {
          EXPECT_EQ(s.threshold[r], -INFINITY);
          expect_right(std::vector<E>(logits.begin() + r * vocabulary, logits.begin() + (r + 1) * vocabulary),
                       targets[r], t, s.logprob[r], s.entropy[r], s.threshold[r], s.log_normalizer[r]);
        }
      }
}

TYPED_TEST(CudaLogits, RealVocabularies) {
  using E = TypeParam;
  for (int64_t vocabulary : {49152, 151936}) {
    const auto logits = normals<E>(vocabulary, 3, 4.0);
    for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{0.8, 50, 0.95}}) {
      const Statistics s = run(logits, {vocabulary - 3}, vocabulary, t);
      expect_right(logits, vocabulary - 3, t, s.logprob[0], s.entropy[0], s.threshold[0], s.log_normalizer[0]);
    }
  }
}

// The k-th largest exactly; of top_p the smallest set, to the rounding of exp.
TYPED_TEST(CudaLogits, ThresholdsAreTheSmallestSets) {
  using E = TypeParam;
  for (int64_t vocabulary : {1, 9, 1024, 3001})
    for (double temperature : {1.0, 0.5})
      for (int64_t top_k : {0, 1, 2, 40, 5000})
        for (double top_p : {1.0, 0.999, 0.9, 0.3, 1e-9}) {
          SCOPED_TRACE(testing::Message() << vocabulary << " T " << temperature << " k " << top_k << " p " << top_p);
          const auto logits = normals<E>(vocabulary, 5, 3.0);
          const SamplingTransform t{temperature, top_k, top_p};
          const int64_t target = vocabulary / 2;  // below the threshold, often
          const Statistics s = run(logits, {target}, vocabulary, t);
          expect_right(logits, target, t, s.logprob[0], s.entropy[0], s.threshold[0], s.log_normalizer[0]);

          std::vector<double> sorted = widened(logits);
          std::sort(sorted.begin(), sorted.end(), std::greater<>());
          const bool cuts_k = top_k > 0 && top_k < vocabulary;
          const double kth = cuts_k ? sorted[top_k - 1] : -INFINITY;
          if (top_p == 1) {
            EXPECT_EQ(s.threshold[0], kth);
            continue;
          }
          double total = 0, kept = 0, above = 0;
          for (double x : sorted) {
            if (x < kth) continue;
            const double e = std::exp((x - sorted[0]) / temperature);
            total += e;
            if (x >= s.threshold[0]) kept += e;
            if (x > s.threshold[0]) above += e;
          }
          EXPECT_GE(s.threshold[0], kth);
          EXPECT_TRUE(std::find(sorted.begin(), sorted.end(), s.threshold[0]) != sorted.end());
          const double error = sum_error(sorted[0] - sorted.back(), temperature);
          EXPECT_GE(kept / total, top_p * (1 - error));
          EXPECT_LT(above / total, top_p * (1 + error));
        }
}

TYPED_TEST(CudaLogits, EqualLogitsStayTogetherAndZerosAreOne) {
  using E = TypeParam;
  std::vector<E> logits(64, narrow<E>(-3));
  for (int i : {5, 9, 60}) logits[i] = narrow<E>(i == 9 ? -0.0f : 0.0f);
  logits[20] = narrow<E>(2);
  const Statistics s = run(logits, {9}, 64, {1.0, 2});
  EXPECT_EQ(s.threshold[0], 0);
  const double expected = -std::log(3 + std::exp(2.0));
  EXPECT_NEAR(s.logprob[0], expected, std::min(1e-6, sum_error(2, 1) + std::abs(expected) * kRoundoff<float>));
}

TYPED_TEST(CudaLogits, RowsThatAreNotFiniteGetNaN) {
  using E = TypeParam;
  for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{1.0, 5, 0.9}})
    for (float bad : {NAN, INFINITY}) {
      auto logits = normals<E>(3 * 700, 1);
      logits[700 + 699] = narrow<E>(bad);
      const Statistics s = run(logits, {3, 4, 5}, 700, t);
      EXPECT_TRUE(std::isfinite(s.logprob[0]) && std::isfinite(s.logprob[2]));
      EXPECT_TRUE(std::isnan(s.logprob[1]) && std::isnan(s.entropy[1]) && std::isnan(s.log_normalizer[1]));
    }
  // Tokens that are ruled out.
  auto logits = normals<E>(700, 2);
  for (int i = 10; i < 700; ++i) logits[i] = narrow<E>(-INFINITY);
  for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{1.0, 5, 0.9}}) {
    const Statistics s = run(logits, {3}, 700, t);
    expect_right(logits, 3, t, s.logprob[0], s.entropy[0], s.threshold[0], s.log_normalizer[0]);
  }
  const Statistics none = run(std::vector<E>(700, narrow<E>(-INFINITY)), {3}, 700, {1.0});
  EXPECT_TRUE(std::isnan(none.log_normalizer[0]));
}

TYPED_TEST(CudaLogits, GradientEqualsTheDoubleTwinWholeAndInParts) {
  using E = TypeParam;
  const int64_t rows = 4;
  for (int64_t vocabulary : {1, 8, 1031, 8192, 8200, 16391})
    for (const SamplingTransform& t : {SamplingTransform{1.0}, SamplingTransform{0.7, 30, 0.9}}) {
      SCOPED_TRACE(testing::Message() << vocabulary << " " << t.temperature);
      const auto logits = normals<E>(rows * vocabulary, 1, 3.0);
      const std::vector<int64_t> targets = {0, vocabulary - 1, vocabulary / 2, vocabulary / 3};
      const std::vector<double> grad_logprob = {1, -0.5, 0, 2}, grad_entropy = {0, 0.25, 1, -1};
      const Statistics s = run(logits, targets, vocabulary, t);
      std::vector<double> expected = widened(logits);
      for (int64_t r = 0; r < rows; ++r)
        row_gradient(expected.data() + r * vocabulary, vocabulary,
                     RowGradient{targets[r], t.temperature, s.threshold[r], s.log_normalizer[r], s.entropy[r],
                                 grad_logprob[r], grad_entropy[r]});
      DeviceBuffer<float> entropy(s.entropy), threshold(s.threshold);
      DeviceBuffer<double> log_normalizer(s.log_normalizer), gl(grad_logprob), ge(grad_entropy);
      const int64_t cut = vocabulary / 8 / 2 * 8;  // the parts' rows stay aligned
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, vocabulary}, {0, cut}, {cut, vocabulary}}) {
        const int64_t columns = end - begin;
        if (columns == 0) continue;
        std::vector<E> part;
        std::vector<int64_t> in_part;
        for (int64_t r = 0; r < rows; ++r) {
          part.insert(part.end(), logits.begin() + r * vocabulary + begin, logits.begin() + r * vocabulary + end);
          in_part.push_back(targets[r] - begin);
        }
        DeviceBuffer<E> part_d(part);
        DeviceBuffer<int64_t> targets_d(in_part);
        cuda::row_gradients<E>(
            part_d.data(), rows, columns, t.temperature,
            {targets_d.data(), entropy.data(), threshold.data(), log_normalizer.data(), gl.data(), ge.data()}, nullptr);
        const auto out = widened(part_d.read());
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < columns; ++i) {
            const double want = expected[r * vocabulary + begin + i];
            // p in float, from a log p of at most 104; twice the entropy's term, which may cancel.
            const double logit = widen(logits[r * vocabulary + begin + i]);
            const double logp = logit / t.temperature - s.log_normalizer[r];
            const double p = logit < s.threshold[r] ? 0 : std::exp(logp);
            const double error =
                p * (std::abs(grad_logprob[r]) + std::abs(grad_entropy[r]) * (std::abs(logp) + s.entropy[r])) /
                t.temperature;
            const double slopes = std::abs(grad_logprob[r]) + std::abs(grad_entropy[r]);
            const double of_twin = 1e-14 * p * slopes / t.temperature * (std::abs(logit) / t.temperature + 1);
            ASSERT_NEAR(
                out[r * columns + i], want,
                std::abs(want) * kRoundoff<E> + error * (std::abs(logp) + 16) * kRoundoff<float> + of_twin + 1e-38)
                << "row " << r << " column " << begin + i;
          }
      }
    }
}

TYPED_TEST(CudaLogits, RefusesWhatTheContractExcludes) {
  using E = TypeParam;
  const std::vector<E> logits(8, narrow<E>(0));
  EXPECT_THROW(run(logits, {0}, 0, {1.0}), core::Error);
  EXPECT_THROW(run(logits, {0}, 8, {0.0}), core::Error);
  EXPECT_THROW(run(logits, {0}, 8, {1.0, -1}), core::Error);
  EXPECT_THROW(run(logits, {0}, 8, {1.0, 0, 1.5}), core::Error);
}

}  // namespace
}  // namespace thinktune::kernels
