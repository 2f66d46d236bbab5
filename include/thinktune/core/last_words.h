// What a process says that ends at once, from a signal's handler or beside a thread that hangs: what was saved, and the
// command to go on. Prepared while all is well.
#pragma once

#include <string>
#include <string_view>

namespace thinktune::core {

// "saved, and whole: runs/a/checkpoints/step-4". From any thread.
void set_saved(std::string what);

// "to go on: thinktune train …". From any thread.
void set_way_on(std::string what);

// Both, each on an indented line of its own; empty before set_way_on. May be called in a handler; valid until the texts
// have been set some more times.
std::string_view last_words() noexcept;

}  // namespace thinktune::core
