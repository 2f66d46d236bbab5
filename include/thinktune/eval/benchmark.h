// A suite asked by a protocol: prompts through the engine in chunks, every sample judged and written, metrics at the
// end.
//
// The folder of a suite holds
//   settings.json   all that decides a number: suite, data, protocol, sampling, seed, model
//   samples.jsonl   one row a sample: id, sample, gold, text, extracted, verdict, both verdicts, reason, tokens, finish
//   summary.json    settings and metrics; written when all is done
//   timing.json     what depends on the clock
// The first three are a function of model, data and settings: two runs, or one that was stopped and went on, write the
// same bytes. A run with other settings in the same folder is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "thinktune/core/progress.h"
#include "thinktune/eval/metrics.h"
#include "thinktune/eval/protocols.h"
#include "thinktune/eval/suites.h"
#include "thinktune/infer/engine.h"
#include "thinktune/model/config.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::eval {

// What is measured. All must outlive the run.
struct Subject {
  infer::Engine& engine;
  const text::Tokenizer& tokenizer;
  const text::ChatTemplate* chat = nullptr;  // may be null where no task of the protocol uses it
  const model::ModelConfig& config;
  std::string path;       // as the user named it
  std::string precision;  // of the forward pass
  std::string program;    // "thinktune 0.1.0"
};

struct BenchmarkOptions {
  int64_t limit = 0;               // the first so many problems; 0: all
  uint64_t seed = 0;               // of sampled tokens
  int64_t slots = 64;              // sequences decoded at a time; two rounds of them are a chunk
  std::filesystem::path folder;    // of this suite; empty: nothing is written
  std::filesystem::path data_dir;  // for worked examples
  core::ProgressOptions progress;  // where the line goes; its title and total are set here
};

struct BenchmarkResult {
  std::string suite;
  ResolvedTask resolved;
  BenchmarkMetrics metrics;
  nlohmann::ordered_json summary;  // as in summary.json
  int64_t num_resumed = 0;         // problems that were there from an earlier call
  double seconds = 0;              // of this call
};

// A prompt that leaves no room for a token is a counted outcome ("too_long"), never an error. Throws Error{User} for a
// folder with other settings, naming the first that differs, and what load_examples throws.
BenchmarkResult run_benchmark(const Subject& subject, const Suite& suite, const ResolvedTask& resolved,
                              const BenchmarkOptions& options);

// Hash over names, sizes and the first and last bytes of a model's weight files: another model under the same name has
// another one.
std::string model_fingerprint(const std::filesystem::path& model);

nlohmann::ordered_json to_json(const BenchmarkMetrics& metrics);

}  // namespace thinktune::eval
