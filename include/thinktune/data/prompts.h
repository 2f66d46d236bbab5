// From problems to prompts: system text, worked examples, the question with its suffix, through the chat template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/data/dataset.h"
#include "thinktune/rollout/types.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::data {

struct PromptOptions {
  std::string system;  // system turn; empty: none of ours (the template may have its own)
  // Put behind the question of every user turn. The default asks for steps and a boxed answer.
  std::string suffix = "\nPlease reason step by step, and put your final answer within \\boxed{}.";
  // JSONL of worked examples {"problem", "solution"}, shown as chat turns before the question; empty: none;
  // "builtin:arithmetic": the two of arithmetic_examples().
  std::string examples_file;
  int64_t num_examples = 0;         // how many of them, from the file's beginning; 0: all
  int64_t max_prompt_tokens = 512;  // a longer prompt is left out and counted
};
void describe(core::Fields& fields, PromptOptions& options);
void validate(const PromptOptions& options);

struct Example {
  std::string problem;
  std::string solution;
};

// JSONL rows {"problem", "solution"}, or "builtin:arithmetic". Throws Error{Data} naming file and line for a row that
// has not both, and for a file without any.
std::vector<Example> read_examples(const std::string& file);

class PromptBuilder {
 public:
  // Reads the examples. Throws Error{Data} as read_jsonl does, Error{User} if the file has fewer than num_examples.
  // Tokenizer and template must outlive the builder.
  PromptBuilder(const PromptOptions& options, const text::Tokenizer& tokenizer, const text::ChatTemplate& chat);

  // `number` is the running number of the prompt in the run. Problems that bring their own messages are taken as they
  // are: without our system turn, examples and suffix. The result's `problem` is the question, with
  // the choices of a multiple choice in lines of their own ("(A) …"), without the suffix.
  rollout::Prompt build(const Problem& problem, uint64_t number) const;

  // Too long for max_prompt_tokens.
  bool is_too_long(const rollout::Prompt& prompt) const;

 private:
  PromptOptions options_;
  std::vector<Example> examples_;
  const text::Tokenizer& tokenizer_;
  const text::ChatTemplate& chat_;
};

// The order in which a run sees its problems: a new seeded permutation each epoch. The position is all the state there
// is.
class DataOrder {
 public:
  // num_problems >= 1. A run resumes with the seed and the position that it was left with.
  DataOrder(uint64_t seed, uint32_t num_problems, uint64_t position = 0);

  uint32_t next();                                 // index of the next problem
  uint64_t position() const { return position_; }  // problems handed out so far
  uint64_t epoch() const { return position_ / num_problems_; }

 private:
  uint64_t seed_;
  uint32_t num_problems_;
  uint64_t position_;
  uint64_t loaded_epoch_;
  std::vector<uint32_t> order_;
};

}  // namespace thinktune::data
