// The goldens' [B][T] matrices as the flat vectors that the loss takes, and the comparison that their tolerances ask
// for.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "thinktune/algo/loss.h"

namespace thinktune::algo::test {

inline const std::vector<std::string> kAggregations = {"token-mean", "seq-mean-token-sum", "seq-mean-token-mean",
                                                       "seq-mean-token-sum-norm"};

inline Aggregation aggregation_named(const std::string& name) {
  for (const auto& [known, value] : kAggregationNames)
    if (known == name) return value;
  throw std::runtime_error("no aggregation " + name);
}

// Row-major, null as NaN. A float is written as a decimal that, read as a double and rounded, gives it back.
inline std::vector<double> flat(const nlohmann::json& matrix) {
  std::vector<double> values;
  for (const auto& row : matrix)
    for (const auto& x : row) values.push_back(x.is_null() ? std::nan("") : x.get<double>());
  return values;
}

inline at::Tensor to_tensor(const std::vector<double>& values, at::ScalarType dtype) {
  return at::tensor(values, at::kDouble).to(dtype);
}

inline std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().to(at::kDouble).contiguous();
  return {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()};
}

// One row a sequence, padding and all: the response mask becomes the loss mask, so that tokens that do not count are
// present too.
struct GoldenBatch {
  at::ScalarType dtype;
  int64_t num_rows, num_columns;
  std::vector<double> logprobs, old_logprobs, advantages, mask, guided;  // [B*T]
  bool teacher;                                                          // the batch has a teacher mask
  rollout::TrainBatch batch;

  explicit GoldenBatch(const nlohmann::json& golden_case) {
    const auto& in = golden_case.at("inputs");
    dtype = golden_case.at("dtype") == "f32" ? at::kFloat : at::kDouble;
    num_rows = static_cast<int64_t>(in.at("log_prob").size());
    num_columns = static_cast<int64_t>(in.at("log_prob").at(0).size());
    logprobs = flat(in.at("log_prob"));
    old_logprobs = flat(in.at("old_log_prob"));
    mask = flat(in.at("response_mask"));
    if (in.at("advantages").at(0).is_array()) {
      advantages = flat(in.at("advantages"));
    } else {
      for (const auto& a : in.at("advantages")) advantages.insert(advantages.end(), num_columns, a.get<double>());
    }
    teacher = in.contains("teacher_mask") && !in.at("teacher_mask").is_null();
    guided = teacher ? flat(in.at("teacher_mask")) : std::vector<double>(mask.size(), 0.0);

    rollout::TrainGroup group;
    for (int64_t row = 0; row < num_rows; ++row) {
      rollout::TrainSequence sequence;
      sequence.ids.resize(num_columns);
      for (int64_t t = 0; t < num_columns; ++t) sequence.loss_mask.push_back(mask[row * num_columns + t] != 0);
      group.sequences.push_back(std::move(sequence));
    }
    batch.groups.push_back(std::move(group));
  }

  // f32 batches take the weights that training takes; f64 ones the same before they are rounded to f32.
  std::vector<double> weights(const LossOptions& options) const {
    std::vector<double> values;
    if (dtype == at::kFloat) {
      for (const auto& row : aggregation_weights(batch, options)) values.insert(values.end(), row.begin(), row.end());
      return values;
    }
    const TokenCounts counts = count_tokens(batch);
    for (int64_t row = 0; row < num_rows; ++row) {
      const auto begin = mask.begin() + row * num_columns;
      const double weight = token_weight(std::count(begin, begin + num_columns, 1.0), counts, options);
      for (int64_t t = 0; t < num_columns; ++t) values.push_back(begin[t] * weight);
    }
    return values;
  }

  LossInputs inputs(const LossOptions& options) const {
    LossInputs in;
    in.logprobs_M = to_tensor(logprobs, dtype).requires_grad_(true);
    in.old_logprobs_M = to_tensor(old_logprobs, dtype);
    in.advantages_M = to_tensor(advantages, dtype);
    in.guided_M = to_tensor(guided, at::kBool);
    in.weights_M = to_tensor(weights(options), dtype);
    return in;
  }

  double masked_mean(const std::vector<double>& values) const {
    double sum = 0, count = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      sum += mask[i] * values[i];
      count += mask[i];
    }
    return sum / count;
  }
};

struct Result {
  LossParts parts;
  double loss;
  std::vector<double> gradient;  // d loss / d logprobs
};

inline Result run(const GoldenBatch& golden, const LossOptions& options) {
  const LossInputs in = golden.inputs(options);
  LossParts parts = policy_loss(in, golden.teacher, options);
  parts.loss.backward();
  return {parts, parts.loss.item<double>(), to_vector(in.logprobs_M.grad())};
}

inline double largest(const std::vector<double>& values) {
  double magnitude = 0;
  for (double x : values)
    if (!std::isnan(x)) magnitude = std::max(magnitude, std::abs(x));
  return magnitude;
}

// Entry by entry within relative·(largest entry of expected) + absolute. Where expected is NaN any finite number will
// do.
inline void expect_close(const std::vector<double>& actual, const std::vector<double>& expected, double relative,
                         const std::string& what, double absolute = 0) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  const double tolerance = relative * largest(expected) + absolute;
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(std::isfinite(actual[i])) << what << " [" << i << "] is " << actual[i];
    if (!std::isnan(expected[i])) {
      EXPECT_NEAR(actual[i], expected[i], tolerance) << what << " [" << i << "]";
    }
  }
}

}  // namespace thinktune::algo::test
