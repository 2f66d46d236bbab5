// The metadata of a GGUF file.
#include <unordered_set>

#include "weights/gguf_format.h"
#include "weights/gguf_parts.h"

namespace thinktune::weights {
namespace {

constexpr uint64_t kMaxItems = 1 << 24;  // the largest vocabularies have some 2^18

bool read_bool(GgufCursor& cursor, std::string_view what) {
  const auto value = cursor.scalar<uint8_t>(what);
  if (value > 1) throw cursor.error(fmt::format("{} is a bool of value {}", what, value));
  return value == 1;
}

template <class T, class ReadItem>
std::vector<T> read_items(GgufCursor& cursor, uint64_t count, size_t item_bytes, std::string_view what,
                          ReadItem read_item) {
  cursor.require(count, item_bytes, what);
  if (count > kMaxItems)
    throw cursor.error(fmt::format("{} has {} items (at most {} are read)", what, count, kMaxItems),
                       hint_for_damaged(cursor.file()));
  std::vector<T> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(read_item(cursor, what));
  return items;
}

GgufValue read_array(GgufCursor& cursor, std::string_view what) {
  const auto type = cursor.scalar<uint32_t>(what);
  const auto count = cursor.scalar<uint64_t>(what);
  const auto integers = [&]<class T>(T) {
    return read_items<int64_t>(cursor, count, sizeof(T), what, read_integer<T>);
  };
  const auto floats = [&]<class T>(T) {
    return read_items<double>(cursor, count, sizeof(T), what,
                              [](GgufCursor& r, std::string_view w) { return double{r.scalar<T>(w)}; });
  };
  switch (static_cast<GgufType>(type)) {
    case GgufType::U8:
      return integers(uint8_t{});
    case GgufType::I8:
      return integers(int8_t{});
    case GgufType::U16:
      return integers(uint16_t{});
    case GgufType::I16:
      return integers(int16_t{});
    case GgufType::U32:
      return integers(uint32_t{});
    case GgufType::I32:
      return integers(int32_t{});
    case GgufType::U64:
      return integers(uint64_t{});
    case GgufType::I64:
      return integers(int64_t{});
    case GgufType::F32:
      return floats(float{});
    case GgufType::F64:
      return floats(double{});
    case GgufType::Bool:
      return read_items<int64_t>(cursor, count, 1, what, read_bool);
    case GgufType::String:  // an empty string still takes its eight bytes of length
      return read_items<std::string>(cursor, count, sizeof(uint64_t), what,
                                     [](GgufCursor& r, std::string_view w) { return std::string(r.string(w)); });
    case GgufType::Array:
      throw cursor.error(fmt::format("{} is an array of arrays, which cannot be read", what));
  }
  throw cursor.error(fmt::format("{} is an array of items of type {}, which GGUF does not define", what, type),
                     "the file is damaged, or of a newer format");
}

GgufValue read_value(GgufCursor& cursor, std::string_view what) {
  const auto type = cursor.scalar<uint32_t>(what);
  switch (static_cast<GgufType>(type)) {
    case GgufType::U8:
      return read_integer<uint8_t>(cursor, what);
    case GgufType::I8:
      return read_integer<int8_t>(cursor, what);
    case GgufType::U16:
      return read_integer<uint16_t>(cursor, what);
    case GgufType::I16:
      return read_integer<int16_t>(cursor, what);
    case GgufType::U32:
      return read_integer<uint32_t>(cursor, what);
    case GgufType::I32:
      return read_integer<int32_t>(cursor, what);
    case GgufType::U64:
      return read_integer<uint64_t>(cursor, what);
    case GgufType::I64:
      return read_integer<int64_t>(cursor, what);
    case GgufType::F32:
      return double{cursor.scalar<float>(what)};
    case GgufType::F64:
      return cursor.scalar<double>(what);
    case GgufType::Bool:
      return read_bool(cursor, what);
    case GgufType::String:
      return std::string(cursor.string(what));
    case GgufType::Array:
      return read_array(cursor, what);
  }
  throw cursor.error(fmt::format("{} is of type {}, which GGUF does not define", what, type),
                     "the file is damaged, or of a newer format");
}

}  // namespace

std::vector<std::pair<std::string, GgufValue>> read_gguf_values(GgufCursor& cursor, uint64_t count) {
  std::vector<std::pair<std::string, GgufValue>> values;
  values.reserve(count);
  std::unordered_set<std::string_view> keys;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor.string(fmt::format("the key of metadata value {}", i));
    if (!keys.insert(key).second) throw cursor.error(fmt::format("the metadata key {} is there twice", shown(key)));
    values.emplace_back(key, read_value(cursor, fmt::format("the metadata value {}", shown(key))));
  }
  return values;
}

}  // namespace thinktune::weights
