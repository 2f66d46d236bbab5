// The tensors of a GGUF file.
#include <algorithm>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "weights/gguf_format.h"
#include "weights/gguf_parts.h"

namespace thinktune::weights {
namespace {

DType read_dtype(GgufCursor& cursor, std::string_view what) {
  const auto number = cursor.scalar<uint32_t>(what);
  for (const auto& [known, name] : kGgmlTypes) {
    if (known != number) continue;
    if (const auto dtype = dtype_named(name)) return *dtype;
    throw cursor.error(fmt::format("{} is stored as {} (ggml type {}), which cannot be read", what, name, number),
                       "use a file in F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_1, Q5_0, Q4_K, Q4_1, Q4_0, Q3_K or Q2_K");
  }
  throw cursor.error(fmt::format("{} is of the unknown ggml type {}", what, number),
                     "the file is damaged, or of a newer format");
}

// A tensor as the file describes it, before its place in the file is known.
struct Entry {
  TensorInfo info;
  uint64_t offset = 0;  // from the start of the data
  uint64_t num_bytes = 0;
};

Entry read_entry(GgufCursor& cursor, uint64_t index) {
  Entry entry;
  entry.info.name = cursor.string(fmt::format("the name of tensor {}", index));
  const std::string what = fmt::format("tensor {}", shown(entry.info.name));
  const auto num_dims = cursor.scalar<uint32_t>(what);
  if (num_dims > kMaxDims)
    throw cursor.error(fmt::format("{} has {} dimensions (at most {} are possible)", what, num_dims, kMaxDims));
  for (uint32_t i = 0; i < num_dims; ++i) entry.info.shape.push_back(read_integer<uint64_t>(cursor, what));
  entry.info.dtype = read_dtype(cursor, what);
  entry.offset = cursor.scalar<uint64_t>(what);

  const auto& dims = entry.info.shape;  // still fastest first
  const auto num_elements = checked_num_elements(dims);
  const auto block = static_cast<int64_t>(block_size(entry.info.dtype).elements);
  if ((dims.empty() ? 1 : dims.front()) % block != 0)
    throw cursor.error(fmt::format("{}: rows of {} do not divide into {} blocks of {}", what,
                                   dims.empty() ? 1 : dims.front(), name_of(entry.info.dtype), block));
  const auto num_bytes = num_elements ? checked_bytes(entry.info.dtype, *num_elements) : std::nullopt;
  if (!num_bytes) throw cursor.error(fmt::format("{}: the shape {} overflows", what, to_text(dims)));
  entry.num_bytes = static_cast<uint64_t>(*num_bytes);
  std::reverse(entry.info.shape.begin(), entry.info.shape.end());
  return entry;
}

// Two tensors on the same bytes: one of the offsets is wrong, and the weights would be too.
void check_no_overlap(const GgufCursor& cursor, const std::vector<Entry>& entries) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return entries[i].num_bytes == 0; });
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entries[a].offset < entries[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Entry& before = entries[order[i - 1]];
    const Entry& after = entries[order[i]];
    if (before.offset + before.num_bytes > after.offset)
      throw cursor.error(fmt::format("tensors {} and {} overlap", shown(before.info.name), shown(after.info.name)));
  }
}

}  // namespace

std::vector<TensorInfo> read_gguf_tensors(GgufCursor& cursor, uint64_t count, uint64_t alignment) {
  const core::MappedFile& file = cursor.file();
  std::vector<Entry> entries;
  entries.reserve(count);
  for (uint64_t i = 0; i < count; ++i) entries.push_back(read_entry(cursor, i));

  std::unordered_set<std::string_view> names;
  const uint64_t data_start =
      (cursor.position() + alignment - 1) / alignment * alignment;  // alignment <= 2^31: no overflow
  const uint64_t data_bytes = file.size() - std::min<uint64_t>(data_start, file.size());
  for (Entry& entry : entries) {
    const std::string what = fmt::format("tensor {}", shown(entry.info.name));
    if (!names.insert(entry.info.name).second) throw cursor.error(fmt::format("{} is there twice", what));
    if (entry.offset % alignment != 0)
      throw cursor.error(
          fmt::format("{}: its offset {} is no multiple of the alignment {}", what, entry.offset, alignment));
    if (entry.offset > data_bytes || entry.num_bytes > data_bytes - entry.offset)
      throw cursor.error(fmt::format("{} lies outside the file: {} bytes at {}, and {} bytes of data are there", what,
                                     entry.num_bytes, entry.offset, data_bytes),
                         hint_for_damaged(file));
    if (entry.num_bytes > 0) entry.info.bytes = {file.data() + data_start + entry.offset, entry.num_bytes};
  }
  check_no_overlap(cursor, entries);

  std::vector<TensorInfo> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) tensors.push_back(std::move(entry.info));
  return tensors;
}

}  // namespace thinktune::weights
