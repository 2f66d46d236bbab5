#include "tile_product.h"

#include <ATen/OpaqueTensorImpl.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <mutex>

#include "element.h"
#include "kernels/matrix_tiles.h"
#include "kernels/round_rows.h"

namespace thinktune::ops {
namespace {

using kernels::Bf16;
using kernels::kTileBlock;
using kernels::kTilePanel;
using kernels::MatrixTiles;
using Handle = std::shared_ptr<const TiledWeight>;
using Opaque = at::OpaqueTensorImpl<Handle>;

constexpr int64_t kRows = 256;  // whose elements stay in a cache while the weight passes by

// Weights are read from end to end in each product: in pages of 2 MiB, where the system has them, the processor looks
// up few addresses and asks for what comes next by itself (measured: twice the rate of pages of 4 KiB). A model's
// weights lie one behind the other in chunks of such pages; a chunk goes when the last of its weights goes.
class PanelMemory {
 public:
  at::Tensor take(at::IntArrayRef sizes, const at::TensorOptions& options) {
    constexpr size_t kLine = 64;
    const auto bytes = (static_cast<size_t>(c10::multiply_integers(sizes)) * sizeof(Bf16) + kLine - 1) / kLine * kLine;
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Chunk> chunk = newest_.lock();
    if (chunk == nullptr || chunk->size - chunk->used < bytes) {
      chunk = std::make_shared<Chunk>(std::max(kChunk, (bytes + kPage - 1) / kPage * kPage));
      newest_ = chunk;
    }
    char* memory = chunk->memory + chunk->used;
    chunk->used += bytes;
    return at::from_blob(
        memory, sizes, [chunk](void*) {}, options);
  }

 private:
  static constexpr size_t kPage = size_t{2} << 20, kChunk = 16 * kPage;

  struct Chunk {
    explicit Chunk(size_t bytes) : memory(static_cast<char*>(std::aligned_alloc(kPage, bytes))), size(bytes) {
      if (memory == nullptr) throw std::bad_alloc();
      madvise(memory, size, MADV_HUGEPAGE);  // a request: without it the pages are small
    }
    ~Chunk() { std::free(memory); }
    Chunk(const Chunk&) = delete;
    Chunk& operator=(const Chunk&) = delete;

    char* memory;
    size_t size, used = 0;
  };

  std::mutex mutex_;
  std::weak_ptr<Chunk> newest_;
};

at::Tensor empty_panels(int64_t elements, const at::TensorOptions& options) {
  static PanelMemory memory;
  return memory.take({elements}, options);
}

// x with zeros behind D up to whole tiles; x itself where none are missing.
at::Tensor to_whole_tiles(const at::Tensor& x_TD) {
  const int64_t D = x_TD.size(1), depth = kernels::tile_depth(D);
  if (D == depth) return x_TD.contiguous();
  at::Tensor padded = at::zeros({x_TD.size(0), depth}, x_TD.options());
  padded.narrow(1, 0, D).copy_(x_TD);
  return padded;
}

}  // namespace

bool has_tile_products(const at::Tensor& weight_FD) {
  return weight_FD.is_cpu() && weight_FD.scalar_type() == at::kBFloat16 && weight_FD.dim() == 2 &&
         weight_FD.size(1) % 2 == 0 && kernels::has_matrix_tiles();
}

at::Tensor tile_weight(const at::Tensor& weight_FD) {
  const int64_t F = weight_FD.size(0), D = weight_FD.size(1), num_panels = kernels::num_panels(F);
  const int64_t panel_size = kernels::tile_depth(D) * kTilePanel;
  TiledWeight tiles{D, F, empty_panels(num_panels * panel_size, weight_FD.options())};
  auto* panels = static_cast<Bf16*>(tiles.panels.mutable_data_ptr());
  const at::Tensor rows_FD = weight_FD.contiguous();
  const auto* weight = static_cast<const Bf16*>(rows_FD.const_data_ptr());
  at::parallel_for(0, num_panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      kernels::pack_along_rows(weight + p * kTilePanel * D, D, std::min(kTilePanel, F - p * kTilePanel), D,
                               panels + p * panel_size);
  });
  return at::detail::make_tensor<Opaque>(c10::DispatchKeySet(c10::DispatchKey::CPU), weight_FD.dtype(),
                                         weight_FD.device(), std::make_shared<const TiledWeight>(std::move(tiles)),
                                         weight_FD.sizes());
}

const TiledWeight* tiled(const at::Tensor& weight) {
  const auto* opaque = dynamic_cast<const Opaque*>(weight.unsafeGetTensorImpl());
  return opaque == nullptr ? nullptr : const_cast<Opaque*>(opaque)->unsafe_opaque_handle().get();
}

at::Tensor tile_product(const at::Tensor& x_TD, const TiledWeight& weight, const at::Tensor& bias_F) {
  const int64_t T = x_TD.size(0), D = weight.num_inputs, F = weight.num_outputs;
  TT_CHECK(x_TD.dim() == 2 && x_TD.size(1) == D && x_TD.scalar_type() == at::kBFloat16,
           "linear: x {} of type {}, a packed weight [{}, {}] of bf16", shape(x_TD), c10::toString(x_TD.scalar_type()),
           F, D);
  at::Tensor out_TF = at::empty({T, F}, x_TD.options());
  if (T == 0) return out_TF;
  const at::Tensor x = to_whole_tiles(x_TD), bias = bias_F.defined() ? bias_F.contiguous() : bias_F;
  const int64_t depth = x.size(1), panel_size = depth * kTilePanel;
  const auto *x_at = data<Bf16>(x), *panels = data<Bf16>(weight.panels);
  const Bf16* bias_at = bias.defined() ? data<Bf16>(bias) : nullptr;
  Bf16* out = mutable_data<Bf16>(out_TF);

  // Blocks of equally many rows, so that a thread sets its tiles once: the last may begin within the one before, whose
  // rows come out the same again.
  const int64_t num_blocks = (T + kTileBlock - 1) / kTileBlock, rows = (T + num_blocks - 1) / num_blocks;
  const int64_t per_part = kRows / kTileBlock, num_parts = (num_blocks + per_part - 1) / per_part;
  const int64_t num_panels = kernels::num_panels(F);
  at::parallel_for(0, num_parts * num_panels, 1, [&](int64_t begin, int64_t end) {
    const MatrixTiles tiles(rows);
    alignas(64) float sums[kTileBlock * kTilePanel];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task / num_panels, panel = task % num_panels, first = panel * kTilePanel;
      const int64_t end_block = std::min(num_blocks, (part + 1) * per_part);
      for (int64_t block = part * per_part; block < end_block; ++block) {
        const int64_t row = std::min(block * rows, T - rows);
        const auto where = block == part * per_part ? MatrixTiles::Panel::Streamed : MatrixTiles::Panel::Near;
        tiles.multiply(kernels::plain_rows(x_at + row * depth, depth), depth, panels + panel * panel_size, where,
                       /*adds=*/false, sums, kTilePanel);
        kernels::round_rows<Bf16>(sums, kTilePanel, bias_at == nullptr ? nullptr : bias_at + first, rows,
                                  std::min(kTilePanel, F - first), F, out + row * F + first);
      }
    }
  });
  return out_TF;
}

}  // namespace thinktune::ops
