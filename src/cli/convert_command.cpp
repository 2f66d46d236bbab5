// convert: a model from one form to another, without Python.
#include <spdlog/spdlog.h>

#include <cctype>
#include <cstdio>

#include "thinktune/cli/commands.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/model/inspect.h"
#include "thinktune/model/save.h"

namespace thinktune::cli {
namespace {

namespace fs = std::filesystem;
using weights::DType;

bool is_gguf_name(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".gguf";
}

// "auto": what the matrices of the model are stored in, or BF16 where they are quantised.
DType dtype_of(const std::string& name, const model::Pretrained& model) {
  if (name == "f32") return DType::F32;
  if (name == "f16") return DType::F16;
  if (name == "bf16") return DType::BF16;
  if (name == "q8_0") return DType::Q8_0;
  const weights::TensorInfo* largest = nullptr;
  for (const weights::TensorInfo& info : model.source().tensors())
    if (largest == nullptr || info.num_elements() > largest->num_elements()) largest = &info;
  const bool plain = largest != nullptr && weights::elements_of_block(largest->dtype) == 1;
  return plain ? largest->dtype : DType::BF16;
}

int64_t bytes_on_disk(const fs::path& path) {
  if (!fs::is_directory(path)) return static_cast<int64_t>(fs::file_size(path));
  int64_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) total += static_cast<int64_t>(entry.file_size());
  return total;
}

}  // namespace

int run_convert(const ConvertCommand& command) {
  const fs::path out = command.out;
  if (out.empty()) throw core::user_error("the name of what is to be written is empty", "give NAME.gguf or a folder");
  if (fs::exists(out) && (is_gguf_name(out) || !fs::is_directory(out) || !fs::is_empty(out)))
    throw core::user_error(fmt::format("{} is there already, and is not overwritten", out.string()),
                           "remove it, or give another name");
  for (const char* extension : {".safetensors", ".bin", ".pt", ".pth", ".json"})
    if (!fs::is_directory(out) && out.extension() == extension)
      throw core::user_error(
          fmt::format("{} is the name of one file, and a model of Hugging Face's is a folder", out.string()),
          "give NAME.gguf or the name of a folder");
  core::Stopwatch watch;
  const model::Pretrained model(command.in);
  const bool to_gguf = is_gguf_name(out);
  const DType dtype = dtype_of(command.dtype, model);
  const model::Vocabulary vocabulary =
      model.load_vocabulary({.chat_template = command.chat_template, .needs_chat = false, .needs_tokenizer = to_gguf});
  if (vocabulary.tokenizer == nullptr) spdlog::warn("{} has no tokenizer: none is written", command.in);
  if (to_gguf) {
    for (const std::string& warning : model::convert_to_gguf(model, vocabulary, dtype, out)) spdlog::warn(warning);
  } else {
    model::convert_to_folder(model, vocabulary, dtype, out, static_cast<uint64_t>(command.max_shard_mb) * 1'000'000);
  }
  std::printf(
      "%s: %s, %.1f M parameters in %s, %.1f MB, %s\n", out.string().c_str(), std::string(model.family().name).c_str(),
      static_cast<double>(model::num_parameters(model.config())) / 1e6, std::string(weights::name_of(dtype)).c_str(),
      static_cast<double>(bytes_on_disk(out)) / 1e6, core::human_duration(watch.seconds()).c_str());
  return 0;
}

}  // namespace thinktune::cli
