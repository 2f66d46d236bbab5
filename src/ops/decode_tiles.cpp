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

const KvSegment* first_own(const std::vector<KvSegment>& segments) {
  const size_t n = num_shared(segments);
  return n < segments.size() ? &segments[n] : nullptr;
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
  all.reserve(segments.size());
  for (size_t b = 0; b < segments.size(); ++b) {
    if (!all.empty() && all.back().count < most && same_shared(segments[b - 1], segments[b]))
      ++all.back().count;
    else
      all.push_back({static_cast<int64_t>(b), 1});
  }
  return all;
}

// Keys and values of at most kPositions positions and one kv head, in tiles. Keys: panels of positions. Values: panels
// of the head's elements, `depth` positions each.
struct HeadTiles {
  const Bf16 *keys, *values;
  int64_t count;   // positions
  bool in_memory;  // laid out long ago: on the way from memory
};

// Lays out positions [begin, begin + count) of consecutive segments, of the kv head whose elements begin at `offset` of
// a row: tile_depth(count) · H elements of each, keys and values. `copied`: for where a segment ends between them.
void lay_out(std::span<const KvSegment> segments, int64_t begin, int64_t count, int64_t offset, int64_t stride,
             int64_t H, std::vector<Bf16>& copied, Bf16* keys, Bf16* values) {
  size_t s = 0;
  while (begin >= segments[s].num_tokens) begin -= segments[s++].num_tokens;
  const auto row_of = [&](const void* rows, int64_t i) { return static_cast<const Bf16*>(rows) + offset + i * stride; };
  const Bf16 *key_rows = row_of(segments[s].keys, begin), *value_rows = row_of(segments[s].values, begin);
  if (begin + count > segments[s].num_tokens) {
    copied.resize(static_cast<size_t>(2 * kPositions * H));
    for (int64_t i = 0; i < count; ++i, ++begin) {
      while (begin >= segments[s].num_tokens) begin -= segments[s++].num_tokens;
      std::copy_n(row_of(segments[s].keys, begin), H, copied.data() + i * H);
      std::copy_n(row_of(segments[s].values, begin), H, copied.data() + (kPositions + i) * H);
    }
    key_rows = copied.data(), value_rows = key_rows + kPositions * H, stride = H;
  }
  for (int64_t p = 0; p < count; p += kTilePanel)
    kernels::pack_along_rows(key_rows + p * stride, stride, std::min(kTilePanel, count - p), H, keys + p * H);
  kernels::pack_over_rows(value_rows, stride, count, H, kernels::tile_depth(count) * kTilePanel, values);
}

// In what tile_kv makes: for each kv head its keys, then its values, in blocks of kPositions.
HeadTiles tiles_at(const Bf16* tiles, int64_t kv_head, int64_t positions, int64_t begin, int64_t count, int64_t H) {
  const int64_t elements = kernels::tile_depth(positions) * H;
  const Bf16* keys = tiles + 2 * kv_head * elements + begin * H;
  return {keys, keys + elements, count, /*in_memory=*/true};
}

int64_t num_positions(std::span<const KvSegment> segments) {
  int64_t positions = 0;
  for (const KvSegment& segment : segments) positions += segment.num_tokens;
  return positions;
}

// Of one thread, kept from call to call.
struct Work {
  int64_t head_size = 0;
  std::vector<Bf16> q_RH, weights_RP, keys, values, copied;
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

  void set_tiles(int64_t rows) {
    rows = std::min(rows, kTileBlock);
    if (tiles.has_value() && tile_rows == rows) return;
    tiles.emplace(rows);
    tile_rows = rows;
  }

  // For the first `rows` queries. In blocks of kTileBlock, of which the last one may reach into rows of nothing.
  void attend(int64_t rows, const HeadTiles& block, const DecodeAttentionOptions& options) {
    const int64_t H = head_size, depth = kernels::tile_depth(block.count);
    const auto ahead = [&](const Bf16* panel, int64_t row) {
      return block.in_memory && row == 0 ? kernels::Ahead::streamed(panel) : kernels::Ahead();
    };
    for (int64_t p = 0; p < block.count; p += kTilePanel)
      for (int64_t r = 0; r < rows; r += kTileBlock) {
        const Bf16* panel = block.keys + p * H;
        tiles->multiply(kernels::plain_rows(q_RH.data() + r * H, H), H, panel, ahead(panel, r), /*adds=*/false,
                        scores_RP.data() + r * kPositions + p, kPositions);
      }
    kernels::softmax_block(scores_RP.data(),
                           {.num_rows = rows,
                            .num_positions = block.count,
                            .width = kPositions,
                            .scale = options.scale,
                            .softcap = options.softcap},
                           max_R.data(), sum_R.data(), factor_R.data(), weights_RP.data());
    kernels::scale_rows(weighted_RH.data(), H, rows, H, factor_R.data());
    for (int64_t h = 0; h < H; h += kTilePanel)
      for (int64_t r = 0; r < rows; r += kTileBlock) {
        const Bf16* panel = block.values + h * depth;
        tiles->multiply(kernels::plain_rows(weights_RP.data() + r * kPositions, kPositions), depth, panel,
                        ahead(panel, r), /*adds=*/true, weighted_RH.data() + r * H + h, H);
      }
  }
};

}  // namespace

int64_t tiled_kv_bytes(int64_t tokens, int64_t num_kv_heads, int64_t head_size, at::ScalarType dtype) {
  if (dtype != at::kBFloat16 || head_size % kernels::kTileDepth != 0) return 0;
  return 2 * num_kv_heads * kernels::tile_depth(tokens) * head_size * static_cast<int64_t>(sizeof(Bf16));
}

at::Tensor tile_kv(std::span<const KvSegment> segments, int64_t num_kv_heads, int64_t head_size, at::ScalarType dtype) {
  const int64_t positions = num_positions(segments), bytes = tiled_kv_bytes(positions, num_kv_heads, head_size, dtype);
  if (bytes == 0) return {};
  at::Tensor tiles = at::empty({bytes / static_cast<int64_t>(sizeof(Bf16))}, dtype);
  Bf16* out = mutable_data<Bf16>(tiles);
  const int64_t blocks = (positions + kPositions - 1) / kPositions;
  at::parallel_for(0, num_kv_heads * blocks, 1, [&](int64_t first, int64_t end) {
    std::vector<Bf16> copied;
    for (int64_t i = first; i < end; ++i) {
      const int64_t kv_head = i / blocks, begin = i % blocks * kPositions,
                    count = std::min(kPositions, positions - begin);
      const HeadTiles at = tiles_at(out, kv_head, positions, begin, count, head_size);
      lay_out(segments, begin, count, kv_head * head_size, num_kv_heads * head_size, head_size, copied,
              const_cast<Bf16*>(at.keys), const_cast<Bf16*>(at.values));
    }
  });
  return tiles;
}

// First what is shared, a company and kv head at a time; then each sequence's own rows, of all kv heads, as they lie in
// memory.
void decode_by_tiles(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
                     const DecodeAttentionOptions& options, const at::Tensor& out_BNH) {
  const int64_t B = q_BNH.size(0), K = options.num_kv_heads, N = q_BNH.size(1), H = q_BNH.size(2), G = N / K;
  const int64_t stride = K * H, most = std::max<int64_t>(1, kMaxRows / G);
  const std::vector<Company> all = companies(segments, most);
  std::vector<size_t> company_of;
  company_of.reserve(static_cast<size_t>(B));
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
    const int64_t positions = num_positions(before);
    const auto* tiles = before.empty() ? nullptr : static_cast<const Bf16*>(before.back().tiles);
    work.set_tiles(company.count * G);
    for (int64_t p = 0; p < positions; p += kPositions) {
      const int64_t count = std::min(kPositions, positions - p);
      if (tiles == nullptr)
        lay_out(before, p, count, kv_head * H, stride, H, work.copied, work.keys.data(), work.values.data());
      const HeadTiles block{work.keys.data(), work.values.data(), count, /*in_memory=*/false};
      work.attend(company.count * G, tiles == nullptr ? block : tiles_at(tiles, kv_head, positions, p, count, H),
                  options);
    }
    for (int64_t i = 0; i < company.count; ++i) {
      std::copy_n(work.max_R.data() + i * G, G, max_BN + heads(i));
      std::copy_n(work.sum_R.data() + i * G, G, sum_BN + heads(i));
      std::copy_n(work.weighted_RH.data() + i * G * H, G * H, weighted_BNH + heads(i) * H);
    }
  };
  const auto rows_of = [&](const KvSegment& segment, int64_t part) -> kernels::KvRows<Bf16> {
    const int64_t offset = part * shape.num_kv_heads * H;
    return {static_cast<const Bf16*>(segment.keys) + offset, static_cast<const Bf16*>(segment.values) + offset,
            segment.num_tokens};
  };
  // Task `following` is what the thread does next.
  const auto attend_to_own = [&](int64_t task, int64_t following, std::vector<kernels::KvRows<Bf16>>& rows,
                                 float* scratch) {
    const int64_t b = task / parts, part = task % parts, heads = b * N + part * shape.num_kv_heads * G;
    const std::vector<KvSegment>& own = segments[static_cast<size_t>(b)];
    rows.clear();
    for (size_t s = num_shared(own); s < own.size(); ++s) rows.push_back(rows_of(own[s], part));
    const KvSegment* next =
        following < B * parts ? first_own(segments[static_cast<size_t>(following / parts)]) : nullptr;
    kernels::decode_attention(q + heads * H, rows.data(), std::ssize(rows), shape,
                              {max_BN + heads, sum_BN + heads, weighted_BNH + heads * H}, scratch, out + heads * H,
                              next == nullptr ? kernels::KvRows<Bf16>() : rows_of(*next, following % parts));
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
    for (int64_t following; task < num_tasks; task = following) {
      following = next++;
      const std::atomic<int64_t>& theirs = done[company_of[static_cast<size_t>((task - num_shared_tasks) / parts)]];
      while (theirs.load(std::memory_order_acquire) < K) std::this_thread::yield();
      attend_to_own(task - num_shared_tasks, following - num_shared_tasks, rows, scratch.data());
    }
  };
  at::parallel_for(0, std::min<int64_t>(num_tasks, at::get_num_threads()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work_on_tasks();
  });
}

}  // namespace thinktune::ops
