// How this process meets the other ranks: what train and doctor begin with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "thinktune/comm/communicator.h"
#include "thinktune/train/options.h"

namespace thinktune::cli {

// Starts the ranks that --nproc asks for, and returns the exit code of them all; nullopt: this process is a rank
// itself, or none was asked for (0). Throws Error{User} where another launcher has started this process.
std::optional<int> launch_ranks(int64_t nproc);

// Meets the other ranks, within `timeout_s` each time; `options.device` becomes this rank's.
std::unique_ptr<comm::Communicator> join_ranks(train::TrainOptions& options, double timeout_s);

}  // namespace thinktune::cli
