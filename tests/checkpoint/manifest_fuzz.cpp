// Any bytes as the manifest of a checkpoint with one file "a": refused with Error{Data}, or "a" is what it says.
#include <fstream>

#include "src/checkpoint/manifest.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"

namespace {

struct Folder {
  Folder() { std::ofstream(folder.path() / "a") << "content"; }
  thinktune::test::TempFolder folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  static const Folder shared;
  std::ofstream(shared.folder.path() / checkpoint::kManifestName, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    checkpoint::verify_manifest(shared.folder.path());
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
