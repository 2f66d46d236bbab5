// A file of any bytes as safetensors: refused with Error, or readable to its last value.
#include "support/fuzz_file.h"
#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"
#include "weights/read_everything.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const thinktune::test::FuzzFile file(data, size);
  try {
    const thinktune::weights::Safetensors source(file.path());
    thinktune::test::read_everything(source);
  } catch (const thinktune::core::Error&) {
  }
  return 0;
}
