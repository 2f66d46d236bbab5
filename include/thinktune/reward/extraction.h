// Finds the final answer in what a model wrote. Pure, from any thread, in time linear in the text whatever it is.
//
// What counts as the text (a policy, the same for every rule):
//   thoughts   what stands in <think>…</think> is no answer: the text behind the last </think> is searched, or, where a
//              <think> is never closed, the text before it
//   end marks  text from <|im_end|>, <|endoftext|>, </s> or the like on is not searched
//   run-on     a model that goes on with another question has answered the first one: where a line begins with
//              "Question:", "Problem:", "Human:" or the like behind a marked answer (one that Box, Tag, Hashes or
//              Phrase of the rules find), the text before that line is searched
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::reward {

// What a rule looks for. Each takes the last place of the text that fits it.
enum class Rule {
  Box,  // the content of \boxed{…} or \fbox{…}, or the number, fraction or letter of "\boxed 5"; an empty box
        // counts only if all are and no other rule finds anything. A last box that never closes is a cut answer: then
        // no rule finds anything
  Tag,  // <answer>…</answer>, and the box, phrase or formula that is inside
  Hashes,  // #### … to the end of the line; a heading with prose does not count
  Phrase,  // "the final answer is …", "Answer: …", "**Answer:** …", "the correct option is …", an "Answer" heading
  Choice,  // the letter, A to J, of a multiple choice: of a box, a tag, a phrase, a last line "(B)" or "B. …", "(B)"
  Math,    // $…$, $$…$$, \(…\), \[…\]; behind it no money and no number in prose
  LastNumber,  // the last number as it is written ("1,234.5", "3/4", "-7"); "5 or 6" is found as one
  Whole,       // the whole text
};
inline const core::Choices<Rule> kRuleNames = {
    {"box", Rule::Box},       {"tag", Rule::Tag},   {"hashes", Rule::Hashes},          {"phrase", Rule::Phrase},
    {"choice", Rule::Choice}, {"math", Rule::Math}, {"last_number", Rule::LastNumber}, {"whole", Rule::Whole}};

// Throws Error{User} for a list that is empty, a name that is no rule, or one that is there twice; `setting` ("reward.
// answer.strict", "--strict") names the list in the message.
std::vector<Rule> read_rules(const std::vector<std::string>& names, std::string_view setting);

struct ExtractionOptions {
  bool inside_thoughts = false;  // where nothing is found outside, Box, Tag, Hashes and Phrase may look into thoughts
};

// What was found, and by which rule.
struct Found {
  bool found = false;
  Rule rule = Rule::Box;
  std::string answer;   // without the marks around it; the very bytes of the text from `position` on
  size_t position = 0;  // of the answer in the text
  std::string reason;   // if nothing was found: why ("the last \boxed{} is never closed")
};

// The first rule that finds something decides. `rules` has no rule twice.
Found find_answer(std::string_view text, const std::vector<Rule>& rules, const ExtractionOptions& options = {});

}  // namespace thinktune::reward
