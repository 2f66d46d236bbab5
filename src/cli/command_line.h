// This process's own command line, to be shown or run again.
#pragma once

#include <string>
#include <vector>

namespace thinktune::cli {

std::vector<std::string> own_command_line();

// Words as a shell reads them back.
std::string quoted(const std::vector<std::string>& words);

}  // namespace thinktune::cli
