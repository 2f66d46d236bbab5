// Settings of what ranks do together.
#pragma once

#include <cstdint>

#include "thinktune/core/options.h"

namespace thinktune::comm {

// What is divided over the ranks instead of being held by each of them.
enum class Shard {
  None,
  Optimizer,   // AdamW's moments and, in bf16, the f32 master weights (ZeRO-1)
  Gradients,   // also the gradients (ZeRO-2)
  Parameters,  // also the weights that compute (ZeRO-3)
};
inline const core::Choices<Shard> kShardNames = {{"none", Shard::None},
                                                 {"optimizer", Shard::Optimizer},
                                                 {"gradients", Shard::Gradients},
                                                 {"parameters", Shard::Parameters}};

// How weights that are divided come together for passes without gradient.
enum class Gather {
  Auto,   // the first of these that fits
  Keep,   // all layers, when they have changed, in memory that is theirs for the run
  Whole,  // all layers, once for sampling, once for each other phase of a step
  Layer,  // layer by layer, in every pass
};
inline const core::Choices<Gather> kGatherNames = {
    {"auto", Gather::Auto}, {"keep", Gather::Keep}, {"whole", Gather::Whole}, {"layer", Gather::Layer}};

struct CommOptions {
  double timeout_s = 1800;
  Shard shard = Shard::None;
  Gather gather = Gather::Auto;
  bool fixed_order = false;
  int64_t bucket_mib = 25;
};
void describe(core::Fields& fields, CommOptions& options);
void validate(const CommOptions& options);

}  // namespace thinktune::comm
