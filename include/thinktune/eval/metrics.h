// From judged samples to the numbers of a benchmark.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/eval/statistics.h"

namespace thinktune::eval {

// How a response came to its end.
enum class Ending : uint8_t {
  EndOfTurn,  // by itself
  StopText,   // at one of the protocol's stop texts, which is cut off
  Length,     // cut at the limit
  TooLong,    // never begun: the prompt leaves no room for a single token
  Scored,     // nothing was drawn
};
inline const core::Choices<Ending> kEndingNames = {{"end", Ending::EndOfTurn},
                                                   {"stop", Ending::StopText},
                                                   {"length", Ending::Length},
                                                   {"too_long", Ending::TooLong},
                                                   {"scored", Ending::Scored}};

struct SampleScore {
  bool success = false;           // the deciding verdict is right, and the response ended where that is required
  bool right = false;             // the deciding verdict alone
  std::vector<uint8_t> measures;  // each measure's own verdict: 1 right
  bool answered = false;          // the deciding rules found an answer
  bool unparsed = false;          // none was found, or it could not be read
  std::string answer;             // what they found
  int64_t num_tokens = 0;
  Ending ending = Ending::EndOfTurn;
};

struct ProblemScore {
  std::string id;
  std::vector<SampleScore> samples;  // as many for every problem, at least one

  double mean() const;  // share of successes
};

struct BenchmarkMetrics {
  int64_t num_problems = 0;
  int64_t num_samples = 0;                                 // a problem
  Estimate pass_at_1;                                      // mean over a problem's samples, then over problems (avg@n)
  std::vector<std::pair<std::string, Estimate>> measures;  // the same of every measure by its name
  std::vector<std::pair<int64_t, double>> pass_at_k;       // k = 2, 4, 8 … n, each unbiased, mean over problems
  bool has_majority = false;                               // n > 1
  Estimate majority;                                       // maj@n
  std::vector<std::pair<int64_t, double>> majority_at_k;   // k as above, without n
  double mean_tokens = 0;                                  // of the samples that were begun
  double ended_share = 0;                                  // by themselves or at a stop text
  double truncated_share = 0;                              // cut at the limit
  double unparsed_share = 0;
  int64_t num_too_long = 0;  // samples
};

// Do two answers of problem `index` count as the same vote?
using SameAnswer = std::function<bool(size_t index, const std::string& a, const std::string& b)>;

// Majority: samples without an answer do not vote; an answer joins the first group whose first member is the same; the
// largest group wins, of equals the one that was first seen; its first member's verdict is the problem's. Without any
// vote the problem is lost.
bool majority_is_right(std::span<const SampleScore> samples,
                       const std::function<bool(const std::string&, const std::string&)>& same);

// maj@k: the samples of a problem in the order drawn make n / k groups of k (a rest is left out); the share of groups
// whose majority is right, then the mean over problems. Unbiased, as the samples are independent.
BenchmarkMetrics compute_metrics(const std::vector<ProblemScore>& problems,
                                 const std::vector<std::string>& measure_names, const SameAnswer& same);

}  // namespace thinktune::eval
