#include "thinktune/eval/answers.h"

#include <algorithm>
#include <optional>

#include "eval/finders.h"
#include "thinktune/core/error.h"
#include "thinktune/reward/equality.h"
#include "thinktune/reward/extraction.h"

namespace thinktune::eval {
namespace {

using rollout::Verdict;

std::optional<reward::Rule> rule_of(Finder finder) {
  switch (finder) {
    case Finder::Box:
      return reward::Rule::Box;
    case Finder::Tag:
      return reward::Rule::Tag;
    case Finder::Hashes:
      return reward::Rule::Hashes;
    case Finder::Phrase:
      return reward::Rule::Phrase;
    case Finder::Choice:
      return reward::Rule::Choice;
    case Finder::Math:
      return reward::Rule::Math;
    case Finder::LastNumber:
      return reward::Rule::LastNumber;
    default:
      return std::nullopt;
  }
}

// From the first $ to the last one.
std::string between_dollars(std::string_view text) {
  const size_t first = text.find('$'), last = text.rfind('$');
  return std::string(first == last ? text : text.substr(first + 1, last - first - 1));
}

std::optional<std::string> find_published(Finder finder, std::string_view text, const data::Problem& problem) {
  switch (finder) {
    case Finder::FirstHashes:
      return first_hashes(text);
    case Finder::LastNumeral:
      return last_numeral(text);
    case Finder::MinervaSentence:
      return minerva_sentence(text);
    case Finder::TheAnswerIs:
      return the_answer_is(text);
    case Finder::ParenthesisedLetter:
      return parenthesised_letter(text, problem.choices);
    case Finder::FirstAnswerLine:
      return first_answer_line(text);
    case Finder::LastAnswerLine:
      return last_answer_line(text);
    case Finder::FirstAnswerLetter:
      return first_answer_letter(text);
    case Finder::DollarsOrBox: {
      const reward::Found box = reward::find_answer(text, {reward::Rule::Box});
      return box.found ? box.answer : between_dollars(text);
    }
    default:
      throw core::internal_error("a finder without an implementation");
  }
}

// A stretch of mathematics without what people put around it: "**$5$.**" is 5. A box in it is its answer.
std::string bare(std::string_view answer) {
  const reward::Found box = reward::find_answer(answer, {reward::Rule::Box});
  if (box.found) return box.answer;
  std::string text = trim(answer);
  const auto strip = [&](std::string_view mark) {
    if (text.size() < 2 * mark.size() || !text.starts_with(mark) || !text.ends_with(mark)) return false;
    text = trim(std::string_view(text).substr(mark.size(), text.size() - 2 * mark.size()));
    return true;
  };
  for (bool changed = true; changed && !text.empty();) {
    changed = strip("**") || strip("$");
    if (text.ends_with('.')) {
      text = trim(std::string_view(text).substr(0, text.size() - 1));
      changed = true;
    }
  }
  return text;
}

std::string numeral(std::string_view text) {
  const size_t hashes = text.rfind("#### ");
  if (hashes != std::string_view::npos) text.remove_prefix(hashes + 5);
  std::string plain;
  for (const char c : text)
    if (c != ',' && c != '$') plain += lower(c);
  plain = trim(plain);
  if (plain.ends_with('.')) plain.pop_back();
  return plain;
}

bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// Takes `begin` … `end` from around the text.
bool unwrap(std::string& text, std::string_view begin, std::string_view end) {
  if (text.size() < begin.size() + end.size() || !text.starts_with(begin) || !text.ends_with(end)) return false;
  text = trim(std::string_view(text).substr(begin.size(), text.size() - begin.size() - end.size()));
  return true;
}

std::string undressed(std::string_view answer) {
  constexpr std::pair<std::string_view, std::string_view> kDress[] = {
      {"\\text{", "}"},   {"\\textbf{", "}"}, {"\\mathrm{", "}"}, {"\\mathbf{", "}"}, {"\\boxed{", "}"},
      {"\\textrm{", "}"}, {"(", ")"},         {"[", "]"},         {"{", "}"},         {"**", "**"},
      {"$", "$"},         {"\"", "\""},       {"'", "'"},         {"", "."},          {"", ","},
      {"", ":"},          {"Option ", ""},    {"option ", ""},    {"Choice ", ""},    {"choice ", ""}};
  std::string text = trim(answer);
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [begin, end] : kDress) changed = unwrap(text, begin, end) || changed;
  }
  return text;
}

// The letter that an answer names: "B", "(b)", "\text{B}", "B. Iron", "B) Iron", or the choice's own text.
std::optional<char> letter_of(std::string_view answer, const std::vector<std::string>& choices) {
  std::string text = undressed(answer);
  if (text.size() == 1 && is_letter(text[0])) return upper(text[0]);
  const std::string whole = without_case_and_punctuation(text);
  for (size_t i = 0; i < choices.size(); ++i)
    if (!whole.empty() && whole == without_case_and_punctuation(trim(choices[i]))) return static_cast<char>('A' + i);
  if (text.starts_with('(')) text.erase(0, 1);
  if (text.size() >= 2 && is_letter(text[0]) && (text[1] == ')' || text[1] == '.' || text[1] == ':'))
    return upper(text[0]);
  return std::nullopt;
}

Compared same_text(bool is_same) {
  return {is_same ? Verdict::Right : Verdict::Wrong, is_same ? "the same text" : "another text"};
}

}  // namespace

FoundAnswer find_by(Finder finder, std::string_view text, const data::Problem& problem) {
  if (const auto rule = rule_of(finder)) {
    reward::Found found = reward::find_answer(text, {*rule});
    return {found.found, std::move(found.answer), std::move(found.reason)};
  }
  if (auto found = find_published(finder, text, problem)) return {true, std::move(*found), ""};
  return {false, "", fmt::format("nothing fits the rule {}", core::name_of(kFinderNames, finder))};
}

Compared compare_by(Comparison comparison, std::string_view answer, const data::Problem& problem) {
  switch (comparison) {
    case Comparison::Mathematics: {
      reward::Equality equality = reward::compare_answers(bare(answer), problem.answer);
      return {equality.verdict, std::move(equality.reason)};
    }
    case Comparison::Letter: {
      const auto letter = letter_of(answer, problem.choices);
      if (!letter) return {Verdict::Unparsed, "the answer is no letter of a choice"};
      if (*letter >= 'A' + std::ssize(problem.choices)) return {Verdict::Wrong, "there is no choice of that letter"};
      const bool is_right = problem.answer == std::string(1, *letter);
      return {is_right ? Verdict::Right : Verdict::Wrong, is_right ? "the same letter" : "another letter"};
    }
    case Comparison::LetterAsText:
      return same_text(without_case_and_punctuation(answer) == without_case_and_punctuation(problem.answer));
    case Comparison::Numeral:
      return same_text(numeral(answer) == numeral(problem.answer));
    case Comparison::ExactText:
      return same_text(answer == problem.answer);
  }
  throw core::internal_error("a comparison without an implementation");
}

namespace {

struct Decided {
  FoundAnswer answer;
  std::string_view by;  // the finder's name
};

// The first of the finders that finds something. The reward's rules that stand next to each other are asked together:
// one of them may know that none of them may answer (a box that never closes).
Decided find_first(const std::vector<Finder>& finders, std::string_view text, const data::Problem& problem) {
  std::string first_reason;
  for (size_t f = 0; f < finders.size();) {
    Decided decided;
    std::vector<reward::Rule> rules;
    for (; f < finders.size() && rule_of(finders[f]); ++f) rules.push_back(*rule_of(finders[f]));
    if (rules.empty()) {
      decided = {find_by(finders[f], text, problem), core::name_of(kFinderNames, finders[f])};
      ++f;
    } else {
      reward::Found found = reward::find_answer(text, rules);
      decided.answer = {found.found, std::move(found.answer), std::move(found.reason)};
      for (const Finder finder : finders)
        if (rule_of(finder) == found.rule) decided.by = core::name_of(kFinderNames, finder);
    }
    if (decided.answer.found) return decided;
    if (first_reason.empty()) first_reason = std::move(decided.answer.reason);
  }
  return {{false, "", first_reason}, ""};
}

}  // namespace

rollout::Judgement judge_answer(const Task& task, const data::Problem& problem, std::string_view text, bool ended) {
  rollout::Judgement judgement;
  const auto judge = [&](const std::vector<Finder>& finders, Comparison comparison, bool decides) {
    Decided decided = find_first(finders, text, problem);
    Compared compared{Verdict::Unparsed, std::move(decided.answer.reason)};
    if (decided.answer.found) {
      compared = compare_by(comparison, decided.answer.text, problem);
      compared.reason = fmt::format("{}: {}", decided.by, compared.reason);
    }
    if (decides) {
      judgement.extracted = std::move(decided.answer.text);
      judgement.reason = std::move(compared.reason);
    }
    return compared.verdict;
  };
  const bool strict_decides = task.decides == "strict";
  judgement.strict = judge(task.strict, task.compare_strict, strict_decides);
  judgement.lenient = judge(task.lenient, task.compare_lenient, !strict_decides);
  judgement.verdict = strict_decides ? judgement.strict : judgement.lenient;
  judgement.success = judgement.verdict == Verdict::Right && (ended || !task.needs_end);
  if (judgement.verdict == Verdict::Right && !judgement.success)
    judgement.reason += "; no success: the response was cut at the limit";
  judgement.reward = judgement.success ? 1 : 0;
  return judgement;
}

bool same_answer(Comparison comparison, const data::Problem& problem, const std::string& a, const std::string& b) {
  if (trim(a) == trim(b)) return true;
  switch (comparison) {
    case Comparison::Mathematics:
      return reward::compare_answers(bare(a), bare(b)).verdict == Verdict::Right;
    case Comparison::Letter: {
      const auto letter = letter_of(a, problem.choices);
      return letter && letter == letter_of(b, problem.choices);
    }
    case Comparison::LetterAsText:
      return without_case_and_punctuation(a) == without_case_and_punctuation(b);
    case Comparison::Numeral:
      return numeral(a) == numeral(b);
    case Comparison::ExactText:
      return false;
  }
  throw core::internal_error("a comparison without an implementation");
}

}  // namespace thinktune::eval
