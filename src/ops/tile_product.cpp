#include "tile_product.h"

#include <ATen/OpaqueTensorImpl.h>
#include <ATen/native/CPUBlas.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <mutex>

#include "element.h"
#include "kernels/round_rows.h"
#include "kernels/tile_layout.h"

namespace thinktune::ops {
namespace {

namespace blas = at::native::cpublas;
using kernels::Bf16;
using Handle = std::shared_ptr<const TiledWeight>;
using Opaque = at::OpaqueTensorImpl<Handle>;

constexpr int64_t kPanel = kernels::kTilePanel;  // outputs
constexpr int64_t kRows = 128;                   // of a block: as many as its sums leave room for in the fastest cache

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

at::Tensor empty_panels(at::IntArrayRef sizes, const at::TensorOptions& options) {
  static PanelMemory memory;
  return memory.take(sizes, options);
}

}  // namespace

bool has_tile_products(const at::Tensor& weight_FD) {
  return weight_FD.is_cpu() && weight_FD.scalar_type() == at::kBFloat16 && weight_FD.dim() == 2 &&
         weight_FD.size(1) % 2 == 0 && at::globalContext().userEnabledMkldnn() && blas::could_pack(at::kBFloat16);
}

at::Tensor tile_weight(const at::Tensor& weight_FD) {
  const int64_t F = weight_FD.size(0), D = weight_FD.size(1), num_panels = (F + kPanel - 1) / kPanel;
  TiledWeight tiled{D, F, empty_panels({num_panels, D / 2, kPanel, 2}, weight_FD.options())};
  auto* panels = static_cast<Bf16*>(tiled.panels.mutable_data_ptr());
  const at::Tensor rows_FD = weight_FD.contiguous();
  const auto* weight = static_cast<const Bf16*>(rows_FD.const_data_ptr());
  at::parallel_for(0, num_panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      kernels::pack_along_rows(weight + p * kPanel * D, D, std::min(kPanel, F - p * kPanel), D,
                               panels + p * kPanel * D);
  });
  return at::detail::make_tensor<Opaque>(c10::DispatchKeySet(c10::DispatchKey::CPU), weight_FD.dtype(),
                                         weight_FD.device(), std::make_shared<const TiledWeight>(std::move(tiled)),
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
  const at::Tensor x = x_TD.contiguous(), bias = bias_F.defined() ? bias_F.contiguous() : bias_F;
  at::Tensor out_TF = at::empty({T, F}, x.options());
  const auto* x_at = static_cast<const at::BFloat16*>(x.const_data_ptr());
  const auto* panels = static_cast<const at::BFloat16*>(weight.panels.const_data_ptr());
  const Bf16* bias_at = bias.defined() ? data<Bf16>(bias) : nullptr;
  Bf16* out = mutable_data<Bf16>(out_TF);

  const int64_t num_panels = weight.panels.size(0), num_blocks = (T + kRows - 1) / kRows * num_panels;
  at::parallel_for(0, num_blocks, 1, [&](int64_t begin, int64_t end) {
    alignas(64) float sums[kRows * kPanel];
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block / num_panels * kRows, rows = std::min(kRows, T - row);
      const int64_t panel = block % num_panels, first = panel * kPanel;
      blas::brgemm(rows, kPanel, D, D, kPanel, kPanel, /*add_C=*/false, x_at + row * D, panels + panel * kPanel * D,
                   sums);
      kernels::round_rows<Bf16>(sums, kPanel, bias_at == nullptr ? nullptr : bias_at + first, rows,
                                std::min(kPanel, F - first), F, out + row * F + first);
    }
    blas::brgemm_release();
  });
  return out_TF;
}

}  // namespace thinktune::ops
