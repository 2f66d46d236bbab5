#include <ATen/ATen.h>

#include <bit>

#include "element.h"
#include "gpu_kernels.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/glu.h"
#include "kernels/cuda/gradient_norm.h"
#include "kernels/cuda/policy_loss.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/sample_tokens.h"
#include "kernels/cuda/token_logprob.h"

namespace thinktune::ops::gpu {
namespace {

using kernels::cuda::Stream;

// The kernels' contract: contiguous, at a multiple of 16 bytes.
at::Tensor laid_out(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return reinterpret_cast<uintptr_t>(flat.const_data_ptr()) % 16 == 0 ? flat : flat.clone();
}

template <class F>
void with_gpu_element(const at::Tensor& t, const char* op, F&& f) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return f.template operator()<float>();
    case at::kBFloat16:
      return f.template operator()<kernels::Bf16>();
    default:
      throw core::internal_error(fmt::format("{}: a GPU has no kernel for {}", op, c10::toString(t.scalar_type())));
  }
}

// Of one dtype on one device: a kernel reads whatever lies at an address.
void check_alike(const char* op, const at::Tensor& t, std::initializer_list<at::Tensor> others) {
  for (const at::Tensor& other : others)
    TT_CHECK(!other.defined() || (other.device() == t.device() && other.scalar_type() == t.scalar_type()),
             "{}: {} on {} beside {} on {}", op, c10::toString(other.scalar_type()), other.device().str(),
             c10::toString(t.scalar_type()), t.device().str());
}

void check_array(const char* op, const at::Tensor& t, at::ScalarType dtype, const at::Tensor& beside, int64_t numel) {
  TT_CHECK(t.scalar_type() == dtype && t.device() == beside.device() && t.is_contiguous() && t.numel() == numel,
           "{}: {} {} on {} where {} {} on {} are due", op, shape(t), c10::toString(t.scalar_type()), t.device().str(),
           numel, c10::toString(dtype), beside.device().str());
}

template <class E>
E* written(const at::Tensor& t) {
  return t.defined() ? mutable_data<E>(t) : nullptr;
}

}  // namespace

at::Tensor rms_norm_forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const at::Tensor& weight_D,
                            const kernels::RmsNormForm& form, const at::Tensor& inverse_rms_T) {
  const char* op = "rms_norm";
  check_alike(op, x_TD, {weight_D, residual_TD});
  TT_CHECK(!residual_TD.defined() || (residual_TD.sizes() == x_TD.sizes() && residual_TD.is_contiguous()),
           "{}: a residual that is not {} in one piece", op, shape(x_TD));
  const at::Tensor x = laid_out(x_TD), weight = laid_out(weight_D), y_TD = at::empty(x.sizes(), x.options());
  TT_CHECK(x.dim() == 2 && weight.numel() == x.size(1), "{}: {} by {}", op, shape(x), shape(weight));
  if (inverse_rms_T.defined()) check_array(op, inverse_rms_T, at::kFloat, x, x.size(0));
  const Stream stream = current_stream(x.device());
  with_gpu_element(x, op, [&]<class E>() {
    kernels::cuda::rms_norm_forward<E>(data<E>(x), written<E>(residual_TD), data<E>(weight), form, x.size(0), x.size(1),
                                       mutable_data<E>(y_TD), written<float>(inverse_rms_T), stream);
  });
  return y_TD;
}

void rms_norm_backward(const at::Tensor& x_TD, const at::Tensor& weight_D, const kernels::RmsNormForm& form,
                       const at::Tensor& inverse_rms_T, const at::Tensor& dy_TD, const at::Tensor& dresidual_TD,
                       const at::Tensor& dx_TD, const at::Tensor& dweight_D) {
  const char* op = "rms_norm backward";
  check_alike(op, x_TD, {weight_D, dy_TD, dx_TD, dweight_D, dresidual_TD});
  const at::Tensor x = laid_out(x_TD), weight = laid_out(weight_D), dy = laid_out(dy_TD);
  const at::Tensor dresidual = dresidual_TD.defined() ? laid_out(dresidual_TD) : dresidual_TD;
  TT_CHECK(!dresidual.defined() || dresidual.numel() == x.numel(), "{}: a residual's gradient {} for {}", op,
           shape(dresidual), shape(x));
  const int64_t num_rows = x.size(0), width = x.size(1);
  check_array(op, inverse_rms_T, at::kFloat, x, num_rows);
  TT_CHECK(dy.numel() == x.numel() && weight.numel() == width && (!dx_TD.defined() || dx_TD.is_contiguous()),
           "{}: {} by {} for {}", op, shape(dy), shape(weight), shape(x));
  const at::TensorOptions f32 = x.options().dtype(at::kFloat);
  at::Tensor sum_D, scratch;
  if (dweight_D.defined()) {
    sum_D = at::zeros({width}, f32);
    scratch = at::empty({kernels::cuda::rms_norm_backward_scratch(num_rows, width)}, f32);
  }
  const Stream stream = current_stream(x.device());
  with_gpu_element(x, op, [&]<class E>() {
    kernels::cuda::rms_norm_backward<E>({.x = data<E>(x),
                                         .weight = data<E>(weight),
                                         .inverse_rms = data<float>(inverse_rms_T),
                                         .dy = data<E>(dy),
                                         .dresidual = dresidual.defined() ? data<E>(dresidual) : nullptr,
                                         .dx = written<E>(dx_TD),
                                         .dweight = written<float>(sum_D),
                                         .scratch = written<float>(scratch)},
                                        form, num_rows, width, stream);
  });
  if (dweight_D.defined()) dweight_D.copy_(sum_D);
}

at::Tensor rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK, bool forward) {
  const char* op = "rope";
  TT_CHECK(x_TNH.dim() == 3 && x_TNH.stride(2) == 1, "{}: heads that are not contiguous", op);
  const at::Tensor cos = laid_out(cos_TK), sin = laid_out(sin_TK), y_TNH = at::empty(x_TNH.sizes(), x_TNH.options());
  const kernels::RopeShape of{x_TNH.size(0), x_TNH.size(1), x_TNH.size(2), x_TNH.stride(0), x_TNH.stride(1)};
  for (const at::Tensor& table : {cos, sin})
    check_array(op, table, at::kFloat, x_TNH, of.num_tokens * of.head_size / 2);
  const Stream stream = current_stream(x_TNH.device());
  with_gpu_element(x_TNH, op, [&]<class E>() {
    kernels::cuda::rope<E>(data<E>(x_TNH), data<float>(cos), data<float>(sin), of, forward, mutable_data<E>(y_TNH),
                           stream);
  });
  return y_TNH;
}

at::Tensor glu_forward(const at::Tensor& gate_up_T2F, kernels::Activation activation) {
  const at::Tensor gate_up = laid_out(gate_up_T2F);
  const int64_t num_rows = gate_up.size(0), width = gate_up.size(1) / 2;
  const at::Tensor out_TF = at::empty({num_rows, width}, gate_up.options());
  const Stream stream = current_stream(gate_up.device());
  with_gpu_element(gate_up, "glu", [&]<class E>() {
    kernels::cuda::glu_forward<E>(data<E>(gate_up), activation, num_rows, width, mutable_data<E>(out_TF), stream);
  });
  return out_TF;
}

at::Tensor glu_backward(const at::Tensor& gate_up_T2F, const at::Tensor& dout_TF, kernels::Activation activation) {
  check_alike("glu backward", gate_up_T2F, {dout_TF});
  const at::Tensor gate_up = laid_out(gate_up_T2F), dout = laid_out(dout_TF);
  const int64_t num_rows = gate_up.size(0), width = gate_up.size(1) / 2;
  TT_CHECK(dout.dim() == 2 && dout.size(0) == num_rows && dout.size(1) == width, "glu backward: {} for {}", shape(dout),
           shape(gate_up));
  const at::Tensor dgate_up_T2F = at::empty(gate_up.sizes(), gate_up.options());
  const Stream stream = current_stream(gate_up.device());
  with_gpu_element(gate_up, "glu backward", [&]<class E>() {
    kernels::cuda::glu_backward<E>(data<E>(gate_up), data<E>(dout), activation, num_rows, width,
                                   mutable_data<E>(dgate_up_T2F), stream);
  });
  return dgate_up_T2F;
}

void row_statistics(const LogitRows& rows, const LogprobTransform& transform) {
  const char* op = "token_logprob";
  const at::Tensor& logits = rows.logits_CV;
  const int64_t num_rows = logits.size(0), vocabulary = logits.size(1);
  check_array(op, rows.targets_C, at::kLong, logits, num_rows);
  for (const at::Tensor& result : {rows.logprob_C, rows.entropy_C, rows.threshold_C})
    check_array(op, result, at::kFloat, logits, num_rows);
  check_array(op, rows.log_normalizer_C, at::kDouble, logits, num_rows);
  const at::Tensor laid = laid_out(logits);
  const Stream stream = current_stream(logits.device());
  with_gpu_element(logits, op, [&]<class E>() {
    kernels::cuda::row_statistics<E>(
        data<E>(laid), data<int64_t>(rows.targets_C), num_rows, vocabulary,
        {transform.temperature, transform.top_k, transform.top_p},
        {mutable_data<float>(rows.logprob_C), mutable_data<float>(rows.entropy_C),
         mutable_data<float>(rows.threshold_C), mutable_data<double>(rows.log_normalizer_C)},
        stream);
  });
}

void row_gradients(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                   const at::Tensor& grad_entropy_C) {
  const char* op = "token_logprob backward";
  const at::Tensor& logits = rows.logits_CV;
  const int64_t num_rows = logits.size(0), columns = logits.size(1);
  TT_CHECK(logits.is_contiguous(), "{}: logits are not contiguous", op);
  check_array(op, rows.targets_C, at::kLong, logits, num_rows);
  for (const at::Tensor& given : {rows.entropy_C, rows.threshold_C})
    check_array(op, given, at::kFloat, logits, num_rows);
  for (const at::Tensor& given : {rows.log_normalizer_C, grad_logprob_C, grad_entropy_C})
    check_array(op, given, at::kDouble, logits, num_rows);
  const Stream stream = current_stream(logits.device());
  with_gpu_element(logits, op, [&]<class E>() {
    kernels::cuda::row_gradients<E>(mutable_data<E>(logits), num_rows, columns, transform.temperature,
                                    {.targets = data<int64_t>(rows.targets_C),
                                     .entropy = data<float>(rows.entropy_C),
                                     .threshold = data<float>(rows.threshold_C),
                                     .log_normalizer = data<double>(rows.log_normalizer_C),
                                     .grad_logprob = data<double>(grad_logprob_C),
                                     .grad_entropy = data<double>(grad_entropy_C)},
                                    stream);
  });
}

void write_rows(const at::Tensor& keys_RKH, const at::Tensor& values_RKH, const at::Tensor& rows_T,
                const at::Tensor& k_TKH, const at::Tensor& v_TKH) {
  const char* op = "write_rows";
  check_alike(op, keys_RKH, {values_RKH, k_TKH, v_TKH});
  TT_CHECK(keys_RKH.is_contiguous() && values_RKH.is_contiguous(), "{}: a pool that is not contiguous", op);
  const int64_t num_tokens = k_TKH.size(0), K = keys_RKH.size(1), H = keys_RKH.size(2);
  const at::Tensor rows = rows_T.contiguous(), k = laid_out(k_TKH), v = laid_out(v_TKH);
  check_array(op, rows, at::kLong, keys_RKH, num_tokens);
  const Stream stream = current_stream(keys_RKH.device());
  with_gpu_element(keys_RKH, op, [&]<class E>() {
    // Of a pool without gaps every row is a page.
    kernels::cuda::write_kv<E>(data<E>(k), data<E>(v), K * H, data<int64_t>(rows), num_tokens,
                               {.keys = mutable_data<E>(keys_RKH),
                                .values = mutable_data<E>(values_RKH),
                                .page_stride = K * H,
                                .row_stride = K * H,
                                .page_rows = 1},
                               K, H, stream);
  });
}

at::Tensor paged_attention(const at::Tensor& q_BNH, const at::Tensor& keys_RKH, const at::Tensor& values_RKH,
                           const PagedBatch& batch, const AttentionOptions& options) {
  const char* op = "paged_attention";
  check_alike(op, q_BNH, {keys_RKH, values_RKH});
  TT_CHECK(keys_RKH.is_contiguous() && values_RKH.is_contiguous(), "{}: a pool that is not contiguous", op);
  const int64_t B = q_BNH.size(0), N = q_BNH.size(1), H = q_BNH.size(2), K = keys_RKH.size(1);
  const int64_t W = batch.table_BW.size(1);
  const at::Tensor q = laid_out(q_BNH), out_BNH = at::empty({B, N, H}, q.options());
  const at::Tensor pages = batch.table_BW.contiguous(), lengths = batch.lengths_B.contiguous();
  check_array(op, pages, at::kInt, q, B * W);
  check_array(op, lengths, at::kInt, q, B);
  kernels::cuda::PagedAttentionShape of{.num_kv_heads = K,
                                        .group_size = N / K,
                                        .head_size = H,
                                        .max_context = W * batch.page_tokens,
                                        .q_stride = N * H,
                                        .window = options.window,
                                        .scale = options.scale,
                                        .softcap = options.softcap};
  of.num_splits = kernels::cuda::suggested_splits(of, B, num_multiprocessors(q.device()));
  const at::Tensor scratch =
      at::empty({kernels::cuda::paged_attention_scratch_bytes(of, B)}, q.options().dtype(at::kByte));
  const kernels::cuda::PagedSequences sequences{
      .batch = B, .tail_pages = data<int32_t>(pages), .tail_lengths = data<int32_t>(lengths), .max_tail_pages = W};
  const Stream stream = current_stream(q.device());
  with_gpu_element(q, op, [&]<class E>() {
    kernels::cuda::paged_attention<E>(data<E>(q),
                                      {.keys = data<E>(keys_RKH),
                                       .values = data<E>(values_RKH),
                                       .page_stride = batch.page_tokens * K * H,
                                       .row_stride = K * H,
                                       .page_rows = static_cast<int32_t>(batch.page_tokens)},
                                      sequences, of, scratch.mutable_data_ptr(), mutable_data<E>(out_BNH), stream);
  });
  return out_BNH;
}

SampledRows sample_rows(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const DrawCounters& counters) {
  const char* op = "sample_rows";
  const at::Tensor logits = laid_out(logits_BV);
  const int64_t batch = logits.size(0), vocabulary = logits.size(1);
  check_array(op, counters.keys_BX, at::kByte, logits, batch * int64_t{sizeof(core::RandomKey)});
  check_array(op, counters.positions_B, at::kInt, logits, batch);
  const SampledRows sampled{at::empty({batch}, logits.options().dtype(at::kInt)),
                            at::empty({batch}, logits.options().dtype(at::kFloat))};
  const kernels::SamplingTransform applied{greedy ? 0.0 : transform.temperature, transform.top_k, transform.top_p};
  const Stream stream = current_stream(logits.device());
  with_gpu_element(logits, op, [&]<class E>() {
    kernels::cuda::sample_tokens<E>(data<E>(logits), batch, vocabulary, applied,
                                    data<core::RandomKey>(counters.keys_BX), data<uint32_t>(counters.positions_B),
                                    mutable_data<int32_t>(sampled.ids_B), mutable_data<float>(sampled.logprob_B),
                                    stream);
  });
  return sampled;
}

PolicyLossPass policy_loss(const PolicyLossArrays& arrays, const kernels::cuda::PolicyLossOptions& options) {
  const char* op = "policy_loss";
  const int64_t M = arrays.logprobs_M.size(0);
  const auto given = [&](const at::Tensor& t, at::ScalarType dtype) {
    const at::Tensor flat = t.defined() ? t.detach().contiguous() : t;
    if (flat.defined()) check_array(op, flat, dtype, arrays.logprobs_M, M);
    return flat;
  };
  const at::Tensor logprobs = given(arrays.logprobs_M, at::kFloat), old = given(arrays.old_logprobs_M, at::kFloat),
                   advantages = given(arrays.advantages_M, at::kFloat), guided = given(arrays.guided_M, at::kBool),
                   reference = given(arrays.reference_logprobs_M, at::kFloat),
                   entropy = given(arrays.entropy_M, at::kFloat), weights = given(arrays.weights_M, at::kFloat);
  const auto made = [&](at::ScalarType dtype) { return at::empty({M}, logprobs.options().dtype(dtype)); };
  PolicyLossPass pass;
  pass.grad_logprobs_M = made(at::kFloat);
  if (entropy.defined()) pass.grad_entropy_M = made(at::kFloat);
  PolicyLossResult& r = pass.result;
  for (at::Tensor* t : {&r.token_loss_M, &r.ratio_M, &r.gamma_M, &r.shaped_M}) *t = made(at::kFloat);
  for (at::Tensor* t : {&r.shaped_used_M, &r.clipped_M, &r.dual_clipped_M}) *t = made(at::kBool);
  if (reference.defined()) r.kl_M = made(at::kFloat);
  const at::TensorOptions f64 = logprobs.options().dtype(at::kDouble);
  const at::Tensor loss = at::empty({}, f64), scratch = at::empty({kernels::cuda::policy_loss_scratch(M)}, f64);
  const auto read = [](const at::Tensor& t) { return t.defined() ? data<float>(t) : nullptr; };
  kernels::cuda::policy_loss({.logprobs = read(logprobs),
                              .old_logprobs = read(old),
                              .advantages = read(advantages),
                              .guided = data<bool>(guided),
                              .reference_logprobs = read(reference),
                              .entropy = read(entropy),
                              .weights = read(weights)},
                             options, M, mutable_data<double>(scratch),
                             {.loss = mutable_data<double>(loss),
                              .grad_logprobs = written<float>(pass.grad_logprobs_M),
                              .grad_entropy = written<float>(pass.grad_entropy_M),
                              .token_loss = written<float>(r.token_loss_M),
                              .ratio = written<float>(r.ratio_M),
                              .gamma = written<float>(r.gamma_M),
                              .shaped = written<float>(r.shaped_M),
                              .shaped_used = written<bool>(r.shaped_used_M),
                              .clipped = written<bool>(r.clipped_M),
                              .dual_clipped = written<bool>(r.dual_clipped_M),
                              .kl = written<float>(r.kl_M)},
                             current_stream(logprobs.device()));
  r.loss = loss.to(at::kFloat);
  return pass;
}

at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients) {
  const at::Tensor& first = gradients.front();
  int64_t num_partials = 0;
  for (const at::Tensor& gradient : gradients) num_partials += kernels::cuda::norm_partials(gradient.numel());
  const at::TensorOptions f64 = first.options().dtype(at::kDouble).requires_grad(false);
  const at::Tensor partials = at::empty({num_partials}, f64), sum_1 = at::empty({1}, f64);
  const Stream stream = current_stream(first.device());
  auto* next = mutable_data<double>(partials);
  for (const at::Tensor& gradient : gradients) {
    const at::Tensor flat = gradient.contiguous();
    TT_CHECK(flat.device() == first.device(), "gradients on {} and {}", flat.device().str(), first.device().str());
    with_gpu_element(flat, "sum_of_squares",
                     [&]<class E>() { kernels::cuda::sum_of_squares<E>(data<E>(flat), flat.numel(), next, stream); });
    next += kernels::cuda::norm_partials(flat.numel());
  }
  kernels::cuda::add_partials(data<double>(partials), num_partials, mutable_data<double>(sum_1), stream);
  return sum_1;
}

double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm) {
  using kernels::cuda::GradientNorm;
  check_array("scale_to_norm", sum_1, at::kDouble, sum_1, 1);
  const at::Tensor out = at::empty({int64_t{sizeof(GradientNorm)}}, sum_1.options().dtype(at::kByte));
  const Stream stream = current_stream(sum_1.device());
  kernels::cuda::finish_norm(data<double>(sum_1), 1, max_norm, mutable_data<GradientNorm>(out), stream);
  for (const at::Tensor& gradient : gradients) {
    TT_CHECK(gradient.is_contiguous(), "a gradient to be scaled in place is not contiguous: {}", shape(gradient));
    with_gpu_element(gradient, "scale_to_norm", [&]<class E>() {
      kernels::cuda::scale_gradient<E>(mutable_data<E>(gradient), gradient.numel(), data<GradientNorm>(out), stream);
    });
  }
  const at::Tensor on_host = out.cpu();  // waits: whether the update may be made is the host's to decide
  return data<GradientNorm>(on_host)->norm;
}

bool has_paged_kernels(const at::Tensor& keys_RKH, int64_t page_tokens) {
  const int64_t head = keys_RKH.size(2);
  return has_kernels(keys_RKH) && head % 8 == 0 && head >= 8 && head <= 256 &&
         std::has_single_bit(static_cast<uint64_t>(page_tokens));
}

}  // namespace thinktune::ops::gpu
