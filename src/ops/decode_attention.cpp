#include "thinktune/ops/decode_attention.h"

#include <atomic>

#include "decode_tiles.h"
#include "element.h"
#include "kernels/decode_attention.h"
#include "kernels/tile_layout.h"
#include "tile_product.h"

namespace thinktune::ops {
namespace {

void check(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments, int64_t num_kv_heads) {
  TT_CHECK(q_BNH.is_cpu() && !wants_gradient({q_BNH}), "decode_attention: for the CPU, and without gradients");
  TT_CHECK(
      q_BNH.dim() == 3 && q_BNH.is_contiguous() && q_BNH.size(0) == static_cast<int64_t>(segments.size()),
      "decode_attention: q must be a contiguous [B, N, H] with one list of segments a sequence; it is {} with {} lists",
      shape(q_BNH), segments.size());
  TT_CHECK(num_kv_heads > 0 && q_BNH.size(1) % num_kv_heads == 0, "decode_attention: {} query heads on {} kv heads",
           q_BNH.size(1), num_kv_heads);
  for (size_t b = 0; b < segments.size(); ++b) {
    int64_t num_tokens = 0;
    for (const KvSegment& s : segments[b]) {
      TT_CHECK(s.num_tokens == 0 || (s.num_tokens > 0 && s.keys && s.values),
               "decode_attention: sequence {} has a segment without rows", b);
      num_tokens += s.num_tokens;
    }
    TT_CHECK(num_tokens > 0, "decode_attention: sequence {} has no tokens", b);
  }
}

template <class E>
void attend(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
            const DecodeAttentionOptions& options, const at::Tensor& out_BNH) {
  const int64_t num_kv_heads = options.num_kv_heads;
  const int64_t num_sequences = q_BNH.size(0), num_heads = q_BNH.size(1), head_size = q_BNH.size(2);
  // A whole sequence at a time reads its rows as they lie in memory; with few sequences a thread for each kv head is
  // worth more. Contexts have very different lengths, so threads take tasks one by one. None of this shows in the
  // result.
  const int64_t num_parts = num_sequences >= 4 * at::get_num_threads() ? 1 : num_kv_heads;
  const int64_t num_tasks = num_sequences * num_parts;
  const kernels::DecodeShape shape{.num_kv_heads = num_kv_heads / num_parts,
                                   .group_size = num_heads / num_kv_heads,
                                   .head_size = head_size,
                                   .row_stride = num_kv_heads * head_size,
                                   .scale = options.scale,
                                   .softcap = options.softcap};
  const int64_t task_size = num_heads / num_parts * head_size;
  const E* q = data<E>(q_BNH);
  E* out = mutable_data<E>(out_BNH);

  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    thread_local std::vector<kernels::Accum<E>> scratch;
    thread_local std::vector<kernels::KvRows<E>> rows;
    scratch.resize(static_cast<size_t>(kernels::decode_attention_scratch(shape)));
    for (int64_t task = next++; task < num_tasks; task = next++) {
      const int64_t b = task / num_parts, offset = task % num_parts * shape.num_kv_heads * head_size;
      rows.clear();
      for (const KvSegment& s : segments[b])
        if (s.num_tokens > 0)
          rows.push_back(
              {static_cast<const E*>(s.keys) + offset, static_cast<const E*>(s.values) + offset, s.num_tokens});
      kernels::decode_attention(q + task * task_size, rows.data(), static_cast<int64_t>(rows.size()), shape, {},
                                scratch.data(), out + task * task_size);
    }
  };
  at::parallel_for(0, std::min<int64_t>(num_tasks, at::get_num_threads()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work();
  });
}

}  // namespace

at::Tensor decode_attention(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
                            const DecodeAttentionOptions& options) {
  check(q_BNH, segments, options.num_kv_heads);
  at::Tensor out_BNH = at::empty(q_BNH.sizes(), q_BNH.options());
  const auto has_shared = [](const auto& s) { return !s.empty() && s.front().shared; };
  if (has_tile_products(q_BNH.select(1, 0)) && q_BNH.size(2) % kernels::kTileDepth == 0 &&
      std::any_of(segments.begin(), segments.end(), has_shared)) {
    decode_by_tiles(q_BNH, segments, options, out_BNH);
    return out_BNH;
  }
  with_element(q_BNH, "decode_attention", [&]<class E>() { attend<E>(q_BNH, segments, options, out_BNH); });
  return out_BNH;
}

}  // namespace thinktune::ops
