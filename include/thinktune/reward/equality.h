// Decides whether two answers are mathematically equal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "thinktune/core/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::reward {

// A percent sign on one side only.
enum class PercentRule {
  Ignore,  // 50% is 50, and not 0.5
  Value,   // 50% is 0.5, and not 50
  Either,  // 50% is both
};
inline const core::Choices<PercentRule> kPercentNames = {
    {"ignore", PercentRule::Ignore}, {"value", PercentRule::Value}, {"either", PercentRule::Either}};

// What is a matter of policy. The defaults are those of tests/reward/README.md.
struct EqualityOptions {
  PercentRule percent = PercentRule::Ignore;
  bool mixed_numbers = true;       // 2\frac{1}{2} is 5/2; otherwise it is a product, 1
  bool reduced_fractions = false;  // 2/4 is wrong where the answer is 1/2
  bool missing_base = true;        // 40 is right where the answer is 40_9
  bool ordered_lists = false;      // "1, 2" is not "2, 1"; tuples are always ordered, sets never
  bool compare_units = true;       // 5 cm is not 5 m; a missing unit, or one that is not known, is always right
  bool worked_out = false;         // 6 \cdot 7 is wrong where the answer is 42; so is any calculation for a number
  double relative_tolerance = 0;   // of two numbers, |answer - gold| <= this · |gold|; 0: exact
  int64_t max_steps = 400'000;     // of a comparison; one is about 0.2 µs
};
void describe(core::Fields& fields, EqualityOptions& options);
void validate(const EqualityOptions& options);

struct Equality {
  rollout::Verdict verdict = rollout::Verdict::Unparsed;
  std::string reason;  // the rule that decided: "the same number", "the same value at every point", …
};

// Is `answer` (as find_answer gives it: LaTeX or plain text, without its box) equal to `gold`? Deterministic, from any
// thread, in bounded steps and memory whatever the texts: reading them is linear, and what comes behind is charged to
// options.max_steps. Texts that are set alike are always equal. Unparsed: the answer could not be read as mathematics,
// or has no value, or would take too many steps, and is not the gold answer's text.
//
// Numbers are compared exactly where they are rational, other expressions by their values at random points
// (src/reward/identity.h says how sure that is).
Equality compare_answers(std::string_view answer, std::string_view gold, const EqualityOptions& options = {});

}  // namespace thinktune::reward
