// Making the parts of a run.
#pragma once

#include <memory>

#include "thinktune/train/run.h"

namespace thinktune::train {

// Opens the model, reads the data, and makes every part that the options ask for. `teacher` replaces the initial model
// as the teacher; null: the initial model.
void set_up(Run& run, std::unique_ptr<guidance::Teacher> teacher);

}  // namespace thinktune::train
