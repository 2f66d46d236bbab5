// Roots, powers, functions, terms and statements: what is equal and what is not.
#include "reward/equality_cases.h"

namespace thinktune::reward {
namespace {

using test::expect_equal;
using test::expect_unequal;

TEST(Equality, Roots) {
  expect_equal({{R"(\sqrt{2})", R"(\sqrt2)"},
                {R"(\sqrt{12})", R"(2\sqrt{3})"},
                {R"(\frac{1}{\sqrt{2}})", R"(\frac{\sqrt{2}}{2})"},
                {R"(\sqrt{2}+\sqrt{3})", R"(\sqrt{5+2\sqrt{6}})"},
                {R"(\sqrt[3]{8})", "2"},
                {R"(\sqrt[3]{-8})", "-2"},
                {R"((-8)^{1/3})", "-2"},
                {R"((-8)^{2/3})", "4"},
                {R"(\sqrt[3]{16})", R"(2\sqrt[3]{2})"},
                {R"(2^{1/3})", R"(\sqrt[3]{2})"},
                {R"(\sqrt{\frac{9}{16}})", "0.75"},
                {R"(\sqrt{16})", "4"},
                {"sqrt(2)", R"(\sqrt{2})"},
                {"2*sqrt(3)", R"(\sqrt{12})"},
                {"√2", R"(\sqrt{2})"},
                {"3√2", R"(\sqrt{18})"},
                {"√(x+1)", R"(\sqrt{x+1})"},
                {R"(\sqrt{3-2\sqrt{2}})", R"(\sqrt{2}-1)"},
                {R"(\frac{1+\sqrt{5}}{2})", R"(\frac{2}{\sqrt{5}-1})"},
                {R"(\sqrt[3]{2+\sqrt5}+\sqrt[3]{2-\sqrt5})", "1"},
                {R"(\sqrt{-4})", "2i"},
                {R"(\sqrt{x^2})", "|x|"},
                {R"(\sqrt{50}-\sqrt{8})", R"(3\sqrt{2})"}});
  expect_unequal({{R"(\sqrt{2})", "1.41421356237309504880168872420969807856967187537694"},
                  {R"(\sqrt{2})", R"(\sqrt{3})"},
                  {R"(\sqrt{2})", R"(-\sqrt{2})"},
                  {R"(\sqrt{2}+\sqrt{3})", R"(\sqrt{5})"},
                  {R"(\sqrt[3]{4})", R"(\sqrt{4})"},
                  {R"(\sqrt{12})", R"(3\sqrt{2})"},
                  {R"(\sqrt{x^2})", "x"},
                  {R"(\sqrt{4})", R"(\pm 2)"},
                  {R"(\sqrt{2}+10^{-20})", R"(\sqrt{2})"},
                  {R"(\sqrt{x+1})", R"(\sqrt{x}+1)"}});
}

TEST(Equality, Powers) {
  expect_equal({{"2^3", "8"},
                {"2^{10}", "1024"},
                {"2**10", "1024"},
                {"x²", "x^2"},
                {"2^{-2}", "0.25"},
                {"x^{-1}", R"(\frac{1}{x})"},
                {"4^{3/2}", "8"},
                {R"(2^{\frac{1}{2}})", R"(\sqrt{2})"},
                {"e^{2x}", "(e^x)^2"},
                {R"(\exp(x))", "e^x"},
                {"2^{3^2}", "512"},
                {"2^3^2", "512"},
                {"2^{n+1}", R"(2\cdot 2^n)"},
                {"(-1)^{n+2}", "(-1)^n"},
                {R"((-1)^{n})", R"(\cos(n\pi))"},
                {"3^{100}", "515377520732011331036461129765621272702107522001"},
                {"(x^2)^3", "x^6"},
                {"9^{9^9}", "9^{9^{9}}"}});
  expect_unequal({{"2^3", "6"},
                  {"2^3", "3^2"},
                  {"x^2", "x^3"},
                  {"-2^2", "(-2)^2"},
                  {"3^{100}", "515377520732011331036461129765621272702107522002"},
                  {"2^{3^2}", "64"},
                  {"e^{x}", "e^{2x}"},
                  {"x^{-1}", "-x"},
                  {"9^{9^9}", "9^{9^9}+1"},
                  {"10^{400}", "10^{401}"}});
}

TEST(Equality, Logarithms) {
  expect_equal({{R"(\log_2 8)", "3"},
                {R"(\log_{2}{8})", "3"},
                {R"(\log_2(8))", "3"},
                {R"(\ln e)", "1"},
                {R"(\ln(e^3))", "3"},
                {R"(\log 100)", "2"},
                {R"(\lg 1000)", "3"},
                {R"(\log_{10} 5)", R"(\log 5)"},
                {R"(\ln 8)", R"(3\ln 2)"},
                {R"(\ln 2+\ln 3)", R"(\ln 6)"},
                {R"(\frac{\ln 3}{\ln 2})", R"(\log_2 3)"},
                {R"(\log_4 2)", R"(\frac12)"},
                {R"(\ln x^2)", R"(2\ln x)"},
                {R"(\ln|x|)", R"(\frac{1}{2}\ln(x^2))"},
                {R"(e^{\ln 5})", "5"},
                {R"(-\ln\frac{1}{2})", R"(\ln 2)"},
                {R"(\log_3 2 \cdot \log_2 3)", "1"}});
  expect_unequal({{R"(\log_2 8)", "4"},
                  {R"(\ln 8)", R"(\log_2 8)"},
                  {R"(\ln 2)", "0.6931"},
                  {R"(\ln 2\cdot\ln 3)", R"(\ln 6)"},
                  {R"(\ln(x+1))", R"(\ln x + 1)"},
                  {R"(\log 2)", R"(\ln 2)"},
                  {R"(\log_2 3)", R"(\log_3 2)"}});
}

TEST(Equality, Trigonometry) {
  expect_equal({{R"(\sin 30^\circ)", R"(\frac{1}{2})"},
                {R"(\sin\frac{\pi}{6})", "0.5"},
                {R"(\sin \pi/6)", "0.5"},
                {R"(\cos 36^\circ)", R"(\frac{1+\sqrt5}{4})"},
                {R"(\tan 60^{\circ})", R"(\sqrt{3})"},
                {R"(\sec^2(y))", R"(\tan^2(y)+1)"},
                {R"(\sin^2 x+\cos^2 x)", "1"},
                {R"(\sin 2x)", R"(2\sin x\cos x)"},
                {R"(\cot x)", R"(\frac{\cos x}{\sin x})"},
                {R"(\csc x)", R"(\frac{1}{\sin x})"},
                {R"(\arctan 1)", R"(\frac{\pi}{4})"},
                {R"(\tan^{-1} 1)", R"(\frac{\pi}{4})"},
                {R"(\arcsin(1))", R"(\frac{\pi}{2})"},
                {R"(\cos^{-1}\frac{1}{2})", R"(\frac{\pi}{3})"},
                {R"(\cos(2\theta))", R"(1-2\sin^2\theta)"},
                {R"(\sin(x)\cos(y)+\cos(x)\sin(y))", R"(\sin(x+y))"},
                {R"(\operatorname{sin} x)", R"(\sin x)"},
                {"sin(x)", R"(\sin{x})"},
                {R"(\sin(x)^2)", R"(\sin^2 x)"},
                {R"(\cosh x)", R"(\frac{e^x+e^{-x}}{2})"}});
  expect_unequal({{R"(\tan x)", R"(\cot x)"},
                  {R"(\sin x)", R"(\cos x)"},
                  {R"(\sin 2x)", R"(2\sin x)"},
                  {R"(\sin^{-1} x)", R"(\frac{1}{\sin x})"},
                  {R"(\sin 30)", "0.5"},
                  {R"(\sin x^2)", R"(\sin^2 x)"},
                  {R"(\sin(x+y))", R"(\sin x+\sin y)"}});
}

TEST(Equality, ConstantsAndComplexNumbers) {
  expect_equal({{R"(2\pi)", R"(\pi\cdot 2)"},
                {"2π", R"(2\pi)"},
                {"2 pi", R"(2\pi)"},
                {R"(\frac{\pi}{2})", R"(\pi/2)"},
                {"6-5i", "-5i+6"},
                {"(1+i)^2", "2i"},
                {R"(\frac{1}{i})", "-i"},
                {"i^2", "-1"},
                {R"(e^{i\pi})", "-1"},
                {R"(e^{i\pi/4})", R"(\frac{1+i}{\sqrt{2}})"},
                {R"(\mathrm{e}^2)", "e^2"},
                {"(2+3i)(2-3i)", "13"},
                {"|3+4i|", "5"},
                {R"(\frac34i)", R"(\frac{3}{4}i)"}});
  expect_unequal({{"6-5i", "6+5i"},
                  {R"(\pi)", "3.14159"},
                  {R"(\pi)", R"(\frac{22}{7})"},
                  {"e", "2.718281828"},
                  {R"(2\pi)", R"(\pi^2)"},
                  {"i", "-i"},
                  {"1", "i"},
                  {R"(7\pi)", "7"}});
}

TEST(Equality, AbsoluteValuesFactorialsBinomials) {
  expect_equal({{"|-5|", "5"},
                {R"(\left|x-1\right|)", "|1-x|"},
                {R"(\lvert x \rvert)", "|x|"},
                {"|x||y|", "|xy|"},
                {"|2x|+|x|", "3|x|"},
                {"5!", "120"},
                {R"(\frac{10!}{8!})", "90"},
                {"n!", "n(n-1)!"},
                {"n! 2^n", "2^n n!"},
                {R"(\binom{5}{2})", "10"},
                {R"(\dbinom52)", "10"},
                {R"({5 \choose 2})", "10"},
                {R"(\binom{n}{2})", R"(\frac{n(n-1)}{2})"},
                {R"(\binom{n}{k})", R"(\binom{n}{n-k})"},
                {R"(\frac{2023!}{2021!})", R"(2023\cdot 2022)"},
                {R"(\lfloor 3.7 \rfloor)", "3"},
                {R"(\lceil -3.7 \rceil)", "-3"},
                {R"(\max(2,3))", "3"},
                {R"(\gcd(12,18))", "6"}});
  expect_unequal({{"|x|", "x"},
                  {"5!", "5"},
                  {"5!", "121"},
                  {R"(\binom{5}{2})", R"(\frac{5}{2})"},
                  {R"(\binom{n}{2})", R"(\frac{n^2}{2})"},
                  {"|x-1|", "|x+1|"},
                  {R"(\lfloor 3.7 \rfloor)", "4"}});
}

TEST(Equality, PolynomialsAndRationalExpressions) {
  expect_equal(
      {{"3x+2", "2+3x"},
       {"(x+1)^2", "x^2+2x+1"},
       {"(x-1)(x+1)", "x^2-1"},
       {R"(\frac{x}{7}+\frac{2}{7})", R"(\frac{x+2}{7})"},
       {R"(\frac{x^2-1}{x-1})", "x+1"},
       {R"(\frac{1}{x}+\frac{1}{y})", R"(\frac{x+y}{xy})"},
       {"-24 - 4r + 6r^2", "6r^2-4r-24"},
       {"2(a+b)", "2a+2b"},
       {"0.5x", R"(\frac{x}{2})"},
       {"ab", "b*a"},
       {"xyz", "zyx"},
       {"x_1+x_2", "x_{2}+x_{1}"},
       {R"(\alpha\beta)", R"(\beta\alpha)"},
       {"x(x+1)", "x^2+x"},
       {"-(x-y)", "y-x"},
       {"2k+2", "2(k+1)"},
       {R"(\frac{\pi r}{h+r})", R"(\frac{r\pi}{r+h})"},
       {R"(-\frac{8x^2}{9(x^2-2)^{5/3}}+\frac{2}{3(x^2-2)^{2/3}})", R"(-\frac{2(x^2+6)}{9(x^2-2)\sqrt[3]{x^2-2}^2})"},
       {"[x+1](x-1)", "x^2-1"},
       {R"(\frac{a}{b}/c)", R"(\frac{a}{bc})"}});
  expect_unequal({{"3x+2", "3x-2"},
                  {"(x+1)^2", "x^2+1"},
                  {"2x", "x^2"},
                  {"x+1", "y+1"},
                  {R"(\frac{x+2}{7})", R"(\frac{x}{7}+2)"},
                  {"x^8+x^7+x^6", "x^8+x^7+x^5"},
                  {"p-q", "q-p"},
                  {"(+5)(b+2)", "(a+5)(b+2)"},
                  {"x", "1"},
                  {"x_1", "x_2"},
                  {"x + 2305843009213693951", "x"},
                  {R"(10^{-30}x)", "0"},
                  {"x+10^{-15}", "x"},
                  {"5x", "5"}});
}

TEST(Equality, Equations) {
  expect_equal({{"2x+4y=6", "x+2y-3=0"},
                {"-34x-45y+20z-100=0", "34x+45y-20z+100=0"},
                {R"(y=-\frac{1}{2}x+\frac{3}{4})", "2x+4y-3=0"},
                {"y = 2x+3", "y=3+2x"},
                {"y = 2x+3", "2x+3"},
                {"y = 2x+3", "f(x) = 3+2x"},
                {"= 5", "5"},
                {R"(\approx 5)", "5"},
                {"x^2+y^2=4", "4=x^2+y^2"},
                {"x=5", "2x=10"},
                {"10^3=1000", "1000"},
                {R"(e^{i\pi}=-1)", "-1"},
                {"AB=5", "5"},
                {"|AB| = 5", "5"},
                {R"(\frac{NO}{BO}=2)", "2"},
                {"A:B=1", "1"},
                {"(p,q)=(3,2)", "(3,2)"},
                {"5 = x", "5"},
                {"x = y = 5", "5"},
                {R"(\cos A = \frac12)", "0.5"},
                {R"(\lim_{x \to 0} \frac{\sin x}{x} = 1)", "1"},
                {R"(x \approx 11)", "11"},
                {R"(\frac{1}{3} \approx 0.333)", "1/3"},
                {R"(\frac{1}{3} \approx 0.333)", "0.333"},
                {R"(x = \frac13 \approx 0.333)", "1/3"},
                {R"(x = \frac13 \approx 0.333)", "x = 0.333"},
                {R"(\frac{10}{30} = \frac13 \approx 0.33)", "1/3"},
                {R"(-\sqrt{3} \approx -1.73)", R"(-\sqrt{3})"},
                {R"(\sqrt{3} \approx 1.8)", R"(\sqrt{3})"},
                {R"(\frac{7}{2} \approx 4)", "3.5"}});
  expect_unequal({{"2x+4y=6", "x+2y=6"},
                  {"5x - 7y + 11z + 4 = 0", "x + y - z + 2 = 0"},
                  {"a+3z = 0", "0"},
                  {"7 = 11a+c", "11a+c"},
                  {"x=5", "2x=5"},
                  {"y=2x", "y=3x"},
                  {"x+y=5", "5"},
                  {"2x=5", "5"},
                  {"x = 5", "x > 5"},
                  {"x = 5", "x \\neq 5"},
                  {"x^2=4", "4"},
                  {"x*2=10", "10"},
                  {"1+1=3", "3"},
                  {R"(41 \approx 42)", "42"},
                  {R"(41 \approx 42)", "41"},
                  {R"(\frac{5}{2} \approx 1000)", "1000"},
                  {R"(\frac{5}{2} \approx 1000)", "5/2"},
                  {R"(\frac{1}{3} \approx 0.333)", "0.33"},
                  {R"(\frac{1}{3} \approx 0.5)", "0.5"},
                  {R"(y = \frac13 \approx 0.333)", "x = 1/3"},
                  {"x=1", "x=2"}});
}

TEST(Equality, SumsAndIntegralsAreEqualByTheirParts) {
  expect_equal({{R"(F_n = \sum_{k=0}^{n-1} F_{n-k-1} F_k)", R"(F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1})"},
                {R"(\int_0^1 2x\,dx)", R"(\int_0^1 x \cdot 2\,dx)"}});
  expect_unequal({{R"(F_n = \sum_{k=0}^{n-2} F_k F_{n-k-2})", R"(F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1})"},
                  {R"(\int_0^1 2x\,dx)", R"(\int_0^2 2x\,dx)"}});
}

}  // namespace
}  // namespace thinktune::reward
