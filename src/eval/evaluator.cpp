#include "thinktune/eval/evaluator.h"

#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/sample_groups.h"
#include "thinktune/reward/equality.h"

namespace thinktune::eval {
namespace {

SampleScore score_of(const rollout::Rollout& rollout) {
  using rollout::Verdict;
  const rollout::Judgement& judgement = rollout.judgement;
  return {.success = judgement.success,
          .right = judgement.verdict == Verdict::Right,
          .measures = {judgement.strict == Verdict::Right, judgement.lenient == Verdict::Right},
          .answered = !judgement.extracted.empty(),
          .unparsed = judgement.verdict == Verdict::Unparsed,
          .answer = judgement.extracted,
          .num_tokens = std::ssize(rollout.ids),
          .ending = rollout.finish == rollout::Finish::EndOfTurn ? Ending::EndOfTurn : Ending::Length};
}

}  // namespace

void describe(core::Fields& f, EvalOptions& o) {
  f.integer("every", o.every, core::at_least(int64_t{0}),
            "steps between evaluations; 0: only at the start and at the end");
  f.boolean("at_start", o.at_start, "evaluate the initial model before the first step");
  f.integer("max_new_tokens", o.max_new_tokens, core::at_least(int64_t{0}),
            "limit of a response, in tokens; 0: as in training");
  f.integer("num_problems", o.num_problems, core::at_least(int64_t{0}),
            "only the first so many held-out problems; 0: all");
  f.integer("samples", o.samples, core::at_least(int64_t{1}),
            "responses a problem, whose mean is the accuracy (pass@1); more than 1 needs a temperature above 0");
  f.group("sampling", o.sampling, "how answers are drawn; the default is greedy");
}

void validate(const EvalOptions& options) {
  core::check_ranges(options, "eval");
  if (options.samples > 1 && options.sampling.temperature == 0)
    throw core::user_error(
        fmt::format("eval.samples is {}, but at temperature 0 all would be the same text", options.samples),
        "set eval.sampling.temperature too, or eval.samples=1");
}

EvalResult score_groups(std::vector<rollout::Group> groups) {
  if (groups.empty()) throw core::data_error("there is no problem to evaluate on");
  EvalResult result;
  result.groups = std::move(groups);
  std::vector<ProblemScore> problems;
  for (const rollout::Group& group : result.groups) {
    ProblemScore& problem = problems.emplace_back();
    problem.id = group.prompt.id;
    for (const rollout::Rollout& rollout : group.rollouts) {
      problem.samples.push_back(score_of(rollout));
      result.num_right += rollout.judgement.success;
    }
  }
  const auto same = [](size_t, const std::string& a, const std::string& b) {
    return a == b || reward::compare_answers(a, b).verdict == rollout::Verdict::Right;
  };
  result.metrics = compute_metrics(problems, {"strict", "lenient"}, same);
  result.accuracy = result.metrics.pass_at_1.mean;
  result.interval = result.metrics.pass_at_1.interval;
  result.mean_length = result.metrics.mean_tokens;
  result.ended_share = result.metrics.ended_share;
  result.unparsed_share = result.metrics.unparsed_share;
  return result;
}

EvalResult evaluate(infer::Engine& engine, const text::Tokenizer& tokenizer,
                    const std::vector<rollout::Prompt>& prompts, reward::Reward& reward, const Drawing& drawing) {
  core::Stopwatch watch;
  EvalResult result = score_groups(
      infer::sample_groups(engine, tokenizer, prompts, drawing.samples, drawing.max_new_tokens, drawing.sampling,
                           drawing.key, [&](const auto& rollouts) { reward::judge(rollouts, reward); }));
  result.seconds = watch.seconds();
  return result;
}

}  // namespace thinktune::eval
