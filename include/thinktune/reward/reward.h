// The reward: what a response earns, and why. The answer's verdict is one part; others (form, length, repetition, a
// command of the user's) are added to it with their weights.
// What a model writes is never an error: it is a verdict with a reason.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/reward/equality.h"
#include "thinktune/reward/extraction.h"
#include "thinktune/rollout/types.h"

namespace thinktune::reward {

using rollout::Judgement;
using rollout::Verdict;

// One response to judge. Views into the caller's text.
struct Response {
  std::string_view id;       // of the problem
  std::string_view problem;  // the question alone
  std::string_view gold;
  std::string_view text;   // without the end-of-turn token
  int64_t num_tokens = 0;  // the end-of-turn token included
  bool ended = true;       // by itself
};

// The verdict on the final answer.
enum class Decides { Strict, Lenient };
inline const core::Choices<Decides> kDecidesNames = {{"strict", Decides::Strict}, {"lenient", Decides::Lenient}};

// The parts of a reward. Each has a weight; 0 leaves it out.

// value: 1 for a success, else 0.
struct AnswerOptions {
  double weight = 1;
  std::vector<std::string> strict = {"box"};  // names of rules, in their order (reward/extraction.h)
  std::vector<std::string> lenient = {"box", "tag", "hashes", "phrase", "math", "last_number"};
  Decides decides = Decides::Strict;
  bool require_end_of_turn = true;  // a response that was cut at the limit is no success, whatever it says
  EqualityOptions equality;
};

enum class Form {
  Box,         // exactly one box, closed and not empty, and behind it neither words nor numbers
  Tags,        // <think>…</think><answer>…</answer>, each once, and nothing but white space around and between
  OpenedTags,  // as Tags, where the chat template has already written <think>
};
inline const core::Choices<Form> kFormNames = {
    {"box", Form::Box}, {"tags", Form::Tags}, {"opened_tags", Form::OpenedTags}};

// value: 1 if the response has the form, else 0.
struct FormatOptions {
  double weight = 0;
  Form form = Form::Box;
};

enum class LengthShape {
  SoftOverlong,  // 0 up to soft_limit, then falling in a line to -1 at hard_limit, and -1 beyond (DAPO, section 3.4)
  Cosine,        // half a cosine from the value of an empty response to that of one of hard_limit tokens, other values
                 // for successes than for failures (Yeo et al. 2025)
};
inline const core::Choices<LengthShape> kLengthShapeNames = {{"soft_overlong", LengthShape::SoftOverlong},
                                                             {"cosine", LengthShape::Cosine}};

struct LengthOptions {
  double weight = 0;
  LengthShape shape = LengthShape::SoftOverlong;
  int64_t soft_limit = 0;  // tokens
  int64_t hard_limit = 0;  // tokens; to be set with a weight
  double right_short = 1, right_long = 0.5, wrong_short = -1, wrong_long = -0.5;
};

// value: -(1 - different n-grams / all n-grams) of the words, in lower case; 0 for a text of fewer words. Source:
// arXiv:2502.03373; as open-r1 with a largest penalty of 1.
struct RepetitionOptions {
  double weight = 0;
  int64_t ngram_words = 3;
};

// value: 1 if the extracted answer is the gold answer's very text, white space around aside.
struct ExactMatchOptions {
  double weight = 0;
  bool ignore_case = false;
};

// value: 1 if the letter that the rule "choice" finds is the gold answer's.
struct MultipleChoiceOptions {
  double weight = 0;
};

// value: what a program of the user's says. It is started once and speaks JSON lines:
//   its standard input   {"id": 7, "problem_id": …, "problem": …, "gold": …, "response": …, "tokens": 512, "ended":
//   true} its standard output  {"id": 7, "reward": 0.5}, or with "reason": "…"; in any order; flushed after each line
// A reply without a number within ±1e9 for "reward" (null: it could not be said) is a failure. So is silence for
// time_limit_s while it has work, and an end: both are blamed on the oldest request without a reply, and the program
// is started again; after an end that request is tried once more. A response whose request failed is unscored.
struct CommandOptions {
  double weight = 0;
  std::vector<std::string> argv;   // program, found in PATH, and its arguments; no shell
  double time_limit_s = 30;        // of silence
  int64_t max_in_flight = 16;      // requests that wait for their replies at the same time
  int64_t max_restarts = 3;        // in a row, without a reply between them
  int64_t max_failures = 10;       // in a row
  double max_failure_share = 0.5;  // of the last 100 requests
};

// reward = sum of weight · value over the parts whose weight is not 0.
struct RewardOptions {
  // What is rewarded is learnt: without worked_out, a policy is paid for putting the question into the box.
  AnswerOptions answer{.equality = {.worked_out = true}};
  FormatOptions format;
  LengthOptions length;
  RepetitionOptions repetition;
  ExactMatchOptions exact_match;
  MultipleChoiceOptions multiple_choice;
  CommandOptions command;
  int64_t threads = 0;  // that judge at the same time, beside the sampler's; 0: one for each four processors
};
void describe(core::Fields& fields, AnswerOptions& options);
void describe(core::Fields& fields, FormatOptions& options);
void describe(core::Fields& fields, LengthOptions& options);
void describe(core::Fields& fields, RepetitionOptions& options);
void describe(core::Fields& fields, ExactMatchOptions& options);
void describe(core::Fields& fields, MultipleChoiceOptions& options);
void describe(core::Fields& fields, CommandOptions& options);
void describe(core::Fields& fields, RewardOptions& options);
// Throws Error{User} for what is out of range, unknown rules, weights that are all 0, and parts that lack a setting.
void validate(const RewardOptions& options);

class Reward {
 public:
  virtual ~Reward() = default;
  // One judgement a response, in their order. Deterministic but for a command of the user's. One call at a time.
  // Throws Error{User} if the command cannot be started, or fails more often than its options allow. Once a signal has
  // asked for a stop (core/signals.h) a command is not waited for: for a caller that then gives up what it asked for.
  virtual std::vector<Judgement> judge(std::span<const Response> responses) = 0;
};

// Throws as validate() does, and Error{User} if the command's program is not to be found.
std::unique_ptr<Reward> make_reward(const RewardOptions& options);

// Fill judgements; throw as Reward::judge does.
void judge(const std::vector<rollout::Sampled>& rollouts, Reward& reward);
void judge_guided(std::vector<rollout::Group>& groups, Reward& reward);  // the rollouts that the teacher changed

// Strict and lenient verdict on a text's final answer, without a reward: all of a Judgement but `success`, `reward` and
// `parts`. Pure, from any thread. A gold answer that is one capital letter, A to J, is a choice: "(B)", "B.",
// "\text{B}", "b" and "B. Paris" are equal to it.
class AnswerChecker {
 public:
  // Throws Error{User} for unknown rules; `setting` ("reward.answer") begins their names in messages.
  AnswerChecker(const AnswerOptions& options, std::string_view setting);
  Judgement judge(std::string_view text, std::string_view gold) const;

 private:
  std::vector<Rule> strict_, lenient_;
  Decides decides_;
  EqualityOptions equality_;
};

}  // namespace thinktune::reward
