// The public data sets of the data folder, read as a user reads them.
#include <gtest/gtest.h>

#include "support/paths.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {
namespace {

TEST(Datasets, ArithmeticSetsAreReadWhole) {
  for (const auto& [file, num_problems] :
       {std::pair{"gsm8k/test.jsonl", 1319u}, std::pair{"gsm8k/train.jsonl", 7473u},
        std::pair{"math500/test.jsonl", 500u}, std::pair{"svamp/test.jsonl", 1000u},
        std::pair{"multiarith/test.jsonl", 600u}, std::pair{"aime2024/test.jsonl", 30u}}) {
    const auto path = test::data_folder() / file;
    TT_REQUIRE_FILE(path);
    EXPECT_EQ(read_jsonl(path).size(), num_problems) << file;
  }
}

}  // namespace
}  // namespace thinktune::data
