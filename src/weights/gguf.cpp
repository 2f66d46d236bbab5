// The reader: one file, or the parts of a split one. The layout is described in gguf_format.h.
#include "thinktune/weights/gguf.h"

#include <array>
#include <bit>
#include <unordered_set>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "weights/checks.h"
#include "weights/gguf_cursor.h"
#include "weights/gguf_format.h"
#include "weights/gguf_parts.h"

namespace thinktune::weights {
namespace fs = std::filesystem;
namespace {

struct Counts {
  uint64_t num_tensors = 0;
  uint64_t num_values = 0;
};

Counts read_header(GgufCursor& cursor) {
  constexpr uint64_t kMaxEntries = 1 << 20;  // a model has some tens of values and some thousands of tensors
  if (cursor.scalar<std::array<char, 4>>("the magic number") != kGgufMagic)
    throw cursor.error("this is no GGUF file (it does not begin with 'GGUF')", hint_for_damaged(cursor.file()));
  const auto version = cursor.scalar<uint32_t>("the version");
  if (version == 0x01000000u || version == 0x02000000u || version == 0x03000000u)
    throw cursor.error("this GGUF file is big-endian", "convert it to little-endian (gguf-py: gguf_convert_endian.py)");
  if (version != 2 && version != kGgufVersion)
    throw cursor.error(fmt::format("GGUF version {} cannot be read (versions 2 and 3 can)", version),
                       "convert the model again with a current llama.cpp");
  Counts counts;
  counts.num_tensors = cursor.scalar<uint64_t>("the number of tensors");
  counts.num_values = cursor.scalar<uint64_t>("the number of metadata values");
  cursor.require(counts.num_values, 8 + 4 + 1, "the metadata");  // the shortest: empty key, type, one byte
  cursor.require(counts.num_tensors, 8 + 4 + 4 + 8,
                 "the tensor list");  // the shortest: empty name, no dims, type, offset
  if (counts.num_values > kMaxEntries || counts.num_tensors > kMaxEntries)
    throw cursor.error(fmt::format("{} metadata values and {} tensors are announced (at most {} of each are read)",
                                   counts.num_values, counts.num_tensors, kMaxEntries),
                       hint_for_damaged(cursor.file()));
  return counts;
}

using Values = std::vector<std::pair<std::string, GgufValue>>;

const GgufValue* find_in(const Values& values, std::string_view key) {
  for (const auto& [name, value] : values)
    if (name == key) return &value;
  return nullptr;
}

std::string_view kind_of(const GgufValue& value) {
  constexpr std::array<std::string_view, 7> kKinds = {
      "a bool", "an integer", "a number", "a text", "a list of integers", "a list of numbers", "a list of texts"};
  static_assert(kKinds.size() == std::variant_size_v<GgufValue>);
  return kKinds[value.index()];
}

// The value, which must be of type T.
template <class T>
const T& typed(const GgufValue* value, std::string_view key, const std::string& where) {
  if (value == nullptr) throw core::data_error(fmt::format("{}: the metadata has no {}", where, shown(key)));
  if (const T* typed_value = std::get_if<T>(value)) return *typed_value;
  throw core::data_error(
      fmt::format("{}: the metadata value {} is {}, not {}", where, shown(key), kind_of(*value), kind_of(T{})));
}

struct Part {
  core::MappedFile file;
  Values values;
  std::vector<TensorInfo> tensors;

  int64_t integer(std::string_view key, int64_t if_absent) const {
    const GgufValue* value = find_in(values, key);
    return value == nullptr ? if_absent : typed<int64_t>(value, key, file.path().string());
  }
};

Part read_part(const fs::path& path) {
  Part part{core::MappedFile(path), {}, {}};
  GgufCursor cursor(part.file);
  const Counts counts = read_header(cursor);
  part.values = read_gguf_values(cursor, counts.num_values);
  const int64_t alignment = part.integer(kAlignmentKey, kDefaultAlignment);
  if (alignment <= 0 || alignment > int64_t{1} << 31 || !std::has_single_bit(static_cast<uint64_t>(alignment)))
    throw cursor.error(fmt::format("{} is {}, which is no power of two", kAlignmentKey, alignment));
  part.tensors = read_gguf_tensors(cursor, counts.num_tensors, static_cast<uint64_t>(alignment));
  return part;
}

// A split model: parts NAME-00001-of-00003.gguf and so on with split.no (from 0) and split.count; the first one has the
// metadata of the whole. Source: llama.cpp's gguf-split.
constexpr const char* kHintForParts =
    "put all parts into one folder and give the first, or join them: "
    "llama-gguf-split --merge FIRST_PART OUTPUT";

constexpr int64_t kMaxParts = 99'999;  // the names have five digits

std::string ending_of_part(int64_t number, int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

// The parts lie in one folder; the first may have been given by a link, whose target's folder is not looked into.
fs::path part_beside(const fs::path& first, const std::string& name) {
  return core::inner_file(first.has_parent_path() ? first.parent_path() : ".", name);
}

std::vector<Part> read_parts(const fs::path& path) {
  std::vector<Part> parts;
  parts.push_back(read_part(path));
  const int64_t count = parts.front().integer("split.count", 1), number = parts.front().integer("split.no", 0);
  if (count < 0 || count > kMaxParts)
    throw core::data_error(fmt::format("{}: split.count is {}", path.string(), count),
                           hint_for_damaged(parts.front().file));
  if (count <= 1) return parts;
  const std::string where = path.string(), name = path.filename().string();
  if (number != 0)
    throw core::data_error(
        fmt::format("{}: this is part {} of {} of a model, and not the first", where, number + 1, count),
        kHintForParts);
  const std::string ending = ending_of_part(0, count);
  if (!name.ends_with(ending))
    throw core::data_error(
        fmt::format("{}: this is the first of {} parts of a model, but its name does not end in {}, by "
                    "which the others are found",
                    where, count, ending),
        kHintForParts);
  const std::string stem = name.substr(0, name.size() - ending.size());
  size_t num_tensors = parts.front().tensors.size();
  for (int64_t i = 1; i < count; ++i) {
    const fs::path next = part_beside(path, stem + ending_of_part(i, count));
    std::error_code unreadable;
    if (!fs::exists(next, unreadable))
      throw core::data_error(fmt::format("{}: the part {} of the model is not there", where, next.filename().string()),
                             kHintForParts);
    parts.push_back(read_part(next));
    if (parts.back().integer("split.no", -1) != i || parts.back().integer("split.count", -1) != count)
      throw core::data_error(fmt::format("{}: this is not part {} of {} of the model", next.string(), i + 1, count),
                             kHintForParts);
    num_tensors += parts.back().tensors.size();
  }
  const int64_t announced = parts.front().integer("split.tensors.count", static_cast<int64_t>(num_tensors));
  if (announced != static_cast<int64_t>(num_tensors))
    throw core::data_error(
        fmt::format("{}: {} tensors are announced, and the {} parts hold {}", where, announced, count, num_tensors),
        kHintForParts);
  return parts;
}

}  // namespace

Gguf::Gguf(const fs::path& path) {
  std::vector<TensorInfo> tensors;
  std::unordered_set<std::string> names;
  for (Part& part : read_parts(path)) {
    for (TensorInfo& tensor : part.tensors) {
      if (!names.insert(tensor.name).second)
        throw core::data_error(fmt::format("{}: the tensor {} is there twice, in this and in an earlier part",
                                           part.file.path().string(), shown(tensor.name)));
      tensors.push_back(std::move(tensor));
    }
    if (files_.empty()) values_ = std::move(part.values);
    files_.push_back(std::move(part.file));  // the mapping itself does not move
  }
  set_tensors(std::move(tensors));
}

const GgufValue* Gguf::find_value(std::string_view key) const { return find_in(values_, key); }

int64_t Gguf::integer(std::string_view key) const { return typed<int64_t>(find_value(key), key, where()); }

double Gguf::number(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value != nullptr && std::holds_alternative<int64_t>(*value))
    return static_cast<double>(std::get<int64_t>(*value));
  return typed<double>(value, key, where());
}

const std::string& Gguf::text(std::string_view key) const { return typed<std::string>(find_value(key), key, where()); }
const std::vector<std::string>& Gguf::texts(std::string_view key) const {
  return typed<std::vector<std::string>>(find_value(key), key, where());
}
const std::vector<int64_t>& Gguf::integers(std::string_view key) const {
  return typed<std::vector<int64_t>>(find_value(key), key, where());
}
const std::vector<double>& Gguf::numbers(std::string_view key) const {
  return typed<std::vector<double>>(find_value(key), key, where());
}

}  // namespace thinktune::weights
