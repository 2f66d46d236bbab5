// A checkpoint's manifest after a change of one of its files, as whoever changes a file on purpose would make it.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "thinktune/core/atomic_file.h"

namespace thinktune::test {

inline void list_anew(const std::filesystem::path& checkpoint, const std::string& name) {
  const std::string content = core::read_file(checkpoint / name, "file");
  auto manifest = nlohmann::json::parse(core::read_file(checkpoint / "manifest.json", "manifest"));
  manifest["files"][name] = {{"bytes", content.size()},
                             {"xxh3", fmt::format("{:016x}", core::xxh3_of(std::as_bytes(std::span(content))))}};
  std::ofstream(checkpoint / "manifest.json", std::ios::binary) << manifest.dump();
}

}  // namespace thinktune::test
