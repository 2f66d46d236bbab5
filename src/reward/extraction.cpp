#include "thinktune/reward/extraction.h"

#include <algorithm>
#include <array>

#include "reward/extract.h"
#include "thinktune/core/error.h"

namespace thinktune::reward {
namespace {

constexpr size_t kNone = std::string_view::npos;

// Tokens that end a text, should a decoder have left them in.
constexpr std::array<std::string_view, 9> kEndMarks = {"<|im_end|>",      "<|endoftext|>", "<|eot_id|>",
                                                       "<|end_of_text|>", "<|end|>",       "<|eos|>",
                                                       "<end_of_turn>",   "<eos>",         "<｜end▁of▁sentence｜>"};

std::string_view up_to_end_mark(std::string_view text) {
  bool struck_through = false;  // <s>…</s> is also markup
  for (size_t at = text.find('<'); at != kNone; at = text.find('<', at + 1)) {
    const std::string_view here = text.substr(at);
    if (here.starts_with("<s>")) struck_through = true;
    bool ends = here.starts_with("</s>") && !struck_through;
    for (const std::string_view mark : kEndMarks) ends = ends || here.starts_with(mark);
    if (ends) return text.substr(0, at);
  }
  return text;
}

std::string_view outside_thoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  if (const size_t close = text.rfind(kClose); close != kNone) text.remove_prefix(close + kClose.size());
  return text.substr(0, text.find(kOpen));
}

// "Question:", "**Problem 2:**", "### Human:" at the beginning of a line.
bool begins_question(std::string_view line) {
  size_t at = 0;
  while (at < line.size() && is_any_of(line[at], "#*_ ")) ++at;
  size_t end = 0;
  for (const std::string_view word : {"question", "problem", "exercise", "human", "user", "instruction", "q"})
    if (begins_with_word(from(line, at), word)) {
      end = at + word.size();
      break;
    }
  if (end == 0) return false;
  while (end < line.size() && (is_digit(line[end]) || is_any_of(line[end], "*_ "))) ++end;
  return char_at(line, end) == ':';
}

// Behind the first answer that one of the rules marks; npos if there is none.
size_t end_of_first_marked(std::string_view text, const std::vector<Rule>& rules) {
  size_t end = kNone;
  for (const Rule rule : rules) {
    if (rule == Rule::Box) end = std::min(end, end_of_first_box(text));
    if (rule == Rule::Tag) end = std::min(end, end_of_first_tag(text));
    if (rule == Rule::Hashes) end = std::min(end, end_of_first_hashes(text));
    if (rule == Rule::Phrase) end = std::min(end, end_of_first_phrase(text));
  }
  return end;
}

std::string_view up_to_next_question(std::string_view text, const std::vector<Rule>& rules) {
  bool goes_on = false;  // most texts do not, and need no search for their first answer
  for (size_t line = text.find('\n'); line != kNone && !goes_on; line = text.find('\n', line + 1))
    goes_on = begins_question(text.substr(line + 1, 100));
  if (!goes_on) return text;
  const size_t answered = end_of_first_marked(text, rules);
  if (answered == kNone) return text;
  for (size_t line = text.find('\n', answered); line != kNone; line = text.find('\n', line + 1))
    if (begins_question(text.substr(line + 1, 100))) return text.substr(0, line);
  return text;
}

Place apply(Rule rule, std::string_view text, bool& box_never_closes) {
  switch (rule) {
    case Rule::Box: {
      std::string_view content;
      const BoxSearch search = last_box(text, content);
      box_never_closes = search == BoxSearch::NeverClosed;
      return search == BoxSearch::Found ? Place(content) : std::nullopt;
    }
    case Rule::Tag:
      return last_tag(text);
    case Rule::Hashes:
      return last_hashes(text);
    case Rule::Phrase:
      return last_phrase(text);
    case Rule::Choice:
      return last_choice(text);
    case Rule::Math:
      return last_math(text);
    case Rule::LastNumber:
      return last_number(text);
    case Rule::Whole:
      return trimmed(text).empty() ? std::nullopt : Place(without_marks(text));
  }
  return std::nullopt;
}

std::string_view description(Rule rule) {
  switch (rule) {
    case Rule::Box:
      return "\\boxed{}";
    case Rule::Tag:
      return "<answer> tag";
    case Rule::Hashes:
      return "#### line";
    case Rule::Phrase:
      return "\"the answer is\"";
    case Rule::Choice:
      return "letter of a choice";
    case Rule::Math:
      return "formula";
    case Rule::LastNumber:
      return "number";
    case Rule::Whole:
      return "text";
  }
  return "";
}

// "no \boxed{}, no <answer> tag and no number in the response".
std::string nothing_found(const std::vector<Rule>& rules) {
  std::string reason;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (i > 0) reason += i + 1 == rules.size() ? " and " : ", ";
    reason += "no ";
    reason += description(rules[i]);
  }
  return reason + " in the response";
}

bool marks_answer(Rule rule) {
  return rule == Rule::Box || rule == Rule::Tag || rule == Rule::Hashes || rule == Rule::Phrase;
}

std::string quoted_rule_names() {
  std::string names;
  for (const auto& [name, rule] : kRuleNames) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

}  // namespace

std::vector<Rule> read_rules(const std::vector<std::string>& names, std::string_view setting) {
  if (names.empty())
    throw core::user_error(fmt::format("{} names no rule", setting),
                           fmt::format("the rules are {}", quoted_rule_names()));
  std::vector<Rule> rules;
  for (const std::string& name : names) {
    const auto known =
        std::find_if(kRuleNames.begin(), kRuleNames.end(), [&](const auto& r) { return r.first == name; });
    if (known == kRuleNames.end())
      throw core::user_error(fmt::format("{}: \"{}\" is no rule", setting, name.substr(0, 80)),
                             fmt::format("the rules are {}", quoted_rule_names()));
    if (std::find(rules.begin(), rules.end(), known->second) != rules.end())
      throw core::user_error(fmt::format("{} names {} twice", setting, name));
    rules.push_back(known->second);
  }
  return rules;
}

Found find_answer(std::string_view text, const std::vector<Rule>& rules, const ExtractionOptions& options) {
  const std::string_view whole = up_to_end_mark(text);
  const std::string_view outside = outside_thoughts(whole);
  const auto search = [&](std::string_view part, bool only_marked) -> Found {
    part = up_to_next_question(part, rules);
    Found empty;  // "\\boxed{}" says nothing; another rule may find what the text says
    for (const Rule rule : rules) {
      if (only_marked && !marks_answer(rule)) continue;
      bool box_never_closes = false;
      if (const Place place = apply(rule, part, box_never_closes)) {
        const Found here = {true, rule, std::string(*place), static_cast<size_t>(place->data() - text.data()), ""};
        if (!place->empty()) return here;
        if (!empty.found) empty = here;
      }
      if (box_never_closes) return {.reason = "the last \\boxed{} is never closed"};
    }
    return empty;
  };
  Found found = search(outside, false);
  if (found.answer.empty() && found.reason.empty() && options.inside_thoughts && outside.size() < whole.size())
    if (const Found inside = search(whole, true); inside.found) found = inside;
  if (!found.found && found.reason.empty()) found.reason = nothing_found(rules);
  return found;
}

}  // namespace thinktune::reward
