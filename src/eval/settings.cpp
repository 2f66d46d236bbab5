// What decides a benchmark's numbers, written down.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/benchmark_parts.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr uintmax_t kEndBytes = 64 << 10;

// Name, size, first and last bytes.
std::string describe_file(const fs::path& file) {
  const uintmax_t size = fs::file_size(file);
  std::string text = fmt::format("{} {} ", file.filename().string(), size);
  std::ifstream in(file, std::ios::binary);
  std::string bytes(std::min(size, kEndBytes), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  text += bytes;
  in.seekg(static_cast<std::streamoff>(size - bytes.size()));
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!in) throw core::data_error(fmt::format("cannot read {}", file.string()));
  return text + bytes;
}

}  // namespace

std::string model_fingerprint(const fs::path& model) {
  std::vector<fs::path> files;
  if (fs::is_directory(model)) {
    for (const auto& entry : fs::directory_iterator(model))
      if (entry.is_regular_file() &&
          (entry.path().extension() == ".safetensors" || entry.path().filename() == "config.json"))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(model);
  }
  std::string all;
  for (const fs::path& file : files) all += describe_file(file);
  return hash_hex(all);
}

ordered_json settings_json(const Subject& subject, const Suite& suite, const ResolvedTask& resolved,
                           const BenchmarkOptions& options, int64_t num_problems, int64_t chunk_problems) {
  const Task& task = resolved.task;
  ordered_json json = {{"format", 1}, {"program", subject.program}, {"suite", suite.name}};
  json.update(to_json(resolved));
  json["seed"] = options.seed;
  json["data"] = {{"file", suite.file.string()},
                  {"xxh64", suite.file_hash},
                  {"problems_of_file", suite.problems.size()},
                  {"problems", num_problems}};
  if (suite.file.extension() == ".csv")
    json["data"]["choices_order"] = fmt::format(
        "a permutation a record: Philox 4x32-10 with seed {}, keyed by XXH64 of the record's id", kGpqaShuffleSeed);
  if (task.num_examples > 0)
    json["examples"]["xxh64"] = hash_hex(core::read_file(options.data_dir / task.examples_file, "worked examples"));
  json["model"] = {{"path", subject.path},
                   {"fingerprint", model_fingerprint(subject.path)},
                   {"precision", subject.precision},
                   {"positions", model::max_tokens(subject.config)}};
  if (task.form == PromptForm::Chat)
    json["model"]["chat_template_xxh64"] = hash_hex(subject.chat != nullptr ? subject.chat->source() : "");
  json["slots"] = options.slots;
  json["chunk_problems"] = chunk_problems;
  return json;
}

std::string dump_row(const ordered_json& row) {
  return row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace thinktune::eval
