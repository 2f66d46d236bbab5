#include "src/train/exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/lent_communicator.h"

namespace thinktune::train {
namespace {

// A rank that is asked nothing but which it is.
class Numbered final : public test::Lent {
 public:
  Numbered(comm::Communicator& comm, int64_t rank, int64_t size) : Lent(comm), rank_(rank), size_(size) {}
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }

 private:
  int64_t rank_, size_;
};

TEST(Exchange, PartsDifferByOneInNumberAndLittleInLength) {
  const auto single = comm::make_single();
  std::vector<rollout::Prompt> prompts;
  for (const int64_t length : {90, 10, 80, 12, 95, 11, 85, 13, 88, 14, 91}) {
    prompts.emplace_back().ids.resize(static_cast<size_t>(length));
    prompts.back().number = prompts.size();
  }
  for (const int64_t size : {1, 2, 3, 4, 20}) {
    SCOPED_TRACE(size);
    std::set<uint64_t> numbers;
    std::vector<int64_t> counts, lengths;
    for (int64_t rank = 0; rank < size; ++rank) {
      const std::vector<rollout::Prompt> own = own_part(Numbered(*single, rank, size), prompts);
      counts.push_back(std::ssize(own));
      lengths.push_back(0);
      for (size_t i = 0; i < own.size(); ++i) {
        EXPECT_TRUE(numbers.insert(own[i].number).second) << own[i].number << " twice";
        if (i > 0) {
          EXPECT_LT(own[i - 1].number, own[i].number);
        }
        lengths.back() += std::ssize(own[i].ids);
      }
    }
    EXPECT_EQ(numbers.size(), prompts.size());
    const auto [fewest, most] = std::minmax_element(counts.begin(), counts.end());
    EXPECT_LE(*most - *fewest, 1);
    const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
    EXPECT_LE(*longest - *shortest, 95) << "one prompt at most";
  }
}

}  // namespace
}  // namespace thinktune::train
