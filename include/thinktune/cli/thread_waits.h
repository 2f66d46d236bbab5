// How LibTorch's threads wait for each other.
#pragma once

namespace thinktune::cli {

// Threads of a product or a loop wait for the last of them by asking again and again, LibTorch's libgomp 300,000 times
// before one sleeps: milliseconds, in which a thread that has work and shares the core stands still. Beside other
// work on the machine that can cost most of the time; alone a few thousand times do as well (README, "Beside other
// work"). libgomp reads its environment before main(), so the program starts itself once more, with the variable set; a
// user's own GOMP_SPINCOUNT or OMP_WAIT_POLICY stays. To be called first. Goes on as it is where that cannot be.
void wait_shortly_for_threads(char** argv);

}  // namespace thinktune::cli
