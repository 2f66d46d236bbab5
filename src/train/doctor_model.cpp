// The model's files, its tokenizer, its end of turn, its chat template.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "doctor_parts.h"
#include "file_checksum.h"
#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/core/error.h"

namespace thinktune::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFetchAgain = "fetch the file again from where the model came from";

// Beginning of a text, on one line.
std::string shown(std::string_view text) {
  constexpr size_t kLongest = 60;
  std::string line = fmt::format("{:?}", text.substr(0, kLongest));
  return text.size() > kLongest ? line + " …" : line;
}

std::string shown(const text::Tokenizer& tokenizer, core::TokenId id) {
  return id >= 0 && id < tokenizer.vocab_size() ? fmt::format("{} {}", id, tokenizer.token_text(id))
                                                : fmt::format("{} (not in the tokenizer)", id);
}

// Name of the first tensor with a value that is no number; empty if there is none.
std::string first_not_finite(const weights::TensorSource& source) {
  std::vector<float> values;
  for (const weights::TensorInfo& tensor : source.tensors()) {
    values.resize(tensor.num_elements());
    weights::to_float(tensor, values.data());
    source.release(tensor);
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
      return tensor.name;
  }
  return "";
}

// Every file of the model whose checksum is known, against it.
std::string compare_checksums(const fs::path& folder, const std::string& only) {
  int64_t compared = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || (!only.empty() && name != only)) continue;
    const std::string noted = noted_checksum(folder, name);
    if (noted.empty()) continue;
    if (!has_checksum(entry.path(), noted))
      throw core::data_error(
          fmt::format("{} is not what was downloaded: its checksum is not {}", entry.path().string(), noted),
          kFetchAgain);
    ++compared;
  }
  return compared > 0 ? fmt::format("{} files have the Hub's checksums", compared) : "";
}

// Texts whose characters tokenizers stumble over.
const char* const kTrickyTexts[] = {
    "The quick brown fox jumps over the lazy dog.",
    "x = 3.14159; y = -2e-5 (approx.) 1,000,000 = 10^6",
    "def f(a):\n    return a ** 2  # squared\n",
    "\\boxed{\\frac{1}{2}} and $\\sqrt{2}$",
    "  two spaces before,  two within, and a tab\there",
    "Zoë naïve Ångström façade ß",
    "Привет, 世界! こんにちは 안녕 שלום مرحبا",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈",
    "line one\n\nline three\r\nline four",
};

}  // namespace

Verdict look_at_files(const model::Pretrained& model) {
  model.check_tensors();
  const fs::path path = model.path();
  const bool is_folder = fs::is_directory(path);
  const fs::path folder = is_folder ? path : path.has_parent_path() ? path.parent_path() : fs::path(".");
  int64_t bytes = 0;
  for (const weights::TensorInfo& tensor : model.source().tensors()) bytes += std::ssize(tensor.bytes);
  std::string found = fmt::format("{} of {:.1f} M parameters, {} tensors, {:.2f} GB: all there", model.family().name,
                                  static_cast<double>(model::num_parameters(model.config())) / 1e6,
                                  model.source().tensors().size(), static_cast<double>(bytes) / 1e9);
  if (const std::string name = first_not_finite(model.source()); !name.empty())
    return {Health::Failed, fmt::format("{}: the tensor {} holds values that are no numbers", path.string(), name),
            "a run that diverged wrote it, or the file is damaged: fetch it again, or go back to an earlier checkpoint",
            core::ErrorKind::Data};
  if (is_folder && fs::exists(path / "manifest.json")) {
    checkpoint::verify(path);
    return {.found = found + "; a checkpoint whose files have the manifest's checksums"};
  }
  const std::string compared = compare_checksums(folder, is_folder ? "" : path.filename().string());
  if (!compared.empty()) return {.found = found + "; " + compared};
  const fs::path weights = is_folder ? folder / "model.safetensors" : path;
  if (fs::exists(weights))
    return {.found = fmt::format("{}; no checksum came with it: the SHA-256 of {} is {}", found,
                                 weights.filename().string(), sha256_of(weights))};
  return {.found = found + "; no checksums came with it"};
}

Verdict look_at_tokenizer(const text::Tokenizer& tokenizer, int64_t num_rows,
                          const std::vector<data::Problem>& problems) {
  constexpr size_t kMostProblems = 200;
  std::vector<std::string> texts(std::begin(kTrickyTexts), std::end(kTrickyTexts));
  for (const data::Problem& problem : problems) {
    if (texts.size() >= kMostProblems) break;
    texts.push_back(problem.problem);
    if (!problem.solution.empty()) texts.push_back(problem.solution);
  }
  int64_t num_tokens = 0, num_bytes = 0;
  std::vector<std::string> changed;
  for (const std::string& text : texts) {
    const std::vector<core::TokenId> ids = tokenizer.encode(text);
    for (const core::TokenId id : ids)
      if (id >= num_rows)
        throw core::data_error(
            fmt::format("{} gives the token {}, and the embedding has only {} rows", shown(text), id, num_rows),
            "config, weights and tokenizer must be those of one model: fetch them again together");
    num_tokens += std::ssize(ids);
    num_bytes += std::ssize(text);
    if (tokenizer.decode(ids) != text) changed.push_back(shown(text));
  }
  const std::string found =
      fmt::format("{} tokens; {} of {} texts come back as they were, {:.1f} bytes a token", tokenizer.vocab_size(),
                  texts.size() - changed.size(), texts.size(),
                  num_tokens > 0 ? static_cast<double>(num_bytes) / static_cast<double>(num_tokens) : 0.0);
  if (!changed.empty())
    return {Health::Warning, fmt::format("{}; not {}", found, changed.front()),
            "the tokenizer changes such characters before the model sees them: harmless unless answers depend on them"};
  return {.found = found};
}

Verdict look_at_end_of_turn(const model::Pretrained& model, const model::Vocabulary& vocabulary) {
  model::ModelConfig config = model.config();
  const text::Tokenizer& tokenizer = *vocabulary.tokenizer;
  model::add_end_of_turn(config, vocabulary);  // throws if there is none
  std::vector<std::string> ends;
  for (const core::TokenId id : config.end_of_turn_ids) ends.push_back(shown(tokenizer, id));
  std::string found = fmt::format("a turn ends with {}", fmt::join(ends, ", "));
  const bool pad_ends = std::find(config.end_of_turn_ids.begin(), config.end_of_turn_ids.end(), config.pad_id) !=
                        config.end_of_turn_ids.end();
  if (config.pad_id < 0)
    found += "; no padding token (none is needed here)";
  else
    found += fmt::format("; padding is {}{}", shown(tokenizer, config.pad_id),
                         pad_ends ? ", which also ends turns: harmless here, padding is known by its position" : "");
  if (!model.dropped_ids().empty())
    return {Health::Warning,
            fmt::format("{}; {} beyond the embedding's rows and left out of account", found,
                        fmt::join(model.dropped_ids(), ", ")),
            "tokenizer and config may be of different models: fetch them again together"};
  const std::vector<core::TokenId> written =
      tokenizer.encode(vocabulary.chat->after_assistant_turn(), text::Special::Parse);
  if (std::none_of(written.begin(), written.end(), [&](core::TokenId id) { return tokenizer.is_special(id); }))
    return {Health::Warning,
            fmt::format("{}; the chat template writes {} behind an assistant's turn, in which no token is special",
                        found, shown(vocabulary.chat->after_assistant_turn())),
            "the model may not have learnt to end its turns: look at generate, or take another template"};
  return {.found = found};
}

Verdict look_at_template(const TrainOptions& options, const model::Vocabulary& vocabulary,
                         const data::Problem& problem) {
  const data::PromptBuilder builder(options.prompt, *vocabulary.tokenizer, *vocabulary.chat);
  const rollout::Prompt prompt = builder.build(problem, 0);
  if (prompt.ids.empty())
    return {Health::Failed, "the chat template renders nothing", "take another one: --set chat_template=FILE.jinja",
            core::ErrorKind::Data};
  const std::string text = vocabulary.tokenizer->decode(prompt.ids);
  std::string found = fmt::format("a prompt of {} tokens ends in {:?}", prompt.ids.size(),
                                  text.substr(text.size() - std::min<size_t>(text.size(), 40)));
  if (prompt.ids.size() > 1 && prompt.ids[0] == prompt.ids[1] && vocabulary.tokenizer->is_special(prompt.ids[0]))
    return {Health::Warning,
            fmt::format("{}; it begins with {} twice", found, shown(*vocabulary.tokenizer, prompt.ids[0])),
            "the template writes a token that the tokenizer adds too: models answer worse then"};
  const bool has_question = text.find(problem.problem.substr(0, 40)) != std::string::npos;
  if (!has_question)
    return {Health::Warning, found + "; the question's first words are not in it",
            "look at the prompts in rollouts/step-1.jsonl of a run of one step"};
  return {.found = found};
}

}  // namespace thinktune::train
