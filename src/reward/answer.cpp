// The verdicts on the final answer.
#include "reward/extract.h"
#include "thinktune/reward/equality.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

bool is_choice_gold(std::string_view gold) {
  gold = trimmed(gold);
  if (gold.size() == 3 && gold.front() == '(' && gold.back() == ')') gold = gold.substr(1, 1);
  return gold.size() == 1 && is_upper(gold.front()) && choice_letter(gold);
}

Equality compare(const Found& found, std::string_view gold, const EqualityOptions& options) {
  if (!found.found) return {.reason = found.reason};
  if (is_choice_gold(gold))
    if (const Place letter = choice_letter(found.answer))
      return same_letters(*letter, *choice_letter(gold))
                 ? Equality{Verdict::Right, "the same letter"}
                 : Equality{Verdict::Wrong, "another letter than the gold answer"};
  return compare_answers(found.answer, gold, options);
}

}  // namespace

AnswerChecker::AnswerChecker(const AnswerOptions& options, std::string_view setting)
    : strict_(read_rules(options.strict, fmt::format("{}strict", setting))),
      lenient_(read_rules(options.lenient, fmt::format("{}lenient", setting))),
      decides_(options.decides),
      equality_(options.equality) {}

Judgement AnswerChecker::judge(std::string_view text, std::string_view gold) const {
  const Found strict = find_answer(text, strict_);
  const Equality strict_equality = compare(strict, gold, equality_);
  // The lenient rules mostly begin with the strict ones.
  Found lenient = find_answer(text, lenient_, {.inside_thoughts = true});
  const bool same = strict.found && lenient.found && lenient.answer == strict.answer;
  const Equality lenient_equality = same ? strict_equality : compare(lenient, gold, equality_);

  const bool by_strict = decides_ == Decides::Strict;
  const Found& found = by_strict ? strict : lenient;
  Judgement judgement;
  judgement.strict = strict_equality.verdict;
  judgement.lenient = lenient_equality.verdict;
  judgement.verdict = by_strict ? judgement.strict : judgement.lenient;
  judgement.extracted = found.answer;
  judgement.reason = by_strict ? strict_equality.reason : lenient_equality.reason;
  // The first rule is what was asked for; that another had to help is worth knowing.
  if (found.found && found.rule != (by_strict ? strict_ : lenient_).front())
    judgement.reason += fmt::format(" (found by {})", core::name_of(kRuleNames, found.rule));
  return judgement;
}

}  // namespace thinktune::reward
