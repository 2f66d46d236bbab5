// inspect: what a model is, what it takes to train it, and what looks wrong with it.
#include <fmt/ranges.h>

#include <cstdio>
#include <set>

#include "thinktune/cli/commands.h"
#include "thinktune/model/inspect.h"
#include "thinktune/train/memory.h"

namespace thinktune::cli {
namespace {

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

// "5 of 6 layers see 512 tokens, the others everything".
std::string windows_line(const model::ModelConfig& config) {
  std::set<int64_t> windows;
  int64_t with_window = 0;
  for (const int64_t window : config.windows) {
    if (window == 0) continue;
    windows.insert(window);
    ++with_window;
  }
  if (windows.empty()) return "";
  return fmt::format("; {} of {} layers see {} tokens", with_window, config.num_layers, fmt::join(windows, ", "));
}

std::string rope_line(const model::Rope& rope) {
  std::string text = fmt::format("θ = {:g}", rope.theta);
  switch (rope.scaling) {
    case model::RopeScaling::None:
      break;
    case model::RopeScaling::Linear:
      text += fmt::format(", linear × {:g}", rope.factor);
      break;
    case model::RopeScaling::Llama3:
      text += fmt::format(", llama3 × {:g} from {}", rope.factor, rope.original_max_position);
      break;
    case model::RopeScaling::LongRope:
      text += fmt::format(", longrope from {}", rope.original_max_position);
      break;
  }
  return text;
}

void print_sizes(const model::Pretrained& model, const model::Inspection& inspection) {
  const model::ModelConfig& c = model.config();
  fmt::print("{}: {} ({}{})\n", model.path().string(), c.family, model.family().hf_architecture,
             model.is_gguf() ? ", GGUF" : "");
  fmt::print("  {} layers of width {}, MLP {}, {} heads of {} on {} key/value heads, vocabulary {}{}\n", c.num_layers,
             c.hidden_size, c.intermediate_size, c.num_heads, c.head_dim, c.num_kv_heads, c.vocab_size,
             c.tie_word_embeddings ? ", head tied to the embedding" : "");
  fmt::print("  up to {} tokens{}; rope {}{}\n", c.max_position, windows_line(c), rope_line(c.rope),
             c.local_rope == c.rope ? "" : ", with a window " + rope_line(c.local_rope));
  fmt::print("\nparameters        {:>16}\n", model::num_parameters(c));
  for (const auto& part : inspection.parts)
    fmt::print("  {:<15} {:>16}  {:>3} tensors\n", part.name, part.parameters, part.tensors);
  fmt::print("stored as\n");
  for (const auto& dtype : inspection.dtypes)
    fmt::print("  {:<15} {:>16}  {:>3} tensors, {:.3f} GB\n", dtype.name, dtype.parameters, dtype.tensors,
               gigabytes(dtype.bytes));
}

// Precision and teacher decide; lengths and batches are those of the default config.
void print_memory(const model::ModelConfig& config) {
  fmt::print(
      "\nmemory to train, GB (sizes of batch and lengths as by default; --dry-run of a config tells for that one)\n");
  for (const train::Precision precision : {train::Precision::Bf16, train::Precision::F32})
    for (const bool teacher : {true, false}) {
      train::TrainOptions options;
      options.precision = precision;
      options.guidance.enabled = teacher;
      const auto parts = train::memory_of_training(config, options);
      fmt::print("  {:<5} {:<14} {:>8.2f}\n", precision == train::Precision::Bf16 ? "bf16" : "f32",
                 teacher ? "with teacher" : "GRPO, no KL", gigabytes(train::peak_bytes(parts)));
    }
  fmt::print("of these, in bf16 with teacher:\n");
  for (const train::MemoryPart& part : train::memory_of_training(config, {}))
    fmt::print("  {:<45} {:>8.2f}\n", part.what, gigabytes(part.bytes));
}

}  // namespace

int run_inspect(const InspectCommand& command) {
  const model::Pretrained model(command.model);
  const model::Inspection inspection = model::inspect(model, {.chat_template = command.chat_template});
  print_sizes(model, inspection);
  print_memory(model.config());
  fmt::print("\ntokenizer      {}\n", inspection.tokenizer.empty() ? "none that can be read" : inspection.tokenizer);
  fmt::print("chat template  {}\n",
             inspection.chat_template.empty() ? "none that can be read" : inspection.chat_template);
  fmt::print("end of turn    {}\n", inspection.end_of_turn.empty() ? "none known" : inspection.end_of_turn);
  fmt::print("\n{}\n", inspection.problems.empty() ? "nothing looks wrong" : "what looks wrong:");
  for (const std::string& problem : inspection.problems) fmt::print("- {}\n", problem);
  return 0;
}

}  // namespace thinktune::cli
