// The reward: find the final answer in a response, decide whether it equals the gold answer, and say why.
// Deterministic, in bounded time, safe from any thread. What a model writes is never an error: it is a verdict with a
// reason.
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
inline const core::Choices<Extraction> kExtractionNames = {{"box", Extraction::Box},
                                                           {"box_or_last_number", Extraction::BoxOrLastNumber}};

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

// The content of the last \boxed{…} or \fbox{…} with balanced braces (\{ and \} count as text), or the number, fraction
// or letter of "\boxed 5"; false if there is none or its braces never close.
bool find_last_box(std::string_view text, std::string& content);

// The last number of the text as it is written ("1,234.5", "3/4", "-7"); false if there is none.
bool find_last_number(std::string_view text, std::string& number);

// Decides equality of two short answers. As numbers where both are numbers: integers, decimals, scientific notation,
// fractions (a/b, \frac{a}{b}, \dfrac, \tfrac), mixed numbers, thousands commas in well-formed groups; exact, of any
// length. Stripped: LaTeX's dressing, money signs, units and trailing words ("5 apples", but not "5 dozen"), the left
// side of "x = 5". A percent sign changes nothing: 12% equals 12 and not .12. Otherwise as text, white space and
// LaTeX's synonyms aside. A product or a term (5x, 5m), a list, a sum, a power is no number. Unparsed if the answer
// cannot be read as a number and is not the same text as the gold answer (but two different letters are Wrong: a
// choice). reward is 1 for Right, else 0. Linear time; two fractions too long for a million digit products are compared
// as text.
Judgement compare_answers(std::string_view answer, std::string_view gold);

}  // namespace thinktune::reward
