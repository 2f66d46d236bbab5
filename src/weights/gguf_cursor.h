// Reads forward through a mapped file; nothing is read or allocated before the file is known to hold it.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "weights/checks.h"

namespace thinktune::weights {

class GgufCursor {
 public:
  explicit GgufCursor(const core::MappedFile& file) : file_(file) {}

  size_t position() const { return position_; }
  const core::MappedFile& file() const { return file_; }

  core::Error error(const std::string& message, std::string hint = "") const {
    return core::data_error(fmt::format("{}: {}", file_.path().string(), message), std::move(hint));
  }

  // Throws unless `count` items of at least `item_bytes` each can still follow.
  void require(uint64_t count, size_t item_bytes, std::string_view what) const {
    const size_t left = file_.size() - position_;
    if (count > left / item_bytes)
      throw error(fmt::format("truncated in {}: {} x {} bytes announced at byte {}, {} left", what, count, item_bytes,
                              position_, left),
                  hint_for_damaged(file_));
  }

  template <class T>
  T scalar(std::string_view what) {
    require(1, sizeof(T), what);
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  // A view into the mapped file; UTF-8.
  std::string_view string(std::string_view what) {
    const auto length = scalar<uint64_t>(what);
    require(length, 1, what);
    if (length > kMaxTextBytes)
      throw error(fmt::format("{} is a text of {} bytes (at most {} are read)", what, length, kMaxTextBytes),
                  hint_for_damaged(file_));
    const size_t start = position_;
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + start, length);
    position_ += length;
    if (const auto bad = first_byte_not_utf8(text))
      throw error(fmt::format("{} is not UTF-8 (byte {} of the file)", what, start + *bad), hint_for_damaged(file_));
    return text;
  }

 private:
  static constexpr uint64_t kMaxTextBytes = 1 << 26;

  const core::MappedFile& file_;
  size_t position_ = 0;
};

// An integer of type T as int64. Throws for one beyond its range.
template <class T>
int64_t read_integer(GgufCursor& cursor, std::string_view what) {
  const T value = cursor.scalar<T>(what);
  if constexpr (std::is_same_v<T, uint64_t>)
    if (value > static_cast<uint64_t>(INT64_MAX))
      throw cursor.error(fmt::format("{} is {}, more than an int64 holds", what, value));
  return static_cast<int64_t>(value);
}

}  // namespace thinktune::weights
