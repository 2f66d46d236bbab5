// A checkpoint is one folder, there whole or not at all:
//
//   config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json, chat_template.jinja
//                               the policy as a Hugging Face folder: transformers loads it as it is
//   training_state.safetensors  f32 master weights and both AdamW moments
//   state.json                  step, data position, update count, guard, the resolved config, versions
//   manifest.json               size and checksum (XXH3) of every other file, written last
//
// It is written under a temporary name, flushed, and renamed. Random numbers are counter-based: the step is their whole
// state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/optim/adamw.h"

namespace thinktune::checkpoint {

struct CheckpointOptions {
  int64_t every = 0;      // steps between checkpoints; the last step always makes one
  int64_t keep_last = 2;  // older ones are removed after a new one is complete; 0: keep all
};
void describe(core::Fields& fields, CheckpointOptions& options);
void validate(const CheckpointOptions& options);

// The run's state beside the tensors.
struct RunState {
  int64_t step = 0;            // steps done
  uint64_t data_position = 0;  // problems handed out
  int64_t num_updates = 0;     // of the optimiser
  std::string guard;           // guidance's guard, as it writes itself; may be empty
  std::string config;          // the resolved config, JSON
};

// What is saved and restored, by reference.
struct RunTensors {
  const model::ModelConfig* config = nullptr;
  const model::Vocabulary* vocabulary = nullptr;
  const model::Weights* policy = nullptr;  // in the precision that samples; becomes the Hugging Face folder
  std::vector<at::Tensor> master;          // f32, in the order of model::tensor_list
  std::vector<at::Tensor> first_moments;
  std::vector<at::Tensor> second_moments;
};

// <folder>/step-N.
std::filesystem::path folder_of(const std::filesystem::path& folder, int64_t step);

// Writes <folder>/step-N and removes older ones beyond keep_last. Throws Error{User} if it cannot be written (nothing
// is left behind then, older checkpoints are untouched).
std::filesystem::path save(const std::filesystem::path& folder, const RunState& state, const RunTensors& tensors,
                           int64_t keep_last);

// A checkpoint that passed its manifest, not yet loaded.
struct Found {
  std::filesystem::path path;
  RunState state;
};

// The newest checkpoint in `folder` that is whole and belongs to a model of this config. What is passed over, and why,
// goes into `skipped`, one sentence each. nullopt if there is none.
std::optional<Found> find_newest(const std::filesystem::path& folder, const model::ModelConfig& config,
                                 std::vector<std::string>& skipped);

// Fills master weights and moments in place. Throws Error{Data} for a tensor that is missing or of another shape.
void load_tensors(const std::filesystem::path& checkpoint, const RunTensors& tensors);

// Size and checksum of every file against the manifest; throws Error{Data} naming the first that differs.
void verify(const std::filesystem::path& checkpoint);

}  // namespace thinktune::checkpoint
