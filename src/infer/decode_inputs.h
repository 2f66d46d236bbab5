// Letters: B sequences of a decode step (those of the bucket), W pages of a sequence's table.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <span>

#include "infer/copies.h"
#include "thinktune/infer/model_runner.h"
#include "thinktune/ops/sample_rows.h"

namespace thinktune::infer {

// Rows, or pages, of the step that computes so many. Few sizes, so that few recordings serve all.
int64_t bucket_of(int64_t count);

// What a decode step reads, in one tensor so that it is one copy: [kTable + W, B] int64. Two of them, in turns: the
// next step's is on its way while the device reads this one's.
struct DecodeInputs {
  static constexpr int64_t kKeys = 4, kDraws = 9, kTable = 10;
  static_assert(sizeof(core::RandomKey) == (kDraws - kKeys) * sizeof(int64_t));

  std::array<at::Tensor, 2> host;
  at::Tensor device;  // [2, kTable + W, B]

  DecodeInputs(int64_t batch, int64_t width, at::Device gpu)
      : host{host_tensor({kTable + width, batch}, at::kLong, gpu),
             host_tensor({kTable + width, batch}, at::kLong, gpu)},
        device(at::zeros({2, kTable + width, batch}, at::TensorOptions().dtype(at::kLong).device(gpu))) {}

  static at::Tensor ids(const at::Tensor& in) { return in.select(0, 0); }
  static at::Tensor rows_before(const at::Tensor& in) { return in.select(0, 1); }  // −1: ids has the token
  static at::Tensor positions(const at::Tensor& in) { return in.select(0, 2); }
  static at::Tensor rows(const at::Tensor& in) { return in.select(0, 3); }
  static at::Tensor counters(const at::Tensor& in) { return in.narrow(0, kKeys, kTable - kKeys); }
  static at::Tensor table(const at::Tensor& in) { return in.slice(0, kTable).t(); }

  // Writes one of `host`. Rows of the bucket that stand for no sequence compute token 0 at position 0, in page 0.
  static void fill(const at::Tensor& host, std::span<const DecodeRow> rows);
};

// The keys and positions of draws, in rows of B int64: the structs one behind the other, then 32 bits each.
inline constexpr int64_t kCounterRows = DecodeInputs::kTable - DecodeInputs::kKeys;
void put_counters(const at::Tensor& to, std::span<const core::RandomKey> keys, std::span<const uint32_t> positions);
ops::DrawCounters counters_of(const at::Tensor& from);

}  // namespace thinktune::infer
