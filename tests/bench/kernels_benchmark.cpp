// Times the CUDA kernels at the sizes of a 3B model's step on a GPU: microseconds a launch, and the bytes that must
// move at least, a second. It needs a driver and nothing else.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/dequantize.h"
#include "kernels/cuda/glu.h"
#include "kernels/cuda/gradient_norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/sample_tokens.h"
#include "kernels/cuda/token_logprob.h"

namespace {

using namespace thinktune;  // NOLINT: a program of its own
using kernels::Bf16;

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(status));
  std::exit(1);
}

// Device memory with random bf16 or float bits of about 1, never freed.
void* memory(int64_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, static_cast<size_t>(bytes)));
  std::vector<uint16_t> piece(1 << 20);
  uint32_t x = 1;
  for (uint16_t& v : piece) {
    x = x * 1664525 + 1013904223;
    v = static_cast<uint16_t>(0x3f00 + (x >> 24) + ((x >> 9 & 1) << 15));
  }
  for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(piece.size() * 2))
    check(cudaMemcpy(static_cast<char*>(p) + at, piece.data(),
                     static_cast<size_t>(std::min<int64_t>(bytes - at, static_cast<int64_t>(piece.size() * 2))),
                     cudaMemcpyHostToDevice));
  return p;
}
template <class T>
T* array(int64_t n) {
  return static_cast<T*>(memory(n * static_cast<int64_t>(sizeof(T))));
}
template <class T>
T* upload(const std::vector<T>& values) {
  T* p = array<T>(static_cast<int64_t>(values.size()));
  check(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}

void time(const char* name, double bytes, const std::function<void()>& run) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  for (int i = 0; i < 3; ++i) run();
  constexpr int kRuns = 20;
  check(cudaEventRecord(begin));
  for (int i = 0; i < kRuns; ++i) run();
  check(cudaEventRecord(end));
  check(cudaEventSynchronize(end));
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin, end));
  std::printf("%-44s %10.1f us %9.0f GB/s\n", name, 1e3 * ms / kRuns, bytes / (ms / kRuns * 1e6));
}

constexpr int64_t kTokens = 8192, kWidth = 3072, kMlp = 8192, kHeads = 24, kKvHeads = 8, kHead = 128,
                  kVocabulary = 128256;

void layers() {
  const int64_t n = kTokens * kWidth;
  auto *x = array<Bf16>(n), *y = array<Bf16>(n), *w = array<Bf16>(kWidth), *dy = array<Bf16>(n);
  auto *r = array<float>(kTokens), *dw = array<float>(kWidth);
  auto* scratch = array<float>(kernels::cuda::rms_norm_backward_scratch(kTokens, kWidth));
  const kernels::RmsNormForm form;
  time("rms_norm_forward", 4.0 * n,
       [&] { kernels::cuda::rms_norm_forward<Bf16>(x, nullptr, w, form, kTokens, kWidth, y, r, nullptr); });
  time("rms_norm_forward, residual", 8.0 * n,
       [&] { kernels::cuda::rms_norm_forward<Bf16>(x, dy, w, form, kTokens, kWidth, y, r, nullptr); });
  time("rms_norm_backward", 10.0 * n, [&] {
    kernels::cuda::rms_norm_backward<Bf16>({x, w, r, dy, nullptr, y, dw, scratch}, form, kTokens, kWidth, nullptr);
  });
  auto *cos = array<float>(kTokens * kHead / 2), *sin = array<float>(kTokens * kHead / 2);
  time("rope", 4.0 * n, [&] {
    kernels::cuda::rope<Bf16>(x, cos, sin, {kTokens, kHeads, kHead, kHeads * kHead, kHead}, true, y, nullptr);
  });
  auto *gate_up = array<Bf16>(2 * kTokens * kMlp), *out = array<Bf16>(kTokens * kMlp),
       *dgate_up = array<Bf16>(2 * kTokens * kMlp);
  time("glu_forward", 6.0 * kTokens * kMlp,
       [&] { kernels::cuda::glu_forward<Bf16>(gate_up, kernels::Activation::Silu, kTokens, kMlp, out, nullptr); });
  time("glu_backward", 10.0 * kTokens * kMlp, [&] {
    kernels::cuda::glu_backward<Bf16>(gate_up, out, kernels::Activation::Silu, kTokens, kMlp, dgate_up, nullptr);
  });
  auto* partials = array<double>(kernels::cuda::norm_partials(2 * kTokens * kMlp));
  time("sum_of_squares, bf16", 4.0 * kTokens * kMlp,
       [&] { kernels::cuda::sum_of_squares<Bf16>(gate_up, 2 * kTokens * kMlp, partials, nullptr); });
  using kernels::cuda::Stored;
  time("dequantize Q4_K", (144.0 / 256 + 2) * kTokens * kMlp,
       [&] { kernels::cuda::dequantize<Bf16>(Stored::Q4_K, gate_up, kTokens * kMlp, out, nullptr); });
}

void logits() {
  const int64_t rows = 512, batch = 640;
  auto* l = array<Bf16>(batch * kVocabulary);
  auto* targets = upload(std::vector<int64_t>(batch, 17));
  auto *logprob = array<float>(batch), *entropy = array<float>(batch), *threshold = array<float>(batch);
  auto* normalizer = array<double>(batch);
  auto* grad = upload(std::vector<double>(batch, 1e-3));
  const double bytes = 2.0 * rows * kVocabulary;
  for (const auto& [name, t] : {std::pair<const char*, kernels::SamplingTransform>{"row_statistics, 512 rows", {1.0}},
                                {"row_statistics, top_k 50 top_p .95", {1.0, 50, 0.95}}})
    time(name, bytes, [&, t = t] {
      kernels::cuda::row_statistics<Bf16>(l, targets, rows, kVocabulary, t, {logprob, entropy, threshold, normalizer},
                                          nullptr);
    });
  auto* keys = upload(std::vector<core::RandomKey>(batch));
  auto* positions = upload(std::vector<uint32_t>(batch));
  auto* ids = array<int32_t>(batch);
  for (int64_t b : {8, 640})
    for (const auto& [name, t] : {std::pair<const char*, kernels::SamplingTransform>{"whole", {1.0}},
                                  {"top_p .95", {1.0, 0, 0.95}},
                                  {"greedy", {0.0}}})
      time((std::string("sample_tokens, ") + name + ", batch " + std::to_string(b)).c_str(),
           2.0 * static_cast<double>(b) * kVocabulary, [&, t = t] {
             kernels::cuda::sample_tokens<Bf16>(l, b, kVocabulary, t, keys, positions, ids, logprob, nullptr);
           });
  // Last: it turns the logits into something else.
  time("row_gradients, 512 rows", 2 * bytes, [&] {
    kernels::cuda::row_gradients<Bf16>(l, rows, kVocabulary, 1.0, {targets, entropy, threshold, normalizer, grad, grad},
                                       nullptr);
  });
}

void attention(int64_t prompts, int64_t samples, int32_t prefix, int32_t tail, int multiprocessors) {
  constexpr int32_t kPageRows = 64;
  const int64_t batch = prompts * samples, row = kKvHeads * kHead;
  const int32_t prefix_pages = (prefix + kPageRows - 1) / kPageRows, tail_pages = (tail + kPageRows - 1) / kPageRows;
  std::vector<int32_t> prefixes, tails;
  int32_t next = 0;
  for (int64_t p = 0; p < prompts; ++p, next += prefix_pages)
    for (int64_t s = 0; s < samples; ++s)
      for (int32_t i = 0; i < prefix_pages; ++i) prefixes.push_back(next + i);
  for (int64_t b = 0; b < batch; ++b)
    for (int32_t i = 0; i < tail_pages; ++i) tails.push_back(next++);
  auto *k = array<Bf16>(int64_t{next} * kPageRows * row), *v = array<Bf16>(int64_t{next} * kPageRows * row);
  kernels::cuda::PagedAttentionShape shape{.num_kv_heads = kKvHeads,
                                           .group_size = kHeads / kKvHeads,
                                           .head_size = kHead,
                                           .max_context = prefix + tail,
                                           .q_stride = kHeads * kHead,
                                           .scale = 0.0883883};
  shape.num_splits = kernels::cuda::suggested_splits(shape, batch, multiprocessors);
  const kernels::cuda::PagedSequences sequences{batch,
                                                upload(prefixes),
                                                upload(std::vector<int32_t>(batch, prefix)),
                                                upload(tails),
                                                upload(std::vector<int32_t>(batch, tail)),
                                                prefix_pages,
                                                tail_pages};
  auto *q = array<Bf16>(batch * kHeads * kHead), *out = array<Bf16>(batch * kHeads * kHead);
  void* scratch = memory(kernels::cuda::paged_attention_scratch_bytes(shape, batch));
  const std::string name =
      "paged_attention, " + std::to_string(batch) + " at " + std::to_string(prefix) + " + " + std::to_string(tail);
  // A shared prefix counted once: what need not come from memory again.
  time(name.c_str(), 4.0 * static_cast<double>(row) * static_cast<double>(prompts * prefix + batch * tail), [&] {
    kernels::cuda::paged_attention<Bf16>(q, {k, v, kPageRows * row, row, kPageRows}, sequences, shape, scratch, out,
                                         nullptr);
  });
  check(cudaFree(k));
  check(cudaFree(v));
}

}  // namespace

int main() {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d multiprocessors\n", device.name, device.multiProcessorCount);
  layers();
  logits();
  attention(128, 5, 512, 512, device.multiProcessorCount);
  attention(8, 1, 512, 512, device.multiProcessorCount);
  attention(1, 1, 512, 3584, device.multiProcessorCount);
}
