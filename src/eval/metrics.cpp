#include "thinktune/eval/metrics.h"

#include <numeric>

#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

int64_t num_successes(const ProblemScore& problem) {
  int64_t count = 0;
  for (const SampleScore& sample : problem.samples) count += sample.success;
  return count;
}

// Mean over problems of the mean over samples of what `of` says.
template <class Of>
Estimate estimate(const std::vector<ProblemScore>& problems, int64_t num_samples, Of of) {
  std::vector<double> means;
  for (const ProblemScore& problem : problems) {
    double sum = 0;
    for (const SampleScore& sample : problem.samples) sum += of(sample) ? 1 : 0;
    means.push_back(sum / static_cast<double>(num_samples));
  }
  return estimate_share(means, num_samples);
}

void add_rates(const std::vector<ProblemScore>& problems, BenchmarkMetrics& metrics) {
  int64_t ended = 0, truncated = 0, unparsed = 0, tokens = 0, begun = 0, count = 0;
  for (const ProblemScore& problem : problems)
    for (const SampleScore& sample : problem.samples) {
      ++count;
      ended += sample.ending == Ending::EndOfTurn || sample.ending == Ending::StopText;
      truncated += sample.ending == Ending::Length;
      unparsed += sample.unparsed;
      metrics.num_too_long += sample.ending == Ending::TooLong;
      begun += sample.ending != Ending::TooLong;
      tokens += sample.num_tokens;
    }
  const auto share = [count](int64_t of) { return static_cast<double>(of) / static_cast<double>(count); };
  metrics.ended_share = share(ended);
  metrics.truncated_share = share(truncated);
  metrics.unparsed_share = share(unparsed);
  metrics.mean_tokens = begun > 0 ? static_cast<double>(tokens) / static_cast<double>(begun) : 0;
}

}  // namespace

double ProblemScore::mean() const {
  return static_cast<double>(num_successes(*this)) / static_cast<double>(samples.size());
}

bool majority_is_right(std::span<const SampleScore> samples,
                       const std::function<bool(const std::string&, const std::string&)>& same) {
  struct Votes {
    const SampleScore* first;
    int64_t count;
    bool right;  // one of them is: an answer may be right in one form and not in another
  };
  std::vector<Votes> groups;
  for (const SampleScore& sample : samples) {
    if (!sample.answered) continue;
    bool joined = false;
    for (Votes& group : groups) {
      if (!same(group.first->answer, sample.answer)) continue;
      ++group.count;
      group.right |= sample.right;
      joined = true;
      break;
    }
    if (!joined) groups.push_back({&sample, 1, sample.right});
  }
  const Votes* winner = nullptr;
  for (const Votes& group : groups)
    if (winner == nullptr || group.count > winner->count) winner = &group;
  return winner != nullptr && winner->right;
}

namespace {

// A problem's share of groups of k samples whose majority is right.
std::vector<double> majority_shares(const std::vector<ProblemScore>& problems, int64_t k, const SameAnswer& same) {
  std::vector<double> shares;
  for (size_t p = 0; p < problems.size(); ++p) {
    const std::span<const SampleScore> samples = problems[p].samples;
    const int64_t num_groups = std::ssize(samples) / k;
    int64_t num_right = 0;
    for (int64_t group = 0; group < num_groups; ++group)
      num_right += majority_is_right(samples.subspan(static_cast<size_t>(group * k), static_cast<size_t>(k)),
                                     [&](const auto& a, const auto& b) { return same(p, a, b); });
    shares.push_back(static_cast<double>(num_right) / static_cast<double>(num_groups));
  }
  return shares;
}

}  // namespace

BenchmarkMetrics compute_metrics(const std::vector<ProblemScore>& problems,
                                 const std::vector<std::string>& measure_names, const SameAnswer& same) {
  TT_CHECK(!problems.empty(), "there is no problem to measure");
  BenchmarkMetrics metrics;
  metrics.num_problems = std::ssize(problems);
  metrics.num_samples = std::ssize(problems[0].samples);
  const int64_t n = metrics.num_samples;
  for (const ProblemScore& problem : problems)
    TT_CHECK(std::ssize(problem.samples) == n && n > 0, "{} has {} samples, others have {}", problem.id,
             problem.samples.size(), n);
  metrics.pass_at_1 = estimate(problems, n, [](const SampleScore& sample) { return sample.success; });
  for (size_t m = 0; m < measure_names.size(); ++m)
    metrics.measures.emplace_back(measure_names[m],
                                  estimate(problems, n, [m](const SampleScore& s) { return s.measures.at(m) != 0; }));
  for (int64_t k = 2; n > 1; k = 2 * k < n ? 2 * k : n) {
    double sum = 0;
    for (const ProblemScore& problem : problems) sum += pass_at_k(n, num_successes(problem), k);
    metrics.pass_at_k.emplace_back(k, sum / static_cast<double>(problems.size()));
    if (k >= n) break;
  }
  if (n > 1) {
    metrics.has_majority = true;
    for (const auto& [k, ignored] : metrics.pass_at_k) {
      const std::vector<double> shares = majority_shares(problems, k, same);
      if (k == n)
        metrics.majority = estimate_share(shares, 1);
      else
        metrics.majority_at_k.emplace_back(
            k, std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size()));
    }
  }
  add_rates(problems, metrics);
  return metrics;
}

}  // namespace thinktune::eval
