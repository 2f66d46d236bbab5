// What is mapped into memory at present, as the handler of SIGBUS sees it.
#pragma once

#include <cstddef>
#include <filesystem>

namespace thinktune::core {

void add_mapped_range(const std::byte* begin, size_t num_bytes, const std::filesystem::path& path);
void remove_mapped_range(const std::byte* begin) noexcept;

}  // namespace thinktune::core
