// Sampling where memory may not suffice for as many sequences at a time as EngineOptions::max_sequences.
#pragma once

#include <cstdint>
#include <exception>

#include "thinktune/infer/engine.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {

// An on_fewer for the log.
void warn_of_fewer(int64_t before, int64_t now);

// f(), which samples with `engine`; while memory does not suffice, again with half as many sequences at a time: the
// same results, more slowly. on_fewer(before, now) is called before each further try. What f() throws is thrown on, as
// is an allocation that fails for a single sequence.
template <class F, class OnFewer>
auto within_memory(Engine& engine, const OnFewer& on_fewer, const F& f) {
  for (;;) {
    const int64_t before = engine.max_sequences();
    try {
      return f();
    } catch (const std::exception& error) {
      if (!ops::is_out_of_memory(error) || before == 1) throw;
    }
    engine.release();
    engine.set_max_sequences(before / 2);
    on_fewer(before, before / 2);
  }
}

}  // namespace thinktune::infer
