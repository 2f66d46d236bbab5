// The kept set against a sort, the normaliser against sums in double.
#include "kernels/sampling_transform.h"

#include <algorithm>
#include <functional>

#include "kernel_inputs.h"
#include "kernels/softmax_row.h"

namespace thinktune::kernels {
namespace {

// The definition, by a full sort. A share of top_p is reached up to `slack`: the sums that decide it carry the rounding
// of exp.
void expect_kept_set(const std::vector<double>& logits, const SamplingTransform& transform, double threshold,
                     double slack) {
  std::vector<double> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const int64_t size = static_cast<int64_t>(sorted.size());
  const bool has_top_k = transform.top_k > 0 && transform.top_k < size;
  const double of_top_k = has_top_k ? sorted[transform.top_k - 1] : -INFINITY;
  if (transform.top_p == 1) {
    EXPECT_EQ(threshold, of_top_k);
    return;
  }
  double total = 0, above = 0, kept = 0;
  for (double x : sorted) {
    const double p = std::exp((x - sorted[0]) / transform.temperature);
    if (x >= of_top_k) total += p;
    if (x > threshold) above += p;
    if (x >= threshold) kept += p;
  }
  EXPECT_GE(threshold, of_top_k);
  EXPECT_GE(kept, (transform.top_p - slack) * total);   // reaches top_p …
  EXPECT_LT(above, (transform.top_p + slack) * total);  // … and would not without its smallest
  // Even so the border is the sort's wherever the rounding cannot decide.
  double sum = 0;
  for (double x : sorted) {
    sum += std::exp((x - sorted[0]) / transform.temperature);
    if (sum >= (transform.top_p - slack) * total && sum <= (transform.top_p + slack) * total) return;
    if (sum >= transform.top_p * total) {
      EXPECT_EQ(threshold, x);
      return;
    }
  }
}

struct Expected {
  double log_normalizer, logprob, entropy;
};
Expected statistics_by_definition(const std::vector<double>& logits, double threshold, int64_t target,
                                  double temperature) {
  double max = -INFINITY, sum = 0, entropy = 0;
  for (double x : logits) max = std::max(max, x);
  const auto kept = [&](size_t i) { return logits[i] >= threshold || static_cast<int64_t>(i) == target; };
  for (size_t i = 0; i < logits.size(); ++i)
    if (kept(i)) sum += std::exp((logits[i] - max) / temperature);
  const double log_normalizer = max / temperature + std::log(sum);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double logprob = logits[i] / temperature - log_normalizer;
    if (kept(i) && std::exp(logprob) > 0) entropy -= std::exp(logprob) * logprob;
  }
  return {log_normalizer, logits[target] / temperature - log_normalizer, entropy};
}

// Error of log Σ exp: two roundings of the argument (at most ~40 in size where it counts), exp's four.
template <class E>
double tolerance(const Expected& e, double temperature) {
  return (150 / std::min(1.0, temperature) + 4 * std::abs(e.log_normalizer)) * kRoundoff<Accum<E>>;
}

const SamplingTransform kTransforms[] = {{},
                                         {.temperature = 0.7},
                                         {.temperature = 2.0},
                                         {.top_k = 1},
                                         {.top_k = 5},
                                         {.top_k = 50},
                                         {.top_k = 512},
                                         {.top_k = 513},
                                         {.top_k = 1000000},
                                         {.top_p = 0.1},
                                         {.top_p = 0.5},
                                         {.temperature = 0.7, .top_p = 0.9},
                                         {.top_p = 0.999},
                                         {.top_p = 0.999999999},
                                         {.temperature = 1.3, .top_k = 40, .top_p = 0.95},
                                         {.temperature = 100, .top_p = 0.9}};

template <class E>
class Transform : public testing::Test {
 protected:
  // Checks one row under one transform, for a kept and for a dropped target.
  static void check(const std::vector<E>& logits, const SamplingTransform& transform) {
    const int64_t size = static_cast<int64_t>(logits.size());
    const std::vector<double> x = widened(logits);
    const int64_t best = std::max_element(x.begin(), x.end()) - x.begin();
    const int64_t worst = std::min_element(x.begin(), x.end()) - x.begin();
    std::vector<Accum<E>> scratch(size);
    const auto row = row_transform(logits.data(), size, transform, scratch.data());
    const double threshold = row.threshold;
    expect_kept_set(x, transform, threshold, 8 * kRoundoff<Accum<E>>);
    for (int64_t target : {best, worst, size / 2}) {
      const Expected expected = statistics_by_definition(x, threshold, target, transform.temperature);
      const auto statistics = target_statistics(logits.data(), size, target, transform, scratch.data());
      EXPECT_EQ(statistics.row.threshold, row.threshold);
      const double t = tolerance<E>(expected, transform.temperature);
      EXPECT_NEAR(statistics.row.log_normalizer, expected.log_normalizer, t);
      EXPECT_NEAR(statistics.logprob, expected.logprob, t);
      EXPECT_NEAR(statistics.entropy, expected.entropy, t * (1 + 2 * std::log(size + 1.0)));
      EXPECT_GE(statistics.entropy, 0);
      if (x[target] >= threshold) {
        EXPECT_EQ(statistics.row.log_normalizer, row.log_normalizer);
        EXPECT_EQ(statistics.logprob, x[target] / transform.temperature - row.log_normalizer);
      } else {
        EXPECT_GE(statistics.row.log_normalizer, row.log_normalizer);
        EXPECT_TRUE(std::isfinite(statistics.logprob));
      }
    }
  }
};
TYPED_TEST_SUITE(Transform, Elements);

TYPED_TEST(Transform, KeepsWhatTheSortKeeps) {
  for (int64_t size : {1, 2, 15, 16, 17, 97, 1000, 4095, 4099})
    for (const SamplingTransform& transform : kTransforms) {
      SCOPED_TRACE(testing::Message() << size << " logits, temperature " << transform.temperature << ", top_k "
                                      << transform.top_k << ", top_p " << transform.top_p);
      const std::vector<TypeParam> logits = normals<TypeParam>(size, 20 + size, 3.0);
      with_every_instruction_set([&] { TestFixture::check(logits, transform); });
    }
}

TYPED_TEST(Transform, RealVocabulary) {
  const std::vector<TypeParam> logits = normals<TypeParam>(49152, 21, 4.0);
  for (const SamplingTransform& transform : kTransforms) {
    SCOPED_TRACE(testing::Message() << "temperature " << transform.temperature << ", top_k " << transform.top_k
                                    << ", top_p " << transform.top_p);
    TestFixture::check(logits, transform);
  }
}

TEST(TransformEdges, TiesAtTheBorderStay) {
  const std::vector<float> logits = {1, 3, 2, 2, 0, 2, -1};
  std::vector<float> scratch(logits.size());
  EXPECT_EQ(row_transform(logits.data(), 7, {.top_k = 2}, scratch.data()).threshold, 2);  // keeps four
  const double kept = std::exp(3.0) + 3 * std::exp(2.0);
  EXPECT_NEAR(row_transform(logits.data(), 7, {.top_k = 2}, scratch.data()).log_normalizer, std::log(kept), 1e-6);
  EXPECT_EQ(row_transform(logits.data(), 7, {.top_p = 0.5}, scratch.data()).threshold, 2);
  // All equal: any cut keeps all.
  const std::vector<float> equal(5000, 1.5f);
  scratch.resize(equal.size());
  for (const SamplingTransform& t :
       {SamplingTransform{.top_k = 3}, SamplingTransform{.top_p = 0.2}, SamplingTransform{.top_k = 700}}) {
    const auto row = row_transform(equal.data(), 5000, t, scratch.data());
    EXPECT_EQ(row.threshold, 1.5f);
    EXPECT_NEAR(row.log_normalizer, 1.5 + std::log(5000.0), 1e-6);
  }
}

TEST(TransformEdges, TopPComesAfterTopK) {
  // Probabilities .4 .3 .2 .1; of the two largest, renormalised, .57 and .43: top_p .5 keeps the first alone.
  const std::vector<double> logits = {std::log(.4), std::log(.3), std::log(.2), std::log(.1)};
  std::vector<double> scratch(4);
  EXPECT_EQ(row_transform(logits.data(), 4, {.top_k = 2, .top_p = 0.5}, scratch.data()).threshold, logits[0]);
  EXPECT_EQ(row_transform(logits.data(), 4, {.top_p = 0.5}, scratch.data()).threshold, logits[1]);
}

TEST(TransformEdges, MaskedLogitsAreNoNumbersToWorryAbout) {
  std::vector<float> logits = normals<float>(40, 22);
  for (int i = 0; i < 40; i += 2) logits[i] = -INFINITY;
  std::vector<float> scratch(40);
  for (const SamplingTransform& t :
       {SamplingTransform{}, SamplingTransform{.top_k = 30}, SamplingTransform{.top_p = 0.9}}) {
    with_every_instruction_set([&] {
      const auto statistics = target_statistics(logits.data(), 40, 1, t, scratch.data());
      EXPECT_TRUE(std::isfinite(statistics.logprob));
      EXPECT_TRUE(std::isfinite(statistics.entropy));
    });
  }
}

TEST(TransformEdges, NanAndInfinityShow) {
  for (float bad : {NAN, INFINITY})
    for (int64_t size : {5, 5000}) {
      std::vector<float> logits = normals<float>(size, 23), scratch(size);
      logits[3] = bad;
      for (const SamplingTransform& t :
           {SamplingTransform{}, SamplingTransform{.top_k = 2}, SamplingTransform{.top_p = 0.5}}) {
        with_every_instruction_set([&] {
          const auto statistics = target_statistics(logits.data(), size, 0, t, scratch.data());
          EXPECT_TRUE(std::isnan(statistics.row.log_normalizer));
          EXPECT_TRUE(std::isnan(statistics.logprob));
          EXPECT_TRUE(std::isnan(statistics.entropy));
        });
      }
    }
}

TYPED_TEST(Transform, GradientIsTheSlopeOfLogprobAndEntropy) {
  using E = TypeParam;
  const double a = kRoundoff<Accum<E>>, u = kRoundoff<E>;
  for (int64_t size : {1, 2, 17, 97})
    for (const SamplingTransform& transform : {SamplingTransform{}, SamplingTransform{.temperature = 0.7},
                                               SamplingTransform{.temperature = 1.5, .top_k = 9}})
      for (double grad_entropy : {0.0, -0.8}) {
        const std::vector<E> logits = normals<E>(size, 30 + size, 2.0);
        std::vector<double> x = widened(logits), scratch(size);
        const int64_t target = size / 3;
        const double grad_logprob = 1.7;
        // The slope in double, by differences; small steps leave the kept set as it is.
        const auto loss = [&] {
          const auto s = target_statistics(x.data(), size, target, transform, scratch.data());
          return grad_logprob * s.logprob + grad_entropy * s.entropy;
        };
        with_every_instruction_set([&] {
          std::vector<Accum<E>> element_scratch(size);
          const auto s = target_statistics(logits.data(), size, target, transform, element_scratch.data());
          std::vector<E> gradient = logits;
          gradient.push_back(narrow<E>(-7));
          row_gradient(gradient.data(), size,
                       {target, transform.temperature, s.row.threshold, s.row.log_normalizer, s.entropy, grad_logprob,
                        grad_entropy});
          EXPECT_EQ(widen(gradient.back()), -7);
          for (int64_t i = 0; i < size; ++i) {
            const double expected = slope(loss, x[i]);
            EXPECT_NEAR(widen(gradient[i]), expected, std::abs(expected) * u + 1e-8 + 400 * a) << i;
            if (x[i] < s.row.threshold && i != target) {
              EXPECT_EQ(widen(gradient[i]), 0);
            }
          }
        });
      }
}

TYPED_TEST(Transform, RowMaxima) {
  using E = TypeParam;
  for (int64_t size : {0, 1, 15, 17, 97, 1000}) {
    const std::vector<E> logits = normals<E>(size, 40);
    with_every_instruction_set([&] {
      double max = -INFINITY;
      for (E v : logits) max = std::max<double>(max, widen(v));
      EXPECT_EQ(row_max(logits.data(), size).max, max);
      EXPECT_FALSE(row_max(logits.data(), size).has_nan);
      std::vector<Accum<E>> groups(32);
      row_group_max(logits.data(), size, 32, groups.data());
      for (int64_t j = 0; j < 32; ++j) {
        double expected = -INFINITY;
        for (int64_t i = 0; i < size / 32; ++i) expected = std::max<double>(expected, widen(logits[i * 32 + j]));
        EXPECT_EQ(groups[j], expected);
      }
    });
  }
}

}  // namespace
}  // namespace thinktune::kernels
