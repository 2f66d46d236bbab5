// The layout: uint64 header_bytes, the header, the data. The header is a JSON object { name: {dtype, shape,
// data_offsets: [begin, end]} } and optionally "__metadata__": {text: text}; it may end in spaces. Offsets count from
// the start of the data, and the tensors fill the data without gaps or overlaps. Source: the format's description in
// huggingface/safetensors.
#include <algorithm>
#include <cstring>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"
#include "weights/checks.h"
#include "weights/strict_json.h"

namespace thinktune::weights {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr int kHeaderDepth = 3;                    // header, tensor, shape
constexpr std::string_view kMetadataKey = "__metadata__";

struct Header {
  std::string_view text;
  std::span<const std::byte> data;
};

Header split_file(const core::MappedFile& file) {
  const std::string where = file.path().string();
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes)
    throw core::data_error(fmt::format("{}: {} bytes are no safetensors file", where, file.size()),
                           hint_for_damaged(file));
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const uint64_t left = file.size() - sizeof header_bytes;
  if (header_bytes > left)
    throw core::data_error(
        fmt::format("{}: a header of {} bytes is announced, but {} follow", where, header_bytes, left),
        hint_for_damaged(file));
  if (header_bytes > kMaxHeaderBytes)
    throw core::data_error(
        fmt::format("{}: the header of {} bytes is longer than {}", where, header_bytes, kMaxHeaderBytes));
  const std::byte* header = file.data() + sizeof header_bytes;
  Header result{{reinterpret_cast<const char*>(header), header_bytes}, {header + header_bytes, left - header_bytes}};
  if (!result.text.starts_with('{'))
    throw core::data_error(fmt::format("{}: the header does not begin with '{{'", where), hint_for_damaged(file));
  return result;
}

const nlohmann::json& member(const nlohmann::json& tensor, const char* key, const std::string& what) {
  const auto found = tensor.find(key);
  if (found == tensor.end()) throw core::data_error(fmt::format("{} has no {}", what, key));
  return *found;
}

std::vector<int64_t> read_integers(const nlohmann::json& tensor, const char* key, const std::string& what) {
  const nlohmann::json& values = member(tensor, key, what);
  std::vector<int64_t> integers;
  bool valid = values.is_array();
  for (size_t i = 0; valid && i < values.size(); ++i) {
    // A number beyond uint64 or with a sign, a point or an exponent is of another kind.
    valid = values[i].is_number_unsigned() && values[i].get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
    if (valid) integers.push_back(values[i].get<int64_t>());
  }
  if (!valid) throw core::data_error(fmt::format("{}: {} is not a list of integers from 0 to 2^63 - 1", what, key));
  return integers;
}

// What to do about a type that safetensors has and this reader does not.
std::string hint_for_dtype(std::string_view name) {
  for (const std::string_view small : {"F8_", "F6_", "F4"})
    if (name.starts_with(small))
      return "these weights are scaled by other tensors: use the model's BF16 or F16 version, or dequantise it first "
             "(load "
             "it with transformers in bfloat16 and save it)";
  if (name.starts_with('I') || name.starts_with('U'))
    return "integer weights belong to a quantised model (GPTQ, AWQ, bitsandbytes): use its BF16 or F16 version";
  if (name == "F64") return "convert the model to F32 first (load it with transformers in float32 and save it)";
  return "use a model in F32, F16 or BF16";
}

DType read_dtype(const nlohmann::json& tensor, const std::string& what) {
  const nlohmann::json& name = member(tensor, "dtype", what);
  if (!name.is_string()) throw core::data_error(fmt::format("{}: dtype is not a text", what));
  const auto dtype = dtype_named(name.get_ref<const std::string&>());
  if (!dtype || block_size(*dtype).elements != 1)
    throw core::data_error(
        fmt::format("{} is stored as {}, which cannot be read", what, shown(name.get_ref<const std::string&>())),
        hint_for_dtype(name.get_ref<const std::string&>()));
  return *dtype;
}

struct Entry {
  TensorInfo info;
  uint64_t begin = 0;
  uint64_t end = 0;
};

Entry read_entry(const std::string& name, const nlohmann::json& tensor, const std::string& where) {
  const std::string what = fmt::format("{}: tensor {}", where, shown(name));
  if (!tensor.is_object()) throw core::data_error(fmt::format("{} is not described by an object", what));
  Entry entry;
  entry.info.name = name;
  entry.info.dtype = read_dtype(tensor, what);
  entry.info.shape = read_integers(tensor, "shape", what);
  const auto offsets = read_integers(tensor, "data_offsets", what);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    throw core::data_error(fmt::format("{}: data_offsets {} are no begin and end", what, to_text(offsets)));
  entry.begin = static_cast<uint64_t>(offsets[0]);
  entry.end = static_cast<uint64_t>(offsets[1]);

  const auto num_elements = checked_num_elements(entry.info.shape);
  const auto num_bytes = num_elements ? checked_bytes(entry.info.dtype, *num_elements) : std::nullopt;
  if (!num_bytes) throw core::data_error(fmt::format("{}: the shape {} overflows", what, to_text(entry.info.shape)));
  if (static_cast<uint64_t>(*num_bytes) != entry.end - entry.begin)
    throw core::data_error(fmt::format("{}: shape {} of {} takes {} bytes, and data_offsets {} hold {}", what,
                                       to_text(entry.info.shape), name_of(entry.info.dtype), *num_bytes,
                                       to_text(offsets), entry.end - entry.begin));
  return entry;
}

// In the order of the data. Every byte of the data belongs to exactly one tensor.
void sort_and_check_layout(std::vector<Entry>& entries, const core::MappedFile& file, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.info.name) < std::tie(b.begin, b.end, b.info.name);
  });
  const std::string where = file.path().string();
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    const std::string what = fmt::format("{}: tensor {}", where, shown(entry.info.name));
    if (entry.end > data_bytes)
      throw core::data_error(fmt::format("{} lies outside the file: it ends at {}, and {} bytes of data are there",
                                         what, entry.end, data_bytes),
                             hint_for_damaged(file));
    if (entry.begin < end)
      throw core::data_error(
          fmt::format("{} begins at {} and overlaps the one before, which ends at {}", what, entry.begin, end));
    if (entry.begin > end)
      throw core::data_error(fmt::format("{} begins at {} and leaves a gap after {}", what, entry.begin, end));
    end = entry.end;
  }
  if (end != data_bytes)
    throw core::data_error(fmt::format("{}: {} bytes after the last tensor", where, data_bytes - end));
}

std::map<std::string, std::string> read_metadata(const nlohmann::json& metadata, const std::string& where) {
  std::map<std::string, std::string> result;
  if (!metadata.is_object()) throw core::data_error(fmt::format("{}: {} is not an object", where, kMetadataKey));
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string())
      throw core::data_error(fmt::format("{}: {}: {} is not a text", where, kMetadataKey, shown(key)));
    result.emplace(key, value.get<std::string>());
  }
  return result;
}

}  // namespace

Safetensors::Safetensors(const std::filesystem::path& file) : where_(file.string()) {
  std::vector<TensorInfo> tensors;
  add_file(file, tensors);
  set_tensors(std::move(tensors));
}

void Safetensors::add_file(const std::filesystem::path& path, std::vector<TensorInfo>& tensors) {
  core::MappedFile file(path);
  const std::string where = path.string();
  const Header header = split_file(file);
  const nlohmann::json json = parse_strict_json(header.text, where, kHeaderDepth);

  std::vector<Entry> entries;
  entries.reserve(json.size());
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadataKey)
      metadata_.merge(read_metadata(value, where));
    else
      entries.push_back(read_entry(name, value, where));
  }
  sort_and_check_layout(entries, file, header.data.size());
  for (Entry& entry : entries) {
    entry.info.bytes = header.data.subspan(entry.begin, entry.end - entry.begin);
    tensors.push_back(std::move(entry.info));
  }
  files_.push_back(std::move(file));  // the mapping itself does not move
}

}  // namespace thinktune::weights
