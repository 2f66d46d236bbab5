// Where tests find what is not in the project: goldens, data sets, the real model. Each returns an empty path if it is
// absent; TT_REQUIRE_* skips the test then and prints why.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "support/temp_folder.h"

namespace thinktune::test {

std::filesystem::path golden_folder();  // THINKTUNE_GOLDEN, default ../shared/golden beside the project
std::filesystem::path data_folder();    // THINKTUNE_DATA, default ../shared/data
std::filesystem::path model_file();     // THINKTUNE_MODEL, default the GGUF that scripts/setup.sh installed
// THINKTUNE_GEMMA (Gemma 3 270M Q4_K_M) and THINKTUNE_LLAMA3_TOKENIZER (tokenizer.model, tiktoken's format), default
// what scripts/setup.sh --tests installed.
std::filesystem::path gemma_file();
std::filesystem::path llama3_tokenizer_file();
std::filesystem::path source_folder();  // the project's root

nlohmann::json read_json(const std::filesystem::path& path);  // fails the test by an exception if it cannot be parsed

}  // namespace thinktune::test

#define TT_REQUIRE_FILE(path)                                                             \
  do {                                                                                    \
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "not there: " << (path).string(); \
  } while (false)
