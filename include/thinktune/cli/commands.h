// The commands of the program. Each returns the process's exit code and throws core::Error for what goes wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/eval/protocols.h"
#include "thinktune/train/options.h"

namespace thinktune::cli {

struct TrainCommand {
  std::string config;
  std::vector<std::string> set;  // "a.b=c"
  bool resume = false;
  bool dry_run = false;
  int64_t stop_after = 0;  // steps of this call; 0: to the end
  int64_t nproc = 0;       // ranks on this machine, to be started here; 0: this process is what its environment says
};
int run_train(const TrainCommand& command);

// Two ways to measure a model. With suites or a protocol: benchmarks, as eval/benchmark.h has them. With a training
// config: as the training run measures itself.
struct EvalCommand {
  std::string model;
  std::string data;  // a JSONL file of the user's own, for either way
  std::string precision = "bf16";
  std::string device;         // as ops::open_device takes it; empty: the config's, or auto
  std::string chat_template;  // Jinja file in place of the model's own; empty: the config's, or the model's own

  std::vector<std::string> suites;
  std::string data_dir;
  std::string protocol;  // empty: thinktuning
  eval::Overrides overrides;
  std::optional<int64_t> limit;  // the first so many problems of each suite
  std::optional<int64_t> seed;
  std::optional<int64_t> batch;  // sequences decoded at a time
  std::optional<int64_t> kv_cache_mib;
  std::string out;  // folder; empty: only the table

  std::string config;  // a training config whose prompt, reward, data and eval sections are used; may be empty
  std::vector<std::string> set;
  std::string output;  // JSONL of all answers; empty: none
};
int run_eval(const EvalCommand& command);

struct EvalCompareCommand {
  std::string a;  // folders of eval --out
  std::string b;
  int64_t seed = 0;  // of the resampled problems
};
int run_eval_compare(const EvalCompareCommand& command);

struct GenerateCommand {
  std::string model;
  std::string prompt;
  std::string system;
  bool raw = false;  // the prompt as it is, special tokens parsed, without the chat template
  int64_t max_new_tokens = 256;
  double temperature = 0;
  int64_t seed = 1;
  std::string precision = "bf16";
  std::string device = "auto";
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

struct DoctorCommand {
  std::string config;            // empty, and nothing set: the machine alone
  std::vector<std::string> set;  // "a.b=c"
  bool quick = false;            // without loading the model
  bool json = false;
  int64_t nproc = 0;  // ranks on this machine, to be started here; 0: this process is what its environment says
};
// Prints a line a check; the exit code is that of the first failed one, 0 if there is none.
int run_doctor(const DoctorCommand& command);

struct ScoreCommand {
  std::string file;  // JSONL rows; "-": the standard input
  std::string strict = "box";
  std::string lenient = "box,tag,hashes,phrase,math,last_number";
  std::string decides = "lenient";  // strict or lenient: whose verdict is "verdict"
  std::string label = "equal";      // field with a row's known verdict, where it has one
  bool audit = false;               // only rows whose verdicts differ
};
int run_score(const ScoreCommand& command);

struct CompareCommand {
  std::vector<std::string> runs;  // "name=folder" or "folder"
};
int run_compare(const CompareCommand& command);

struct BenchCommand {
  std::string config;
  std::vector<std::string> set;
  int64_t steps = 3;
  int64_t warm_up = 1;
  bool json = false;
  std::string device;  // empty: the config's
};
int run_bench(const BenchCommand& command);

// configs/README.md: every key of a config.
int run_docs();

std::string version_text();

// Config file and --set into options, the mode's defaults first.
train::TrainOptions read_train_options(const std::string& config, const std::vector<std::string>& set);

}  // namespace thinktune::cli
