#include "tile_product.h"

#include <ATen/OpaqueTensorImpl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "element.h"
#include "kernels/instruction_set.h"
#include "kernels/matrix_tiles.h"
#include "kernels/round_rows.h"

namespace thinktune::ops {
namespace {

using kernels::Bf16;
using kernels::kTileBlock;
using kernels::kTileDepth;
using kernels::kTilePanel;
using kernels::MatrixTiles;
using Handle = std::shared_ptr<const TiledWeight>;
using Opaque = at::OpaqueTensorImpl<Handle>;

constexpr int64_t kFew = 8;         // blocks of rows that stay in a cache while a weight passes by
constexpr int64_t kPart = 1 << 19;  // elements of rows that stay in the second cache: 1 MiB
constexpr int64_t kGroup = 6;       // panels of a task

// Weights are read from end to end in each product: in pages of 2 MiB, where the system has them, the processor looks
// up few addresses and asks for what comes next by itself (measured: twice the rate of pages of 4 KiB). A model's
// weights lie one behind the other in chunks of such pages. What was taken last can be taken again when it is free; a
// chunk goes when the last of its weights goes.
class PanelMemory {
 public:
  at::Tensor take(at::IntArrayRef sizes, const at::TensorOptions& options) {
    constexpr size_t kLine = 64;
    const auto bytes = (static_cast<size_t>(c10::multiply_integers(sizes)) * sizeof(Bf16) + kLine - 1) / kLine * kLine;
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Chunk> chunk = newest_.lock();
    std::optional<size_t> block = chunk == nullptr ? std::nullopt : chunk->take(bytes);
    if (!block.has_value()) {
      chunk = std::make_shared<Chunk>(std::max(kChunk, (bytes + kPage - 1) / kPage * kPage));
      newest_ = chunk;
      block = chunk->take(bytes);
    }
    return at::from_blob(
        chunk->at(*block), sizes, [chunk, block = *block](void*) { chunk->free(block); }, options);
  }

 private:
  static constexpr size_t kPage = size_t{2} << 20, kChunk = 16 * kPage;

  class Chunk {
   public:
    explicit Chunk(size_t bytes) : memory_(static_cast<char*>(std::aligned_alloc(kPage, bytes))), size_(bytes) {
      if (memory_ == nullptr) throw std::bad_alloc();
      madvise(memory_, size_, MADV_HUGEPAGE);  // a request: without it the pages are small
    }
    ~Chunk() { std::free(memory_); }
    Chunk(const Chunk&) = delete;
    Chunk& operator=(const Chunk&) = delete;

    // The number of a block of so many bytes; none where they do not fit.
    std::optional<size_t> take(size_t bytes) {
      const std::lock_guard lock(mutex_);
      const size_t begin = blocks_.empty() ? 0 : blocks_.back().end;
      if (size_ - begin < bytes) return std::nullopt;
      blocks_.push_back({begin, begin + bytes});
      return blocks_.size() - 1;
    }
    char* at(size_t block) {
      const std::lock_guard lock(mutex_);
      return memory_ + blocks_[block].begin;
    }
    void free(size_t block) {
      const std::lock_guard lock(mutex_);
      blocks_[block].is_free = true;
      while (!blocks_.empty() && blocks_.back().is_free) blocks_.pop_back();
    }

   private:
    struct Block {
      size_t begin, end;
      bool is_free = false;
    };

    std::mutex mutex_;
    char* memory_;
    size_t size_;
    std::vector<Block> blocks_;  // in the order of their addresses, the last one taken
  };

  std::mutex mutex_;
  std::weak_ptr<Chunk> newest_;
};

at::Tensor empty_panels(int64_t elements, const at::TensorOptions& options) {
  static PanelMemory memory;
  return memory.take({elements}, options);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Numbers summed over before the next block of rows: what the first cache holds of a panel and of the rows at work,
// which are a whole block for the processor's tiles, up to ten for its vectors.
int64_t longest_stretch() {
  if (kernels::instruction_set() == kernels::InstructionSet::Amx) return 288;
  constexpr int64_t kRows = 10, kSmallest = 32 << 10;
  static const int64_t cache = std::max<int64_t>(kSmallest, sysconf(_SC_LEVEL1_DCACHE_SIZE));
  return cache / ((kTilePanel + kRows) * static_cast<int64_t>(sizeof(Bf16)));
}

// A matrix as it lies in memory: rows `stride` elements apart, or (turned) columns.
struct Side {
  const Bf16* at = nullptr;
  int64_t stride = 0;
  bool turned = false;

  // of a matrix of bf16 in which a row's or a column's elements follow each other
  static Side of(const at::Tensor& t) {
    const bool turned = t.stride(1) != 1 && t.size(1) != 1;
    return {data<Bf16>(t), turned ? t.stride(1) : t.stride(0), turned};
  }
};

// [M, K] times [K, N], both sides as tiles read them.
struct Product {
  int64_t M = 0, N = 0;
  int64_t depth = 0;  // K up to whole tiles
  kernels::TileRows left;
  const Bf16* panels = nullptr;  // of the right side, one behind the other
  const Bf16* bias_N = nullptr;
  Bf16* rounded = nullptr;  // [M, N], or:
  float* sums = nullptr;    // [M, N]
  bool adds = false;        // to what stands in `sums`

  // Where `num_rows` rows of a panel's results go, to be asked for.
  kernels::Ahead written(int64_t row, int64_t column, int64_t num_rows) const {
    const auto element_size = static_cast<int64_t>(rounded != nullptr ? sizeof(Bf16) : sizeof(float));
    const char* results =
        rounded != nullptr ? reinterpret_cast<const char*>(rounded) : reinterpret_cast<const char*>(sums);
    return {.rows = results + (row * N + column) * element_size,
            .num_rows = num_rows,
            .row_bytes = N * element_size,
            .lines_a_row = kTilePanel * element_size / 64};
  }
};

// Blocks of equally many rows: the last may begin within the one before, whose rows come out the same again. A thread
// so sets its tiles once. Rows in tiles of their own (pack_columns) come in whole blocks.
struct Blocks {
  int64_t count, rows, last;  // the last one's first row

  Blocks(int64_t M, bool in_tiles) : count((M + kTileBlock - 1) / kTileBlock) {
    rows = in_tiles ? kTileBlock : (M + count - 1) / count;
    last = in_tiles ? (count - 1) * rows : M - rows;
  }
  int64_t first_row(int64_t block) const { return std::min(block * rows, last); }
};

// One block's sums, [kTileBlock, kTilePanel], to where they belong: of the block's rows those that no block before had.
void store(const Product& p, const Blocks& blocks, int64_t block, int64_t column, const float* sums) {
  const int64_t first = block * blocks.rows, rows = std::min(blocks.first_row(block) + blocks.rows, p.M) - first;
  const int64_t columns = std::min(kTilePanel, p.N - column);
  sums += (first - blocks.first_row(block)) * kTilePanel;
  const int64_t place = first * p.N + column;
  if (p.rounded != nullptr)
    kernels::round_rows<Bf16>(sums, kTilePanel, p.bias_N == nullptr ? nullptr : p.bias_N + column, rows, columns, p.N,
                              p.rounded + place);
  else if (p.adds)
    kernels::add_rows<float>(sums, kTilePanel, rows, columns, p.N, p.sums + place);
  else
    kernels::round_rows<float>(sums, kTilePanel, nullptr, rows, columns, p.N, p.sums + place);
}

// Few rows by the processor's tiles, which wait for memory: a thread takes some of the panels, which pass by once.
void multiply_few(const Product& p, const Blocks& blocks) {
  at::parallel_for(0, kernels::num_panels(p.N), 1, [&](int64_t begin, int64_t end) {
    const MatrixTiles tiles(blocks.rows);
    alignas(64) float sums[kTileBlock * kTilePanel];
    for (int64_t panel = begin; panel < end; ++panel)
      for (int64_t block = 0; block < blocks.count; ++block) {
        kernels::TileRows rows = p.left;
        rows.at += blocks.first_row(block) * rows.row_step;
        const Bf16* at = p.panels + panel * p.depth * kTilePanel;
        tiles.multiply(rows, p.depth, at, block == 0 ? kernels::Ahead::streamed(at) : kernels::Ahead(), /*adds=*/false,
                       sums, kTilePanel);
        store(p, blocks, block, panel * kTilePanel, sums);
      }
  });
}

// Many rows: a thread takes a part of the rows, which stays in the second cache while panels pass by, and of what is
// summed over a stretch at a time: the panel's and a block's then stay in the first. On the way each product asks for
// its share of the stretch that comes next, and in the end for the lines that its sums go to. Few rows are one part,
// whose panels the threads divide: each is read once.
void multiply_many(const Product& p, const Blocks& blocks, bool in_tiles) {
  const int64_t threads = at::get_num_threads(), panels = kernels::num_panels(p.N);
  const bool few = blocks.count <= kFew;
  const int64_t most =
      few ? blocks.count
          : std::max<int64_t>(1, std::min(kPart / (kTileBlock * p.depth), ceil_div(blocks.count, threads)));
  const int64_t num_parts = ceil_div(blocks.count, most), per_part = ceil_div(blocks.count, num_parts);
  const int64_t group = few ? ceil_div(panels, 4 * threads) : kGroup;
  const int64_t stretch = kernels::tile_depth(ceil_div(p.depth, ceil_div(p.depth, longest_stretch())));
  const int64_t num_groups = ceil_div(panels, group), num_tasks = num_parts * num_groups;
  std::atomic<int64_t> next = 0;  // threads are not equally fast: each takes the next task
  at::parallel_for(0, std::min(threads, num_tasks), 1, [&](int64_t, int64_t) {
    const MatrixTiles tiles(blocks.rows);
    constexpr int64_t kSums = kTileBlock * kTilePanel;
    const at::Tensor sums = at::empty({per_part * kSums}, at::kFloat);
    const Bf16* asked_for = nullptr;
    for (int64_t task = next++, following = 0; task < num_tasks; task = following) {
      const int64_t first_block = task / num_groups * per_part,
                    num_blocks = std::min(blocks.count - first_block, per_part);
      const int64_t first_panel = task % num_groups * group, end_panel = std::min(panels, first_panel + group);
      for (int64_t panel = first_panel; panel < end_panel; ++panel) {
        const Bf16* next_panel = p.panels + (panel + 1) * p.depth * kTilePanel;
        if (panel + 1 == end_panel) {  // the next task is taken early enough to ask for its first panel
          following = next++;
          next_panel =
              following < num_tasks ? p.panels + following % num_groups * group * p.depth * kTilePanel : nullptr;
        }
        for (int64_t i = 0; i < p.depth; i += stretch) {
          const int64_t depth = std::min(stretch, p.depth - i), end = i + depth;
          const Bf16 *at = p.panels + (panel * p.depth + i) * kTilePanel,
                     *behind = end < p.depth ? at + depth * kTilePanel : next_panel;
          const int64_t lines = end < p.depth ? std::min(stretch, p.depth - end) : behind != nullptr ? stretch : 0;
          const int64_t share = ceil_div(ceil_div(lines, num_blocks), depth / kTileDepth);
          for (int64_t b = 0; b < num_blocks; ++b) {
            const int64_t block = first_block + b, row = blocks.first_row(block);
            kernels::TileRows rows = p.left;
            rows.at += (in_tiles ? row / 16 * rows.tile_step : row * rows.row_step) + i / kTileDepth * rows.depth_step;
            kernels::Ahead ahead;
            if (end == p.depth) ahead = p.written(row, panel * kTilePanel, blocks.rows);
            if (const int64_t asked = b * share * depth / kTileDepth; asked < lines)
              ahead.lines = behind + asked * kTileDepth, ahead.lines_a_step = share;
            if (b == 0 && asked_for != at) ahead = kernels::Ahead::streamed(at);  // a thread's first panel
            float* its_sums = mutable_data<float>(sums) + b * kSums;
            tiles.multiply(rows, depth, at, ahead, /*adds=*/i > 0, its_sums, kTilePanel);
            if (end == p.depth) store(p, blocks, block, panel * kTilePanel, its_sums);
          }
          asked_for = behind;
        }
      }
    }
  });
}

// The right side in panels, one behind the other.
void pack_panels(const Side& b, int64_t K, int64_t N, Bf16* out) {
  const int64_t depth = kernels::tile_depth(K), panel_size = depth * kTilePanel;
  if (b.turned)
    at::parallel_for(0, kernels::num_panels(N), 1, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel)
        kernels::pack_along_rows(b.at + panel * kTilePanel * b.stride, b.stride,
                                 std::min(kTilePanel, N - panel * kTilePanel), K, out + panel * panel_size);
    });
  else
    at::parallel_for(0, depth / kTileDepth, 1, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kTileDepth;
      kernels::pack_over_rows(b.at + first * b.stride, b.stride, std::min(end * kTileDepth, K) - first, N, panel_size,
                              out + first * kTilePanel);
    });
}

int64_t panels_size(int64_t K, int64_t N) { return kernels::num_panels(N) * kernels::tile_depth(K) * kTilePanel; }

// A left side whose rows are columns in memory, in tiles, up to whole blocks.
at::Tensor tiles_of_columns(const Side& a, int64_t M, int64_t K) {
  const int64_t depth = kernels::tile_depth(K), rows = (M + kTileBlock - 1) / kTileBlock * kTileBlock;
  at::Tensor tiles = at::empty({rows * depth}, at::kBFloat16);
  Bf16* out = mutable_data<Bf16>(tiles);
  if ((M + 15) / 16 * 16 < rows) std::fill_n(out + (rows - 16) * depth, 16 * depth, Bf16{0});
  at::parallel_for(0, depth / kTileDepth, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kTileDepth;
    kernels::pack_columns(a.at + first * a.stride, a.stride, std::min(end * kTileDepth, K) - first, M, 16 * depth,
                          out + first * 16);
  });
  return tiles;
}

// Rows of whole tiles: zeros behind K where K is none; columns as they are.
at::Tensor left_side(const at::Tensor& a_MK) {
  const int64_t K = a_MK.size(1), depth = kernels::tile_depth(K);
  if (Side::of(a_MK).turned || K == depth) return a_MK;
  at::Tensor padded = at::zeros({a_MK.size(0), depth}, a_MK.options());
  padded.narrow(1, 0, K).copy_(a_MK);
  return padded;
}

bool has_tile_layout(const at::Tensor& t) {
  return t.is_cpu() && t.scalar_type() == at::kBFloat16 && t.dim() == 2 && (t.stride(0) == 1 || t.stride(1) == 1);
}

}  // namespace

bool has_tile_products(const at::Tensor& weight_FD) {
  return weight_FD.is_cpu() && weight_FD.scalar_type() == at::kBFloat16 && weight_FD.dim() == 2 &&
         weight_FD.size(1) % 2 == 0;
}

at::Tensor tile_weight(const at::Tensor& weight_FD) {
  const int64_t F = weight_FD.size(0), D = weight_FD.size(1);
  TiledWeight tiles{D, F, empty_panels(panels_size(D, F), weight_FD.options())};
  pack_panels(Side::of(weight_FD.contiguous().t()), D, F, mutable_data<Bf16>(tiles.panels));
  return at::detail::make_tensor<Opaque>(c10::DispatchKeySet(c10::DispatchKey::CPU), weight_FD.dtype(),
                                         weight_FD.device(), std::make_shared<const TiledWeight>(std::move(tiles)),
                                         weight_FD.sizes());
}

const TiledWeight* tiled(const at::Tensor& weight) {
  const auto* opaque = dynamic_cast<const Opaque*>(weight.unsafeGetTensorImpl());
  return opaque == nullptr ? nullptr : const_cast<Opaque*>(opaque)->unsafe_opaque_handle().get();
}

void tile_product(const at::Tensor& out_TF, const at::Tensor& x_TD, const TiledWeight& weight,
                  const at::Tensor& bias_F) {
  const int64_t T = x_TD.size(0), D = weight.num_inputs, F = weight.num_outputs;
  TT_CHECK(x_TD.dim() == 2 && x_TD.size(1) == D && x_TD.scalar_type() == at::kBFloat16,
           "linear: x {} of type {}, a packed weight [{}, {}] of bf16", shape(x_TD), c10::toString(x_TD.scalar_type()),
           F, D);
  TT_CHECK(out_TF.sizes() == at::IntArrayRef({T, F}) && out_TF.scalar_type() == at::kBFloat16 && out_TF.is_contiguous(),
           "linear: {} of type {} for a product [{}, {}]", shape(out_TF), c10::toString(out_TF.scalar_type()), T, F);
  if (out_TF.numel() == 0) return;
  const at::Tensor x = left_side(x_TD.contiguous()), bias = bias_F.defined() ? bias_F.contiguous() : bias_F;
  const Product product{.M = T,
                        .N = F,
                        .depth = x.size(1),
                        .left = kernels::plain_rows(data<Bf16>(x), x.size(1)),
                        .panels = data<Bf16>(weight.panels),
                        .bias_N = bias.defined() ? data<Bf16>(bias) : nullptr,
                        .rounded = mutable_data<Bf16>(out_TF)};
  const Blocks blocks(T, /*in_tiles=*/false);
  if (blocks.count <= kFew && kernels::instruction_set() == kernels::InstructionSet::Amx)
    multiply_few(product, blocks);
  else
    multiply_many(product, blocks, /*in_tiles=*/false);
}

bool has_tile_products(const at::Tensor& a_MK, const at::Tensor& b_KN) {
  return has_tile_layout(a_MK) && has_tile_layout(b_KN) && a_MK.numel() > 0 && b_KN.numel() > 0 &&
         (!Side::of(b_KN).turned || b_KN.size(0) % 2 == 0);
}

void tile_matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& b_KN, const at::Tensor& bias_N,
                 bool adds) {
  const int64_t M = a_MK.size(0), K = a_MK.size(1), N = b_KN.size(1);
  const bool rounds = out_MN.scalar_type() == at::kBFloat16;
  TT_CHECK(b_KN.size(0) == K && out_MN.is_contiguous() && out_MN.size(0) == M && out_MN.size(1) == N &&
               (rounds ? !adds : out_MN.scalar_type() == at::kFloat && !bias_N.defined()),
           "tile_matmul: {} times {} into {} of type {}", shape(a_MK), shape(b_KN), shape(out_MN),
           c10::toString(out_MN.scalar_type()));
  const Side a = Side::of(a_MK);
  const int64_t depth = kernels::tile_depth(K);
  const at::Tensor left = a.turned ? tiles_of_columns(a, M, K) : left_side(a_MK);
  const at::Tensor panels = at::empty({panels_size(K, N)}, at::kBFloat16);
  pack_panels(Side::of(b_KN), K, N, mutable_data<Bf16>(panels));
  const at::Tensor bias = bias_N.defined() ? bias_N.contiguous() : bias_N;
  multiply_many({.M = M,
                 .N = N,
                 .depth = depth,
                 .left = a.turned ? kernels::TileRows{data<Bf16>(left), kTileDepth, 16 * kTileDepth, 16 * depth}
                                  : kernels::plain_rows(data<Bf16>(left), left.stride(0)),
                 .panels = data<Bf16>(panels),
                 .bias_N = bias.defined() ? data<Bf16>(bias) : nullptr,
                 .rounded = rounds ? mutable_data<Bf16>(out_MN) : nullptr,
                 .sums = rounds ? nullptr : mutable_data<float>(out_MN),
                 .adds = adds},
                Blocks(M, a.turned), a.turned);
}

}  // namespace thinktune::ops
