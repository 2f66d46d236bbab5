#include "infer/decode_inputs.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "infer/paged_sequence.h"
#include "thinktune/ops/paged_attention.h"

namespace thinktune::infer {
namespace {

constexpr int64_t kKeyRows = DecodeInputs::kDraws - DecodeInputs::kKeys;

}  // namespace

int64_t bucket_of(int64_t count) {
  constexpr int64_t kStep = 64;
  return count <= kStep ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)))
                        : (count + kStep - 1) / kStep * kStep;
}

int64_t decode_scratch_bytes(const model::ModelConfig& config, const EngineOptions& options, int64_t tokens) {
  return ops::paged_attention_scratch_bytes(bucket_of(options.max_sequences), config.num_heads, config.head_dim,
                                            bucket_of(PagePool::pages_for(tokens)) * PagePool::kPageTokens);
}

void put_counters(const at::Tensor& to, std::span<const core::RandomKey> keys, std::span<const uint32_t> positions) {
  auto* place = to.mutable_data_ptr<int64_t>();
  std::memcpy(place, keys.data(), keys.size_bytes());
  std::memcpy(place + kKeyRows * to.size(1), positions.data(), positions.size_bytes());
}

ops::DrawCounters counters_of(const at::Tensor& from) {
  return {from.narrow(0, 0, kKeyRows).view(at::kByte),
          from.select(0, kKeyRows).view(at::kInt).narrow(0, 0, from.size(1))};
}

void DecodeInputs::fill(const at::Tensor& host, std::span<const DecodeRow> rows) {
  host.zero_();
  const int64_t batch = host.size(1);
  auto* ids = host.mutable_data_ptr<int64_t>();
  int64_t *rows_before = ids + batch, *positions = ids + 2 * batch, *new_rows = ids + 3 * batch,
          *table = ids + kTable * batch;
  std::fill_n(rows_before, batch, -1);
  std::vector<core::RandomKey> keys;
  std::vector<uint32_t> draws;
  for (size_t b = 0; b < rows.size(); ++b) {
    const PagedSequence& sequence = paged(*rows[b].sequence);
    ids[b] = rows[b].last_id;
    rows_before[b] = rows[b].row_before;
    positions[b] = sequence.num_tokens();
    new_rows[b] = sequence.row(sequence.num_tokens());
    keys.push_back(rows[b].key);
    draws.push_back(rows[b].draw);
    for (size_t w = 0; w < sequence.pages().size(); ++w)
      table[static_cast<int64_t>(w) * batch + static_cast<int64_t>(b)] = sequence.pages()[w];
  }
  put_counters(host.narrow(0, kKeys, kCounterRows), keys, draws);
}

}  // namespace thinktune::infer
