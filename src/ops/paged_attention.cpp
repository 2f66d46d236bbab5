// By kernels/cuda on a GPU; elsewhere as LibTorch formulas: the rows are gathered first.
//
// Letters: S = W · page_tokens places of a sequence, G query heads of a key/value head.
#include "thinktune/ops/paged_attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "element.h"
#include "gpu_kernels.h"
#include "thinktune/ops/device.h"

namespace thinktune::ops {
namespace {

at::Tensor attend(const at::Tensor& q_BNH, const at::Tensor& keys_RKH, const at::Tensor& values_RKH,
                  const PagedBatch& batch, const AttentionOptions& options) {
  const int64_t B = q_BNH.size(0), N = q_BNH.size(1), H = q_BNH.size(2), K = keys_RKH.size(1);
  const int64_t S = batch.table_BW.size(1) * batch.page_tokens;
  const at::ScalarType accumulating = accum_dtype(q_BNH);
  const at::Tensor table_BW = batch.table_BW.to(at::kLong), positions_B = batch.lengths_B.to(at::kLong) - 1;
  const at::Tensor in_page = at::arange(batch.page_tokens, table_BW.options());
  const at::Tensor rows = (table_BW.unsqueeze(2) * batch.page_tokens + in_page).reshape({B * S});
  const auto gathered = [&](const at::Tensor& x_RKH) {  // [B, K, S, H]
    return x_RKH.index_select(0, rows).view({B, S, K, H}).transpose(1, 2).to(accumulating);
  };
  const at::Tensor q_BKGH = q_BNH.reshape({B, K, N / K, H}).to(accumulating);
  at::Tensor scores_BKGS = at::matmul(q_BKGH, gathered(keys_RKH).transpose(2, 3)) * options.scale;
  if (options.softcap > 0) scores_BKGS = at::tanh(scores_BKGS / options.softcap) * options.softcap;
  const at::Tensor places_S = at::arange(S, positions_B.options());
  const at::Tensor positions = positions_B.unsqueeze(1);
  at::Tensor unseen_BS = places_S > positions;
  if (options.window > 0) unseen_BS = unseen_BS | (places_S <= positions - options.window);
  scores_BKGS = scores_BKGS.masked_fill(unseen_BS.view({B, 1, 1, S}), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores_BKGS, -1), gathered(values_RKH)).reshape({B, N, H}).to(q_BNH.scalar_type());
}

}  // namespace

void write_rows(const at::Tensor& keys_RKH, const at::Tensor& values_RKH, const at::Tensor& rows_T,
                const at::Tensor& k_TKH, const at::Tensor& v_TKH) {
  TT_CHECK(keys_RKH.sizes() == values_RKH.sizes() && k_TKH.sizes() == v_TKH.sizes() && k_TKH.dim() == 3 &&
               k_TKH.size(0) == rows_T.size(0) && k_TKH.sizes().slice(1) == keys_RKH.sizes().slice(1),
           "write_rows: {} new keys for {} rows of {}", shape(k_TKH), shape(rows_T), shape(keys_RKH));
  if (gpu::has_paged_kernels(keys_RKH, 1)) return gpu::write_rows(keys_RKH, values_RKH, rows_T, k_TKH, v_TKH);
  const FreeOrder free_order;  // a row that counts is written once
  at::Tensor keys = keys_RKH, values = values_RKH;
  keys.index_copy_(0, rows_T, k_TKH);
  values.index_copy_(0, rows_T, v_TKH);
}

// As kernels/cuda/decode_attention.h, which a build without CUDA has not: of each 128 tokens a head's sum, its largest
// score and the sum of the weights, f32.
int64_t paged_attention_scratch_bytes(int64_t batch, int64_t num_heads, int64_t head_size, int64_t max_tokens) {
  return batch * num_heads * ((max_tokens + 127) / 128) * (head_size + 2) * int64_t{sizeof(float)};
}

at::Tensor paged_attention(const at::Tensor& q_BNH, const at::Tensor& keys_RKH, const at::Tensor& values_RKH,
                           const PagedBatch& batch, const AttentionOptions& options) {
  const int64_t B = q_BNH.size(0);
  TT_CHECK(q_BNH.dim() == 3 && keys_RKH.dim() == 3 && values_RKH.sizes() == keys_RKH.sizes() &&
               q_BNH.size(2) == keys_RKH.size(2) && q_BNH.size(1) % keys_RKH.size(1) == 0,
           "paged_attention: q {}, keys {}, values {}", shape(q_BNH), shape(keys_RKH), shape(values_RKH));
  TT_CHECK(batch.table_BW.dim() == 2 && batch.table_BW.size(0) == B && batch.table_BW.scalar_type() == at::kInt &&
               batch.lengths_B.dim() == 1 && batch.lengths_B.size(0) == B &&
               batch.lengths_B.scalar_type() == at::kInt && batch.page_tokens > 0,
           "paged_attention: {} queries, table {}, lengths {}", B, shape(batch.table_BW), shape(batch.lengths_B));
  if (gpu::has_paged_kernels(keys_RKH, batch.page_tokens))
    return gpu::paged_attention(q_BNH, keys_RKH, values_RKH, batch, options);
  // Parts of the batch, so that what is gathered stays small beside the pool.
  constexpr int64_t kMaxGathered = int64_t{1} << 26;
  const int64_t a_sequence = batch.table_BW.size(1) * batch.page_tokens * keys_RKH.size(1) * keys_RKH.size(2);
  const int64_t part = std::clamp(kMaxGathered / a_sequence, int64_t{1}, std::max<int64_t>(1, B));
  std::vector<at::Tensor> outputs;
  for (int64_t begin = 0; begin < B; begin += part) {
    const int64_t count = std::min(part, B - begin);
    outputs.push_back(attend(
        q_BNH.narrow(0, begin, count), keys_RKH, values_RKH,
        {batch.table_BW.narrow(0, begin, count), batch.lengths_B.narrow(0, begin, count), batch.page_tokens}, options));
  }
  return at::cat(outputs);
}

}  // namespace thinktune::ops
