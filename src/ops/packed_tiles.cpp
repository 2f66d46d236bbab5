// Letters: G query heads, H head size, M rows of a block: its tokens times the heads, S columns of a block's scores:
// the keys that its tokens may see, of the prompt and of their own sequence, in whole tiles.
#include "packed_tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "element.h"
#include "kernels/matrix_tiles.h"
#include "kernels/packed_softmax.h"
#include "kernels/round_rows.h"
#include "kernels/softmax_block.h"

namespace thinktune::ops {
namespace {

using kernels::Bf16;
using kernels::kTileBlock;
using kernels::kTileDepth;
using kernels::kTilePanel;
using kernels::MatrixTiles;
using kernels::PackedShape;
using kernels::tile_depth;
using kernels::TileRows;

constexpr int64_t kBlockRows = 96;  // M, but for the heads of one token where they are more

// Memory of one thread, aligned for tiles.
template <class E>
class Buffer {
 public:
  E* take(int64_t elements) {
    if (!memory_.defined() || memory_.numel() < elements) memory_ = at::empty({elements}, kDtype);
    return static_cast<E*>(memory_.mutable_data_ptr());
  }

 private:
  static constexpr at::ScalarType kDtype = sizeof(E) == 2 ? at::kBFloat16 : at::kFloat;
  at::Tensor memory_;
};

// Keys and values of consecutive tokens in the order of the products that read them.
struct Stretch {
  int64_t tokens = 0;
  const Bf16 *keys_along = nullptr, *values_over = nullptr;  // S = Q·Kᵀ, O = P·V
  const Bf16 *keys_over = nullptr, *values_along = nullptr;  // dQ = dS·K, dP = dO·Vᵀ: backward only
  float *dk_SH = nullptr, *dv_SH = nullptr;                  // backward only; rows up to whole tiles
};

struct StretchMemory {
  Buffer<Bf16> keys_along, values_over, keys_over, values_along;
  Buffer<float> dk, dv;

  Stretch lay_out(const Bf16* k, const Bf16* v, int64_t tokens, int64_t stride, int64_t H, bool backward) {
    const int64_t elements = tile_depth(tokens) * H;
    const auto along = [&](const Bf16* rows, Bf16* to) {
      for (int64_t t = 0; t < tokens; t += kTilePanel)
        kernels::pack_along_rows(rows + t * stride, stride, std::min(kTilePanel, tokens - t), H, to + t * H);
      return to;
    };
    const auto over = [&](const Bf16* rows, Bf16* to) {
      kernels::pack_over_rows(rows, stride, tokens, H, tile_depth(tokens) * kTilePanel, to);
      return to;
    };
    Stretch stretch{tokens, along(k, keys_along.take(elements)), over(v, values_over.take(elements))};
    if (!backward) return stretch;
    stretch.keys_over = over(k, keys_over.take(elements));
    stretch.values_along = along(v, values_along.take(elements));
    stretch.dk_SH = dk.take(elements);
    stretch.dv_SH = dv.take(elements);
    std::fill_n(stretch.dk_SH, elements, 0.0F);
    std::fill_n(stretch.dv_SH, elements, 0.0F);
    return stretch;
  }
};

// Columns [begin, end) of a stretch, whole tiles, which stand from column `at` of the scores on.
struct Columns {
  const Stretch* stretch = nullptr;
  int64_t begin = 0, end = 0, at = 0;
};

// Consecutive tokens of one sequence.
struct Block {
  int64_t tokens = 0, rows = 0;  // rows: M
  int64_t whole_rows = 0;        // up to whole blocks of tiles
  int64_t width = 0;             // S
  std::vector<Columns> seen;
  std::vector<kernels::SeenColumns> seen_T;
};

Block block_of(const PackedShape& shape, const Stretch* prompt, const Stretch& own, int64_t first, int64_t tokens) {
  const int64_t start = prompt != nullptr ? prompt->tokens : 0;  // position of the sequence's first token
  Block block{.tokens = tokens, .rows = tokens * shape.group_size};
  block.whole_rows = (block.rows + kTileBlock - 1) / kTileBlock * kTileBlock;
  const auto first_seen = [&](int64_t position) {
    return shape.window > 0 ? std::max<int64_t>(0, position + 1 - shape.window) : 0;
  };
  const int64_t low = first_seen(start + first);
  const auto add = [&](const Stretch* stretch, int64_t from, int64_t to) {
    const int64_t begin = from / kTileDepth * kTileDepth, end = tile_depth(to);
    block.seen.push_back({stretch, begin, end, block.width});
    block.width += end - begin;
  };
  if (low < start) add(prompt, low, start);
  add(&own, std::max<int64_t>(0, low - start), first + tokens);
  for (int64_t t = first; t < first + tokens; ++t) {
    kernels::SeenColumns& seen = block.seen_T.emplace_back();
    const int64_t from = first_seen(start + t);
    for (size_t i = 0; i < block.seen.size(); ++i) {
      const Columns& c = block.seen[i];
      const bool is_own = c.stretch == &own;
      const int64_t begin = std::max(from - (is_own ? start : 0), c.begin), end = is_own ? t + 1 : c.stretch->tokens;
      seen.begin[i] = static_cast<int32_t>(begin - c.begin + c.at);
      seen.end[i] = static_cast<int32_t>(std::max(begin, end) - c.begin + c.at);
    }
  }
  return block;
}

// Of one thread.
struct Work {
  StretchMemory prompt, response;
  Buffer<Bf16> q_memory, dout_memory, out_memory, weights_memory, dscores_memory, turned_memory, over_memory;
  Buffer<float> scores_memory, dweights_memory, rows_memory, row_memory;

  Bf16 *q_MH = nullptr, *dout_MH = nullptr, *out_MH = nullptr, *weights_MS = nullptr, *dscores_MS = nullptr;
  Bf16 *turned_SM = nullptr, *over_MH = nullptr;
  float *scores_MS = nullptr, *dweights_MS = nullptr, *sums_MH = nullptr, *factor_M = nullptr;

  void take(const Block& block, int64_t H, bool backward) {
    const int64_t rows_H = block.whole_rows * H, rows_S = block.whole_rows * block.width;
    q_MH = q_memory.take(rows_H);
    sums_MH = rows_memory.take(rows_H);
    factor_M = row_memory.take(block.whole_rows);
    scores_MS = scores_memory.take(rows_S);
    weights_MS = weights_memory.take(rows_S);
    if (!backward) return;
    dout_MH = dout_memory.take(rows_H);
    out_MH = out_memory.take(rows_H);
    dweights_MS = dweights_memory.take(rows_S);
    dscores_MS = dscores_memory.take(rows_S);
    turned_SM = turned_memory.take(rows_S);
    over_MH = over_memory.take(rows_H);
  }
};

// The rows of all heads of the block's tokens, one behind the other; 0 behind the last.
void gather_rows(const PackedShape& shape, const Block& block, const Bf16* x, Bf16* x_MH) {
  const int64_t row = shape.group_size * shape.head_size;
  for (int64_t t = 0; t < block.tokens; ++t) std::copy_n(x + t * shape.q_stride, row, x_MH + t * row);
  std::fill(x_MH + block.tokens * row, x_MH + block.whole_rows * shape.head_size, Bf16{0});
}

void scatter_rows(const PackedShape& shape, const Block& block, const float* sums_MH, Bf16* x) {
  const int64_t G = shape.group_size, H = shape.head_size;
  for (int64_t t = 0; t < block.tokens; ++t)
    kernels::round_rows<Bf16>(sums_MH + t * G * H, H, nullptr, G, H, H, x + t * shape.q_stride);
}

// scores_MS = rows_MH · (keys or values)ᵀ.
void multiply_along(const MatrixTiles& tiles, const Block& block, int64_t H, const Bf16* rows_MH, bool values,
                    float* scores_MS) {
  for (const Columns& c : block.seen)
    for (int64_t s = c.begin; s < c.end; s += kTilePanel) {
      const Bf16* panel = (values ? c.stretch->values_along : c.stretch->keys_along) + s * H;
      for (int64_t r = 0; r < block.rows; r += kTileBlock)
        tiles.multiply(kernels::plain_rows(rows_MH + r * H, H), H, panel, {}, /*adds=*/false,
                       scores_MS + r * block.width + c.at + s - c.begin, block.width);
    }
}

// sums_MH = weights_MS · (keys or values).
void multiply_over(const MatrixTiles& tiles, const Block& block, int64_t H, const Bf16* weights_MS, bool keys,
                   float* sums_MH) {
  for (const Columns& c : block.seen) {
    const int64_t depth = tile_depth(c.stretch->tokens);
    const Bf16* over = keys ? c.stretch->keys_over : c.stretch->values_over;
    for (int64_t h = 0; h < H; h += kTilePanel)
      for (int64_t r = 0; r < block.rows; r += kTileBlock)
        tiles.multiply(kernels::plain_rows(weights_MS + r * block.width + c.at, block.width), c.end - c.begin,
                       over + h * depth + c.begin * kTilePanel, {},
                       /*adds=*/&c != &block.seen.front(), sums_MH + r * H + h, H);
  }
}

// The gradient of keys, or values: += weights_MSᵀ · rows_MH.
void add_turned(const MatrixTiles& tiles, const Block& block, int64_t H, const Bf16* weights_MS, const Bf16* rows_MH,
                bool keys, const Work& work) {
  const int64_t M = block.whole_rows;
  kernels::pack_columns(weights_MS, block.width, M, block.width, 16 * M, work.turned_SM);
  kernels::pack_over_rows(rows_MH, H, M, H, M * kTilePanel, work.over_MH);
  for (const Columns& c : block.seen)
    for (int64_t h = 0; h < H; h += kTilePanel)
      for (int64_t s = c.begin; s < c.end; s += kTileBlock) {
        const TileRows turned{work.turned_SM + (c.at + s - c.begin) * M, kTileDepth, 16 * kTileDepth, 16 * M};
        float* sums_SH = keys ? c.stretch->dk_SH : c.stretch->dv_SH;
        tiles.multiply(turned, M, work.over_MH + h * M, {}, /*adds=*/true, sums_SH + s * H + h, H);
      }
}

kernels::PackedScores scores_of(const PackedShape& shape, const Block& block) {
  return {.num_tokens = block.tokens,
          .group_size = shape.group_size,
          .width = block.width,
          .scale = shape.scale,
          .softcap = shape.softcap,
          .lse_stride = shape.lse_stride};
}

void clear_rows_behind(const Block& block, Bf16* x_MS) {
  std::fill(x_MS + block.rows * block.width, x_MS + block.whole_rows * block.width, Bf16{0});
}

// q, out and lse point at the block's first token.
void forward_block(const MatrixTiles& tiles, const PackedShape& shape, const Block& block, Work& work, const Bf16* q,
                   Bf16* out, float* lse) {
  const int64_t H = shape.head_size;
  work.take(block, H, /*backward=*/false);
  gather_rows(shape, block, q, work.q_MH);
  multiply_along(tiles, block, H, work.q_MH, /*values=*/false, work.scores_MS);
  kernels::packed_softmax_forward(work.scores_MS, scores_of(shape, block), block.seen_T.data(), work.weights_MS,
                                  work.factor_M, lse);
  clear_rows_behind(block, work.weights_MS);
  multiply_over(tiles, block, H, work.weights_MS, /*keys=*/false, work.sums_MH);
  kernels::scale_rows(work.sums_MH, H, block.rows, H, work.factor_M);
  scatter_rows(shape, block, work.sums_MH, out);
}

// With p = exp(s − lse): dv += pᵀ·dout, ds = p ∘ (dout·vᵀ − Σ dout ∘ out) ∘ slope of the cap · scale, dq = ds·k, dk +=
// dsᵀ·q.
void backward_block(const MatrixTiles& tiles, const PackedShape& shape, const Block& block, Work& work, const Bf16* q,
                    const Bf16* out, const float* lse, const Bf16* dout, Bf16* dq) {
  const int64_t H = shape.head_size;
  work.take(block, H, /*backward=*/true);
  gather_rows(shape, block, q, work.q_MH);
  gather_rows(shape, block, dout, work.dout_MH);
  gather_rows(shape, block, out, work.out_MH);
  multiply_along(tiles, block, H, work.q_MH, /*values=*/false, work.scores_MS);
  multiply_along(tiles, block, H, work.dout_MH, /*values=*/true, work.dweights_MS);
  kernels::row_dots(work.dout_MH, work.out_MH, block.rows, H, work.factor_M);
  kernels::packed_softmax_backward(work.scores_MS, work.dweights_MS, scores_of(shape, block), block.seen_T.data(), lse,
                                   work.factor_M, work.weights_MS, work.dscores_MS);
  clear_rows_behind(block, work.weights_MS);
  clear_rows_behind(block, work.dscores_MS);
  add_turned(tiles, block, H, work.weights_MS, work.dout_MH, /*keys=*/false, work);
  add_turned(tiles, block, H, work.dscores_MS, work.q_MH, /*keys=*/true, work);
  multiply_over(tiles, block, H, work.dscores_MS, /*keys=*/true, work.sums_MH);
  scatter_rows(shape, block, work.sums_MH, dq);
}

// attend(block, its first row, tokens of the sequence before it) for every block of the part's sequences, and
// end(stretch, its first row) behind each response.
template <class Attend, class End>
const Stretch over_blocks(const Bf16* k, const Bf16* v, const PackedShape& shape, kernels::PackedPart part, Work& work,
                          bool backward, Attend attend, End end) {
  const int64_t step = std::max<int64_t>(1, kBlockRows / shape.group_size), stride = shape.kv_stride;
  const Stretch prompt = work.prompt.lay_out(k, v, shape.prompt_tokens, stride, shape.head_size, backward);
  const auto over = [&](const Stretch* before, const Stretch& own, int64_t row) {
    for (int64_t t = 0; t < own.tokens; t += step)
      attend(block_of(shape, before, own, t, std::min(step, own.tokens - t)), row + t);
  };
  if (part.begin == 0 && part.end > 0) over(nullptr, prompt, 0);
  int64_t row = shape.prompt_tokens;
  for (int64_t b = 0; b + 1 < part.end; ++b) {
    const int64_t tokens = shape.response_tokens[b];
    if (b + 1 >= part.begin && tokens > 0) {
      const Stretch own =
          work.response.lay_out(k + row * stride, v + row * stride, tokens, stride, shape.head_size, backward);
      over(&prompt, own, row);
      end(own, row);
    }
    row += tokens;
  }
  return prompt;
}

}  // namespace

void packed_tiles_forward(const Bf16* q, const Bf16* k, const Bf16* v, const PackedShape& shape,
                          kernels::PackedPart part, Bf16* out, float* lse) {
  thread_local Work work;
  const MatrixTiles tiles(kTileBlock);
  over_blocks(
      k, v, shape, part, work, /*backward=*/false,
      [&](const Block& block, int64_t row) {
        const int64_t at = row * shape.q_stride;
        forward_block(tiles, shape, block, work, q + at, out + at, lse + row * shape.lse_stride);
      },
      [](const Stretch&, int64_t) {});
}

void packed_tiles_backward(const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* out, const float* lse,
                           const Bf16* dout, const PackedShape& shape, kernels::PackedPart part, Bf16* dq, Bf16* dk,
                           Bf16* dv, const kernels::PromptSums<Bf16>& prompt_sums) {
  thread_local Work work;
  const MatrixTiles tiles(kTileBlock);
  const int64_t H = shape.head_size;
  const Stretch prompt = over_blocks(
      k, v, shape, part, work, /*backward=*/true,
      [&](const Block& block, int64_t row) {
        const int64_t at = row * shape.q_stride;
        backward_block(tiles, shape, block, work, q + at, out + at, lse + row * shape.lse_stride, dout + at, dq + at);
      },
      [&](const Stretch& own, int64_t row) {
        const int64_t at = row * shape.kv_stride;
        kernels::round_rows<Bf16>(own.dk_SH, H, nullptr, own.tokens, H, shape.kv_stride, dk + at);
        kernels::round_rows<Bf16>(own.dv_SH, H, nullptr, own.tokens, H, shape.kv_stride, dv + at);
      });
  for (int64_t t = 0; t < prompt.tokens; ++t) {
    std::copy_n(prompt.dk_SH + t * H, H, prompt_sums.dk + t * prompt_sums.stride);
    std::copy_n(prompt.dv_SH + t * H, H, prompt_sums.dv + t * prompt_sums.stride);
  }
}

}  // namespace thinktune::ops
