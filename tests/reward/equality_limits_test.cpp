// Hostile input: whatever the texts, a comparison ends soon. Reading is linear, which is measured against input of an
// eighth of the size; what comes behind is bounded by the step budget.
#include <chrono>
#include <functional>
#include <thread>

#include "reward/equality_cases.h"

namespace thinktune::reward {
namespace {

using rollout::Verdict;

std::string repeated(std::string_view piece, size_t count) {
  std::string text;
  text.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) text += piece;
  return text;
}

Verdict verdict(const std::string& answer, const std::string& gold) { return compare_answers(answer, gold).verdict; }

double seconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

// Eight times the input takes about eight times the time; what is quadratic takes 64. 32 times is let pass (allocators,
// caches, busy machines), and so is what takes less than 20 ms.
void expect_linear(const std::function<std::string(size_t)>& make, size_t size, const std::string& gold = "5") {
  constexpr double kMost = 32;
  const std::string eighth = make(size / 8), whole = make(size);
  double best_ratio = 1e9, time = 0;
  for (int i = 0; i < 3 && best_ratio > kMost; ++i) {
    const double eighth_time = seconds([&] { compare_answers(eighth, gold); });
    time = seconds([&] { compare_answers(whole, gold); });
    if (time < 0.02) return;
    best_ratio = std::min(best_ratio, time / eighth_time);
  }
  EXPECT_LT(best_ratio, kMost) << whole.substr(0, 40) << " takes " << time << " s";
}

TEST(EqualityLimits, NestedBraces) {
  const std::string deep = repeated("{", 10'000) + "5" + repeated("}", 10'000);
  EXPECT_EQ(verdict(deep, "5"), Verdict::Unparsed);
  EXPECT_EQ(compare_answers(deep, "5").reason, "nested too deeply");
  EXPECT_EQ(verdict(deep, deep), Verdict::Right);
  EXPECT_EQ(verdict(repeated("{", 90) + "5" + repeated("}", 90), "5"), Verdict::Right);
  expect_linear([](size_t n) { return repeated("{", n) + "5" + repeated("}", n); }, 1'000'000);
}

TEST(EqualityLimits, TowersOfPowers) {
  EXPECT_EQ(verdict("9^{9^{9^9}}", "5"), Verdict::Unparsed);
  EXPECT_EQ(verdict("9^{9^{9^9}}", "9^{9^{9^9}}"), Verdict::Right);
  EXPECT_EQ(verdict("9^9^9^9^9^9", "5"), Verdict::Unparsed);
  EXPECT_EQ(verdict("2^{-10^{10^{10}}}", "0"), Verdict::Unparsed);
  EXPECT_EQ(verdict("(10^{10^{8}})^{10^{8}}", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict("1^{9^{9^9}}", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict("e^{e^{e^{e^{e}}}}", "5"), Verdict::Unparsed);
  EXPECT_EQ(verdict("1.0000001^{1000000000}", "5"), Verdict::Wrong);
}

TEST(EqualityLimits, LargeFactorialsAndBinomials) {
  EXPECT_EQ(verdict("5000!", "1"), Verdict::Wrong);
  EXPECT_EQ(verdict("1000000!", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict("10^{100}!", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict("3!!!!!!!!!", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict(R"(\binom{1000000}{500000})", "1"), Verdict::Unparsed);
  EXPECT_EQ(verdict(R"(\binom{1000000}{2})", "499999500000"), Verdict::Right);
  EXPECT_EQ(verdict(repeated("4000!+", 1000) + "1", "1"), Verdict::Unparsed);
}

TEST(EqualityLimits, OnePieceOverAndOver) {
  for (const std::string_view piece : {"(",
                                       ")",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       "|",
                                       "\\frac",
                                       "\\frac{1}",
                                       "\\frac1",
                                       "\\sqrt",
                                       "\\sqrt{",
                                       "\\sqrt[",
                                       "^",
                                       "x^",
                                       "x^{",
                                       "_{",
                                       "x_",
                                       "x_{",
                                       "1_",
                                       "-",
                                       "--",
                                       "\\pm",
                                       "1\\pm",
                                       "!",
                                       "x!",
                                       "9",
                                       "9.",
                                       ",",
                                       "1,",
                                       "1,111",
                                       "1 ",
                                       "1/",
                                       "x/",
                                       "a",
                                       "sin ",
                                       "\\sin",
                                       "\\log_",
                                       "\\log^",
                                       "\\left(",
                                       "\\text{",
                                       "\\text{a",
                                       "a b ",
                                       "apples ",
                                       "5 cm ",
                                       "\\{",
                                       "\\}",
                                       "\\{1,",
                                       "(1,",
                                       "[1,2)\\cup ",
                                       "x<",
                                       "x=",
                                       "1:",
                                       "\\begin{pmatrix}",
                                       "\\begin{",
                                       "1&",
                                       "1\\\\",
                                       "\\overline{",
                                       "0.\\overline{3}",
                                       "\\sum_{",
                                       "\\sum_",
                                       "\\int",
                                       "\\binom",
                                       "\\choose",
                                       "|x",
                                       "\xe2\x88\x9a",
                                       "\xc2\xb2",
                                       "\xe2",
                                       "\\",
                                       "\\\\",
                                       "$",
                                       "$$",
                                       "\\(",
                                       "\\boxed{",
                                       "\\boxed{1}",
                                       "%",
                                       "1%",
                                       "^\\circ",
                                       "'",
                                       "x'",
                                       ".",
                                       "and ",
                                       "x or ",
                                       "e",
                                       "i",
                                       "1e9",
                                       "\\infty",
                                       "\\lfloor",
                                       "\\langle",
                                       "&",
                                       "2 1/2",
                                       "\\cdot",
                                       "x*",
                                       "\\mathbb",
                                       "\\hat",
                                       "\\,",
                                       " ",
                                       "is $"}) {
    expect_linear([&](size_t n) { return repeated(piece, n / piece.size()); }, 400'000);
    expect_linear([&](size_t n) { return "1" + repeated(piece, n / piece.size()) + "1"; }, 400'000);
  }
}

TEST(EqualityLimits, LongNumbers) {
  for (const std::string gold : {"5", "\\frac{1}{3}", "x", "\\sqrt{2}", "10^{1000000}"})
    expect_linear([&](size_t n) { return repeated("9", n); }, 1'000'000, gold);
  expect_linear([&](size_t n) { return "0." + repeated("3", n); }, 1'000'000, "1/3");
  expect_linear([&](size_t n) { return repeated("9", n) + "+x"; }, 1'000'000, "x");
  expect_linear([&](size_t n) { return "\\sqrt{" + repeated("9", n) + "}"; }, 1'000'000);
  EXPECT_EQ(verdict("\\sqrt{" + repeated("9", 1'000'000) + "}", "5"), Verdict::Unparsed);
}

TEST(EqualityLimits, LongSums) {
  std::string ones = "1", backwards = "1", fractions = "1", roots = "1", terms = "x";
  for (int i = 0; i < 100'000; ++i) {
    ones += "+1";
    if (i < 50'000) fractions += "+1/" + std::to_string(i + 1);
    if (i < 5'000) roots += "+\\sqrt{" + std::to_string(i) + "}";
    if (i < 50'000) terms += "+x^{" + std::to_string(i % 50) + "}";
  }
  EXPECT_EQ(verdict(ones, "100001"), Verdict::Right);
  EXPECT_EQ(verdict(ones, "100002"), Verdict::Wrong);
  EXPECT_NE(verdict(fractions, "5"), Verdict::Right);
  EXPECT_EQ(verdict(roots, "5"), Verdict::Wrong);
  EXPECT_EQ(verdict(terms, "5"), Verdict::Wrong);
  EXPECT_EQ(verdict(repeated("1+", 1'000'000) + "1", "1"), Verdict::Unparsed);  // too many nodes
  expect_linear([](size_t n) { return repeated("x+", n / 2) + "x"; }, 400'000, "x");
}

TEST(EqualityLimits, DeepNests) {
  for (const auto& [open, close] : std::vector<std::pair<std::string, std::string>>{{"\\frac{1}{1+", "}"},
                                                                                    {"\\sqrt{1+", "}"},
                                                                                    {"2^{", "}"},
                                                                                    {"(1+", ")"},
                                                                                    {"|1+", "|"},
                                                                                    {"\\sin(", ")"},
                                                                                    {"-(", ")"},
                                                                                    {"\\{", "\\}"},
                                                                                    {"[1,", "]"},
                                                                                    {"\\log_{", "}2"},
                                                                                    {"x_{", "}"},
                                                                                    {"\\overline{", "}"}}) {
    const auto nest = [open = open, close = close](size_t n) { return repeated(open, n) + "1" + repeated(close, n); };
    EXPECT_NE(verdict(nest(10'000), "5"), Verdict::Right) << open;
    EXPECT_EQ(verdict(nest(10'000), nest(10'000)), Verdict::Right) << open;
    EXPECT_NO_THROW(verdict(nest(90), nest(80))) << open;
    expect_linear(nest, 100'000);
  }
  EXPECT_EQ(verdict(R"(\frac{1}{1+\frac{1}{1+\frac{1}{1+\frac{1}{2}}}})", R"(\frac{5}{8})"), Verdict::Right);
}

TEST(EqualityLimits, LargeCollections) {
  const auto list = [](size_t n, size_t step) {
    std::string text = "0";
    for (size_t i = 1; i < n; ++i) text += ", " + std::to_string(i * step % n);
    return text;
  };
  EXPECT_EQ(verdict(list(500, 1), list(500, 7)), Verdict::Right);
  EXPECT_EQ(verdict(list(100'000, 1), list(100'000, 7)), Verdict::Unparsed);
  EXPECT_EQ(verdict("\\{" + list(1500, 1) + "\\}", "\\{" + list(1500, 7) + "\\}"), Verdict::Unparsed);
  EXPECT_NO_THROW(verdict(repeated("(1,2)\\cup", 5'000) + "(1,2)", "(1,2)"));
  EXPECT_NO_THROW(verdict(repeated("\\pm 1", 10'000), "1"));
  EXPECT_NO_THROW(verdict("\\pm 1" + repeated("\\pm 1", 3), repeated("\\pm 1", 4)));
  std::string matrix = "\\begin{pmatrix}", product;
  for (int i = 0; i < 300; ++i) matrix += repeated("1&", 299) + "1\\\\";
  matrix += "\\end{pmatrix}";
  EXPECT_EQ(verdict(matrix, matrix + "."), Verdict::Right);
  EXPECT_NO_THROW(verdict(matrix + matrix, matrix));
  EXPECT_NO_THROW(
      verdict(repeated("\\begin{pmatrix}1&1\\\\1&1\\end{pmatrix}", 60), "\\begin{pmatrix}1&1\\\\1&2\\end{pmatrix}"));
}

// Whatever it is, the work stays within the budget: a comparison with a tenth of the steps takes no longer.
TEST(EqualityLimits, TheBudgetBounds) {
  std::string costly;
  for (int i = 2; i < 2'000; ++i)
    costly += "\\sin(\\sqrt[3]{" + std::to_string(i) + "})\\ln " + std::to_string(i) + "+";
  costly += "x";
  const Equality equality = compare_answers(costly, costly + "+0", {.max_steps = 10'000});
  EXPECT_EQ(equality.verdict, Verdict::Unparsed);
  EXPECT_EQ(equality.reason, "too large to decide within 10000 steps");
  const double few = seconds([&] { compare_answers(costly, costly + "+0", {.max_steps = 10'000}); });
  const double many = seconds([&] { compare_answers(costly, costly + "+0", {.max_steps = 400'000}); });
  EXPECT_LT(few, many);
  EXPECT_LT(many, 2.0);
}

TEST(EqualityLimits, ThreadsGiveTheSameVerdicts) {
  const std::vector<test::Pair> pairs = {{R"(\sqrt{2}+\sqrt{3})", R"(\sqrt{5+2\sqrt{6}})"},
                                         {R"(\sin 2x)", R"(2\sin x\cos x)"},
                                         {R"(\log_2 3)", R"(\log_3 2)"},
                                         {"(x+1)^2", "x^2+2x+1"},
                                         {R"(e^{i\pi})", "-1"}};
  std::vector<std::vector<Verdict>> verdicts(4);
  std::vector<std::thread> threads;
  for (auto& mine : verdicts)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        for (const auto& [a, b] : pairs) mine.push_back(compare_answers(a, b).verdict);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& mine : verdicts) EXPECT_EQ(mine, verdicts[0]);
}

}  // namespace
}  // namespace thinktune::reward
