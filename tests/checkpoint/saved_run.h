// A run's state made of random numbers, and folders to save it in.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "support/paths.h"
#include "support/tiny_model.h"
#include "thinktune/checkpoint/checkpoint.h"

namespace thinktune::checkpoint::test {
namespace fs = std::filesystem;

// All tensors are functions of `seed`.
struct SavedRun {
  explicit SavedRun(uint64_t seed, model::ModelConfig sizes = thinktune::test::tiny_config())
      : config(std::move(sizes)), vocabulary(thinktune::test::byte_vocabulary(config)) {
    policy = thinktune::test::random_weights(config, seed, at::kBFloat16);
    tensors = {.config = &config,
               .vocabulary = &vocabulary,
               .policy = &policy,
               .master = model::tensor_list(thinktune::test::random_weights(config, seed, at::kFloat)),
               .first_moments = model::tensor_list(thinktune::test::random_weights(config, seed + 1000, at::kFloat)),
               .second_moments = model::tensor_list(thinktune::test::random_weights(config, seed + 2000, at::kFloat))};
  }
  SavedRun(const SavedRun&) = delete;
  SavedRun& operator=(const SavedRun&) = delete;

  std::vector<at::Tensor> all() const {
    std::vector<at::Tensor> list;
    for (const auto* kind : {&tensors.master, &tensors.first_moments, &tensors.second_moments})
      list.insert(list.end(), kind->begin(), kind->end());
    return list;
  }

  model::ModelConfig config;
  model::Vocabulary vocabulary;
  model::Weights policy;
  RunTensors tensors;
};

inline RunState state_of(int64_t step) {
  return {.step = step,
          .data_position = static_cast<uint64_t>(7 * step),
          .num_updates = 2 * step,
          .guard = "{\"a\": 1}",
          .config = "{\n}\n"};
}

inline bool same_tensors(const SavedRun& a, const SavedRun& b) {
  const auto first = a.all(), second = b.all();
  for (size_t i = 0; i < first.size(); ++i)
    if (!at::equal(first[i], second[i])) return false;
  return first.size() == second.size();
}

inline std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

}  // namespace thinktune::checkpoint::test
