// A run's tensors on their way into a checkpoint and back, together from all ranks.
#pragma once

#include <filesystem>

#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/train/run.h"

namespace thinktune::train {

// What a checkpoint takes of the run, for rank 0; all ranks call it. `beside`: for a save beside the next steps. Else,
// of shares, tensors come together while they are written, and the ranks that write nothing have sent all of theirs
// when it returns. `policy` is where weights are put that no rank holds whole; it must outlive the result.
checkpoint::RunTensors tensors_to_save(const Run& run, bool beside, model::Weights& policy);

// Master weights and moments from a checkpoint's folder, read by rank 0.
void restore_tensors(const Run& run, const std::filesystem::path& folder);

}  // namespace thinktune::train
