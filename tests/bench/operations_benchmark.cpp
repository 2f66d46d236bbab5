// Operations of a step at the shapes of SmolLM2-135M, on all threads: ninja operations_benchmark, then
// build/release/bin/operations_benchmark [--benchmark_filter=…]. Google Benchmark's own options apply. Not part of the
// tests: what a product takes differs by a factor of 2 from one machine to the next.
//
// Letters: T tokens, D width, F width of the MLP, N query heads, K key/value heads, H head size, V vocabulary.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include "support/tiny_model.h"
#include "thinktune/infer/kv_cache.h"
#include "thinktune/infer/sample_token.h"
#include "thinktune/ops/decode_attention.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/linear.h"
#include "thinktune/ops/packed_attention.h"
#include "thinktune/ops/token_logprob.h"
#include "thinktune/optim/adamw.h"

namespace {

using namespace thinktune;
using benchmark::Counter;
using benchmark::State;

constexpr int64_t D = 576, F = 1536, N = 9, K = 3, H = 64, V = 49152;

at::Tensor normals(at::IntArrayRef shape, at::ScalarType dtype, bool differentiable = false) {
  return at::randn(shape, at::TensorOptions().dtype(at::kFloat)).to(dtype).set_requires_grad(differentiable);
}

void rate(State& state, const char* unit, double amount) {
  state.counters[unit] = Counter(amount, Counter::kIsIterationInvariantRate);
}

void name_dtype(State& state, at::ScalarType dtype) { state.SetLabel(dtype == at::kFloat ? "f32" : "bf16"); }
constexpr auto kF32 = static_cast<int64_t>(at::kFloat), kBf16 = static_cast<int64_t>(at::kBFloat16);

// The gate and up projections: rows, dtype, packed.
void linear(State& state) {
  const c10::InferenceMode inference;
  const auto dtype = static_cast<at::ScalarType>(state.range(1));
  const at::Tensor x_TD = normals({state.range(0), D}, dtype), weight_FD = normals({2 * F, D}, dtype);
  const at::Tensor w = state.range(2) != 0 ? ops::pack_weight(weight_FD) : weight_FD;
  for (auto _ : state) benchmark::DoNotOptimize(ops::linear(x_TD, w));
  name_dtype(state, dtype);
  rate(state, "FLOP/s", 2.0 * static_cast<double>(state.range(0) * D * 2 * F));
}
BENCHMARK(linear)->ArgNames({"rows", "dtype", "packed"})->ArgsProduct({{1, 8, 64, 1024}, {kF32, kBf16}, {0, 1}});

// A projection of 1024 rows with its gradients: inputs, outputs.
void linear_gradients(State& state) {
  const int64_t rows = 1024, inputs = state.range(0), outputs = state.range(1);
  const at::Tensor x_TD = normals({rows, inputs}, at::kBFloat16).requires_grad_();
  const at::Tensor weight_FD = normals({outputs, inputs}, at::kBFloat16).requires_grad_();
  const at::Tensor dy_TF = normals({rows, outputs}, at::kBFloat16);
  for (auto _ : state) {
    ops::linear(x_TD, weight_FD).backward(dy_TF);
    x_TD.mutable_grad().reset();
    weight_FD.mutable_grad().reset();
  }
  rate(state, "FLOP/s", 6.0 * static_cast<double>(rows * inputs * outputs));
}
BENCHMARK(linear_gradients)->ArgNames({"inputs", "outputs"})->Args({D, 2 * F})->Args({F, D})->Args({D, D});

// Sequences with a prompt of 190 tokens, which so many samples have in common, and 64 tokens of their own; with a copy
// of the prompt laid out for products (1), or laid out in each call (0).
void decode_attention(State& state) {
  const c10::InferenceMode inference;
  const int64_t sequences = state.range(0), samples = state.range(1);
  const at::Tensor q_BNH = normals({sequences, N, H}, at::kBFloat16);
  std::vector<at::Tensor> rows;
  std::vector<std::vector<ops::KvSegment>> segments;
  const auto segment = [&](int64_t tokens) {
    for (int i = 0; i < 2; ++i) rows.push_back(normals({tokens, K, H}, at::kBFloat16));
    return ops::KvSegment{rows.end()[-2].const_data_ptr(), rows.back().const_data_ptr(), tokens};
  };
  ops::KvSegment prompt;
  for (int64_t b = 0; b < sequences; ++b) {
    if (b % samples == 0) {
      prompt = segment(190);
      prompt.shared = true;
      if (state.range(2) != 0)
        prompt.tiles = rows.emplace_back(ops::tile_kv(std::span(&prompt, 1), K, H, at::kBFloat16)).const_data_ptr();
    }
    segments.push_back({prompt, segment(64)});
  }
  for (auto _ : state)
    benchmark::DoNotOptimize(ops::decode_attention(q_BNH, segments, {.num_kv_heads = K, .scale = 0.125}));
  rate(state, "FLOP/s", 4.0 * static_cast<double>(sequences * 254 * N * H));
}
BENCHMARK(decode_attention)->ArgNames({"sequences", "samples", "tiles"})->ArgsProduct({{1, 8, 64}, {1, 8}, {0, 1}});

// A group of 8 responses of 74 tokens to a prompt of 190, forward and (1) backward.
void packed_attention(State& state) {
  const ops::PackedGroup group{190, std::vector<int64_t>(8, 74)};
  const int64_t tokens = 190 + 8 * 74;
  const bool backward = state.range(0) != 0;
  const at::Tensor q_TNH = normals({tokens, N, H}, at::kBFloat16, backward);
  const at::Tensor k_TKH = normals({tokens, K, H}, at::kBFloat16, backward);
  const at::Tensor v_TKH = normals({tokens, K, H}, at::kBFloat16, backward);
  const at::Tensor dout_TNH = normals({tokens, N, H}, at::kBFloat16);
  for (auto _ : state) {
    const at::Tensor out_TNH = ops::packed_attention(q_TNH, k_TKH, v_TKH, {group}, {.scale = 0.125});
    if (backward) out_TNH.backward(dout_TNH);
  }
  const double pairs = 190 * 191 / 2 + 8 * (74 * 190 + 74 * 75 / 2);
  rate(state, "FLOP/s", (backward ? 14.0 : 4.0) * pairs * N * H);  // backward: the scores again, and four products
}
BENCHMARK(packed_attention)->ArgName("backward")->Arg(0)->Arg(1);

// The element-wise parts, forward and (1) backward. Bytes: what a pass has to read and write.
constexpr int64_t T = 1024;

void rms_norm(State& state) {
  const bool backward = state.range(0) != 0;
  const at::Tensor x_TD = normals({T, D}, at::kBFloat16, backward), weight_D = normals({D}, at::kBFloat16, backward);
  const at::Tensor dy_TD = normals({T, D}, at::kBFloat16);
  for (auto _ : state) {
    const at::Tensor y_TD = ops::rms_norm(x_TD, weight_D, {.epsilon = 1e-5});
    if (backward) y_TD.backward(dy_TD);
  }
  rate(state, "B/s", (backward ? 5.0 : 2.0) * 2 * T * D);
}
BENCHMARK(rms_norm)->ArgName("backward")->Arg(0)->Arg(1);

void rope(State& state) {
  const bool backward = state.range(0) != 0;
  const at::Tensor x_TNH = normals({T, N, H}, at::kBFloat16, backward), dy_TNH = normals({T, N, H}, at::kBFloat16);
  const at::Tensor angle_TK = at::rand({T, H / 2});
  const at::Tensor cos_TK = at::cos(angle_TK), sin_TK = at::sin(angle_TK);
  for (auto _ : state) {
    const at::Tensor y_TNH = ops::rope(x_TNH, cos_TK, sin_TK);
    if (backward) y_TNH.backward(dy_TNH);
  }
  rate(state, "B/s", (backward ? 4.0 : 2.0) * 2 * T * N * H);
}
BENCHMARK(rope)->ArgName("backward")->Arg(0)->Arg(1);

void glu(State& state) {
  const bool backward = state.range(0) != 0;
  const at::Tensor gate_up_T2F = normals({T, 2 * F}, at::kBFloat16, backward), dy_TF = normals({T, F}, at::kBFloat16);
  for (auto _ : state) {
    const at::Tensor y_TF = ops::glu(gate_up_T2F, ops::Activation::Silu);
    if (backward) y_TF.backward(dy_TF);
  }
  rate(state, "B/s", (backward ? 8.0 : 3.0) * 2 * T * F);
}
BENCHMARK(glu)->ArgName("backward")->Arg(0)->Arg(1);

void token_logprob(State& state) {
  const bool backward = state.range(0) != 0;
  const at::Tensor hidden_TD = normals({T, D}, at::kBFloat16, backward);
  const at::Tensor head_VD = normals({V, D}, at::kBFloat16, backward);
  const at::Tensor targets_T = at::randint(V, {T}, at::kLong), dlogprob_T = at::ones({T});
  for (auto _ : state) {
    const at::Tensor logprob_T = ops::token_logprob(hidden_TD, head_VD, targets_T, {}).logprob_T;
    if (backward) logprob_T.backward(dlogprob_T);
  }
  rate(state, "FLOP/s", (backward ? 8.0 : 2.0) * T * D * V);  // backward: the logits again, and two products
}
BENCHMARK(token_logprob)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// One token for each of 64 rows of logits; top_p in percent.
void sample_tokens(State& state) {
  const at::Tensor logits_BV = normals({64, V}, at::kBFloat16) * 4;
  const infer::SamplingOptions sampling{.top_p = static_cast<double>(state.range(0)) / 100};
  std::vector<core::RandomKey> keys(64);
  for (uint32_t b = 0; b < 64; ++b) keys[b].sample = b;
  const std::vector<uint32_t> positions(64, 0);
  for (auto _ : state) benchmark::DoNotOptimize(infer::sample_tokens(logits_BV, sampling, keys, positions));
  rate(state, "tokens/s", 64);
}
BENCHMARK(sample_tokens)->ArgName("top_p")->Arg(100)->Arg(95);

// A token for each of 64 sequences, 190 tokens into their prompts: 30 layers and no head. Of SmolLM2's width, or so
// narrow that what is left is what calls cost.
void decode_step(State& state) {
  const c10::InferenceMode inference;
  model::ModelConfig config = test::tiny_config();
  config.num_layers = 30;
  config.num_heads = N, config.num_kv_heads = K;
  if (state.range(0) != 0)
    config.hidden_size = D, config.intermediate_size = F, config.head_dim = config.rotary_dim = H;
  else
    config.hidden_size = 64, config.intermediate_size = 64, config.head_dim = config.rotary_dim = 16;
  const model::Decoder decoder(config);
  const model::Weights weights = model::pack(test::random_weights(config, 1, at::kBFloat16));
  infer::KvMemory memory;
  std::vector<infer::KvContext> contexts(64);
  std::vector<infer::KvContext*> pointers;
  for (infer::KvContext& context : contexts) {
    context.own = std::make_shared<infer::KvBlock>(config, at::kBFloat16, 256, memory);
    context.own->set_size(state.range(0) != 0 ? 190 : 1);
    pointers.push_back(&context);
  }
  const at::Tensor ids_T = at::full({64}, 5, at::kLong), positions_T = at::full({64}, 190, at::kLong);
  infer::DecodeAttention attention(config);
  for (auto _ : state) {
    attention.set_contexts(pointers);
    benchmark::DoNotOptimize(decoder.forward(weights, ids_T, positions_T, attention));
  }
}
BENCHMARK(decode_step)->ArgName("wide")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// The matrices of SmolLM2-135M: of 30 layers, and the head.
std::vector<at::Tensor> model_matrices() {
  constexpr int64_t kLayers = 30;
  std::vector<at::Tensor> matrices;
  for (int64_t layer = 0; layer < kLayers; ++layer)
    for (const at::Tensor& w : {normals({(N + 2 * K) * H, D}, at::kBFloat16), normals({D, N * H}, at::kBFloat16),
                                normals({2 * F, D}, at::kBFloat16), normals({D, F}, at::kBFloat16)})
      matrices.push_back(w);
  matrices.push_back(normals({V, D}, at::kBFloat16));
  return matrices;
}

// Once a step, before the first answer.
void pack_weights(State& state) {
  const c10::InferenceMode inference;
  const std::vector<at::Tensor> matrices = model_matrices();
  for (auto _ : state) {
    std::vector<at::Tensor> packed;
    for (const at::Tensor& w : matrices) packed.push_back(ops::pack_weight(w));
    benchmark::DoNotOptimize(packed);
  }
}
BENCHMARK(pack_weights)->Unit(benchmark::kMillisecond);

// The products of a pass, one after the other: no weight is in a cache when its turn comes.
void pass_products(State& state) {
  const c10::InferenceMode inference;
  std::vector<at::Tensor> weights = model_matrices();
  for (at::Tensor& w : weights) w = ops::pack_weight(w);
  const at::Tensor narrow = normals({state.range(0), D}, at::kBFloat16),
                   wide = normals({state.range(0), F}, at::kBFloat16);
  double elements = 0;
  for (const at::Tensor& w : weights) elements += static_cast<double>(w.numel());
  for (auto _ : state)
    for (const at::Tensor& w : weights) benchmark::DoNotOptimize(ops::linear(w.size(1) == D ? narrow : wide, w));
  rate(state, "B/s", 2 * elements);
}
BENCHMARK(pass_products)->ArgName("rows")->Arg(1)->Arg(16)->Arg(32)->Arg(64)->Unit(benchmark::kMillisecond);

void adamw(State& state) {
  constexpr int64_t kParameters = 16 << 20;
  const at::Tensor parameter = normals({kParameters}, at::kFloat), gradient = normals({kParameters}, at::kFloat);
  optim::AdamW optimiser({parameter}, {});
  for (auto _ : state) optimiser.step({gradient}, 1e-6);
  rate(state, "B/s", 7.0 * 4 * kParameters);
}
BENCHMARK(adamw)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
