// Any bytes as the manifest of a checkpoint with small files: refused with Error{Data}, or each of them is what it
// says.
#include <cstdlib>
#include <fstream>

#include "src/checkpoint/manifest.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"

namespace {

struct Folder {
  Folder() {
    for (const char* name : {"state.json", "training_state.safetensors", "config.json", "model.safetensors", "a"})
      std::ofstream(folder.path() / name) << "content";
  }
  thinktune::test::TempFolder folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  static const Folder shared;
  std::ofstream(shared.folder.path() / checkpoint::kManifestName, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    // Only "a" is a file that a manifest may leave out.
    const std::vector<std::string> unlisted = checkpoint::verify_manifest(shared.folder.path());
    if (!unlisted.empty() && unlisted != std::vector<std::string>{"a"}) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
