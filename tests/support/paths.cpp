#include "support/paths.h"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace thinktune::test {
namespace fs = std::filesystem;
namespace {

fs::path from_environment(const char* name, const fs::path& fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? fs::path(value) : fallback;
}

}  // namespace

fs::path source_folder() { return TT_SOURCE_DIR; }
fs::path golden_folder() { return from_environment("THINKTUNE_GOLDEN", source_folder() / "../shared/golden"); }
fs::path data_folder() { return from_environment("THINKTUNE_DATA", source_folder() / "../shared/data"); }
fs::path model_file() { return from_environment("THINKTUNE_MODEL", TT_DEFAULT_MODEL); }
fs::path gemma_file() {
  return from_environment("THINKTUNE_GEMMA", fs::path(TT_TEST_PACKAGES) / "gemma-3-270m-q4_k_m.gguf");
}
fs::path llama3_tokenizer_file() {
  return from_environment("THINKTUNE_LLAMA3_TOKENIZER",
                          fs::path(TT_TEST_PACKAGES) / "llama_models/llama3/tokenizer.model");
}

nlohmann::json read_json(const fs::path& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open " + path.string());
  return nlohmann::json::parse(in);
}

}  // namespace thinktune::test
