#include <gtest/gtest.h>

#include <chrono>

#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

struct Case {
  std::string text;
  std::string expected;  // "-": nothing is found
};

std::string last_box(std::string_view text) {
  std::string content = "untouched";
  if (find_last_box(text, content)) return content;
  EXPECT_EQ(content, "untouched");
  return "-";
}

std::string last_number(std::string_view text) {
  std::string number = "untouched";
  if (find_last_number(text, number)) return number;
  EXPECT_EQ(number, "untouched");
  return "-";
}

TEST(FindLastBox, TakesTheLastBalancedBox) {
  const std::vector<Case> cases = {
      {R"(so \boxed{5}.)", "5"},
      {R"(\boxed{1} then \boxed{2})", "2"},
      {R"(\boxed{1} then \fbox{2})", "2"},
      {R"(\fbox{1} then \boxed{2})", "2"},
      {R"(\boxed{\frac{1}{2}} done {x})", R"(\frac{1}{2})"},
      {R"(\boxed{\boxed{7}})", "7"},
      {R"(\boxed{ 8 })", "8"},
      {R"(\boxed {9})", "9"},
      {R"(\boxed{\{1, 2\}})", R"(\{1, 2\})"},
      {R"(\boxed{\{})", R"(\{)"},
      {R"(\boxed{a \\} b)", R"(a \\)"},
      {R"(\boxed{})", ""},
      {R"(\boxed 5 is it)", "5"},
      {R"(\boxed -12.5.)", "-12.5"},
      {R"(\boxed{5} \boxed 6$)", "6"},
      {R"(\boxed\frac{1}{2})", R"(\frac{1}{2})"},
      {R"(\boxed\frac12)", R"(\frac12)"},
      {R"(\boxed C.)", "C"},
      {R"(\boxed{5}. I used the \boxed notation.)", "5"},
      {R"(\boxed{5}. As asked, in \boxed)", "5"},
      {R"(\boxedfoo{5})", "-"},
      {R"(boxed{5})", "-"},
      {R"(\boxed)", "-"},
      {R"(\)", "-"},
      {"", "-"},
      {R"(\boxed{5)", "-"},
      {R"(\boxed{1} and \boxed{2)", "-"},
      {R"(\boxed{5\})", "-"},
  };
  for (const Case& c : cases) EXPECT_EQ(last_box(c.text), c.expected) << c.text;
}

TEST(FindLastNumber, TakesTheLastNumberAsItIsWritten) {
  const std::vector<Case> cases = {
      {"It is 1,234.5 in all.", "1,234.5"},
      {"He eats 3/4 of it", "3/4"},
      {"The result is -7.", "-7"},
      {"The result is −7.", "−7"},
      {"10-3", "3"},
      {"10 - 3 = 7", "7"},
      {"It costs $18.", "18"},
      {"He lost -$18.", "-$18"},
      {"42.", "42"},
      {"3.14", "3.14"},
      {"about .5", ".5"},
      {"x2 and y_3 and z^4 and w^{5} and v^{-6}", "-"},
      {"12 m^2", "12"},
      {"we get 10^3", "10^3"},
      {"we get 5\\times 10^{-3}", "5\\times 10^{-3}"},
      {"6 = 2\\times3", "3"},
      {"on 3/4/2021", "2021"},
      {"so 2 1/2 cups", "2 1/2"},
      {"so \\frac{3}{4} cups", "\\frac{3}{4}"},
      {"so 2\\dfrac{3}{4} cups", "2\\dfrac{3}{4}"},
      {"so -\\frac34", "-\\frac34"},
      {"1,23", "23"},
      {"1, 234", "234"},
      {"1e3", "1e3"},
      {"2,000,000 dollars", "2,000,000"},
      {"no number", "-"},
      {"", "-"},
      {"-", "-"},
      {"...", "-"},
  };
  for (const Case& c : cases) EXPECT_EQ(last_number(c.text), c.expected) << c.text;
}

// Linear work: a megabyte of anything takes milliseconds; the limit is wide because test machines are slow.
template <class F>
void expect_quick(const char* what, F f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 5.0) << what;
}

std::string repeated(std::string_view piece, size_t count) {
  std::string text;
  text.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) text += piece;
  return text;
}

TEST(Extraction, HostileTextTakesLinearTime) {
  for (const std::string_view piece :
       {"\\boxed ", "\\boxed{", "\\fbox{}", "{", "}", "\\", "\\frac{1", "\\frac", "1/", "1 ", "1^{", "1,234",
        ",\\!    ", "1\\times 10^", "-$", "a1", "1e", " ", "\\boxed   a"}) {
    const std::string text = repeated(piece, 1'000'000 / piece.size());
    expect_quick(text.substr(0, 20).c_str(), [&] {
      std::string found;
      find_last_box(text, found);
      find_last_number(text, found);
      compare_answers(text, "5");
    });
  }
}

TEST(Extraction, DeepNestingIsFollowed) {
  const std::string deep = repeated("{", 100'000) + "5" + repeated("}", 100'000);
  EXPECT_EQ(last_box("\\boxed" + deep).size(), deep.size() - 2);
  EXPECT_EQ(last_box("\\boxed{" + deep), "-");
}

}  // namespace
}  // namespace thinktune::reward
