// Does a run of this config, on this machine, go on after a kill -9 as if nothing had happened?
#pragma once

#include "thinktune/train/options.h"

namespace thinktune::cli {

// Trains three steps (or as many as the run has) twice with this process's command line, beside the output folder: once
// in one go, once killed in the second step and resumed; and compares weights, optimiser, metrics (times aside) and
// rollouts byte by byte. Prints what it did. Throws Error{Device} naming file and place of the first difference; both
// runs' files stay then. Throws Error{User} if one of the runs fails.
int verify_resume(const train::TrainOptions& options);

}  // namespace thinktune::cli
