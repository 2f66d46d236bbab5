// Any bytes as a CSV file, and as the samples of an evaluation: refused with Error{Data}, or rows of one width.
#include <cstdlib>

#include "src/eval/csv.h"
#include "src/eval/sample_file.h"
#include "support/fuzz_file.h"
#include "thinktune/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  try {
    const eval::CsvTable table({reinterpret_cast<const char*>(data), size}, "fuzz.csv");
    for (const eval::CsvRow& row : table.rows())
      if (row.fields.size() != table.header().size()) std::abort();
    table.column("Question");
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  const test::FuzzFile file(data, size);
  try {
    const eval::SampleRows samples = eval::read_sample_rows(file.path(), {"strict", "lenient"});
    if (samples.rows.size() != samples.ends.size()) std::abort();
    if (!samples.ends.empty() && samples.ends.back() > size) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
