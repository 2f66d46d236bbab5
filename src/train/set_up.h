// Making the parts of a run.
#pragma once

#include "thinktune/train/run.h"

namespace thinktune::train {

// Opens the model, reads the data, and makes every part that the options ask for.
void set_up(Run& run);

}  // namespace thinktune::train
