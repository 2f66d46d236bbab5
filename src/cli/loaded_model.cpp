#include "cli/loaded_model.h"

#include <ATen/ATen.h>

#include "thinktune/ops/device.h"

namespace thinktune::cli {

std::unique_ptr<Loaded> load_model(const std::string& path, const Placement& placement,
                                   const infer::EngineOptions& options, const model::VocabularyRequest& request,
                                   bool long_context) {
  auto loaded = std::make_unique<Loaded>();
  loaded->device = ops::open_device(placement.device);
  const model::Pretrained pretrained(path);
  loaded->config = pretrained.config();
  loaded->config.long_context = long_context;
  loaded->vocabulary = pretrained.load_vocabulary(request);
  model::add_end_of_turn(loaded->config, loaded->vocabulary);
  loaded->decoder = std::make_unique<model::Decoder>(loaded->config, loaded->device);
  loaded->weights = pretrained.load_weights(placement.precision == "f32" ? at::kFloat : at::kBFloat16, loaded->device);
  loaded->engine =
      std::make_unique<infer::Engine>(*loaded->decoder, loaded->weights, *loaded->vocabulary.tokenizer, options);
  return loaded;
}

}  // namespace thinktune::cli
