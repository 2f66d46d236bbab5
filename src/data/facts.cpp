#include "data/facts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/core/random.h"

namespace thinktune::data {
namespace {

constexpr double kHeldOutShare = 0.28;

// Number of the first limit that holds `value`.
template <size_t N>
int size_class(int value, const int (&limits)[N]) {
  return static_cast<int>(std::lower_bound(limits, limits + N, value) - limits);
}

}  // namespace

size_t Facts::index(int a, int b) {
  TT_CHECK(a >= 2 && b >= 2 && a <= kMax && b <= kMax, "{} and {} are not operands of a fact", a, b);
  const auto [low, high] = std::minmax(a, b);
  return static_cast<size_t>(low) * (kMax + 1) + static_cast<size_t>(high);
}

Facts::Facts(uint64_t seed) : sums_((kMax + 1) * (kMax + 1)), products_(sums_.size()) {
  constexpr int kSumLimits[] = {10, 25, 100};
  constexpr int kFactorLimits[] = {9, 12, 100};
  std::map<int, std::vector<size_t>> sum_groups, product_groups;
  for (int a = 2; a <= kMax; ++a)
    for (int b = a; b <= kMax; ++b) {
      if (std::pair(a, b) != std::pair(kReservedSum[0], kReservedSum[1]))
        sum_groups[size_class(a + b, kSumLimits)].push_back(index(a, b));
      if (std::pair(a, b) != std::pair(kReservedProduct[0], kReservedProduct[1]))
        product_groups[4 * size_class(b, kFactorLimits) + size_class(a, kFactorLimits)].push_back(index(a, b));
    }
  const auto assign = [seed](const auto& groups, uint64_t table, std::vector<FactSide>& sides) {
    for (const auto& [group, facts] : groups) {
      const core::RandomKey key{.seed = seed,
                                .stream = core::Stream::Generator,
                                .step = 0,
                                .prompt = 100 * table + static_cast<uint64_t>(group)};
      const auto order = core::random_permutation(key, static_cast<uint32_t>(facts.size()));
      const auto num_heldout = static_cast<size_t>(std::lround(kHeldOutShare * static_cast<double>(facts.size())));
      for (size_t i = 0; i < num_heldout; ++i) sides[facts[order[i]]] = FactSide::HeldOut;
    }
  };
  assign(sum_groups, 0, sums_);
  assign(product_groups, 1, products_);
  sums_[index(kReservedSum[0], kReservedSum[1])] = FactSide::Reserved;
  products_[index(kReservedProduct[0], kReservedProduct[1])] = FactSide::Reserved;
}

}  // namespace thinktune::data
