// Lists, sets, intervals, tuples, matrices, texts: what is equal and what is not.
#include "reward/equality_cases.h"

namespace thinktune::reward {
namespace {

using test::expect_equal;
using test::expect_unequal;

TEST(Equality, Lists) {
  expect_equal({{"1, 2 and 3", "3, 2, 1"},
                {"1,-2", "x=-2, x=1"},
                {"x = 1, -2", "1,-2"},
                {R"(1 \text{ and } -2)", "1,-2"},
                {"x=1 or x=2", "1, 2"},
                {R"(x=1\text{ or }x=2)", "x = 2, 1"},
                {R"(\{1, -2\})", "1,-2"},
                {"x=1, y=2", "y=2, x=1"},
                {"AB=4,CD=5", "4,5"},
                {"n=1, 2, 3", "n=1, 2, 3"},
                {R"(p=-1,p=\frac{15}{8})", R"(p = -1 \text{ and } p = \dfrac{15}{8})"},
                {"x=1, y=2", "(1,2)"},
                {"(1,2), (3,4)", "(3,4), (1,2)"},
                {"2; 3", "3; 2"},
                {"3, 5, 7", "7, 5, and 3"}});
  expect_unequal({{"1, 2", "1, 3"},
                  {"1, 2", "1, 2, 3"},
                  {"1, 1, 2", "1, 2, 2"},
                  {"1, 2", "1"},
                  {"1 and 2", "12"},
                  {"x=1, y=2", "x=2, y=1"},
                  {"x=1, y=2", "(2,1)"},
                  {"p=1, q=2", "x=1, y=2"},
                  {"(1,2), (3,4)", "(2,1), (3,4)"},
                  {"1,2", "(1,2)"},
                  {"3,-2", "1,-2"}});
}

TEST(Equality, PlusMinus) {
  expect_equal({{R"(1 \pm \sqrt{19})", R"(1+\sqrt{19}, 1-\sqrt{19})"},
                {R"(1 \pm \sqrt{19})", R"(\{1-\sqrt{19}, 1+\sqrt{19}\})"},
                {R"(\pm 2)", "2, -2"},
                {"±2", "-2, 2"},
                {R"(x = \pm 2)", "x = 2 or x = -2"},
                {R"(\{1\pm\sqrt{5},-2\})", R"(\{-2, 1-\sqrt5, 1+\sqrt5\})"},
                {R"(\frac{-1 \pm \sqrt{13}}{4})", R"(\frac{-1 + \sqrt{13}}{4}, \frac{-1 - \sqrt{13}}{4})"},
                {R"(\pm 1 \mp 2)", R"(-1, 1)"},
                {R"(3 \pm 2\sqrt{2})", R"(3 \mp 2\sqrt{2})"}});
  expect_unequal({{R"(1 \pm \sqrt{19})", R"(1+\sqrt{19})"},
                  {R"(1 \pm \sqrt{19})", R"(1 \pm \sqrt{20})"},
                  {R"(\pm 2)", "2"},
                  {R"(\pm 2)", "-2"},
                  {R"(5 \pm 2)", "5"}});
}

TEST(Equality, Sets) {
  expect_equal({{R"(\{1,2,3\})", R"(\{3,1,2\})"},
                {R"(\{1,1,2\})", R"(\{1,2\})"},
                {R"(\left\{\frac12, 1\right\})", R"(\{0.5, 1\})"},
                {R"(\lbrace 1,2 \rbrace)", R"(\{1,2\})"},
                {R"(\emptyset)", R"(\{\})"},
                {"∅", R"(\varnothing)"},
                {R"(\text{no solution})", R"(\emptyset)"},
                {R"(\{(1,2),(3,4)\})", R"(\{(3,4),(1,2)\})"}});
  expect_unequal({{R"(\{1,2\})", R"(\{1,3\})"},
                  {R"(\{1,2\})", R"(\{1,2,3\})"},
                  {R"(\{1,2\})", "(1,2)"},
                  {R"(\{1,2\})", "[1,2]"},
                  {R"(\{5\})", "5"},
                  {R"(\emptyset)", "0"},
                  {R"(\{(1,2)\})", R"(\{(2,1)\})"}});
}

TEST(Equality, IntervalsAndInequalities) {
  expect_equal({{R"((-\infty, 2))", "x < 2"},
                {R"((2,\infty))", "x > 2"},
                {R"((2,\infty))", R"((2,+\infty))"},
                {"(2,∞)", "2 < x"},
                {R"([-2,7])", R"(x \in [-2,7])"},
                {"[-2,7]", R"(-2 \le x \le 7)"},
                {"(0,1)", "0<f(x)<1"},
                {"(3,4]", "3 < x <= 4"},
                {"4 ≥ x > 3", "(3,4]"},
                {R"([\frac{1}{2}, 1))", "[0.5,1)"},
                {"-x > -1", "x < 1"},
                {"2x > 4", "x > 2"},
                {R"(x \gt 5)", "x > 5"},
                {"x != 5", R"(x \neq 5)"},
                {R"((-\infty,5)\cup(5,\infty))", R"(x \ne 5)"},
                {R"(\mathbb{R}\setminus\{5\})", R"(x \ne 5)"},
                {R"(\mathbb{R})", R"((-\infty,\infty))"},
                {"ℝ", "all real numbers"},
                {R"(\left(\frac{3}{5},\frac{8}{3}\right])", "(0.6, 8/3]"},
                {"x>1 and x<5", "(1,5)"},
                {"-1 < x < 1", "|x| < 1"},
                {R"(|x| \ge 2)", R"((-\infty,-2]\cup[2,\infty))"},
                {R"(\{x \mid x > 2\})", R"((2,\infty))"},
                {R"(\{x | x > 2\})", R"((2,\infty))"},
                {R"(\{x : x > 2\})", "x > 2"},
                {R"(\{t:1 \le t < 3\})", "[1,3)"},
                {R"(\{x | |x| < 1\})", "(-1,1)"},
                {"1 < x, x < 5", "(1,5)"},
                {"a < b + 1", "b > a - 1"},
                {R"([\sqrt{2},2])", R"([\frac{2}{\sqrt2},2])"}});
  expect_unequal({{"[0,1)", "(0,1)"},
                  {"(0,1]", "[0,1)"},
                  {"x < 2", "x > 2"},
                  {"x < 2", R"(x \le 2)"},
                  {"x < 2", "y < 2"},
                  {"|x| < 1", "x < 1"},
                  {"|x| < 1", R"(|x| \le 1)"},
                  {"x < 2", "2"},
                  {R"((2,\infty))", R"((-\infty,2))"},
                  {"2x > 4", "x < 2"},
                  {"-x > -1", "x > 1"},
                  {"(2,5)", "(5,2)"},
                  {"[1,2]", "[1,3]"},
                  {R"(\mathbb{R})", R"(\mathbb{Z})"},
                  {R"(\{x | x > 2\})", "x < 2"},
                  {R"(\{x : x > 2\})", "(2,3)"},
                  {R"(\{x : y\})", "y"},
                  {R"((2,\infty))", R"([2,\infty))"}});
}

TEST(Equality, Unions) {
  expect_equal({{R"((-\infty, 2) \cup (3, \infty))", R"((3, \infty) \cup (-\infty, 2))"},
                {"(-∞,2) U (3,∞)", R"((-\infty, 2) \cup (3, \infty))"},
                {R"(x<2 \text{ or } x>3)", R"((-\infty, 2) \cup (3, \infty))"},
                {"x<2, x>3", R"((-\infty, 2) \cup (3, \infty))"},
                {R"([1,2]\cup[2,3])", "[1,3]"},
                {R"([1,2)\cup[2,3])", "[1,3]"},
                {R"((0,9) \cup (9,36))", R"((9,36)\cup(0,9))"},
                {R"((0,5)\cap(3,9))", "(3,5)"},
                {R"([0,3]\setminus\{1\})", R"([0,1)\cup(1,3])"},
                {R"(\{1\}\cup[2,3])", R"([2,3]\cup\{1\})"},
                {R"([-1, -\tfrac12) \cup (-\tfrac12, 0))", R"([-1, -0.5) \cup (-0.5, 0))"}});
  expect_unequal({{R"((0,9) \cup (9,36))", "(0,36)"},
                  {R"((-\infty, 2) \cup (3, \infty))", R"((-\infty, 2] \cup (3, \infty))"},
                  {R"((-\infty, 2) \cup (3, \infty))", R"((-\infty, 2))"},
                  {R"([1,2)\cup(2,3])", "[1,3]"},
                  {"(1,2), (3,4)", "(1,4)"},
                  {R"((0,5)\cap(3,9))", "(0,9)"}});
}

TEST(Equality, TuplesRatiosMatrices) {
  expect_equal(
      {{"(1,4.5)", R"((1,\frac{9}{2}))"},
       {R"(\left( 3, \frac{\pi}{2} \right))", R"((3,\pi/2))"},
       {R"(\langle 1,2,3\rangle)", "(1,2,3)"},
       {"7:32", "14:64"},
       {"7:32", "7 : 32"},
       {"1:05", "1:05"},
       {R"(\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix})", R"(\begin{bmatrix}1&2\\3&4\end{bmatrix})"},
       {R"(\left[\begin{array}{cc}1 & 2 \\3 & 4\end{array}\right])", R"(\begin{pmatrix}1 & 2 \\3 & 4\end{pmatrix})"},
       {R"(\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix})",
        R"(\begin{pmatrix} \frac{-1}{3} \\ \frac{2}{3} \\ \end{pmatrix})"},
       {R"(\begin{pmatrix}1 & 2\end{pmatrix}+\begin{pmatrix}5 & 6\end{pmatrix})",
        R"(\begin{pmatrix}6 & 8\end{pmatrix})"},
       {R"(\frac{1}{2}\begin{pmatrix}2 & 4\end{pmatrix})", R"(\begin{pmatrix}1 & 2\end{pmatrix})"},
       {R"(\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{pmatrix}1\\1\end{pmatrix})",
        R"(\begin{pmatrix}3\\7\end{pmatrix})"},
       {R"(\begin{pmatrix}1\\2\end{pmatrix})", "(1,2)"},
       {R"(\begin{vmatrix} 2 & 1 \\ 1 & 2 \end{vmatrix})", "3"}});
  expect_unequal(
      {{"(1,2)", "(2,1)"},
       {"(1,2)", "(1,2,3)"},
       {"(1,2,3)", "(1,2,4)"},
       {"7:32", "32:7"},
       {"1:00", "12:00"},
       {"1:05", "1:5"},
       {R"(\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix})", R"(\begin{pmatrix}1 & 3 \\ 2 & 4\end{pmatrix})"},
       {R"(\begin{pmatrix}1 \\ 2\end{pmatrix})", R"(\begin{pmatrix}1 & 2\end{pmatrix})"},
       {R"(\begin{pmatrix}1 \\ 2\end{pmatrix})", "(2,1)"},
       {R"(\begin{pmatrix}0.29\\0.196\end{pmatrix})", R"(\begin{pmatrix}0.290243531\\0.196008371\end{pmatrix})"}});
}

TEST(Equality, TextsAndChoices) {
  expect_equal({{"Even", R"(\text{even})"},
                {R"(\text{Monday})", "monday"},
                {R"(\textbf{(E)})", R"(\text{(E)})"},
                {"E", R"(\text{(E)})"},
                {"(C) 15", "C"},
                {"C. 15 apples", R"(\text{(C)})"},
                {"C)", "C"},
                {R"(\textbf{(B)}\ 24)", "24"},
                {R"(\text{(B) }\frac{1}{2})", "0.5"},
                {"(D) 3, 4", "4, 3"},
                {R"(\text{Evelyn})", "Evelyn"},
                {"Yes", "yes"},
                {"NO", "no"},
                {"twelve", "12"},
                {"**5**", "5"},
                {"`x+1`", "1+x"},
                {"NO SOLUTION", "no solution"},
                {R"(\text{Yes.})", "yes"},
                {R"($$\text{The midpoints form a regular hexagon}$$)", "the midpoints form a regular hexagon"}});
  expect_unequal({{"Monday", "Tuesday"},
                  {"even", "odd"},
                  {"even", "neve"},
                  {"A", "B"},
                  {"(A) 15", "B"},
                  {"(A) 15", "16"},
                  {"(A) 15", "(B) 15"},
                  {"(A)(15)", "15"},
                  {R"((A)\frac{1}{2})", "1/2"},
                  {"A", "a"},
                  {"yes", "no"},
                  {"true", "false"},
                  {"even", "2"},
                  {"twelve", "11"},
                  {R"(\text{E})", "d"},
                  {"not even", "even"},
                  {"Evelyn", "Carla"}});
}

TEST(Equality, BasesUnitsRepeatingDigitsInfinity) {
  expect_equal({{"40_9", "40_{9}"},
                {"40_9", "40"},
                {"1011_2", R"(1011_{\text{two}})"},
                {R"(0.\overline{3})", "1/3"},
                {R"(0.8\overline{4})", R"(\frac{38}{45})"},
                {R"(0.\overline{142857})", "1/7"},
                {R"(0.\overline{9})", "1"},
                {R"(\infty)", R"(+\infty)"},
                {"-∞", R"(-\infty)"},
                {"infinity", R"(\infty)"},
                {"5 cm", "5 centimeters"},
                {R"(15\mbox{ cm}^2)", "15 square centimeters"},
                {R"(5.4 \text{ cents})", "5.4"},
                {R"(\$5)", "5 dollars"},
                {"60 km/h", "60 kilometers per hour"},
                {R"(1.5\times 10^3 m/s)", "1500 meters per second"},
                {"20°C", "20 degrees"},
                {R"(\frac{270}7\text{ degrees})", R"(\frac{270}{7}^\circ)"}});
  expect_unequal({{"40_9", "41_9"},
                  {"40_9", "40_8"},
                  {"40_9", "36"},
                  {"100_2", "4_{10}"},
                  {R"(0.\overline{3})", "0.3"},
                  {R"(0.\overline{3})", "0.333333333333333333333"},
                  {R"(\infty)", R"(-\infty)"},
                  {R"(\infty)", "1000000"},
                  {"5 cm", "5 m"},
                  {R"(5\text{ cm})", R"(5\text{ m})"},
                  {"5 cm^2", "5 cm^3"},
                  {"5 cents", R"(\$5)"},
                  {"20°C", "20°F"},
                  {"60 km/h", "60 m/s"}});
}

TEST(Equality, Options) {
  expect_equal({{R"(2\frac{1}{2})", "1"}}, {.mixed_numbers = false});
  expect_equal({{"50%", "0.5"}, {"50%", "50\\%"}}, {.percent = PercentRule::Value});
  expect_unequal({{"50%", "50"}}, {.percent = PercentRule::Value});
  expect_equal({{"50%", "0.5"}, {"50%", "50"}}, {.percent = PercentRule::Either});
  EXPECT_EQ(compare_answers("2/4", "1/2", {.reduced_fractions = true}).verdict, rollout::Verdict::Wrong);
  EXPECT_EQ(compare_answers("1/2", "2/4", {.reduced_fractions = true}).verdict, rollout::Verdict::Right);
  expect_unequal({{"40_9", "40"}}, {.missing_base = false});
  expect_unequal({{"1, 2", "2, 1"}}, {.ordered_lists = true});
  expect_equal({{"1, 2", "1, 2.0"}, {R"(\{1, 2\})", R"(\{2, 1\})"}}, {.ordered_lists = true});
  expect_equal({{R"(5\text{ cm})", R"(5\text{ m})"}}, {.compare_units = false});
  expect_equal({{"3.1416", R"(\pi)"}, {"3.1416", "3.14159"}}, {.relative_tolerance = 1e-4});
  expect_unequal({{"3.1", R"(\pi)"}, {"3", "4"}}, {.relative_tolerance = 1e-4});
  EXPECT_NO_THROW(validate(EqualityOptions{}));
  EXPECT_THROW(validate({.relative_tolerance = -1}), core::Error);
  EXPECT_THROW(validate({.max_steps = 0}), core::Error);
}

}  // namespace
}  // namespace thinktune::reward
