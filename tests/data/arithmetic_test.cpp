#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {
namespace {

using ::testing::HasSubstr;

// One equation of a worked solution.
struct Equation {
  int left, right, result;
  char sign;
};

std::vector<Equation> equations(const std::string& solution) {
  static const std::regex kEquation(R"((\d+) ([-+*/]) (\d+) = (\d+)\.)");
  std::vector<Equation> found;
  for (std::sregex_iterator it(solution.begin(), solution.end(), kEquation), end; it != end; ++it)
    found.push_back({std::stoi((*it)[1]), std::stoi((*it)[3]), std::stoi((*it)[4]), (*it)[2].str()[0]});
  return found;
}

int evaluate(const Equation& e) {
  switch (e.sign) {
    case '+':
      return e.left + e.right;
    case '-':
      return e.left - e.right;
    case '*':
      return e.left * e.right;
    default:
      return e.left % e.right == 0 ? e.left / e.right : -1;
  }
}

// The number fact behind an equation: the unordered pair that is added, or multiplied.
using Fact = std::tuple<char, int, int>;
Fact fact_of(const Equation& e) {
  const auto pair = [](char kind, int a, int b) { return Fact{kind, std::min(a, b), std::max(a, b)}; };
  switch (e.sign) {
    case '+':
      return pair('s', e.left, e.right);
    case '-':
      return pair('s', e.right, e.result);
    case '*':
      return pair('p', e.left, e.right);
    default:
      return pair('p', e.right, e.result);
  }
}

std::vector<int> numbers_in(const std::string& text) {
  static const std::regex kNumber(R"(\d+)");
  std::vector<int> numbers;
  for (std::sregex_iterator it(text.begin(), text.end(), kNumber), end; it != end; ++it)
    numbers.push_back(std::stoi(it->str()));
  return numbers;
}

std::string level_of(const Problem& p) { return p.id.substr(0, p.id.find('/')); }

// What must hold of every generated problem.
void check_problem(const Problem& p) {
  const auto steps = equations(p.solution);
  ASSERT_FALSE(steps.empty()) << p.solution;
  std::vector<int> operands = {steps[0].left, steps[0].right};
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].result, evaluate(steps[i])) << p.solution;
    EXPECT_GE(steps[i].result, 2) << p.solution;
    if (i > 0) {
      EXPECT_EQ(steps[i].left, steps[i - 1].result) << p.solution;
      operands.push_back(steps[i].right);
    }
  }
  EXPECT_EQ(p.answer, std::to_string(steps.back().result));
  EXPECT_TRUE(p.solution.ends_with("The answer is \\boxed{" + p.answer + "}.")) << p.solution;
  EXPECT_THAT(numbers_in(p.problem), ::testing::UnorderedElementsAreArray(operands)) << p.problem;
  EXPECT_THAT(operands, ::testing::Each(::testing::Ge(2))) << p.problem;
  EXPECT_EQ(p.problem.find_first_of("{}"), std::string::npos) << p.problem;
  EXPECT_EQ(p.problem.back(), '?') << p.problem;
  EXPECT_TRUE(p.messages.empty());
}

std::set<Fact> facts_of(const std::vector<Problem>& problems) {
  std::set<Fact> facts;
  for (const Problem& p : problems)
    for (const Equation& e : equations(p.solution)) facts.insert(fact_of(e));
  return facts;
}

std::vector<Fact> common(const std::set<Fact>& a, const std::set<Fact>& b) {
  std::vector<Fact> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

TEST(Arithmetic, QuickstartHasExactCountsAndNoRepeatedText) {
  const ArithmeticOptions options;
  const auto train = generate_arithmetic(options, ArithmeticSplit::Train);
  const auto heldout = generate_arithmetic(options, ArithmeticSplit::HeldOut);
  EXPECT_EQ(train.size(), 512u);
  EXPECT_EQ(heldout.size(), 200u);
  std::set<std::string> texts, ids;
  for (const auto* split : {&train, &heldout})
    for (const Problem& p : *split) {
      check_problem(p);
      texts.insert(p.problem);
      ids.insert(p.id);
    }
  EXPECT_EQ(texts.size(), 712u);
  EXPECT_EQ(ids.size(), 712u);
}

TEST(Arithmetic, EveryLevelWorksAndItsSplitsShareNoFact) {
  ASSERT_GE(arithmetic_levels().size(), 6u);
  for (const std::string& level : arithmetic_levels())
    for (const int64_t seed : {0, 1, 2, 12345}) {
      const ArithmeticOptions options{.num_train = 600, .num_heldout = 200, .levels = {level}, .seed = seed};
      const auto train = generate_arithmetic(options, ArithmeticSplit::Train);
      const auto heldout = generate_arithmetic(options, ArithmeticSplit::HeldOut);
      EXPECT_EQ(train.size(), 600u);
      EXPECT_EQ(heldout.size(), 200u);
      for (const auto* split : {&train, &heldout})
        for (const Problem& p : *split) check_problem(p);
      EXPECT_THAT(common(facts_of(train), facts_of(heldout)), ::testing::IsEmpty()) << level;
    }
}

TEST(Arithmetic, SplitsShareNoFactAcrossLevelsEither) {
  ArithmeticOptions all{.num_train = 8000, .num_heldout = 4000, .levels = arithmetic_levels()};
  const auto train = generate_arithmetic(all, ArithmeticSplit::Train);
  const auto train_facts = facts_of(train);
  EXPECT_THAT(common(train_facts, facts_of(generate_arithmetic(all, ArithmeticSplit::HeldOut))), ::testing::IsEmpty());
  // A model trained on one level and tested on another has not met the facts either.
  for (const std::string& level : arithmetic_levels()) {
    const ArithmeticOptions one{.num_heldout = 500, .levels = {level}};
    EXPECT_THAT(common(train_facts, facts_of(generate_arithmetic(one, ArithmeticSplit::HeldOut))), ::testing::IsEmpty())
        << level;
  }
  std::set<std::string> texts;
  for (const Problem& p : train) texts.insert(p.problem);
  EXPECT_EQ(texts.size(), train.size());
}

TEST(Arithmetic, AboutAQuarterOfTheFactsIsHeldOut) {
  for (const auto& [level, num_facts] : std::map<std::string, size_t>{{"mul_9", 35}, {"mul_12", 65}, {"div_9", 35}}) {
    const ArithmeticOptions options{.num_train = 1000, .num_heldout = 1000, .levels = {level}};
    const size_t num_train = facts_of(generate_arithmetic(options, ArithmeticSplit::Train)).size();
    const size_t num_heldout = facts_of(generate_arithmetic(options, ArithmeticSplit::HeldOut)).size();
    EXPECT_EQ(num_train + num_heldout, num_facts) << level;  // every fact but the reserved one
    EXPECT_GE(num_heldout * 100, num_facts * 25) << level;
    EXPECT_LE(num_heldout * 100, num_facts * 30) << level;
  }
}

TEST(Arithmetic, ExamplesAreInNeitherSplit) {
  const auto examples = arithmetic_examples();
  ASSERT_EQ(examples.size(), 2u);
  for (const Problem& p : examples) check_problem(p);
  const ArithmeticOptions all{.num_train = 20'000, .num_heldout = 10'000, .levels = arithmetic_levels()};
  const auto reserved = facts_of(examples);
  EXPECT_EQ(reserved.size(), 2u);
  EXPECT_THAT(common(reserved, facts_of(generate_arithmetic(all, ArithmeticSplit::Train))), ::testing::IsEmpty());
  EXPECT_THAT(common(reserved, facts_of(generate_arithmetic(all, ArithmeticSplit::HeldOut))), ::testing::IsEmpty());
}

TEST(Arithmetic, LevelsAndOperationsAreMixedEvenly) {
  const ArithmeticOptions options{.num_train = 100, .levels = {"add_sub_25", "mul_9", "two_step"}};
  std::map<std::string, int> of_level, of_sign;
  for (const Problem& p : generate_arithmetic(options, ArithmeticSplit::Train)) {
    ++of_level[level_of(p)];
    ++of_sign[level_of(p) + equations(p.solution).back().sign];
  }
  EXPECT_EQ(of_level, (std::map<std::string, int>{{"add_sub_25", 34}, {"mul_9", 33}, {"two_step", 33}}));
  EXPECT_EQ(of_sign["add_sub_25+"], 17);
  EXPECT_EQ(of_sign["add_sub_25-"], 17);
  EXPECT_EQ(of_sign["two_step+"], 17);
  EXPECT_EQ(of_sign["two_step-"], 16);
}

TEST(Arithmetic, FactsAreUsedEvenly) {
  const ArithmeticOptions options{.num_train = 250, .levels = {"mul_9"}};
  std::map<Fact, int> uses;
  for (const Problem& p : generate_arithmetic(options, ArithmeticSplit::Train))
    ++uses[fact_of(equations(p.solution)[0])];
  for (const auto& [fact, count] : uses) EXPECT_NEAR(count, 250.0 / static_cast<double>(uses.size()), 1.0);
}

TEST(Arithmetic, StaysWithinTheLevelsNumbers) {
  const auto largest = [](const std::string& level) {
    int most = 0;
    for (const Problem& p : generate_arithmetic({.num_train = 2000, .levels = {level}}, ArithmeticSplit::Train))
      for (const int n : numbers_in(level.starts_with("add_sub") ? p.problem + " " + p.answer : p.problem))
        most = std::max(most, n);
    return most;
  };
  EXPECT_EQ(largest("add_sub_10"), 10);  // sums included
  EXPECT_EQ(largest("add_sub_25"), 25);
  EXPECT_EQ(largest("mul_9"), 9);
  EXPECT_LE(largest("div_9"), 81);
  EXPECT_EQ(largest("mul_12"), 12);
  EXPECT_LE(largest("add_sub_100"), 100);
  EXPECT_LE(largest("mul_99"), 99);
}

TEST(Arithmetic, IsAFunctionOfTheOptions) {
  const auto texts = [](const ArithmeticOptions& options, ArithmeticSplit split) {
    std::vector<std::string> all;
    for (const Problem& p : generate_arithmetic(options, split))
      all.push_back(p.id + p.problem + p.answer + p.solution);
    return all;
  };
  ArithmeticOptions options;
  const auto train = texts(options, ArithmeticSplit::Train);
  EXPECT_EQ(texts(options, ArithmeticSplit::Train), train);

  options.num_train = 100;
  options.num_heldout = 10;  // does not touch the other split
  const auto fewer = texts(options, ArithmeticSplit::Train);
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), train.begin()));

  options.seed = 2;
  EXPECT_NE(texts(options, ArithmeticSplit::Train), fewer);
}

TEST(Arithmetic, WordingsVary) {
  // With numbers, names and things blanked out, the sentence forms remain.
  std::map<std::string, std::set<std::string>> forms;
  static const std::regex kNumber(R"(\d+)"), kName(R"(\b[A-Z][a-z]+\b)");
  const ArithmeticOptions options{.num_train = 4000, .levels = {"add_sub_25", "mul_9", "div_9", "two_step"}};
  for (const Problem& p : generate_arithmetic(options, ArithmeticSplit::Train)) {
    std::string form = std::regex_replace(std::regex_replace(p.problem, kNumber, "#"), kName, "@");
    forms[level_of(p) + equations(p.solution).back().sign].insert(form.substr(0, 12));
  }
  ASSERT_EQ(forms.size(), 6u);
  for (const auto& [operation, beginnings] : forms) EXPECT_GE(beginnings.size(), 8u) << operation;
}

TEST(Arithmetic, RefusesMoreProblemsThanThereAre) {
  for (const auto split : {ArithmeticSplit::Train, ArithmeticSplit::HeldOut}) {
    const ArithmeticOptions options{.num_train = 1'000'000, .num_heldout = 1'000'000, .levels = {"mul_9"}};
    EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { generate_arithmetic(options, split); }),
                HasSubstr("\"mul_9\" has too few distinct problems"));
  }
}

TEST(Arithmetic, OptionsAreValidated) {
  const auto message = [](const ArithmeticOptions& options) {
    return test::message_of_error(core::ErrorKind::User, [&] { validate(options); });
  };
  EXPECT_NO_THROW(validate(ArithmeticOptions{}));
  EXPECT_THAT(message({.num_train = 0}), HasSubstr("arithmetic.num_train is 0"));
  EXPECT_THAT(message({.num_heldout = -1}), HasSubstr("arithmetic.num_heldout is -1"));
  EXPECT_THAT(message({.seed = -1}), HasSubstr("arithmetic.seed is -1"));
  EXPECT_THAT(message({.levels = {}}), HasSubstr("arithmetic.levels is empty"));
  EXPECT_THAT(message({.levels = {"mul_9", "mul_9"}}), HasSubstr("\"mul_9\" twice"));
  EXPECT_THAT(message({.levels = {"mul_8"}}), HasSubstr("levels are: add_sub_10, "));
  EXPECT_TRUE(generate_arithmetic({.num_heldout = 0}, ArithmeticSplit::HeldOut).empty());
}

}  // namespace
}  // namespace thinktune::data
