#include "thinktune/eval/statistics.h"

#include <algorithm>
#include <cmath>

#include "thinktune/core/error.h"
#include "thinktune/core/random.h"

namespace thinktune::eval {
namespace {

constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The q quantile of sorted values, linear between neighbours.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

Interval wilson_interval(int64_t successes, int64_t count) {
  if (count == 0) return {0, 1};
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(successes) / n;
  const double middle = (share + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ / (1 + kZ * kZ / n) * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  TT_CHECK(1 <= k && k <= n && 0 <= c && c <= n, "pass@{} of {} successes in {} samples", k, c, n);
  if (n - c < k) return 1;
  double all_fail = 1;
  for (int64_t i = n - c + 1; i <= n; ++i) all_fail *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - all_fail;
}

Estimate estimate_share(std::span<const double> means, int64_t num_samples) {
  Estimate estimate;
  if (means.empty()) {
    estimate.interval = {0, 1};
    estimate.method = "wilson";
    return estimate;
  }
  const auto m = static_cast<double>(means.size());
  estimate.mean = mean_of(means);
  double squares = 0;
  for (const double mean : means) squares += (mean - estimate.mean) * (mean - estimate.mean);
  if (means.size() > 1) estimate.standard_error = std::sqrt(squares / (m * (m - 1)));
  if (num_samples == 1 || squares == 0) {
    estimate.interval = wilson_interval(std::llround(estimate.mean * m), std::ssize(means));
    estimate.method = "wilson";
  } else {
    estimate.interval = {std::max(0.0, estimate.mean - kZ * estimate.standard_error),
                         std::min(1.0, estimate.mean + kZ * estimate.standard_error)};
    estimate.method = "normal, clustered by problem";
  }
  return estimate;
}

PairedComparison compare_paired(std::span<const double> a, std::span<const double> b, uint64_t seed,
                                int64_t num_resamples) {
  TT_CHECK(a.size() == b.size() && !a.empty() && num_resamples >= 1, "{} and {} problems, {} resamples", a.size(),
           b.size(), num_resamples);
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  PairedComparison result;
  result.difference = mean_of(differences);
  result.num_resamples = num_resamples;
  std::vector<double> means;
  int64_t as_far = 0;
  constexpr double kRounding = 1e-12;  // equal sums in another order
  for (int64_t r = 0; r < num_resamples; ++r) {
    const core::RandomKey key = {.seed = seed, .stream = core::Stream::Bootstrap, .step = static_cast<uint64_t>(r)};
    double sum = 0;
    for (uint32_t i = 0; i < differences.size(); ++i)
      sum += differences[core::random_below(key, i, differences.size())];
    means.push_back(sum / static_cast<double>(differences.size()));
    as_far += std::abs(means.back() - result.difference) >= std::abs(result.difference) - kRounding;
  }
  std::sort(means.begin(), means.end());
  result.interval = {quantile(means, 0.025), quantile(means, 0.975)};
  result.p_value = static_cast<double>(1 + as_far) / static_cast<double>(1 + num_resamples);
  return result;
}

}  // namespace thinktune::eval
