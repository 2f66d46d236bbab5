#include "thinktune/core/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"

namespace thinktune::core {
namespace {

struct InnerOptions {
  int64_t count = 3;
};
void describe(Fields& fields, InnerOptions& options) { fields.integer("count", options.count, {1, 8}, "how many"); }

enum class Colour { Red, Blue };
const Choices<Colour> kColours = {{"red", Colour::Red}, {"blue", Colour::Blue}};

struct OuterOptions {
  double rate = 0.5;
  InnerOptions inner;
  InnerOptions second;
  bool flag = false;
  Colour colour = Colour::Blue;
  std::string name;
  std::vector<std::string> names;
  double last = 1;
};
void describe(Fields& fields, OuterOptions& options) {
  fields.number("rate", options.rate, {.min = 0, .max = 1, .min_excluded = true}, "rate");
  fields.group("inner", options.inner, "inner");
  fields.group("second", options.second, "second");
  fields.boolean("flag", options.flag, "flag");
  fields.choice("colour", options.colour, kColours, "colour");
  fields.text("name", options.name, "name");
  fields.texts("names", options.names, "names");
  fields.number("last", options.last, at_least(1.0), "last");
}

std::string message_of(const OuterOptions& options, const std::string& prefix) {
  return test::message_of_error(ErrorKind::User, [&] { check_ranges(options, prefix); });
}

TEST(CheckRanges, AcceptsTheDefaults) { EXPECT_NO_THROW(check_ranges(OuterOptions{}, "toy")); }

TEST(CheckRanges, NamesFieldValueAndRange) {
  EXPECT_EQ(message_of({.rate = 0}, "toy"), "toy.rate is 0, allowed is more than 0, at most 1");
  EXPECT_EQ(message_of({.rate = 1.5}, "toy"), "toy.rate is 1.5, allowed is more than 0, at most 1");
  EXPECT_EQ(message_of({.rate = 1.5}, ""), "rate is 1.5, allowed is more than 0, at most 1");
  EXPECT_EQ(message_of({.rate = NAN}, "toy"), "toy.rate is nan, allowed is more than 0, at most 1");
}

TEST(CheckRanges, NamesFieldsInGroupsAndAfterThem) {
  EXPECT_EQ(message_of({.inner = {.count = 0}}, "toy"), "toy.inner.count is 0, allowed is 1 … 8");
  EXPECT_EQ(message_of({.second = {.count = 9}}, "toy"), "toy.second.count is 9, allowed is 1 … 8");
  EXPECT_EQ(message_of({.second = {.count = 9}}, ""), "second.count is 9, allowed is 1 … 8");
  EXPECT_EQ(message_of({.last = 0}, "toy"), "toy.last is 0, allowed is at least 1");
}

TEST(CheckRanges, LeavesChoicesAsTheyAre) {
  OuterOptions options;
  RangeChecker checker("toy");
  describe(checker, options);
  EXPECT_EQ(options.colour, Colour::Blue);
}

TEST(Ranges, ContainTheirBoundsUnlessExcluded) {
  EXPECT_TRUE(contains(IntRange{1, 8}, 1));
  EXPECT_TRUE(contains(IntRange{1, 8}, 8));
  EXPECT_FALSE(contains(IntRange{1, 8}, 0));
  EXPECT_FALSE(contains(IntRange{1, 8}, 9));
  EXPECT_TRUE(contains(IntRange{}, std::numeric_limits<int64_t>::min()));
  EXPECT_TRUE(contains(between(0, 1), 0));
  EXPECT_TRUE(contains(between(0, 1), 1));
  EXPECT_FALSE(contains(above(0.0), 0));
  EXPECT_TRUE(contains(above(0.0), std::numeric_limits<double>::denorm_min()));
  EXPECT_FALSE(contains({.min = 0, .max = 1, .max_excluded = true}, 1.0));
  EXPECT_FALSE(contains(NumberRange{}, std::nan("")));
}

TEST(Ranges, ReadWell) {
  EXPECT_EQ(to_string(IntRange{1, 8}), "1 … 8");
  EXPECT_EQ(to_string(at_least(int64_t{2})), "at least 2");
  EXPECT_EQ(to_string(IntRange{.max = 5}), "at most 5");
  EXPECT_EQ(to_string(IntRange{}), "any integer");
  EXPECT_EQ(to_string(above(0.0)), "more than 0");
  EXPECT_EQ(to_string(between(0, 1)), "at least 0, at most 1");
  EXPECT_EQ(to_string(NumberRange{.max = 1, .max_excluded = true}), "less than 1");
  EXPECT_EQ(to_string(NumberRange{}), "any number");
}

TEST(Choices, GiveNamesAndRefuseAValueWithoutOne) {
  EXPECT_EQ(name_of(kColours, Colour::Blue), "blue");
  EXPECT_THROW(name_of(kColours, static_cast<Colour>(7)), Error);
}

}  // namespace
}  // namespace thinktune::core
