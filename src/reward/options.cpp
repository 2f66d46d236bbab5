#include <cmath>

#include "thinktune/core/error.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

constexpr core::NumberRange kWeight = {.min = 0, .max = 1e6};
constexpr core::NumberRange kValue = {.min = -1e6, .max = 1e6};
constexpr std::string_view kRuleDoc =
    "box (\\boxed{…}), tag (`<answer>…</answer>`), hashes (#### …), phrase (\"the answer is …\"), choice (a letter), "
    "math "
    "(the last formula), last_number, whole (the whole text)";

void describe_weight(core::Fields& fields, double& weight, std::string_view doc) {
  fields.number("weight", weight, kWeight, doc);
}

}  // namespace

void describe(core::Fields& fields, AnswerOptions& options) {
  describe_weight(fields, options.weight, "of the final answer: 1 for a success, else 0");
  fields.texts("strict", options.strict,
               fmt::format("where the strict verdict looks for the final answer, in this order: {}", kRuleDoc));
  fields.texts("lenient", options.lenient,
               "the same for the lenient verdict, which is always computed and reported too");
  fields.choice("decides", options.decides, kDecidesNames, "the verdict that the reward is given for");
  fields.boolean("require_end_of_turn", options.require_end_of_turn,
                 "a response that was cut at the response limit is no success, whatever it says");
  fields.group("equality", options.equality, "What counts as the same answer");
}

void describe(core::Fields& fields, FormatOptions& options) {
  describe_weight(fields, options.weight, "of the form: 1 if the response has it, else 0");
  fields.choice(
      "form", options.form, kFormNames,
      "box: exactly one closed \\boxed{…}, and neither words nor numbers behind it; tags: "
      "`<think>…</think><answer>…</answer>`, each once, and nothing else; opened_tags: the same where the chat "
      "template has already written `<think>`");
}

void describe(core::Fields& fields, LengthOptions& options) {
  describe_weight(fields, options.weight, "of the length");
  fields.choice(
      "shape", options.shape, kLengthShapeNames,
      "soft_overlong: 0 up to soft_limit tokens, then in a line down to -1 at hard_limit (DAPO); cosine: from "
      "the value of a short response to that of one of hard_limit tokens, by verdict (Yeo et al. 2025)");
  fields.integer("soft_limit", options.soft_limit, core::at_least(int64_t{0}),
                 "tokens that cost nothing (soft_overlong)");
  fields.integer("hard_limit", options.hard_limit, core::at_least(int64_t{0}),
                 "tokens from which on the value stays; to be set, usually to rollout.max_new_tokens");
  fields.number("right_short", options.right_short, kValue, "cosine: value of a short success");
  fields.number("right_long", options.right_long, kValue, "cosine: value of a success of hard_limit tokens");
  fields.number("wrong_short", options.wrong_short, kValue, "cosine: value of a short failure");
  fields.number("wrong_long", options.wrong_long, kValue, "cosine: value of a failure of hard_limit tokens");
}

void describe(core::Fields& fields, RepetitionOptions& options) {
  describe_weight(fields, options.weight,
                  "of repetition: minus the share of n-grams that stood in the response before, 0 to -1");
  fields.integer("ngram_words", options.ngram_words, {.min = 1, .max = 100}, "words of an n-gram");
}

void describe(core::Fields& fields, ExactMatchOptions& options) {
  describe_weight(fields, options.weight, "of an extracted answer that is the gold answer's very text: 1, else 0");
  fields.boolean("ignore_case", options.ignore_case, "capital and small letters (ASCII) are the same");
}

void describe(core::Fields& fields, MultipleChoiceOptions& options) {
  describe_weight(fields, options.weight,
                  "of the right letter of a multiple choice, found by the rule choice: 1, else 0");
}

void describe(core::Fields& fields, CommandOptions& options) {
  describe_weight(fields, options.weight, "of the number that a program of yours gives");
  fields.texts(
      "argv", options.argv,
      "the program, found in PATH, and its arguments. It reads JSON lines {\"id\", \"problem_id\", \"problem\", "
      "\"gold\", "
      "\"response\", \"tokens\", \"ended\"} and writes one line {\"id\", \"reward\"} for each, in any order. A "
      "response for which it fails is unscored");
  fields.number("time_limit_s", options.time_limit_s, {.min = 0.01, .max = 86400},
                "seconds of silence, while a request waits, after which the oldest request fails and the program is "
                "started again");
  fields.integer("max_in_flight", options.max_in_flight, {.min = 1, .max = 65536},
                 "requests that it is sent before it has replied to the first");
  fields.integer("max_restarts", options.max_restarts, {.min = 0, .max = 1000},
                 "starts again in a row, without a reply between them; one more stops the run");
  fields.integer("max_failures", options.max_failures, core::at_least(int64_t{1}),
                 "failures in a row that stop the run");
  fields.number("max_failure_share", options.max_failure_share, core::between(0, 1),
                "share of failures among the last 100 requests above which the run stops");
}

void describe(core::Fields& fields, RewardOptions& options) {
  fields.group("answer", options.answer, "The final answer against the gold answer");
  fields.group("format", options.format, "The form of the response");
  fields.group("length", options.length, "The length of the response");
  fields.group("repetition", options.repetition, "Repetition in the response");
  fields.group("exact_match", options.exact_match, "The final answer's very text");
  fields.group("multiple_choice", options.multiple_choice, "The letter of a multiple choice");
  fields.group("command", options.command, "A program of yours");
  fields.integer("threads", options.threads, {0, 1024},
                 "threads that judge responses at the same time, beside the sampler; 0: one for each four processors");
}

void validate(const RewardOptions& options) {
  core::check_ranges(options, "reward");
  read_rules(options.answer.strict, "reward.answer.strict");
  read_rules(options.answer.lenient, "reward.answer.lenient");
  const double sum = options.answer.weight + options.format.weight + options.length.weight + options.repetition.weight +
                     options.exact_match.weight + options.multiple_choice.weight + options.command.weight;
  if (!(sum > 0))
    throw core::user_error("the weights of all parts of the reward are 0", "set reward.answer.weight to 1");
  const LengthOptions& length = options.length;
  if (length.weight > 0 && length.hard_limit < 1)
    throw core::user_error("reward.length has a weight, but reward.length.hard_limit is not set",
                           "set it to the longest response, rollout.max_new_tokens");
  if (length.weight > 0 && length.shape == LengthShape::SoftOverlong && length.soft_limit >= length.hard_limit)
    throw core::user_error(fmt::format("reward.length.soft_limit is {}, allowed is less than hard_limit, {}",
                                       length.soft_limit, length.hard_limit));
  if (options.command.weight > 0 && (options.command.argv.empty() || options.command.argv.front().empty()))
    throw core::user_error("reward.command has a weight, but reward.command.argv names no program",
                           "give the program and its arguments: [\"python3\", \"judge.py\"]");
  for (const std::string& word : options.command.argv)
    if (word.find('\0') != std::string::npos)
      throw core::user_error("reward.command.argv has a word with a zero byte in it");
}

}  // namespace thinktune::reward
