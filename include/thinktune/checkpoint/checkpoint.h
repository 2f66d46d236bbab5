// A checkpoint is one folder, there whole or not at all:
//
//   config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json, chat_template.jinja
//                               the policy as a Hugging Face folder: transformers loads it as it is
//   training_state.safetensors  f32 master weights and both AdamW moments
//   state.json                  step, seed, data position, update count, rows of the metrics, guard, the resolved
//                               config and checksums of what it names, versions
//   manifest.json               size and checksum (XXH3, 64 bits) of every other file, written last
//
// It is written under a temporary name, file and folder are flushed, and it is renamed: whatever ends the process or
// the machine's power, at any moment, the newest checkpoint that has its name is whole. Random numbers are
// counter-based, and schedules are functions of the step: seed and step are their whole state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/checkpoint/run_state.h"
#include "thinktune/core/options.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/optim/adamw.h"

namespace thinktune::checkpoint {

// What is best, of an evaluation on the held-out problems; more is better.
enum class Metric {
  Accuracy,  // pass@1
  Majority,  // the answer that most of a problem's samples give
};
inline const core::Choices<Metric> kMetricNames = {{"accuracy", Metric::Accuracy}, {"majority", Metric::Majority}};

// Which checkpoints stay when a new one is complete; the newest always does.
struct Retention {
  int64_t keep_last = 2;  // the newest; 0: all
  int64_t keep_best = 0;  // besides them those of the best scores; of equal ones the oldest
};

// What evaluations said of the run by steps done: best_metric, more is better.
using Scores = std::map<int64_t, double>;

// Whether the score of `step` is among the best `count`, of equal ones the oldest.
bool is_among_best(const Scores& scores, int64_t step, int64_t count);

struct CheckpointOptions {
  int64_t every = 50;  // steps between checkpoints; the last step always makes one. 0: only that
  Retention retention;
  Metric best_metric = Metric::Accuracy;
  bool background = true;  // write beside the next steps, from a copy
};
void describe(core::Fields& fields, CheckpointOptions& options);
void validate(const CheckpointOptions& options);

// What is saved and restored, by reference.
struct RunTensors {
  const model::ModelConfig* config = nullptr;
  const model::Vocabulary* vocabulary = nullptr;
  const model::Weights* policy = nullptr;  // in the precision that samples; becomes the Hugging Face folder
  std::vector<at::Tensor> master;          // f32, in the order of model::tensor_list
  std::vector<at::Tensor> first_moments;
  std::vector<at::Tensor> second_moments;
  // Of save(): where no process holds these tensors whole, they have only shapes (on the device meta), and each call
  // gives the next one's values: all of master, then all first moments, then all second moments.
  std::function<at::Tensor()> next;
  bool are_copies = false;  // of Saver::start(): nothing changes them, so that none is copied
};

// <folder>/step-N.
std::filesystem::path folder_of(const std::filesystem::path& folder, int64_t step);

// Writes <folder>/step-N, and then removes others as `retention` says, by the scores of their steps. `folder`
// must be there. Throws Error{User} if it cannot be written, Error{Device} naming the tensor if a number is not finite:
// nothing is left behind then, and older checkpoints are untouched.
std::filesystem::path save(const std::filesystem::path& folder, const RunState& state, const RunTensors& tensors,
                           const Retention& retention, const Scores& scores = {});

// "saved, and whole: runs/a/checkpoints/step-4"; of no path that nothing was.
std::string what_was_saved(const std::filesystem::path& checkpoint);

// The newest one that is there under its name, not checked; empty: none.
std::filesystem::path newest_in(const std::filesystem::path& folder);

// A checkpoint that passed its manifest, not yet loaded.
struct Found {
  std::filesystem::path path;
  RunState state;
};

// The newest checkpoint in `folder` that is whole and belongs to a model of this config. What is passed over, and why,
// goes into `skipped`, one sentence each. nullopt if there is none.
std::optional<Found> find_newest(const std::filesystem::path& folder, const model::ModelConfig& config,
                                 std::vector<std::string>& skipped);

// The one that `name` says: "12" or "step-12" of `folder`, or a path. Throws Error{User} if it is not there,
// Error{Data} if it is damaged or another model's.
Found find_named(const std::filesystem::path& folder, const std::string& name, const model::ModelConfig& config);

// Moves the checkpoints of steps after `step` to <folder>/set-aside-M-of-step-N, and returns their new paths: a run
// that goes on from an earlier one must not be taken for theirs, and what is whole is never deleted for it.
std::vector<std::filesystem::path> set_aside_later(const std::filesystem::path& folder, int64_t step);

// Fills master weights and moments in place. Throws Error{Data} for a tensor that is missing or of another shape.
void load_tensors(const std::filesystem::path& checkpoint, const RunTensors& tensors);

// Size and checksum of every file against the manifest; throws Error{Data} naming the first that differs, or one that a
// checkpoint has and the manifest does not list. Returns the names of other files that it does not list, which no
// resume reads; hidden ones, which file systems and file managers leave, are left out.
std::vector<std::string> verify(const std::filesystem::path& checkpoint);

}  // namespace thinktune::checkpoint
