// Tables of pairs that are, or are not, equal; both directions count.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "thinktune/reward/equality.h"

namespace thinktune::test {

struct Pair {
  std::string answer;
  std::string gold;
};

inline void expect_equal(const std::vector<Pair>& pairs, const reward::EqualityOptions& options = {}) {
  for (const auto& [a, b] : pairs)
    for (const auto& [answer, gold] : {std::pair{a, b}, std::pair{b, a}}) {
      const reward::Equality equality = compare_answers(answer, gold, options);
      EXPECT_EQ(equality.verdict, rollout::Verdict::Right) << answer << " | " << gold << " : " << equality.reason;
    }
}

// Never equal; whether as Wrong or as Unparsed is another test's matter.
inline void expect_unequal(const std::vector<Pair>& pairs, const reward::EqualityOptions& options = {}) {
  for (const auto& [a, b] : pairs)
    for (const auto& [answer, gold] : {std::pair{a, b}, std::pair{b, a}}) {
      const reward::Equality equality = compare_answers(answer, gold, options);
      EXPECT_NE(equality.verdict, rollout::Verdict::Right) << answer << " | " << gold << " : " << equality.reason;
    }
}

}  // namespace thinktune::test
