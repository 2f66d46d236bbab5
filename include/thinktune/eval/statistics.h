// How sure a number is. Pure functions of numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thinktune::eval {

struct Interval {
  double low = 0;
  double high = 0;
};

// Wilson's 95 % interval of a share: `successes` of `count`. [0, 1] for a count of 0.
Interval wilson_interval(int64_t successes, int64_t count);

// Unbiased estimate of the probability that at least one of k samples is a success, from c successes among n (Chen et
// al., arXiv 2107.03374): 1 − C(n−c, k) / C(n, k), as a product that neither overflows nor cancels. 1 ≤ k ≤ n, 0 ≤ c ≤
// n.
double pass_at_k(int64_t n, int64_t c, int64_t k);

// A mean over problems, each with the mean over its samples.
struct Estimate {
  double mean = 0;
  double standard_error = 0;  // clustered by problem: √(Σ (x_i − mean)² / (m (m − 1))); 0 for one problem
  Interval interval;          // 95 %
  std::string method;         // "wilson", or "normal, clustered by problem"
};

// `means`: one a problem, each in [0, 1], of n samples. One sample a problem: Wilson's interval. More: mean ± 1.96
// standard errors, cut to [0, 1]; where all problems agree that would have no width, and Wilson's interval for one
// sample a problem stands instead.
Estimate estimate_share(std::span<const double> means, int64_t num_samples);

struct PairedComparison {
  double difference = 0;  // mean of b − a
  Interval interval;      // 95 %: the 2.5 and 97.5 % points of the resampled differences
  double p_value = 1;     // two-sided: (1 + resamples as far from the difference as 0 is) / (1 + resamples)
  int64_t num_resamples = 0;
};

inline constexpr int64_t kResamples = 10'000;

// Paired bootstrap: problems are drawn with replacement, each with both its numbers. A function of the arguments alone.
// As many a as b, at least one.
PairedComparison compare_paired(std::span<const double> a, std::span<const double> b, uint64_t seed,
                                int64_t num_resamples = kResamples);

}  // namespace thinktune::eval
