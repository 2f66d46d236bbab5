#include "thinktune/data/source.h"

#include "thinktune/core/error.h"

namespace thinktune::data {

void describe(core::Fields& f, DataOptions& o) {
  f.choice("generator", o.generator, kGeneratorNames, "built-in generator of problems; none: read files");
  f.group("arithmetic", o.arithmetic, "settings of generator = arithmetic");
  f.text("train_file", o.train_file,
         "problems to train on: JSONL rows {\"id\", \"problem\" or \"messages\", \"answer\"[, \"solution\"]}");
  f.text("heldout_file", o.heldout_file, "problems for evaluations, the same form; empty: no evaluations");
}

void validate(const DataOptions& options) {
  core::check_ranges(options, "data");
  const bool files = !options.train_file.empty() || !options.heldout_file.empty();
  if (options.generator != Generator::None && files)
    throw core::user_error("data has a generator and files",
                           "set data.generator to \"none\", or leave train_file and heldout_file out");
  if (options.generator == Generator::None && options.train_file.empty())
    throw core::user_error("data.train_file is missing",
                           "name a JSONL file of problems, or set data.generator to \"arithmetic\"");
  if (options.generator == Generator::Arithmetic) validate(options.arithmetic);
}

Problems load_problems(const DataOptions& options) {
  if (options.generator == Generator::Arithmetic)
    return {generate_arithmetic(options.arithmetic, ArithmeticSplit::Train),
            generate_arithmetic(options.arithmetic, ArithmeticSplit::HeldOut)};
  Problems problems;
  problems.train = read_jsonl(options.train_file);
  if (!options.heldout_file.empty()) problems.heldout = read_jsonl(options.heldout_file);
  return problems;
}

}  // namespace thinktune::data
