// Finds the answer of a response by a task's rules and compares it with the gold answer.
#pragma once

#include <string>
#include <string_view>

#include "thinktune/data/dataset.h"
#include "thinktune/eval/protocols.h"
#include "thinktune/rollout/types.h"

namespace thinktune::eval {

struct FoundAnswer {
  bool found = false;
  std::string text;
  std::string reason;  // if nothing was found: why
};

// One pass or a few, whatever the text.
FoundAnswer find_by(Finder finder, std::string_view text, const data::Problem& problem);

struct Compared {
  rollout::Verdict verdict = rollout::Verdict::Unparsed;
  std::string reason;
};
Compared compare_by(Comparison comparison, std::string_view answer, const data::Problem& problem);

// Both verdicts, and what the task makes of them. `ended`: by itself or by a stop text, not at the limit.
rollout::Judgement judge_answer(const Task& task, const data::Problem& problem, std::string_view text, bool ended);

// Whether two answers of one problem are the same vote: the same text but for white space, or equal as mathematics.
bool same_answer(Comparison comparison, const data::Problem& problem, const std::string& a, const std::string& b);

}  // namespace thinktune::eval
