// The commands of the program. Each returns the process's exit code and throws core::Error for what goes wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/train/options.h"

namespace thinktune::cli {

struct TrainCommand {
  std::string config;
  std::vector<std::string> set;  // "a.b=c"
  bool resume = false;
  bool dry_run = false;
  int64_t stop_after = 0;  // steps of this call; 0: to the end
};
int run_train(const TrainCommand& command);

struct EvalCommand {
  std::string model;
  std::string data;    // JSONL; empty: the config's held-out problems
  std::string config;  // a training config whose prompt, reward, data and eval sections are used; may be empty
  std::vector<std::string> set;
  std::string precision = "bf16";
  std::string output;         // JSONL of all answers; empty: none
  std::string chat_template;  // Jinja file in place of the model's own; empty: the config's, or the model's own
};
int run_eval(const EvalCommand& command);

struct GenerateCommand {
  std::string model;
  std::string prompt;
  std::string system;
  bool raw = false;  // the prompt as it is, special tokens parsed, without the chat template
  int64_t max_new_tokens = 256;
  double temperature = 0;
  int64_t seed = 1;
  std::string precision = "bf16";
  bool ids = false;           // print token ids instead of text
  std::string chat_template;  // Jinja file in place of the model's own; empty: its own
};
int run_generate(const GenerateCommand& command);

struct ConvertCommand {
  std::string in;
  std::string out;             // NAME.gguf, or a folder that is made
  std::string dtype = "auto";  // f32, f16, bf16, q8_0; auto: as stored, quantised ones as bf16
  std::string chat_template;   // Jinja file in place of the model's own; empty: its own
  int64_t max_shard_mb = 5000;
};
int run_convert(const ConvertCommand& command);

struct InspectCommand {
  std::string model;
  std::string chat_template;
};
int run_inspect(const InspectCommand& command);

struct CompareCommand {
  std::vector<std::string> runs;  // "name=folder" or "folder"
};
int run_compare(const CompareCommand& command);

// configs/README.md: every key of a config.
int run_docs();

std::string version_text();

// Config file and --set into options, the mode's defaults first.
train::TrainOptions read_train_options(const std::string& config, const std::vector<std::string>& set);

}  // namespace thinktune::cli
