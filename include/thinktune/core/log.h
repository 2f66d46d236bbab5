// Set-up of the log. Every room writes with spdlog::info, spdlog::warn, … to spdlog's default logger; this is where it
// goes.
//
//   08:31:02 the model has 30 layers
//   08:31:09 warning: 12 prompts are longer than 512 tokens and are left out
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace thinktune::core {

// One console logger to stderr. `level` is trace, debug, info, warning, error or off; empty: the environment's
// THINKTUNE_LOG, or info. Warnings and errors are coloured if stderr is a terminal and NO_COLOR is not set. Throws
// Error{User} for an unknown level. A second call replaces the first one's logger and closes its file. Call it before
// other threads write.
void set_up_logging(std::string_view level = "");

// Writes the log to `file` too, with whole UTC time stamps and without colour; appends if it is there. Call it after
// set_up_logging, before other threads write. Throws Error{User} if the file cannot be written.
void add_log_file(const std::filesystem::path& file);

}  // namespace thinktune::core
