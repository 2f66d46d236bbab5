// Does a run of this config, on this machine, go on after a kill -9 as if nothing had happened?
#pragma once

#include "thinktune/train/options.h"

namespace thinktune::cli {

// Trains three steps (or as many as the run has) twice with this process's command line, beside the output folder: once
// in one go; once killed in the midst of a step after the first, gone on with, killed in the midst of a save, and gone
// on with. Compares weights, optimiser, the run's state, rollouts, metrics and evaluations (of four held-out problems
// after each step; times aside) byte by byte. Prints what it did. Throws Error{Device} naming file and place of the
// first difference; both runs' files stay then. Throws Error{User} if one of the runs fails, or if no kill came in
// time: then nothing is proved.
int verify_resume(const train::TrainOptions& options);

}  // namespace thinktune::cli
