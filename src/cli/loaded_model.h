// A model that answers: what eval and generate begin with.
#pragma once

#include <memory>
#include <string>

#include "thinktune/infer/engine.h"
#include "thinktune/model/pretrained.h"

namespace thinktune::cli {

struct Loaded {
  at::Device device = at::kCPU;
  model::ModelConfig config;
  model::Vocabulary vocabulary;
  std::unique_ptr<model::Decoder> decoder;
  model::Weights weights;
  std::unique_ptr<infer::Engine> engine;
};

struct Placement {
  std::string precision;  // "f32" or "bf16"
  std::string device;     // as ops::open_device takes it
};
std::unique_ptr<Loaded> load_model(const std::string& path, const Placement& placement,
                                   const infer::EngineOptions& options, const model::VocabularyRequest& request,
                                   bool long_context = false);

}  // namespace thinktune::cli
