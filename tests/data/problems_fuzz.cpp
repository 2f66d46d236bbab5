// A file of any bytes as problems or as worked examples: refused with Error, or problems that keep what they promise.
#include <cstdlib>

#include "support/fuzz_file.h"
#include "thinktune/core/error.h"
#include "thinktune/data/dataset.h"
#include "thinktune/data/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  const test::FuzzFile file(data, size);
  try {
    const auto problems = data::read_jsonl(file.path());
    if (problems.empty()) std::abort();
    for (const data::Problem& problem : problems)
      if (problem.id.empty() || problem.answer.empty() || (problem.problem.empty() && problem.messages.empty()))
        std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  try {
    if (data::read_examples(file.path()).empty()) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
