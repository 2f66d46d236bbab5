// Ranks on this machine, without another launcher: this program again, N times.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace thinktune::comm {

// Whether this process is one of launch_local's ranks.
bool is_launched();

// Starts this program `num_ranks` times with its own command line and the environment that read_environment() reads,
// and returns the run's exit code when all have ended. Rank 0 has this process's standard output; what the ranks write
// to the standard error comes through here, that of ranks above 0 marked with their number. What a rank says from
// "error: " on is held back until all have ended.
//
// When a rank fails the others are stopped; its error comes last, and its exit code is returned (that of Error{Device}
// if it was killed, of Error{Internal} if it crashed); of one that was killed, or said nothing, what `last_words`
// returns is said after it: indented lines, what was saved and how to go on. SIGINT, SIGTERM, SIGHUP (unless it is
// ignored, as under nohup), SIGUSR1 and SIGUSR2 are passed on to all ranks; those that do not end within ten seconds of
// a second ending one are killed. If this process dies, the ranks die with it. Throws Error{Device} if a process cannot
// be started. To be called before other threads run.
int launch_local(int64_t num_ranks, const std::function<std::string()>& last_words = nullptr);

}  // namespace thinktune::comm
