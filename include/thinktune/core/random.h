// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011). A number depends on its key alone, so it is the same whatever the batch size, the thread count, the
// order of the calls, or whether the run was resumed. There is no generator object and no state to save.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace thinktune::core {

// What a number is for. Two streams never share numbers. The values are part of the file format: never renumber.
enum class Stream : uint32_t {
  Sampling = 1,    // tokens of the policy's rollouts; position = index in the response
  Selection = 2,   // which rollouts are guided; prompt = prompt number
  DataOrder = 3,   // order of the problems; step = epoch
  Generator = 4,   // built-in problem generators; prompt = problem number
  Init = 5,        // random weights (tests)
  Evaluation = 6,  // sampled evaluation
  Choices = 7,     // order of a multiple choice's answers; prompt = hash of the record's id
  Bootstrap = 8,   // resampled problems of a comparison; step = number of the resample
};

// Fields that do not apply stay 0.
struct RandomKey {
  uint64_t seed = 0;
  Stream stream = Stream::Sampling;
  uint64_t step = 0;
  uint64_t prompt = 0;  // number of the prompt in the step, or of the problem
  uint32_t sample = 0;  // number of the rollout in its group
};

// Ten rounds of Philox 4x32.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

uint64_t random_bits(const RandomKey& key, uint32_t position);

// Uniform in [0, 1), a multiple of 2^-53.
double random_uniform(const RandomKey& key, uint32_t position);

// Uniform in [0, bound); bound >= 1. (Multiply-shift; the bias, bound / 2^64, is below anything measurable.)
uint64_t random_below(const RandomKey& key, uint32_t position, uint64_t bound);

// A permutation of 0..count-1 (Fisher-Yates), a function of the key alone. count < 2^32.
std::vector<uint32_t> random_permutation(const RandomKey& key, uint32_t count);

}  // namespace thinktune::core
