// What exceptions that are no Error of ours say to a user.
#pragma once

#include <exception>

#include "thinktune/core/error.h"

namespace thinktune::train {

// Any exception as an Error: memory that could not be had and a failed GPU are Device, a file that cannot be used is
// User; what no door has caught is Internal, a bug. Of LibTorch's text the first line alone.
core::Error to_error(const std::exception& exception);

}  // namespace thinktune::train
