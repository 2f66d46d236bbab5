// The reward: find the final answer in a response, decide whether it equals the gold answer, and say why. Deterministic, in
// bounded time, safe from any thread. What a model writes is never an error: it is a verdict with a reason.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "thinktune/core/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::reward {

using rollout::Judgement;
using rollout::Verdict;

// Where the final answer is looked for.
enum class Extraction {
  Box,              // the last \boxed{…} or \fbox{…}, nothing else
  BoxOrLastNumber,  // the box; without one, the last number of the text
};
inline const core::Choices<Extraction> kExtractionNames = {{"box", Extraction::Box}, {"box_or_last_number", Extraction::BoxOrLastNumber}};

struct RewardOptions {
  Extraction extraction = Extraction::Box;
  bool require_end_of_turn = true;  // a response that was cut at the limit earns 0, whatever it says
};
void describe(core::Fields& fields, RewardOptions& options);
void validate(const RewardOptions& options);

class Reward {
 public:
  virtual ~Reward() = default;
  // `ended`: the response ended by itself. The reward is 1 or 0; the verdict is about the answer alone.
  virtual Judgement judge(std::string_view response, std::string_view gold, bool ended) const = 0;
};

std::unique_ptr<Reward> make_reward(const RewardOptions& options);

// The content of the last \boxed{…} or \fbox{…} with balanced braces (\{ and \} count as text); false if there is none or its
// braces never close.
bool find_last_box(std::string_view text, std::string& content);

// The last number of the text as it is written ("1,234.5", "3/4", "-7"); false if there is none.
bool find_last_number(std::string_view text, std::string& number);

// Decides equality of two short answers: integers, decimals, fractions (a/b, \frac{a}{b}, \dfrac), thousands commas, percent and
// money signs, units and trailing words stripped. Exact (rational) arithmetic. Unparsed if the answer cannot be read as a value
// and is not the same text as the gold answer.
Judgement compare_answers(std::string_view answer, std::string_view gold);

}  // namespace thinktune::reward
