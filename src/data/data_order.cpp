#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/data/prompts.h"

namespace thinktune::data {
namespace {

std::vector<uint32_t> order_of_epoch(uint64_t seed, uint32_t num_problems, uint64_t epoch) {
  return core::random_permutation({.seed = seed, .stream = core::Stream::DataOrder, .step = epoch}, num_problems);
}

uint64_t checked_epoch(uint32_t num_problems, uint64_t position) {
  TT_CHECK(num_problems > 0, "an order of no problems");
  return position / num_problems;
}

}  // namespace

DataOrder::DataOrder(uint64_t seed, uint32_t num_problems, uint64_t position)
    : seed_(seed),
      num_problems_(num_problems),
      position_(position),
      loaded_epoch_(checked_epoch(num_problems, position)),
      order_(order_of_epoch(seed, num_problems, loaded_epoch_)) {}

uint32_t DataOrder::next() {
  if (epoch() != loaded_epoch_) {
    loaded_epoch_ = epoch();
    order_ = order_of_epoch(seed_, num_problems_, loaded_epoch_);
  }
  return order_[position_++ % num_problems_];
}

}  // namespace thinktune::data
