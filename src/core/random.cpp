#include "thinktune/core/random.h"

#include <numeric>
#include <utility>

namespace thinktune::core {
namespace {

constexpr uint32_t kMul0 = 0xD2511F53, kMul1 = 0xCD9E8D57;  // multipliers and Weyl constants of the paper
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

constexpr uint32_t low(uint64_t x) { return static_cast<uint32_t>(x); }
constexpr uint32_t high(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{kMul0} * counter[0];
    const uint64_t product1 = uint64_t{kMul1} * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

uint64_t random_bits(const RandomKey& key, uint32_t position) {
  // The key has more fields than one 128-bit counter holds: the first block turns (seed, stream, step) into a key of
  // its own.
  const auto outer = philox4x32({low(key.step), high(key.step), static_cast<uint32_t>(key.stream), 0x7474756Eu},
                                {low(key.seed), high(key.seed)});
  const auto inner = philox4x32({position, key.sample, low(key.prompt), high(key.prompt)}, {outer[0], outer[1]});
  return uint64_t{inner[1]} << 32 | inner[0];
}

double random_uniform(const RandomKey& key, uint32_t position) {
  return static_cast<double>(random_bits(key, position) >> 11) * 0x1.0p-53;
}

uint64_t random_below(const RandomKey& key, uint32_t position, uint64_t bound) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random_bits(key, position)) * bound >> 64);
}

std::vector<uint32_t> random_permutation(const RandomKey& key, uint32_t count) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random_below(key, i - 1, i)]);
  return order;
}

}  // namespace thinktune::core
