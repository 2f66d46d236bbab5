#include <gtest/gtest.h>

#include "guidance/fakes.h"
#include "support/paths.h"
#include "thinktune/guidance/select.h"

namespace thinktune::guidance {
namespace {

using namespace test;

TEST(Golden, GroupCounts) {
  const auto path = thinktune::test::golden_folder() / "schedulers" / "group_counts.json";
  TT_REQUIRE_FILE(path);
  const std::vector<TokenId> ends = {kEnd};
  int num_cases = 0;
  const nlohmann::json file = thinktune::test::read_json(path);
  for (const auto& golden : file.at("cases")) {
    const int eligible = golden.at("eligible");
    const double share = golden.at("fraction");
    Group group = plain_group(1, eligible);
    group.rollouts.push_back(cut_rollout("never eligible"));
    EXPECT_EQ(select_rollouts({group}, ends, {}, share, {}).chosen.size(), golden.at("guided").get<size_t>())
        << golden.dump();
    ++num_cases;
  }
  EXPECT_GT(num_cases, 100);
}

}  // namespace
}  // namespace thinktune::guidance
