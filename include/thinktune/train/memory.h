// What training takes, from the config's sizes: known before anything is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/train/options.h"

namespace thinktune::train {

enum class MemoryPhase : uint8_t { Always, Sampling, Update };

struct MemoryPart {
  std::string what;
  int64_t bytes = 0;
  MemoryPhase phase = MemoryPhase::Always;  // when it is there
};

// Everything that a step holds, by name. Weights and optimiser are exact, the cache is what it can become, activations
// are counted from what the backward pass keeps of each token. LibTorch's own code and buffers come on top. With
// several ranks: what each of them holds.
std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options,
                                           int64_t num_ranks = 1);

// What is always there, and the larger of sampling and update.
int64_t peak_bytes(const std::vector<MemoryPart>& parts);

}  // namespace thinktune::train
