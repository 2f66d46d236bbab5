// Whatever a model writes is read in time linear in its length.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "thinktune/reward/extraction.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

const std::vector<Rule> kMarked = {Rule::Box, Rule::Tag, Rule::Hashes, Rule::Phrase};
const std::vector<Rule> kAll = {Rule::Tag,  Rule::Hashes,     Rule::Phrase, Rule::Choice,
                                Rule::Math, Rule::LastNumber, Rule::Whole};

std::string repeated(std::string_view piece, size_t num_bytes) {
  std::string text;
  text.reserve(num_bytes + piece.size());
  while (text.size() < num_bytes) text += piece;
  return text;
}

template <class F>
double seconds(F f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void read(const std::string& text) {
  for (const Rule rule : kAll) find_answer(text, {rule});
  find_answer(text, kMarked, {.inside_thoughts = true});
}

// Quadratic work would take hours on a megabyte, and four times as long for twice the text. A busy machine only ever
// adds: the best of some tries counts.
void expect_linear(const std::string& name, const std::string& half, const std::string& whole) {
  double short_s = 1e9, long_s = 1e9;
  for (int i = 0; i < 5 && (i == 0 || long_s > 3 * short_s + 0.05); ++i) {
    short_s = std::min(short_s, seconds([&] { read(half); }));
    long_s = std::min(long_s, seconds([&] { read(whole); }));
  }
  EXPECT_LT(long_s, 3 * short_s + 0.05) << name << ": " << short_s << " s, then " << long_s << " s";
}

TEST(ExtractionTime, IsLinearInHostileText) {
  constexpr size_t kBytes = 1'000'000;
  for (const std::string_view piece : {"\\",
                                       "{",
                                       "}",
                                       "\\boxed{",
                                       "\\boxed ",
                                       "\\boxed{}",
                                       "\\boxed{{}",
                                       "\\fbox",
                                       "$",
                                       "$$",
                                       "$ ",
                                       "$a",
                                       "$a$ ",
                                       "$1",
                                       "\\(",
                                       "\\[",
                                       "\\)",
                                       "\\$",
                                       "the answer is ",
                                       "answer: ",
                                       "The answer is\n",
                                       "answer is a b c d e f g h ",
                                       "answer to ",
                                       "Answer\n",
                                       "answer is $",
                                       "answer is \\(",
                                       "answer is is is ",
                                       "correct option ",
                                       "####",
                                       "#### ",
                                       "#### a b c d e\n",
                                       "####\n",
                                       "<answer>",
                                       "</answer>",
                                       "<answer></answer>",
                                       "<think>",
                                       "</think>",
                                       "<",
                                       "7",
                                       "7 ",
                                       "1,234",
                                       "1/",
                                       "1e",
                                       "1^{",
                                       "5 or ",
                                       "-$",
                                       "−",
                                       "\\frac",
                                       "\\frac{1",
                                       "\\frac{1}{2}",
                                       "1\\times 10^",
                                       ",\\!    ",
                                       "a",
                                       "a1",
                                       " ",
                                       "\n",
                                       "\n ",
                                       ".",
                                       ". ",
                                       "**",
                                       "`",
                                       ";",
                                       "(A)",
                                       " is ",
                                       "(",
                                       "\nQuestion: ",
                                       "\nQ: \\boxed{",
                                       "\\boxed{1}\nQ: ",
                                       "answer is 5\nQ: ",
                                       "so ",
                                       "a = ",
                                       "= ",
                                       "because ",
                                       " (a",
                                       "\xe2\x80"})
    expect_linear(std::string(piece), repeated(piece, kBytes / 2), repeated(piece, kBytes));
}

TEST(ExtractionTime, IsLinearInMixedText) {
  constexpr size_t kBytes = 500'000;
  const auto mixed = [](std::string_view front, std::string_view back, size_t num_bytes) {
    return repeated(front, num_bytes / 2) + repeated(back, num_bytes / 2);
  };
  for (const auto& [front, back] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"answer is ", ";"},
                                                                  {"answer is ", " "},
                                                                  {"#### a b c\n", " "},
                                                                  {"$a", ";"},
                                                                  {"{", "}"},
                                                                  {"\\boxed{", "}"},
                                                                  {"\\(", "a"},
                                                                  {"<answer>", "</answer>"},
                                                                  {"answer ", "*"},
                                                                  {"****", "answer is "},
                                                                  {"Answer\n", "\n"},
                                                                  {"the answer is the ", "5"},
                                                                  {"$", "\\$"},
                                                                  {"a is ", "answer is "},
                                                                  {"\\boxed{a", "\\boxed{}"}})
    expect_linear(std::string(front) + "…" + std::string(back), mixed(front, back, kBytes / 2),
                  mixed(front, back, kBytes));
}

TEST(ExtractionTime, DeepNestingIsFollowed) {
  const std::string deep = repeated("{", 100'000) + "5" + repeated("}", 100'000);
  EXPECT_EQ(find_answer("\\boxed" + deep, {Rule::Box}).answer.size(), deep.size() - 2);
  EXPECT_FALSE(find_answer("\\boxed{" + deep, {Rule::Box}).found);
}

}  // namespace
}  // namespace thinktune::reward
