#include "weights/checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace thinktune::weights {

std::optional<int64_t> checked_product(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

std::optional<int64_t> checked_num_elements(std::span<const int64_t> shape) {
  std::optional<int64_t> count = 1;
  for (const int64_t size : shape) {
    count = checked_product(*count, size);
    if (!count) return std::nullopt;
  }
  return count;
}

std::optional<int64_t> checked_bytes(DType dtype, int64_t num_elements) {
  const BlockSize block = block_size(dtype);
  return checked_product(num_elements / static_cast<int64_t>(block.elements), static_cast<int64_t>(block.bytes));
}

std::string shown(std::string_view name) {
  constexpr size_t kMaxBytes = 100;
  std::string text = "'";
  for (const char c : name.substr(0, kMaxBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f)
      text += c;
    else
      text += fmt::format("\\x{:02x}", byte);
  }
  return text + (name.size() > kMaxBytes ? "…'" : "'");
}

std::optional<size_t> first_byte_not_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    const unsigned char lead = byte(i);
    const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || length > text.size() - i) return i;
    for (size_t k = 1; k < length; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return i;
    // The second byte also excludes longer forms of smaller characters, surrogates, and what lies beyond U+10FFFF.
    if ((lead == 0xe0 && byte(i + 1) < 0xa0) || (lead == 0xed && byte(i + 1) > 0x9f) ||
        (lead == 0xf0 && byte(i + 1) < 0x90) || (lead == 0xf4 && byte(i + 1) > 0x8f))
      return i;
    i += length;
  }
  return std::nullopt;
}

std::string to_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string hint_for_damaged(const core::MappedFile& file) {
  constexpr std::string_view kLfsPointer = "version https://git-lfs";
  const std::string_view content(reinterpret_cast<const char*>(file.data()), file.size());
  if (content.starts_with(kLfsPointer))
    return "this is a Git LFS pointer, not the file itself: run 'git lfs pull' in its folder";
  if (content.starts_with("PK\x03\x04") || content.starts_with("\x80\x02"))
    return "this looks like a PyTorch pickle, which runs code when it is read: convert it to safetensors";
  return "the download may be incomplete or damaged: fetch the file again";
}

}  // namespace thinktune::weights
