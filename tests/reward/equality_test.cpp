#include "thinktune/reward/equality.h"

#include <gtest/gtest.h>

#include "reward/equality_cases.h"

namespace thinktune::reward {
namespace {

using rollout::Verdict;
using test::expect_equal;
using test::expect_unequal;
using test::Pair;

Verdict verdict(const std::string& answer, const std::string& gold) { return compare_answers(answer, gold).verdict; }

TEST(Equality, IntegersAndDecimals) {
  expect_equal({{"42", "42"},
                {"042", "42"},
                {"+42", "42"},
                {"42.0", "42"},
                {"42.", "42"},
                {".5", "0.5"},
                {"-0", "0"},
                {"−3", "-3"},
                {"- 3", "-3"},
                {"1.50", "1.5"},
                {"0.000", "0"},
                {"1e3", "1000"},
                {"1.5E-2", "0.015"},
                {"-2.5e+1", "-25"},
                {"999999999999999999999999999999999999999", "999999999999999999999999999999999999999.0"}});
  expect_unequal({{"42", "43"},
                  {"-42", "42"},
                  {"4.2", "42"},
                  {"0.5", "5"},
                  {"1e3", "1e4"},
                  {"1e3", "13"},
                  {"2", "2.0000001"},
                  {"--3", "3"},
                  {"+-3", "3"},
                  {"1.2.3", "1.2"},
                  {"1..2", "1.2"},
                  {"", "0"},
                  {"", ""},
                  {" ", "5"},
                  {"0.333...", "0.333"},
                  {"999999999999999999999999999999999999999", "999999999999999999999999999999999999998"}});
}

TEST(Equality, ThousandsSeparators) {
  expect_equal({{"1,234", "1234"},
                {"1,234,567.5", "1234567.5"},
                {"10{,}000", "10000"},
                {"14 {, }916", "14916"},
                {"11,\\! 111,\\!111", "11111111"},
                {"12\\,345", "12345"},
                {"$1,000.99", "1000.99"},
                {"-1,000", "-1000"}});
  expect_unequal({{"1,23", "123"},
                  {"12,34", "1234"},
                  {"1234,567", "1234567"},
                  {"1,2345", "12345"},
                  {"1,234,56", "123456"},
                  {"1, 234", "1234"},
                  {"0,123", "123"},
                  {"0,123", "0.123"},
                  {"(1,234)", "1234"},
                  {"(1,000)", "(1,0)"},
                  {",234", "234"},
                  {"1,,234", "1234"},
                  {"1 234", "1234"},
                  {"32, 349", "32349"}});
}

TEST(Equality, Fractions) {
  expect_equal({{"1/2", "0.5"},
                {"\\frac{1}{2}", "1/2"},
                {"\\dfrac{3}{4}", "\\tfrac{6}{8}"},
                {"\\frac12", "1/2"},
                {"\\frac1{72}", "1/72"},
                {"\\frac{1}2", "1/2"},
                {"-\\frac{1}{2}", "\\frac{-1}{2}"},
                {"\\frac{1}{-2}", "-1/2"},
                {"\\frac{-1}{-2}", "0.5"},
                {"10/5", "2"},
                {"0/7", "0"},
                {"1,000/3", "\\frac{1000}{3}"},
                {"1 / 2", ".5"},
                {"\\left(\\frac{1}{3}\\right)", "1/3"},
                {"2 1/2", "2.5"},
                {"2\\frac{1}{2}", "5/2"},
                {"2 -1/2", "1.5"},
                {"-2 1/2", "-2.5"},
                {"-1\\frac{3}{4}", "-1.75"},
                {"\\frac{ 1 }{ 2 }", "1/2"},
                {"\\frac{123456789012345678901234567890}{2}", "61728394506172839450617283945"}});
  expect_unequal({{"1/3", "0.3333333333333333333333"},
                  {"1/2", "2"},
                  {"1/2", "2/1"},
                  {"21/2", "2.5"},
                  {"2-1/2", "2.5"},
                  {"1/0", "0"},
                  {"0/0", "0"},
                  {"1/0", "1"},
                  {"\\frac{1}{0}", "0"},
                  {"1/2/3", "1/2"},
                  {"3/4/2021", "3/4"},
                  {"\\frac{1}{2}x", "1/2"},
                  {"\\frac{x}{2}", "1/2"},
                  {"\\frac{1}{2}\\pi", "1/2"},
                  {"\\frac{1}{25}", "\\frac{1}25"},
                  {"\\frac123", "1/2"},
                  {"-2 1/2", "-1.5"},
                  {"2\\frac{3}{2}", "3.5"},
                  {"\\frac{1}{2}^2", "1/2"},
                  {"1/2^2", "1/2"},
                  {"2.5 1/2", "3"},
                  {"\\frac{1}{2", "1/2"},
                  {"\\frac", "0"},
                  {"1/", "1"},
                  {"/2", "2"},
                  {"\\frac{1}{2}\\frac{1}{2}", "1/2"}});
}

TEST(Equality, ScientificNotation) {
  expect_equal({{"1\\times10^{3}", "1000"},
                {"1 \\times 10^3", "1e3"},
                {"2.5\\cdot 10^{-2}", "0.025"},
                {"10^3", "1000"},
                {"2\\times3", "6"},
                {"10^{12}", "1000000000000"},
                {"-10^{2}", "-100"},
                {"3 × 10^2", "300"},
                {"3 x 10^2", "300"},
                {"0\\times10^{5}", "0"},
                {"1e999999999", "10e999999998"},
                {"1\\times 10^{999999999}", "1e999999999"}});
  expect_unequal({{"1\\times10^{3}", "10"},
                  {"2\\times3", "2"},
                  {"5^2", "5"},
                  {"5^{2}", "52"},
                  {"10^x", "10"},
                  {"10^{-3}", "1000"},
                  {"1e9999999999", "1"},
                  {"1e3x", "1000"},
                  {"100^2", "100"}});
}

TEST(Equality, PercentAndMoney) {
  expect_equal({{"12%", "12"},
                {"12\\%", "12"},
                {"12 \\%", "12%"},
                {"12 percent", "12"},
                {"$18", "18"},
                {"\\$18.00", "18"},
                {"-$5", "-5"},
                {"$-5", "-5"},
                {"18$", "18"},
                {"18 €", "18"},
                {"£3", "3"},
                {"\\$1,500 dollars", "1500"}});
  expect_unequal({{"12%", ".12"}, {"12%", "1200"}, {"$18", "1.8"}, {"12%%5", "12"}, {"5%3", "5"}});
}

TEST(Equality, UnitsAndTrailingWords) {
  expect_equal({{"5 apples", "5"},
                {"5\\text{ cm}", "5"},
                {"5 cm", "5"},
                {"5cm", "5"},
                {"5\\,\\text{m}", "5"},
                {"5 \\mathrm{m}^2", "5"},
                {"5 \\text{ cm}^{2}", "5"},
                {"45^\\circ", "45"},
                {"45^{\\circ}", "45"},
                {"45°", "45"},
                {"45 degrees", "45"},
                {"60 km/h", "60"},
                {"60 km per hour", "60"},
                {"7 dollars a day", "7"},
                {"1/2 hours", "0.5"},
                {"5 square units", "5"},
                {"5 - 6", "-1"},
                {"5+6", "11"},
                {"10\\text{ units}", "10"},
                {"125\\textnormal{ miles}", "125"},
                {"20 ^\\circ\\text{C}", "20"},
                {"5-inch", "5"},
                {"5 hundred", "500"},
                {"2.5 million dollars", "2500000"},
                {"3 billion", "3e9"},
                {"\\text{5 apples}", "5"},
                {"12\\% \\text{ increase}", "12"},
                {"3 quarters", "3"},
                {"5 in.", "5"}});
  expect_unequal({{"5 million", "5"},
                  {"5 dozen", "5"},
                  {"5x", "5"},
                  {"5 x", "5"},
                  {"5m", "5"},
                  {"5xy", "5"},
                  {"5i", "5"},
                  {"5\\mathrm{i}", "5"},
                  {"5\\pi", "5"},
                  {"5 pi", "5"},
                  {"5\\sqrt{2}", "5"},
                  {"5 and 6", "5"},
                  {"5 or 6", "5"},
                  {"5, 6", "5"},
                  {"5,6", "5.6"},
                  {"5 to 6", "5"},
                  {"5-6", "5"},
                  {"5 more", "5"},
                  {"5 less than x", "5"},
                  {"5 plus x", "5"},
                  {"5!", "5"},
                  {"5:30", "5"},
                  {"5 am", "5 pm"},
                  {"5 p.m.", "5 a.m."},
                  {"\\text{5 p.m.}", "\\text{5 a.m.}"},
                  {"5 remainder 2", "5"},
                  {"3 fourths", "3"},
                  {"7 tenths", "7"},
                  {"5 \\pm 2", "5"},
                  {"5 < x", "5"},
                  {"x < 5", "5"},
                  {"5 cm^4", "5"},
                  {"5/", "5"},
                  {"5 -", "5"},
                  {"5 cm/", "5"},
                  {"[5]", "5"},
                  {"\\{5\\}", "5"},
                  {"|-5|", "-5"},
                  {"not 5", "5"},
                  {"at least 5", "5"},
                  {"5 squared", "5"},
                  {"5\\%x", "5"},
                  {"5 apples and 3 pears", "5"},
                  {"5 hundred thousandths", "500"}});
}

TEST(Equality, LatexDressing) {
  expect_equal({{"$5$", "5"},
                {"$$5$$", "5"},
                {"\\(5\\)", "5"},
                {"\\[ 5 \\]", "5"},
                {"\\boxed{5}", "5"},
                {"{5}", "5"},
                {"(5)", "5"},
                {"5\\!", "5"},
                {"\\;5~", "5"},
                {"\\displaystyle\\frac{1}{2}", "1/2"},
                {"\\\\dfrac{1}{2}", "1/2"},
                {"x=1,\\quadx=2", "1, 2"},
                {"Special matrix: $ (1,2) $", "(1,2)"},
                {"is $\\boxed{11,\\! 111}$", "11111"},
                {"\\left(1\\right)", "1"},
                {"5.", "5"},
                {"5,", "5"},
                {"$5$.", "5"},
                {"\\text{5}", "5"},
                {"\\mathbf{5}", "5"},
                {"\\textbf{5 apples.}", "5"},
                {"5\\quad", "5"},
                {"{{{(5)}}}", "5"},
                {"\t5\n", "5"},
                {"5\u00a0", "5"}});
  expect_unequal({{"{5", "5"},
                  {"5}", "5"},
                  {"(5", "5"},
                  {"\\boxed{1} and \\boxed{2}", "2"},
                  {"\\boxed{1}\\boxed{2}", "12"},
                  {"$5$ $6$", "56"},
                  {"(5)(6)", "56"},
                  {"5 6", "56"}});
}

TEST(Equality, LeftSides) {
  expect_equal({{"x = 5", "5"},
                {"x=5", "x = 5"},
                {"x_1 = 5", "5"},
                {"x_{10} = 5", "5"},
                {"f(2) = 5", "5"},
                {"\\theta = 45^\\circ", "45"},
                {"\\text{Total cost} = \\$5", "5"},
                {"Total = 5", "5"},
                {"3 + 2 = 5", "5"},
                {"$k = \\frac{1}{3}$", "1/3"},
                {"y = 2x", "2x"}});
  expect_unequal({{"x = 5", "6"},
                  {"x = 5", "y = 5"},
                  {"x \\neq 5", "5"},
                  {"x > 5", "5"},
                  {"2x = 5", "5"},
                  {"x = 5 or x = 6", "5"},
                  {"x = 5, y = 6", "5"},
                  {"x = y = 5", "6"},
                  {"= 5", "6"},
                  {"x =", "x"},
                  {"a+3z = 0", "0"},
                  {"7 = 11a+c", "11a+c"},
                  {"not x = 5", "5"}});
}

TEST(Equality, TextsAreEqualWhenTheyAreSetAlike) {
  expect_equal({{"Even", "\\text{even}"},
                {"(C)", "C"},
                {"\\text{(C)}", "C"},
                {"C.", "C"},
                {"x^{2}", "x^2"},
                {"x^{12}", "x^12"},
                {"\\sqrt{2}", "\\sqrt2"},
                {"\\dfrac{x}{2}", "\\frac{x}{2}"},
                {"(1, 2)", "(1,2)"},
                {"(1,4.50)", "(1, 4.5)"},
                {"7\\pi", "7 \\pi"},
                {"[0,1)", "[0, 1)"},
                {"x \\le 5", "x \\leq 5"},
                {"\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})"},
                {"2x + 3", "2x+3"},
                {"\\text{Monday}", "monday"}});
  expect_unequal({{"C", "D"},
                  {"c", "C"},
                  {"[0,1)", "(0,1)"},
                  {"(1,2)", "(2,1)"},
                  {"2x", "2y"},
                  {"\\pi r", "\\pir"},
                  {"x+3", "x-3"},
                  {"Even", "Odd"},
                  {"\\sqrt{2}", "\\sqrt{3}"},
                  {"(12)", "(1,2)"},
                  {"ab", "AB"},
                  {"x < 5", "x > 5"}});
}

// Each pair is equal without the option; with it the first is refused for the second, and the second for itself is not.
TEST(WorkedOut, CalculationsAreNoNumbers) {
  const EqualityOptions worked_out{.worked_out = true};
  const std::vector<Pair> calculations = {
      {"6 \\cdot 7", "42"},
      {"6 \\times 7", "42"},
      {"6(7)", "42"},
      {"40 + 2", "42"},
      {"50 - 8", "42"},
      {"\\frac{84}{2}", "42"},
      {"84/2", "42"},
      {"-84/2", "-42"},
      {"42/1", "42"},
      {"2^5 + 10", "42"},
      {"2^3", "8"},
      {"\\sqrt{9}", "3"},
      {"|-3|", "3"},
      {"3!", "6"},
      {"\\binom{4}{2}", "6"},
      {"\\log_2 8", "3"},
      {"\\sin 90^\\circ", "1"},
      {"1/2 + 1/4", "\\frac{3}{4}"},
      {"2 + \\frac{1}{2}", "2\\frac{1}{2}"},
      {"0.5 \\cdot 3", "1.5"},
      {"1/0.5", "2"},
      {"\\frac{1}{2} \\cdot \\frac{3}{2}", "3/4"},
      {"10^{2+3}", "100000"},
      {"2 \\cdot 3 \\cdot 10^5", "600000"},
      {"2 \\cdot 9^2", "162"},
      {"10^5 \\cdot 2", "200000"},
      {"x = 6 \\cdot 7", "x = 42"},
      {"x = 6 \\cdot 7", "42"},
      {"2x + 4 = 10", "x = 3"},
      {"x - 2 < 3", "x < 5"},
      {"x < 2 + 3", "x < 5"},
      {"(1 + 1, 3)", "(2, 3)"},
      {"1 + 1, 3", "2, 3"},
      {"[1 + 1, 3)", "[2, 3)"},
      {"\\begin{pmatrix} 1+1 \\\\ 3 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 3 \\end{pmatrix}"},
      {"(20 + 1)\\%", "21\\%"},
      {"2 \\cdot 3 \\text{ cm}", "6 \\text{ cm}"},
      {"2 + 3", "five"},
      {"\\text{Total} = 6 \\cdot 7", "42"},
      {"\\text{Area} = 5^2", "25"},
      {"1 + 1 < x < 4", "2 < x < 4"},
      {"x < 2 + 3", "(-\\infty, 5)"},
      {"2.5 \\cdot 2 \\text{ million}", "5 \\text{ million}"},
      {"84e20000/2e20000", "42"},
      {"2 \\begin{pmatrix} 1+1 \\\\ 3 \\end{pmatrix}", "\\begin{pmatrix} 4 \\\\ 6 \\end{pmatrix}"},
  };
  expect_equal(calculations);
  for (const auto& [calculation, number] : calculations) {
    const Equality refused = compare_answers(calculation, number, worked_out);
    EXPECT_EQ(refused.verdict, Verdict::Wrong) << calculation << " | " << number;
    EXPECT_EQ(refused.reason, "a calculation with the gold answer's value, not worked out") << calculation;
    EXPECT_EQ(compare_answers(number, number, worked_out).verdict, Verdict::Right) << number;
    EXPECT_EQ(compare_answers(number, calculation, worked_out).verdict, Verdict::Right) << calculation;
  }
}

TEST(WorkedOut, NumbersOfAllFormsAre) {
  expect_equal(
      {{"42", "42.0"},
       {"1,234", "1234"},
       {"1/2", "0.5"},
       {"2/4", "1/2"},
       {"-\\frac{3}{4}", "\\frac{-3}{4}"},
       {"2\\frac{1}{2}", "5/2"},
       {"2 1/2", "2.5"},
       {"0.\\overline{3}", "1/3"},
       {"0.8\\overline{4}", "38/45"},
       {"4.2 \\times 10^{3}", "4200"},
       {"-4.2 \\times 10^{-3}", "-0.0042"},
       {"10^5", "100000"},
       {"5\\%", "5"},
       {"\\$5", "5 dollars"},
       {"5 \\text{ cm}", "5"},
       {"45^\\circ", "45"},
       {"40_9", "40"},
       {"\\pm 3", "3, -3"},
       {"\\infty", "+\\infty"},
       {"x = 5", "5"},
       {"x = 6 \\cdot 7 = 42", "42"},
       {"6 \\cdot 7 = 42", "42"},
       {"x < 5", "(-\\infty, 5)"},
       {"1 < x < 2", "(1, 2)"},
       {"\\{1, 2\\}", "\\{2, 1\\}"},
       {"x = 1 \\text{ or } x = 2", "1, 2"},
       {"3 : 2", "6 : 4"},
       {"A = s^2 = 25", "25"},
       {"A = \\frac{1}{2}bh = 12", "12"},
       {"c = \\sqrt{a^2 + b^2} = 5", "c = 5"},
       {"\\text{Total} = 6 \\cdot 7 = 42", "42"},
       {"2.5 million dollars", "2500000"},
       {"\\frac{1}{5}\\begin{pmatrix} 1 \\\\ -18 \\end{pmatrix}", "\\begin{pmatrix} 1/5 \\\\ -18/5 \\end{pmatrix}"},
       {"-\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} -1 \\\\ -2 \\end{pmatrix}"},
       {"x \\in [2, 3)", "[2, 3)"},
       {"Tuesday", "tuesday"},
       {"twelve", "12"}},
      {.worked_out = true});
}

// Where the gold answer is itself an expression, what is equal to it is right.
TEST(WorkedOut, ExpressionsMayBeWrittenAsTheyLike) {
  expect_equal({{"\\sqrt{12}", "2\\sqrt{3}"},
                {"3 \\cdot 4 \\pi", "12\\pi"},
                {"(x+1)^2", "x^2 + 2x + 1"},
                {"2^{100}", "4^{50}"},
                {"y = 2x + 3", "y = 3 + 2x"},
                {"3 + 4i", "4i + 3"}},
               {.worked_out = true});
}

TEST(Equality, LongNumbersAreExact) {
  const std::string nines(1'000'000, '9');
  EXPECT_EQ(verdict(nines, nines + ".000"), Verdict::Right);
  EXPECT_EQ(verdict(nines, nines + ".001"), Verdict::Wrong);
  EXPECT_EQ(verdict(nines + "/3", std::string(1'000'000, '3')),
            Verdict::Right);                                           // a million digit products: just in bounds
  EXPECT_EQ(verdict(nines + "/33", nines + "/3"), Verdict::Unparsed);  // beyond
  EXPECT_EQ(verdict(nines + "/33", nines + "/33"), Verdict::Right);
  EXPECT_EQ(verdict("1 " + nines + "/" + nines, "2"), Verdict::Unparsed);  // a mixed number that long is no number
  EXPECT_EQ(verdict("0." + std::string(1'000'000, '0'), "0"), Verdict::Right);
}

TEST(Equality, OddBytesAreText) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(verdict(all, "5"), Verdict::Unparsed);
  EXPECT_EQ(verdict(all, all), Verdict::Right);
  for (int i = 0; i < 256; ++i)
    for (int j = 0; j < 256; ++j) {
      const std::string two = {static_cast<char>(i), static_cast<char>(j)};
      EXPECT_NO_THROW(verdict(two + "5" + two, two)) << i << " " << j;
    }
}

}  // namespace
}  // namespace thinktune::reward
