// Prompts, reward, and what the base model earns.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "doctor_parts.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/eval/evaluator.h"
#include "thinktune/infer/within_memory.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/run.h"

namespace thinktune::train {
namespace {

double share(size_t part, size_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// The gold answer in the form that the first rule reads.
std::string written_out(const std::string& rule, const std::string& gold) {
  if (rule == "tag") return fmt::format("<answer>{}</answer>", gold);
  if (rule == "hashes") return fmt::format("#### {}", gold);
  if (rule == "phrase") return fmt::format("The answer is {}.", gold);
  if (rule == "choice") return fmt::format("The answer is ({}).", gold);
  if (rule == "math") return fmt::format("So it is ${}$", gold);
  if (rule == "last_number" || rule == "whole") return gold;
  return fmt::format("So it is \\boxed{{{}}}", gold);
}

// A user's own program must give a number to a few right answers.
void try_command(const TrainOptions& options, const std::vector<data::Problem>& problems, const std::string& rule) {
  if (options.reward.command.weight == 0) return;
  constexpr size_t kAsked = 4;
  const size_t count = std::min(kAsked, problems.size());
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.push_back(written_out(rule, problems[i].answer));
  std::vector<reward::Response> responses;
  for (size_t i = 0; i < count; ++i)
    responses.push_back({.id = problems[i].id,
                         .problem = problems[i].problem,
                         .gold = problems[i].answer,
                         .text = texts[i],
                         .num_tokens = 16});
  for (const reward::Judgement& judgement : reward::make_reward(options.reward)->judge(responses))
    if (!judgement.scored)
      throw core::user_error(
          fmt::format("the command of the reward does not judge a right answer: {}", judgement.reason),
          "try it by hand: one line of JSON in, one line {\"id\", \"reward\"} out, flushed");
}

}  // namespace

Verdict look_at_prompts(const TrainOptions& options, const model::Vocabulary& vocabulary,
                        const std::vector<data::Problem>& problems) {
  const data::PromptBuilder builder(options.prompt, *vocabulary.tokenizer, *vocabulary.chat);
  size_t longest = 0, too_long = 0;
  for (const data::Problem& problem : problems) {
    const rollout::Prompt prompt = builder.build(problem, 0);
    longest = std::max(longest, prompt.ids.size());
    too_long += builder.is_too_long(prompt);
  }
  const std::string found = fmt::format("the longest of {} has {} tokens, {} are above prompt.max_prompt_tokens, {}",
                                        problems.size(), longest, too_long, options.prompt.max_prompt_tokens);
  if (too_long == problems.size()) return {Health::Failed, found, "raise it: no problem would be left"};
  if (too_long * 10 > problems.size()) return {Health::Warning, found, "raise it: these problems are left out"};
  return {.found = found};
}

Verdict look_at_reward(const TrainOptions& options, const std::vector<data::Problem>& problems) {
  constexpr size_t kMostProblems = 20'000;
  reward::validate(options.reward);
  const reward::AnswerOptions& answer = options.reward.answer;
  const auto& rules = answer.decides == reward::Decides::Strict ? answer.strict : answer.lenient;
  const reward::AnswerChecker checker(answer, "reward.answer");
  std::vector<std::string> misread;
  const size_t count = std::min(kMostProblems, problems.size());
  for (size_t i = 0; i < count; ++i) {
    const std::string text = written_out(rules.front(), problems[i].answer);
    const reward::Judgement judgement = checker.judge(text, problems[i].answer);
    if (judgement.verdict != reward::Verdict::Right)
      misread.push_back(fmt::format("{} ({:?}: {})", problems[i].id, text.substr(0, 60), judgement.reason));
  }
  try_command(options, problems, rules.front());
  const std::string found = fmt::format("{} of {} gold answers, written as {:?}, are read and right",
                                        count - misread.size(), count, written_out(rules.front(), "…"));
  if (misread.empty()) return {.found = found};
  const size_t shown = std::min<size_t>(3, misread.size());
  const std::string why =
      fmt::format("not {}", fmt::join(misread.begin(), misread.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  if (misread.size() == count)
    return {Health::Failed, fmt::format("{}: {}", found, why),
            "no answer can earn anything: give another rule, --set reward.answer.strict=[…]; thinktune score tries one",
            core::ErrorKind::Data};
  return {Health::Warning, fmt::format("{}: {}", found, why),
          "these problems can earn nothing: mend their answers, or leave them out"};
}

void look_at_samples(const TrainOptions& options, const model::Pretrained& model, const model::Vocabulary& vocabulary,
                     const std::vector<data::Problem>& problems, int64_t num_problems, const OnFinding& on_finding) {
  const int64_t n = options.rollout.group_size;
  size_t with_signal = 0, all_right = 0, num_groups = 0;
  const bool sampled = check("base model", on_finding, [&]() -> Verdict {
    core::Stopwatch watch;
    const at::Device device = ops::open_device(options.device);
    model::ModelConfig config = model.config();
    config.long_context = options.long_context;
    model::add_end_of_turn(config, vocabulary);
    const data::PromptBuilder builder(options.prompt, *vocabulary.tokenizer, *vocabulary.chat);
    PromptStream stream(problems, builder, static_cast<uint64_t>(options.seed));
    const model::Decoder decoder(config, device);
    const model::Weights weights =
        model.load_weights(options.precision == Precision::Bf16 ? at::kBFloat16 : at::kFloat, device);
    infer::Engine engine(decoder, weights, *vocabulary.tokenizer, options.engine);
    const std::unique_ptr<reward::Reward> reward = reward::make_reward(options.reward);
    const std::vector<rollout::Prompt> prompts = stream.next(std::min(num_problems, stream.size()));
    std::string memory;
    const auto on_fewer = [&](int64_t, int64_t now) {
      memory = fmt::format("; memory sufficed for {} sequences at a time", now);
    };
    const eval::EvalResult result = infer::within_memory(engine, on_fewer, [&] {
      return eval::evaluate(engine, *vocabulary.tokenizer, prompts, *reward,
                            {.samples = n,
                             .max_new_tokens = options.rollout.max_new_tokens,
                             .sampling = options.rollout.sampling,
                             .key = {.seed = static_cast<uint64_t>(options.seed), .stream = core::Stream::Sampling}});
    });
    size_t solved = 0;
    num_groups = result.groups.size();
    for (const rollout::Group& group : result.groups) {
      const auto succeeds = [](const rollout::Rollout& r) { return r.judgement.success; };
      solved += std::any_of(group.rollouts.begin(), group.rollouts.end(), succeeds);
      all_right += std::all_of(group.rollouts.begin(), group.rollouts.end(), succeeds);
      const double first = group.rollouts.front().judgement.reward;
      with_signal += std::any_of(group.rollouts.begin(), group.rollouts.end(),
                                 [&](const rollout::Rollout& r) { return r.judgement.reward != first; });
    }
    const std::string found = fmt::format(
        "pass@{} {:.0f} % and pass@1 {:.0f} % of {} problems; {:.0f} % of the answers ended by themselves, {:.0f} % "
        "could not be read; {:.0f} tokens each; {}{}",
        n, 100 * share(solved, num_groups), 100 * result.accuracy, num_groups, 100 * result.ended_share,
        100 * result.unparsed_share, result.mean_length, core::human_duration(watch.seconds()), memory);
    if (solved == 0)
      return {Health::Warning, found,
              "no answer was right: a reward of 0 everywhere teaches nothing. Show worked examples "
              "(prompt.examples_file), take easier problems, a larger model, or a teacher that sees the solution"};
    if (result.ended_share < 0.5)
      return {Health::Warning, found,
              "most answers are cut: raise rollout.max_new_tokens, or see whether the model ends its turns at all"};
    return {.found = found};
  });
  if (!sampled || num_groups == 0) {
    skip("signal", on_finding, "there are no samples");
    return;
  }
  check("signal", on_finding, [&]() -> Verdict {
    const std::string found = fmt::format("{} of {} groups have answers that earn differently ({} are all right)",
                                          with_signal, num_groups, all_right);
    if (share(with_signal, num_groups) >= 0.25) return {.found = found};
    return {Health::Warning, found,
            all_right * 2 > num_groups
                ? "the problems are too easy: groups that are all right teach nothing"
                : "few groups teach anything: raise rollout.group_size or the temperature, or take easier problems"};
  });
}

}  // namespace thinktune::train
