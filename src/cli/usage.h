// What is wrong with a command line, in the program's own words: CLI11 names neither the unknown word nor the likely
// one when something required is missing too.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "thinktune/core/error.h"

namespace thinktune::cli {

// Error{User} for a line that CLI11 refused with `refusal`. `words`: what stands behind the program's name.
core::Error usage_error(const CLI::App& app, const CLI::ParseError& refusal, const std::vector<std::string>& words);

// Checks of an option's value, with a message that a person can read.
CLI::Validator whole_number_from(int64_t least);
CLI::Validator number_from(double least);

}  // namespace thinktune::cli
