// The layout (little-endian; string = uint64 length and bytes):
//
//   "GGUF"  uint32 version  uint64 num_tensors  uint64 num_values
//   num_values x { string key, uint32 type, value }            an array: uint32 item type, uint64 count, items
//   num_tensors x { string name, uint32 num_dims, uint64 dims[] (fastest first), uint32 ggml type, uint64 offset }
//   padding to general.alignment (default 32), then the tensors at their offsets, which are multiples of the alignment
//
// Source: docs/gguf.md of ggml.
#include "thinktune/weights/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "thinktune/core/error.h"
#include "weights/checks.h"

namespace thinktune::weights {
namespace {

enum class ValueType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr uint32_t kMaxDims = 4;  // GGML_MAX_DIMS
constexpr int64_t kDefaultAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";

// Names of ggml's types, also of those that cannot be read: a message with "Q4_K" helps, one with "12" does not.
constexpr std::array<std::pair<uint32_t, std::string_view>, 34> kGgmlTypes = {{
    {0, "F32"},      {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},   {6, "Q5_0"},    {7, "Q5_1"},   {8, "Q8_0"},
    {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},    {12, "Q4_K"},  {13, "Q5_K"},   {14, "Q6_K"},  {15, "Q8_K"},
    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
    {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},     {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"},
    {30, "BF16"},    {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}, {40, "NVFP4"},  {41, "Q1_0"},
}};

// Reads forward through the file; nothing is read or allocated before the file is known to hold it.
class Reader {
 public:
  explicit Reader(const core::MappedFile& file) : file_(file) {}

  size_t position() const { return position_; }

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

  // A view into the mapped file.
  std::string_view string(std::string_view what) {
    const auto length = scalar<uint64_t>(what);
    require(length, 1, what);
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + position_, length);
    position_ += length;
    return text;
  }

 private:
  const core::MappedFile& file_;
  size_t position_ = 0;
};

template <class T>
int64_t read_integer(Reader& reader, std::string_view what) {
  const T value = reader.scalar<T>(what);
  if constexpr (std::is_same_v<T, uint64_t>)
    if (value > kMaxInt64) throw reader.error(fmt::format("{} is {}, more than an int64 holds", what, value));
  return static_cast<int64_t>(value);
}

bool read_bool(Reader& reader, std::string_view what) {
  const auto value = reader.scalar<uint8_t>(what);
  if (value > 1) throw reader.error(fmt::format("{} is a bool of value {}", what, value));
  return value == 1;
}

template <class T, class ReadItem>
std::vector<T> read_items(Reader& reader, uint64_t count, size_t item_bytes, std::string_view what,
                          ReadItem read_item) {
  reader.require(count, item_bytes, what);
  std::vector<T> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(read_item(reader, what));
  return items;
}

GgufValue read_array(Reader& reader, std::string_view what) {
  const auto type = reader.scalar<uint32_t>(what);
  const auto count = reader.scalar<uint64_t>(what);
  const auto integers = [&]<class T>(T) {
    return read_items<int64_t>(reader, count, sizeof(T), what, read_integer<T>);
  };
  const auto floats = [&]<class T>(T) {
    return read_items<double>(reader, count, sizeof(T), what,
                              [](Reader& r, std::string_view w) { return double{r.scalar<T>(w)}; });
  };
  switch (static_cast<ValueType>(type)) {
    case ValueType::U8:
      return integers(uint8_t{});
    case ValueType::I8:
      return integers(int8_t{});
    case ValueType::U16:
      return integers(uint16_t{});
    case ValueType::I16:
      return integers(int16_t{});
    case ValueType::U32:
      return integers(uint32_t{});
    case ValueType::I32:
      return integers(int32_t{});
    case ValueType::U64:
      return integers(uint64_t{});
    case ValueType::I64:
      return integers(int64_t{});
    case ValueType::F32:
      return floats(float{});
    case ValueType::F64:
      return floats(double{});
    case ValueType::Bool:
      return read_items<int64_t>(reader, count, 1, what, read_bool);
    case ValueType::String:  // an empty string still takes its eight bytes of length
      return read_items<std::string>(reader, count, sizeof(uint64_t), what,
                                     [](Reader& r, std::string_view w) { return std::string(r.string(w)); });
    case ValueType::Array:
      throw reader.error(fmt::format("{} is an array of arrays, which cannot be read", what));
  }
  throw reader.error(fmt::format("{} is an array of items of type {}, which GGUF does not define", what, type),
                     "the file is damaged, or of a newer format");
}

GgufValue read_value(Reader& reader, std::string_view what) {
  const auto type = reader.scalar<uint32_t>(what);
  switch (static_cast<ValueType>(type)) {
    case ValueType::U8:
      return read_integer<uint8_t>(reader, what);
    case ValueType::I8:
      return read_integer<int8_t>(reader, what);
    case ValueType::U16:
      return read_integer<uint16_t>(reader, what);
    case ValueType::I16:
      return read_integer<int16_t>(reader, what);
    case ValueType::U32:
      return read_integer<uint32_t>(reader, what);
    case ValueType::I32:
      return read_integer<int32_t>(reader, what);
    case ValueType::U64:
      return read_integer<uint64_t>(reader, what);
    case ValueType::I64:
      return read_integer<int64_t>(reader, what);
    case ValueType::F32:
      return double{reader.scalar<float>(what)};
    case ValueType::F64:
      return reader.scalar<double>(what);
    case ValueType::Bool:
      return read_bool(reader, what);
    case ValueType::String:
      return std::string(reader.string(what));
    case ValueType::Array:
      return read_array(reader, what);
  }
  throw reader.error(fmt::format("{} is of type {}, which GGUF does not define", what, type),
                     "the file is damaged, or of a newer format");
}

struct Counts {
  uint64_t num_tensors = 0;
  uint64_t num_values = 0;
};

Counts read_header(Reader& reader, const core::MappedFile& file) {
  const auto magic = reader.scalar<std::array<char, 4>>("the magic number");
  if (magic != std::array<char, 4>{'G', 'G', 'U', 'F'})
    throw reader.error("this is no GGUF file (it does not begin with 'GGUF')", hint_for_damaged(file));
  const auto version = reader.scalar<uint32_t>("the version");
  if (version == 0x02000000u || version == 0x03000000u)
    throw reader.error("this GGUF file is big-endian", "convert it to little-endian (gguf-py: gguf_convert_endian.py)");
  if (version != 2 && version != 3)
    throw reader.error(fmt::format("GGUF version {} cannot be read (versions 2 and 3 can)", version));
  Counts counts;
  counts.num_tensors = reader.scalar<uint64_t>("the number of tensors");
  counts.num_values = reader.scalar<uint64_t>("the number of metadata values");
  reader.require(counts.num_values, 8 + 4 + 1, "the metadata");  // the shortest: empty key, type, one byte
  reader.require(counts.num_tensors, 8 + 4 + 4 + 8,
                 "the tensor list");  // the shortest: empty name, no dims, type, offset
  return counts;
}

std::vector<std::pair<std::string, GgufValue>> read_values(Reader& reader, uint64_t count) {
  std::vector<std::pair<std::string, GgufValue>> values;
  values.reserve(count);
  std::unordered_set<std::string_view> keys;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = reader.string(fmt::format("the key of metadata value {}", i));
    if (!keys.insert(key).second) throw reader.error(fmt::format("the metadata key {} is there twice", shown(key)));
    values.emplace_back(key, read_value(reader, fmt::format("the metadata value {}", shown(key))));
  }
  return values;
}

DType read_dtype(Reader& reader, std::string_view what) {
  const auto number = reader.scalar<uint32_t>(what);
  for (const auto& [known, name] : kGgmlTypes) {
    if (known != number) continue;
    if (const auto dtype = dtype_named(name)) return *dtype;
    throw reader.error(fmt::format("{} is stored as {} (ggml type {}), which cannot be read", what, name, number),
                       "use a file in F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1 or Q4_0");
  }
  throw reader.error(fmt::format("{} is of the unknown ggml type {}", what, number),
                     "the file is damaged, or of a newer format");
}

// A tensor as the file describes it, before its place in the file is known.
struct Entry {
  TensorInfo info;
  uint64_t offset = 0;  // from the start of the data
  uint64_t num_bytes = 0;
};

Entry read_entry(Reader& reader, uint64_t index) {
  Entry entry;
  entry.info.name = reader.string(fmt::format("the name of tensor {}", index));
  const std::string what = fmt::format("tensor {}", shown(entry.info.name));
  const auto num_dims = reader.scalar<uint32_t>(what);
  if (num_dims > kMaxDims)
    throw reader.error(fmt::format("{} has {} dimensions (at most {} are possible)", what, num_dims, kMaxDims));
  for (uint32_t i = 0; i < num_dims; ++i) entry.info.shape.push_back(read_integer<uint64_t>(reader, what));
  entry.info.dtype = read_dtype(reader, what);
  entry.offset = reader.scalar<uint64_t>(what);

  const auto& dims = entry.info.shape;  // still fastest first
  const auto num_elements = checked_num_elements(dims);
  const auto block = static_cast<int64_t>(block_size(entry.info.dtype).elements);
  if ((dims.empty() ? 1 : dims.front()) % block != 0)
    throw reader.error(fmt::format("{}: rows of {} do not divide into {} blocks of {}", what,
                                   dims.empty() ? 1 : dims.front(), name_of(entry.info.dtype), block));
  const auto num_bytes = num_elements ? checked_bytes(entry.info.dtype, *num_elements) : std::nullopt;
  if (!num_bytes) throw reader.error(fmt::format("{}: the shape {} overflows", what, to_text(dims)));
  entry.num_bytes = static_cast<uint64_t>(*num_bytes);
  std::reverse(entry.info.shape.begin(), entry.info.shape.end());
  return entry;
}

// Two tensors on the same bytes: one of the offsets is wrong, and the weights would be too.
void check_no_overlap(const Reader& reader, const std::vector<Entry>& entries) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return entries[i].num_bytes == 0; });
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entries[a].offset < entries[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Entry& before = entries[order[i - 1]];
    const Entry& after = entries[order[i]];
    if (before.offset + before.num_bytes > after.offset)
      throw reader.error(fmt::format("tensors {} and {} overlap", shown(before.info.name), shown(after.info.name)));
  }
}

std::vector<TensorInfo> read_tensors(Reader& reader, const core::MappedFile& file, uint64_t count, uint64_t alignment) {
  std::vector<Entry> entries;
  entries.reserve(count);
  for (uint64_t i = 0; i < count; ++i) entries.push_back(read_entry(reader, i));

  std::unordered_set<std::string_view> names;
  const uint64_t data_start =
      (reader.position() + alignment - 1) / alignment * alignment;  // alignment <= 2^31: no overflow
  const uint64_t data_bytes = file.size() - std::min<uint64_t>(data_start, file.size());
  for (Entry& entry : entries) {
    const std::string what = fmt::format("tensor {}", shown(entry.info.name));
    if (!names.insert(entry.info.name).second) throw reader.error(fmt::format("{} is there twice", what));
    if (entry.offset % alignment != 0)
      throw reader.error(
          fmt::format("{}: its offset {} is no multiple of the alignment {}", what, entry.offset, alignment));
    if (entry.offset > data_bytes || entry.num_bytes > data_bytes - entry.offset)
      throw reader.error(fmt::format("{} lies outside the file: {} bytes at {}, and {} bytes of data are there", what,
                                     entry.num_bytes, entry.offset, data_bytes),
                         hint_for_damaged(file));
    if (entry.num_bytes > 0) entry.info.bytes = {file.data() + data_start + entry.offset, entry.num_bytes};
  }
  check_no_overlap(reader, entries);

  std::vector<TensorInfo> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) tensors.push_back(std::move(entry.info));
  return tensors;
}

std::string_view kind_of(const GgufValue& value) {
  constexpr std::array<std::string_view, 7> kKinds = {
      "a bool", "an integer", "a number", "a text", "a list of integers", "a list of numbers", "a list of texts"};
  static_assert(kKinds.size() == std::variant_size_v<GgufValue>);
  return kKinds[value.index()];
}

const GgufValue& required(const Gguf& gguf, std::string_view key) {
  const GgufValue* value = gguf.find_value(key);
  if (value == nullptr) throw core::data_error(fmt::format("{}: the metadata has no {}", gguf.where(), shown(key)));
  return *value;
}

template <class T>
const T& typed(const Gguf& gguf, std::string_view key) {
  const GgufValue& value = required(gguf, key);
  if (const T* typed_value = std::get_if<T>(&value)) return *typed_value;
  throw core::data_error(
      fmt::format("{}: the metadata value {} is {}, not {}", gguf.where(), shown(key), kind_of(value), kind_of(T{})));
}

}  // namespace

Gguf::Gguf(const std::filesystem::path& path) : file_(path) {
  Reader reader(file_);
  const Counts counts = read_header(reader, file_);
  values_ = read_values(reader, counts.num_values);

  int64_t alignment = kDefaultAlignment;
  if (find_value(kAlignmentKey) != nullptr) alignment = integer(kAlignmentKey);
  if (alignment <= 0 || alignment > int64_t{1} << 31 || !std::has_single_bit(static_cast<uint64_t>(alignment)))
    throw reader.error(fmt::format("{} is {}, which is no power of two", kAlignmentKey, alignment));
  if (find_value("split.count") != nullptr && integer("split.count") > 1)
    throw reader.error(fmt::format("this is one of {} parts of a model", integer("split.count")),
                       "join the parts first: llama-gguf-split --merge FIRST_PART OUTPUT");
  tensors_ = read_tensors(reader, file_, counts.num_tensors, static_cast<uint64_t>(alignment));
}

const GgufValue* Gguf::find_value(std::string_view key) const {
  for (const auto& [name, value] : values_)
    if (name == key) return &value;
  return nullptr;
}

int64_t Gguf::integer(std::string_view key) const { return typed<int64_t>(*this, key); }

double Gguf::number(std::string_view key) const {
  const auto* integer = std::get_if<int64_t>(&required(*this, key));
  return integer != nullptr ? static_cast<double>(*integer) : typed<double>(*this, key);
}

const std::string& Gguf::text(std::string_view key) const { return typed<std::string>(*this, key); }
const std::vector<std::string>& Gguf::texts(std::string_view key) const {
  return typed<std::vector<std::string>>(*this, key);
}
const std::vector<int64_t>& Gguf::integers(std::string_view key) const {
  return typed<std::vector<int64_t>>(*this, key);
}

}  // namespace thinktune::weights
