#include "thinktune/eval/evaluator.h"

#include <algorithm>
#include <cmath>

#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/sample_groups.h"

namespace thinktune::eval {

void describe(core::Fields& f, EvalOptions& o) {
  f.integer("every", o.every, core::at_least(int64_t{0}),
            "steps between evaluations; 0: only at the start and at the end");
  f.boolean("at_start", o.at_start, "evaluate the initial model before the first step");
  f.integer("max_new_tokens", o.max_new_tokens, core::at_least(int64_t{0}),
            "limit of a response, in tokens; 0: as in training");
  f.integer("num_problems", o.num_problems, core::at_least(int64_t{0}),
            "only the first so many held-out problems; 0: all");
  f.group("sampling", o.sampling, "how answers are drawn; the default is greedy");
}

void validate(const EvalOptions& options) { core::check_ranges(options, "eval"); }

Interval wilson_interval(int64_t successes, int64_t count) {
  if (count == 0) return {0, 1};
  constexpr double z = 1.959963984540054;  // 97.5 % point of the normal distribution
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(successes) / n;
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

EvalResult evaluate(infer::Engine& engine, const text::Tokenizer& tokenizer,
                    const std::vector<rollout::Prompt>& prompts, const reward::Reward& reward, int64_t max_new_tokens,
                    const infer::SamplingOptions& sampling, const core::RandomKey& key) {
  if (prompts.empty()) throw core::data_error("there is no problem to evaluate on");
  core::Stopwatch watch;
  EvalResult result;
  result.groups = infer::sample_groups(engine, tokenizer, prompts, 1, max_new_tokens, sampling, key);
  int64_t tokens = 0, ended = 0, unparsed = 0;
  for (rollout::Group& group : result.groups) {
    rollout::Rollout& response = group.rollouts[0];
    const bool by_itself = response.finish == rollout::Finish::EndOfTurn;
    response.judgement = reward.judge(response.text, group.prompt.gold, by_itself);
    result.num_right += response.judgement.reward > 0;
    unparsed += response.judgement.verdict == rollout::Verdict::Unparsed;
    ended += by_itself;
    tokens += std::ssize(response.ids);
  }
  const auto count = static_cast<double>(prompts.size());
  result.accuracy = static_cast<double>(result.num_right) / count;
  result.interval = wilson_interval(result.num_right, std::ssize(prompts));
  result.mean_length = static_cast<double>(tokens) / count;
  result.ended_share = static_cast<double>(ended) / count;
  result.unparsed_share = static_cast<double>(unparsed) / count;
  result.seconds = watch.seconds();
  return result;
}

}  // namespace thinktune::eval
