// What the log and the progress line must agree on, since both write to stderr.
#pragma once

#include <mutex>

namespace thinktune::core {

// Held by whoever writes to the terminal.
std::mutex& console_mutex();

// True while a progress line stands on stderr's last line. Read and written under console_mutex.
bool& progress_line_on_stderr();

// Returns the cursor to the beginning of the line and clears it.
inline constexpr char kEraseLine[] = "\r\033[K";

}  // namespace thinktune::core
