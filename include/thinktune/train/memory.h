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

// Whose memory: the machine's, where the CPU computes, or a GPU's, where a GPU does.
enum class Processor : uint8_t { Cpu, Gpu };

// Tokens whose keys and values the run's engines can hold at a time, as long as they fit into their bound: a GPU has
// room for so many from the first of them on. Student and teacher have one memory and sample one after the other; what
// all of the teacher's prompts begin with stays there.
int64_t kv_tokens(const TrainOptions& options);

// Everything that a step holds, by name. Weights and optimiser are exact, the cache is what it can become, activations
// are counted from what the backward pass keeps of each token. LibTorch's own code and buffers come on top. With
// several ranks: what each of them holds. comm.gather = auto is taken for whole.
std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options,
                                           int64_t num_ranks = 1, Processor processor = Processor::Cpu);

// Of the copy that a save beside training is written from, on the host of rank 0; 0: no save makes one.
int64_t bytes_of_saved_copy(const model::ModelConfig& config, const TrainOptions& options);

// What is always there, and the larger of sampling and update.
int64_t peak_bytes(const std::vector<MemoryPart>& parts);

// comm.gather, with comm.shard = parameters, on a rank that may fill so many bytes; never Auto, which is the first of
// the others with which the step's peak is within nine tenths of them.
comm::Gather gather_that_fits(const model::ModelConfig& config, const TrainOptions& options, int64_t num_ranks,
                              int64_t device_bytes, Processor processor);

// "fits 48 and 80 GB, not 24 GB": of the usual sizes of a GPU, taken as thousand millions of bytes, which leaves a card
// of that name 7 % for what is not counted.
std::string gpus_that_hold(int64_t bytes);

}  // namespace thinktune::train
