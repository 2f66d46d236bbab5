// What the folder of a run holds when one begins there or goes on: whether it may. Rank 0 alone looks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/core/error.h"
#include "thinktune/train/options.h"

namespace thinktune::train {

std::filesystem::path checkpoint_folder(const TrainOptions& options);

// A run has begun here.
bool has_results(const TrainOptions& options);

// Two names of one file or folder.
bool are_one(const std::filesystem::path& a, const std::filesystem::path& b);

// All throw Error{User}.

// A folder of checkpoints that is a link to nowhere, as to a disk that is not mounted, which the first save would find.
void check_checkpoint_folder(const TrainOptions& options);

// Before a new run: a later resume would take the newest checkpoint of the folder for this run's.
void refuse_old_checkpoints(const TrainOptions& options, const model::ModelConfig& config);

// Of a run that has begun and has no checkpoint: it ended before its first one, or they are gone, which is refused.
void refuse_lost_checkpoints(const TrainOptions& options);

// Before a run goes on here from a checkpoint of another folder: metrics and checkpoints that are here would be taken
// for those of the run that it is of.
void refuse_other_results(const TrainOptions& options, const std::filesystem::path& checkpoint);

// Error{Data} after checkpoints that were passed over, whose reasons `skipped` has; Error{User} where there is none.
core::Error nothing_to_resume(const std::filesystem::path& folder, const std::vector<std::string>& skipped);

}  // namespace thinktune::train
