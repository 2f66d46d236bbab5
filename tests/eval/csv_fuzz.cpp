// Any bytes as a CSV file: refused with Error{Data}, or rows of one width.
#include <cstdlib>

#include "src/eval/csv.h"
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
  return 0;
}
