// Letters: B sequences, N query heads, K kv heads, G = N / K, H head size, R rows of a product: the G heads of some
// sequences, P positions.
#include "decode_tiles.h"

#include <atomic>
#include <optional>
#include <thread>

#include "element.h"
#include "kernels/decode_attention.h"
#include "kernels/matrix_tiles.h"
#include "kernels/softmax_block.h"

namespace thinktune::ops {
namespace {

using kernels::Bf16;
using kernels::kTileBlock;
using kernels::kTilePanel;
using kernels::MatrixTiles;

constexpr int64_t kPositions = 256;       // of a block of scores
constexpr int64_t kMaxRows = kTileBlock;  // of a task, but for the heads of one sequence

// Sequences [first, first + count) of a call, which have their shared segments in common.
struct Company {
  int64_t first = 0;
  int64_t count = 0;
};

size_t num_shared(const std::vector<KvSegment>& segments) {
  size_t n = 0;
  while (n < segments.size() && segments[n].shared) ++n;
  return n;
}

bool same_shared(const std::vector<KvSegment>& a, const std::vector<KvSegment>& b) {
  const size_t n = num_shared(a);
  if (num_shared(b) != n) return false;
  return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin(), [](const auto& x, const auto& y) {
    return x.keys == y.keys && x.values == y.values && x.num_tokens == y.num_tokens;
  });
}

std::vector<Company> companies(std::span<const std::vector<KvSegment>> segments, int64_t most) {
  std::vector<Company> all;
  for (size_t b = 0; b < segments.size(); ++b) {
    if (!all.empty() && all.back().count < most && same_shared(segments[b - 1], segments[b]))
      ++all.back().count;
    else
      all.push_back({static_cast<int64_t>(b), 1});
  }
  return all;
}

// At most kPositions rows of keys and values of one kv head.
struct HeadRows {
  const Bf16 *keys, *values;
  int64_t stride, count;
};

// Of one thread, kept from call to call.
struct Work {
  int64_t head_size = 0;
  std::vector<Bf16> q_RH, weights_RP, keys, values, copied;  // keys and values as the products read them
  std::vector<float> scores_RP, weighted_RH, max_R, sum_R, factor_R;
  std::optional<MatrixTiles> tiles;
  int64_t tile_rows = 0;  // for which they are set

  void resize(int64_t rows, int64_t head_size_) {
    head_size = head_size_;
    const auto R = static_cast<size_t>((rows + kTileBlock - 1) / kTileBlock * kTileBlock);
    const auto H = static_cast<size_t>(head_size);
    q_RH.resize(R * H);
    weights_RP.resize(R * kPositions);
    scores_RP.resize(R * kPositions);
    keys.resize(kPositions * H);
    values.resize(kPositions * H);
    weighted_RH.resize(R * H);
    max_R.resize(R);
    sum_R.resize(R);
    factor_R.resize(R);
  }

  void begin() {
    std::fill(weighted_RH.begin(), weighted_RH.end(), 0.0F);
    std::fill(max_R.begin(), max_R.end(), -INFINITY);
    std::fill(sum_R.begin(), sum_R.end(), 0.0F);
  }

  // Positions [begin, begin + count) of consecutive segments, of the kv head whose elements begin at `offset` of a row;
  // copied where a segment ends between them.
  HeadRows rows_at(std::span<const KvSegment> segments, int64_t begin, int64_t count, int64_t offset, int64_t stride) {
    size_t s = 0;
    while (begin >= segments[s].num_tokens) begin -= segments[s++].num_tokens;
    const auto keys_of = [&](const KvSegment& x) { return static_cast<const Bf16*>(x.keys) + offset; };
    const auto values_of = [&](const KvSegment& x) { return static_cast<const Bf16*>(x.values) + offset; };
    if (begin + count <= segments[s].num_tokens)
      return {keys_of(segments[s]) + begin * stride, values_of(segments[s]) + begin * stride, stride, count};
    copied.resize(static_cast<size_t>(2 * kPositions * head_size));
    Bf16 *to_keys = copied.data(), *to_values = to_keys + kPositions * head_size;
    for (int64_t i = 0; i < count; ++i, ++begin) {
      while (begin >= segments[s].num_tokens) begin -= segments[s++].num_tokens;
      std::copy_n(keys_of(segments[s]) + begin * stride, head_size, to_keys + i * head_size);
      std::copy_n(values_of(segments[s]) + begin * stride, head_size, to_values + i * head_size);
    }
    return {to_keys, to_values, head_size, count};
  }

  void set_tiles(int64_t rows) {
    rows = std::min(rows, kTileBlock);
    if (tiles.has_value() && tile_rows == rows) return;
    tiles.emplace(rows);
    tile_rows = rows;
  }

  // For the first `rows` queries. In blocks of kTileBlock, of which the last one may reach into rows of nothing.
  void attend(int64_t rows, const HeadRows& block, const DecodeAttentionOptions& options) {
    const auto& [key_rows, value_rows, stride, count] = block;
    const int64_t H = head_size, depth = kernels::tile_depth(count);
    // One thing after the other for all panels: tiles wait for what was just written.
    for (int64_t p = 0; p < count; p += kTilePanel)
      kernels::pack_along_rows(key_rows + p * stride, stride, std::min(kTilePanel, count - p), H, keys.data() + p * H);
    kernels::pack_over_rows(value_rows, stride, count, H, depth * kTilePanel, values.data());
    for (int64_t p = 0; p < count; p += kTilePanel)
      for (int64_t r = 0; r < rows; r += kTileBlock)
        tiles->multiply(kernels::plain_rows(q_RH.data() + r * H, H), H, keys.data() + p * H, MatrixTiles::Panel::Near,
                        /*adds=*/false, scores_RP.data() + r * kPositions + p, kPositions);
    kernels::softmax_block(scores_RP.data(),
                           {.num_rows = rows,
                            .num_positions = count,
                            .width = kPositions,
                            .scale = options.scale,
                            .softcap = options.softcap},
                           max_R.data(), sum_R.data(), factor_R.data(), weights_RP.data());
    kernels::scale_rows(weighted_RH.data(), H, rows, H, factor_R.data());
    for (int64_t h = 0; h < H; h += kTilePanel)
      for (int64_t r = 0; r < rows; r += kTileBlock)
        tiles->multiply(kernels::plain_rows(weights_RP.data() + r * kPositions, kPositions), depth,
                        values.data() + h * depth, MatrixTiles::Panel::Near, /*adds=*/true,
                        weighted_RH.data() + r * H + h, H);
  }
};

}  // namespace

// First what is shared, a company and kv head at a time; then each sequence's own rows, of all kv heads, as they lie in
// memory.
void decode_by_tiles(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
                     const DecodeAttentionOptions& options, const at::Tensor& out_BNH) {
  const int64_t B = q_BNH.size(0), K = options.num_kv_heads, N = q_BNH.size(1), H = q_BNH.size(2), G = N / K;
  const int64_t stride = K * H, most = std::max<int64_t>(1, kMaxRows / G);
  const std::vector<Company> all = companies(segments, most);
  std::vector<size_t> company_of;
  for (size_t c = 0; c < all.size(); ++c) company_of.insert(company_of.end(), static_cast<size_t>(all[c].count), c);
  // With few sequences a thread for each kv head is worth more.
  const int64_t parts = B >= 4 * at::get_num_threads() ? 1 : K;
  const kernels::DecodeShape shape{.num_kv_heads = K / parts,
                                   .group_size = G,
                                   .head_size = H,
                                   .row_stride = stride,
                                   .scale = options.scale,
                                   .softcap = options.softcap};
  const Bf16* q = data<Bf16>(q_BNH);
  Bf16* out = mutable_data<Bf16>(out_BNH);
  const at::Tensor softmax = at::empty({B * N * (2 + H)}, at::kFloat);
  float *max_BN = mutable_data<float>(softmax), *sum_BN = max_BN + B * N, *weighted_BNH = sum_BN + B * N;

  const auto attend_to_shared = [&](const Company& company, int64_t kv_head, Work& work) {
    const auto heads = [&](int64_t i) { return (company.first + i) * N + kv_head * G; };
    const std::vector<KvSegment>& theirs = segments[static_cast<size_t>(company.first)];
    for (int64_t i = 0; i < company.count; ++i) std::copy_n(q + heads(i) * H, G * H, work.q_RH.data() + i * G * H);
    work.begin();
    // In blocks counted from the first position: where the segments are cut does not show.
    const std::span<const KvSegment> before(theirs.data(), num_shared(theirs));
    int64_t positions = 0;
    for (const KvSegment& segment : before) positions += segment.num_tokens;
    work.set_tiles(company.count * G);
    for (int64_t p = 0; p < positions; p += kPositions)
      work.attend(company.count * G, work.rows_at(before, p, std::min(kPositions, positions - p), kv_head * H, stride),
                  options);
    for (int64_t i = 0; i < company.count; ++i) {
      std::copy_n(work.max_R.data() + i * G, G, max_BN + heads(i));
      std::copy_n(work.sum_R.data() + i * G, G, sum_BN + heads(i));
      std::copy_n(work.weighted_RH.data() + i * G * H, G * H, weighted_BNH + heads(i) * H);
    }
  };
  const auto attend_to_own = [&](int64_t b, int64_t part, std::vector<kernels::KvRows<Bf16>>& rows, float* scratch) {
    const int64_t offset = part * shape.num_kv_heads * H, heads = b * N + part * shape.num_kv_heads * G;
    const std::vector<KvSegment>& own = segments[static_cast<size_t>(b)];
    rows.clear();
    for (size_t s = num_shared(own); s < own.size(); ++s)
      rows.push_back({static_cast<const Bf16*>(own[s].keys) + offset, static_cast<const Bf16*>(own[s].values) + offset,
                      own[s].num_tokens});
    kernels::decode_attention(q + heads * H, rows.data(), std::ssize(rows), shape,
                              {max_BN + heads, sum_BN + heads, weighted_BNH + heads * H}, scratch, out + heads * H);
  };

  // Threads take tasks one by one, the shared ones before all others: who comes to a sequence whose company is not
  // done waits for a task that is under way.
  const int64_t num_shared_tasks = std::ssize(all) * K, num_tasks = num_shared_tasks + B * parts;
  std::atomic<int64_t> next = 0;
  std::vector<std::atomic<int64_t>> done(all.size());
  const auto work_on_tasks = [&] {
    thread_local Work work;
    thread_local std::vector<float> scratch;
    thread_local std::vector<kernels::KvRows<Bf16>> rows;
    work.resize(most * G, H);
    scratch.resize(static_cast<size_t>(kernels::decode_attention_scratch(shape)));
    int64_t task = next++;
    for (; task < num_shared_tasks; task = next++) {
      attend_to_shared(all[static_cast<size_t>(task / K)], task % K, work);
      done[static_cast<size_t>(task / K)].fetch_add(1, std::memory_order_release);
    }
    work.tiles.reset();
    for (; task < num_tasks; task = next++) {
      const int64_t b = (task - num_shared_tasks) / parts;
      const std::atomic<int64_t>& theirs = done[company_of[static_cast<size_t>(b)]];
      while (theirs.load(std::memory_order_acquire) < K) std::this_thread::yield();
      attend_to_own(b, (task - num_shared_tasks) % parts, rows, scratch.data());
    }
  };
  at::parallel_for(0, std::min<int64_t>(num_tasks, at::get_num_threads()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work_on_tasks();
  });
}

}  // namespace thinktune::ops
