#include "kernels/packed_attention.h"

#include <algorithm>

#include "kernels/decode_attention.h"

namespace thinktune::kernels {

// As impl/packed_attention.inl takes it.
int64_t packed_attention_scratch(const PackedShape& shape, bool backward) {
  const int64_t padded = padded_head_size(shape.head_size);
  const auto whole = [](int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; };
  int64_t longest = 0;
  for (int64_t b = 0; b < shape.num_responses; ++b) longest = std::max(longest, shape.response_tokens[b]);
  int64_t size = 0, width = 0;
  for (const int64_t tokens : {shape.prompt_tokens, longest}) {
    const int64_t columns = whole(tokens, kPackedColumns);
    size += (backward ? 2 : 1) * whole(columns * shape.head_size, 16) + (backward ? 3 : 1) * whole(tokens * padded, 16);
    width += columns;
  }
  const int64_t rows = std::max(shape.group_size, kPackedRows);
  return size + (backward ? 3 : 2) * rows * padded + whole(rows, 16) + (backward ? 2 : 1) * rows * width;
}

}  // namespace thinktune::kernels
