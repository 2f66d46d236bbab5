// Which number facts belong to which split.
//
// A fact is an unordered pair: {a, b} of a + b, and of (a + b) - a, (a + b) - b; likewise for products and quotients.
// The split is made on facts, so a sum and the differences that undo it are on the same side, whatever the level:
// nothing in the held-out split can be had by turning a training problem round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thinktune::data {

enum class FactSide : uint8_t { Train, HeldOut, Reserved };

class Facts {
 public:
  // 28 % of each group of facts is held out; the groups follow the sizes of the levels, so that every level has its
  // share.
  explicit Facts(uint64_t seed);

  FactSide of_sum(int a, int b) const { return sums_[index(a, b)]; }          // 2 … 100 each
  FactSide of_product(int a, int b) const { return products_[index(a, b)]; }  // 2 … 100 each

 private:
  static constexpr int kMax = 100;
  static size_t index(int a, int b);

  std::vector<FactSide> sums_;
  std::vector<FactSide> products_;
};

// The facts of the worked examples, which belong to neither split.
inline constexpr int kReservedSum[2] = {6, 13};
inline constexpr int kReservedProduct[2] = {3, 4};

}  // namespace thinktune::data
