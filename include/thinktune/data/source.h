// Where a run's problems come from.
#pragma once

#include <string>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {

enum class Generator { None, Arithmetic };
inline const core::Choices<Generator> kGeneratorNames = {{"none", Generator::None},
                                                         {"arithmetic", Generator::Arithmetic}};

struct DataOptions {
  Generator generator = Generator::None;
  ArithmeticOptions arithmetic;  // with generator = arithmetic
  std::string train_file;        // JSONL, with generator = none
  std::string heldout_file;      // JSONL for evaluations; empty: none
};
void describe(core::Fields& fields, DataOptions& options);
// Throws Error{User} if both a generator and a file are given, or neither.
void validate(const DataOptions& options);

struct Problems {
  std::vector<Problem> train;
  std::vector<Problem> heldout;  // may be empty
};
Problems load_problems(const DataOptions& options);

}  // namespace thinktune::data
