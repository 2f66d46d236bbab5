// Between tensors and kernels: element types, pointers, and whether a gradient is wanted.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "kernels/element.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {

inline std::string shape(const at::Tensor& t) { return c10::str(t.sizes()); }

// What the kernels accumulate in.
inline at::ScalarType accum_dtype(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Calls f.operator()<E>() with the kernels' element type for the tensor's dtype.
template <class F>
void with_element(const at::Tensor& t, const char* op, F&& f) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return f.template operator()<float>();
    case at::kBFloat16:
      return f.template operator()<kernels::Bf16>();
    case at::kDouble:
      return f.template operator()<double>();
    default:
      throw core::internal_error(
          fmt::format("{}: dtype {} is not f32, bf16 or f64", op, c10::toString(t.scalar_type())));
  }
}

template <class E>
const E* data(const at::Tensor& t) {
  return static_cast<const E*>(t.const_data_ptr());
}
template <class E>
E* mutable_data(const at::Tensor& t) {
  return static_cast<E*>(t.mutable_data_ptr());
}

// A decoder calls these operations hundreds of times a token: without a gradient to take, no graph node is made.
inline bool wants_gradient(std::initializer_list<at::Tensor> inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& t) { return t.requires_grad(); });
}

// The kernels' backward passes leave no graph behind: a second derivative through them would silently be zero.
inline void refuse_second_derivative(const char* op) {
  TT_CHECK(!at::GradMode::is_enabled(), "{}: backward was called with create_graph, but has no derivative of its own",
           op);
}

// Rows for one thread at a time: about 16 thousand elements, below which starting a thread costs more than it saves.
inline int64_t row_grain(int64_t width) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)); }

}  // namespace thinktune::ops
