// Any bytes as model.safetensors.index.json beside one good shard "a.safetensors" that holds the tensor "w": refused
// with Error, or opened.
#include <fstream>

#include "support/temp_folder.h"
#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"

namespace {

struct Folder {
  Folder() {
    const float value = 1.0f;
    thinktune::weights::write_safetensors(folder.path() / "a.safetensors",
                                          {{"w", thinktune::weights::DType::F32, {1}, &value}});
  }
  thinktune::test::TempFolder folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder shared;
  const std::filesystem::path folder = shared.folder.path();
  std::ofstream(folder / "model.safetensors.index.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    thinktune::weights::open_safetensors_folder(folder);
  } catch (const thinktune::core::Error&) {
  }
  return 0;
}
