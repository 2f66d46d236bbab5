// How the program's heap treats memory that is freed.
#pragma once

namespace thinktune::core {

// Freed memory stays the process's for the next operation: given back to the system, each large tensor would come back
// as pages to be cleared (a tenth of an update's time). Nothing has pages of its own then, so what a run allocates must
// not fragment the heap (tests/fault/soak_test.cpp). To be called once, before much memory is in use.
void keep_freed_memory();

// The reverse: what is freed leaves the process, for runs that divide what they hold so that it fits.
void give_back_freed_memory();

}  // namespace thinktune::core
