// What training takes, from the config's sizes: known before anything is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/train/options.h"

namespace thinktune::train {

struct MemoryPart {
  std::string what;
  int64_t bytes = 0;
};

// All that is alive at the peak of a step, by name. Weights and optimiser are exact, the cache is what it can become,
// activations are counted from what the backward pass keeps of each token. For the quickstart the sum is 5.6 GB and the
// process's peak over three steps 6.3 GB, LibTorch's own code and buffers included.
std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options);

int64_t total_bytes(const std::vector<MemoryPart>& parts);

}  // namespace thinktune::train
