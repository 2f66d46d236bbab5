#include "thinktune/train/config_changes.h"

#include <gmock/gmock.h>

#include "support/errors.h"

namespace thinktune::train {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kBefore =
    R"({"output": "a", "steps": 10, "seed": 1, "threads": 0, "comm": {"timeout_s": 5, "fixed_order": false},
  "optim": {"lr": 0.1, "schedule": "constant"}, "guidance": {"enabled": false, "schedule": {"kind": "linear"}}})";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kBefore;
  text.replace(text.find(from), from.size(), to);
  return text;
}

ConfigChange only_change(const std::string& after) {
  const std::vector<ConfigChange> changes = compare_configs(kBefore, after);
  EXPECT_EQ(changes.size(), 1U);
  return changes.empty() ? ConfigChange{} : changes[0];
}

TEST(ConfigChanges, EqualConfigsHaveNone) { EXPECT_THAT(compare_configs(kBefore, kBefore), IsEmpty()); }

TEST(ConfigChanges, WhatIsKnownToBeHarmless) {
  for (const auto& [from, to] :
       {std::pair(R"("output": "a")", R"("output": "b")"), std::pair(R"("timeout_s": 5)", R"("timeout_s": 6)")}) {
    const ConfigChange change = only_change(with(from, to));
    EXPECT_FALSE(change.changes_mathematics || change.may_change_last_bits) << change.text();
  }
}

TEST(ConfigChanges, WhatChangesTheOrderOfSums) {
  for (const auto& [from, to] : {std::pair(R"("threads": 0)", R"("threads": 2)"),
                                 std::pair(R"("fixed_order": false)", R"("fixed_order": true)")}) {
    const ConfigChange change = only_change(with(from, to));
    EXPECT_TRUE(!change.changes_mathematics && change.may_change_last_bits) << change.text();
    EXPECT_THAT(change.text(), HasSubstr("(last bits may differ)"));
  }
}

TEST(ConfigChanges, WhateverElseChangesTheMathematics) {
  EXPECT_TRUE(only_change(with(R"("lr": 0.1)", R"("lr": 0.2)")).changes_mathematics);
  EXPECT_EQ(only_change(with(R"("lr": 0.1)", R"("lr": 0.2)")).text(), "optim.lr: 0.1 → 0.2");
  EXPECT_TRUE(only_change(with(R"("seed": 1)", R"("seed": 2)")).changes_mathematics);
  EXPECT_TRUE(only_change(with(R"("seed": 1, )", "")).changes_mathematics) << "a key that is gone";
  EXPECT_EQ(only_change(with(R"("seed": 1)", R"("seed": 1, "new": {"key": [1]})")).text(), "new.key: nothing → [1]");
}

TEST(ConfigChanges, TheNumberOfStepsWhereASchedulePointsToIt) {
  EXPECT_FALSE(only_change(with(R"("steps": 10)", R"("steps": 20)")).changes_mathematics);
  for (const auto& [from, to] : {std::pair(R"("enabled": false)", R"("enabled": true)"),
                                 std::pair(R"("schedule": "constant")", R"("schedule": "cosine")")}) {
    const std::string before = with(from, to);
    std::string after = before;
    after.replace(after.find("10"), 2, "20");
    const auto changes = compare_configs(before, after);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_TRUE(changes[0].changes_mathematics);
  }
}

TEST(ConfigChanges, AConfigThatIsNoneIsNamed) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [] { compare_configs("[1]", kBefore); }),
              HasSubstr("the config of the checkpoint cannot be read"));
}

TEST(ConfigChanges, OneThatIsNestedWithoutEndIsRefused) {
  std::string deep;
  for (int level = 0; level < 200'000; ++level) deep += "{\"a\":";
  deep += "1" + std::string(200'000, '}');
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { compare_configs(deep, kBefore); }),
              HasSubstr("the config of the checkpoint: nested deeper than 64 levels"));
}

}  // namespace
}  // namespace thinktune::train
