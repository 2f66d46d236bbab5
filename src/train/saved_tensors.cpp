#include "saved_tensors.h"

#include <ATen/ATen.h>

#include <array>
#include <functional>

namespace thinktune::train {
namespace {

// The weights that compute, on rank 0's host, of those that are divided: the master weights, rounded.
model::Weights rounded_weights(const Run& run, const std::function<at::Tensor()>& next_master) {
  return model::map_weights(run.policy->compute_weights(), [&](const at::Tensor& weight) {
    const at::Tensor master = next_master();
    return master.defined() ? master.detach().to(weight.scalar_type()) : weight;
  });
}

// For a save beside the next steps: all of it on rank 0's host.
void gather_whole(const Run& run, checkpoint::RunTensors& tensors, model::Weights& policy) {
  const DataParallel& parallel = *run.parallel;
  tensors.master = parallel.gather(parallel.parameters(), "the weights for a checkpoint");
  tensors.first_moments = parallel.gather(run.optimiser->first_moments(), "the first moments for a checkpoint");
  tensors.second_moments = parallel.gather(run.optimiser->second_moments(), "the second moments for a checkpoint");
  tensors.are_copies = parallel.shares();
  if (!parallel.shares() || !run.comm->is_first()) return;
  size_t next = 0;
  policy = rounded_weights(run, [&] { return tensors.master[next++]; });
  tensors.policy = &policy;
}

// For a save that training waits for: tensors come together while rank 0 writes them, and none stays.
void gather_while_written(const Run& run, checkpoint::RunTensors& tensors, model::Weights& policy) {
  const DataParallel& parallel = *run.parallel;
  for (const at::Tensor& parameter : run.policy->parameters())
    tensors.master.push_back(at::empty(parameter.sizes(), at::TensorOptions().device(at::kMeta).dtype(at::kFloat)));
  tensors.first_moments = tensors.second_moments = tensors.master;
  if (run.sharded != nullptr) {
    const auto next = parallel.gather_one_by_one(parallel.parameters(), "the weights for a checkpoint");
    policy = rounded_weights(run, [&] {
      const at::Tensor master = next();
      return master.defined() ? master.clone() : master;
    });
    tensors.policy = &policy;
  }
  tensors.next = [lists = std::array{parallel.gather_one_by_one(parallel.parameters(), "the weights for a checkpoint"),
                                     parallel.gather_one_by_one(run.optimiser->first_moments(),
                                                                "the first moments for a checkpoint"),
                                     parallel.gather_one_by_one(run.optimiser->second_moments(),
                                                                "the second moments for a checkpoint")},
                  length = tensors.master.size(), count = size_t{0}]() mutable { return lists[count++ / length](); };
  if (run.comm->is_first()) return;
  for (size_t i = 0; i < 3 * tensors.master.size(); ++i) tensors.next();
}

}  // namespace

checkpoint::RunTensors tensors_to_save(const Run& run, bool beside, model::Weights& policy) {
  checkpoint::RunTensors tensors = {
      .config = &run.config, .vocabulary = &run.vocabulary, .policy = &run.policy->compute_weights()};
  if (run.parallel->shares() && !beside)
    gather_while_written(run, tensors, policy);
  else
    gather_whole(run, tensors, policy);
  return tensors;
}

void restore_tensors(const Run& run, const std::filesystem::path& folder) {
  const DataParallel& parallel = *run.parallel;
  // One list at a time: rank 0 holds it whole.
  const auto restore_list = [&](std::vector<at::Tensor> checkpoint::RunTensors::*list,
                                const std::vector<at::Tensor>& own, const char* what) {
    checkpoint::RunTensors tensors = {.config = &run.config, .vocabulary = &run.vocabulary};
    tensors.*list = parallel.shares() ? parallel.whole_like() : own;
    if (run.comm->is_first()) checkpoint::load_tensors(folder, tensors);
    parallel.scatter(tensors.*list, own, what);
  };
  using checkpoint::RunTensors;
  restore_list(&RunTensors::master, parallel.parameters(), "the checkpoint's weights");
  restore_list(&RunTensors::first_moments, run.optimiser->first_moments(), "the checkpoint's first moments");
  restore_list(&RunTensors::second_moments, run.optimiser->second_moments(), "the checkpoint's second moments");
}

}  // namespace thinktune::train
