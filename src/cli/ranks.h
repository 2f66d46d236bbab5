// How this process meets the other ranks: what train and doctor begin with.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "thinktune/comm/communicator.h"
#include "thinktune/train/options.h"

namespace thinktune::cli {

// Starts the ranks that --nproc asks for, and returns the exit code of them all; nullopt: this process is a rank
// itself, or none was asked for (0). `last_words`: as comm::launch_local has it. Throws Error{User} where another
// launcher has started this process.
std::optional<int> launch_ranks(int64_t nproc, const std::function<std::string()>& last_words = nullptr);

// Meets the other ranks, within `timeout_s` each time; `options.device` becomes this rank's.
std::unique_ptr<comm::Communicator> join_ranks(train::TrainOptions& options, double timeout_s);

// Ends the process, which hangs in an operation and cannot be ended by an error: exit code 4, and core::last_words().
[[noreturn]] void end_stuck(const std::string& message);

}  // namespace thinktune::cli
