#include "thinktune/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "manifest.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/model/family.h"
#include "thinktune/model/save.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::checkpoint {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr const char* kPrefix = "step-";
constexpr const char* kTemporaryPrefix = ".tmp-step-";
constexpr const char* kStateName = "state.json";
constexpr const char* kTensorsName = "training_state.safetensors";

// Step of a checkpoint's folder name, -1 for any other name.
int64_t step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return -1;
  const std::string digits = name.substr(std::string_view(kPrefix).size());
  const bool number = !digits.empty() && digits.size() <= 15 &&
                      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  return number ? std::stoll(digits) : -1;
}

// Checkpoint folders, newest first.
std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!fs::is_directory(folder)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && step_of(entry.path()) >= 0) found.push_back(entry.path());
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return step_of(a) > step_of(b); });
  return found;
}

// What tells models apart: everything that the forward pass goes by.
json identity(const model::ModelConfig& config) {
  json fields = model::find_family(config.family, "checkpoint").config_to_hf(config);
  for (const char* special_id : {"bos_token_id", "eos_token_id", "pad_token_id"}) fields.erase(special_id);
  return fields;
}

// "hidden_size is 576 there and 32 here"; the first difference is enough to see that the model is another one.
std::string differences(const json& there, const json& here) {
  for (const auto& [name, value] : here.items()) {
    const json other = there.is_object() && there.contains(name) ? there[name] : json();
    if (other != value) return fmt::format("{} is {} there and {} here", name, other.dump(), value.dump());
  }
  return "its sizes are described otherwise";
}

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

std::vector<NamedTensor> named(const RunTensors& tensors) {
  std::vector<NamedTensor> all;
  const std::pair<const char*, const std::vector<at::Tensor>*> kinds[] = {{"master", &tensors.master},
                                                                          {"first_moment", &tensors.first_moments},
                                                                          {"second_moment", &tensors.second_moments}};
  for (const auto& [kind, list] : kinds)
    for (size_t i = 0; i < list->size(); ++i) all.push_back({fmt::format("{}.{}", kind, i), (*list)[i].detach()});
  return all;
}

void write_tensors(const fs::path& file, const RunTensors& tensors) {
  std::vector<weights::TensorToWrite> writes;
  for (const NamedTensor& t : named(tensors)) {
    TT_CHECK(t.tensor.scalar_type() == at::kFloat && t.tensor.is_contiguous(), "{} must be f32 and contiguous", t.name);
    weights::TensorToWrite& write = writes.emplace_back(t.name, weights::DType::F32, t.tensor.sizes().vec());
    if (t.tensor.is_cpu())
      write.data = t.tensor.const_data_ptr();
    else  // the host holds one of them at a time
      write.produce = [tensor = t.tensor](std::byte* out) {
        const at::Tensor on_host = tensor.cpu();
        std::memcpy(out, on_host.const_data_ptr(), on_host.nbytes());
      };
  }
  weights::write_safetensors(file, writes);
}

RunState read_state(const fs::path& checkpoint, const model::ModelConfig& config) {
  const fs::path file = core::inner_file(checkpoint, kStateName, core::kMaxSideFileBytes);
  const std::string text = core::read_file(file, "run state");
  core::check_json_depth(text, file.string());
  const json parsed = json::parse(text, nullptr, false);
  try {
    if (parsed.at("model") != identity(config))
      throw core::data_error(fmt::format("the checkpoint {} belongs to another model: {}", checkpoint.string(),
                                         differences(parsed.at("model"), identity(config))));
    RunState state;
    state.step = parsed.at("step");
    state.data_position = parsed.at("data_position");
    state.num_updates = parsed.at("num_updates");
    state.guard = parsed.at("guard");
    state.config = parsed.at("config");
    return state;
  } catch (const json::exception& e) {
    throw core::data_error(
        fmt::format("the checkpoint {} is damaged: {} cannot be read ({})", checkpoint.string(), kStateName, e.what()));
  }
}

// What a crash left half written. Only one process at a time writes into a run's folder, so nobody is at work there.
void remove_leftovers(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with(kTemporaryPrefix)) leftovers.push_back(entry.path());
  for (const fs::path& path : leftovers) fs::remove_all(path, ignored);
}

// Those beyond keep_last. Newer ones than `step` do not count: a resume has passed them over as damaged, and they must
// not push out whole ones.
void remove_older(const fs::path& folder, int64_t step, int64_t keep_last) {
  std::error_code failed;
  int64_t kept = 0;
  for (const fs::path& path : list(folder)) {
    if (step_of(path) > step || ++kept <= keep_last) continue;
    fs::remove_all(path, failed);
    if (failed) spdlog::warn("cannot remove the old checkpoint {}: {}", path.string(), failed.message());
  }
}

}  // namespace

void describe(core::Fields& f, CheckpointOptions& o) {
  f.integer("every", o.every, core::at_least(int64_t{0}),
            "steps between checkpoints; the last step always makes one. 0: only the last");
  f.integer("keep_last", o.keep_last, core::at_least(int64_t{0}), "how many are kept; older ones are removed. 0: all");
}

void validate(const CheckpointOptions& options) { core::check_ranges(options, "checkpoint"); }

fs::path folder_of(const fs::path& folder, int64_t step) { return folder / fmt::format("{}{}", kPrefix, step); }

fs::path save(const fs::path& folder, const RunState& state, const RunTensors& tensors, int64_t keep_last) {
  const fs::path target = folder_of(folder, state.step);
  const fs::path temporary = folder / fmt::format("{}{}-{}", kTemporaryPrefix, state.step, ::getpid());
  std::error_code failed;
  remove_leftovers(folder);
  fs::create_directories(temporary, failed);
  if (failed)
    throw core::user_error(fmt::format("cannot make the folder {}: {}", temporary.string(), failed.message()),
                           "choose another output folder");
  try {
    model::save_pretrained(temporary, *tensors.config, *tensors.policy, *tensors.vocabulary);
    write_tensors(temporary / kTensorsName, tensors);
    const json content = {{"step", state.step},
                          {"data_position", state.data_position},
                          {"num_updates", state.num_updates},
                          {"guard", state.guard},
                          {"config", state.config},
                          {"model", identity(*tensors.config)}};
    core::write_file_atomically(temporary / kStateName, content.dump(2) + "\n");
    write_manifest(temporary);
    fs::remove_all(target);  // a damaged one of the same step, passed over on resume
    fs::rename(temporary, target);
    core::sync_folder(folder);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(temporary, failed);
    throw core::user_error(fmt::format("cannot write the checkpoint {}: {}", target.string(), error.what()));
  } catch (...) {
    fs::remove_all(temporary, failed);
    throw;
  }
  if (keep_last > 0) remove_older(folder, state.step, keep_last);
  return target;
}

std::optional<Found> find_newest(const fs::path& folder, const model::ModelConfig& config,
                                 std::vector<std::string>& skipped) {
  for (const fs::path& path : list(folder)) {
    try {
      verify(path);
      return Found{path, read_state(path, config)};
    } catch (const core::Error& error) {
      skipped.push_back(error.message());
    }
  }
  return std::nullopt;
}

void load_tensors(const fs::path& checkpoint, const RunTensors& tensors) {
  const at::NoGradGuard no_grad;
  const weights::Safetensors file(core::inner_file(checkpoint, kTensorsName));
  for (const NamedTensor& t : named(tensors)) {
    const weights::TensorInfo* info = file.find(t.name);
    if (info == nullptr) throw core::data_error(fmt::format("{}: {} is missing", file.where(), t.name));
    if (at::IntArrayRef(info->shape) != t.tensor.sizes() || info->dtype != weights::DType::F32)
      throw core::data_error(fmt::format("{}: {} has another shape or type than the model's", file.where(), t.name));
    const at::Tensor on_host = t.tensor.is_cpu() ? t.tensor : at::empty(t.tensor.sizes(), at::kFloat);
    weights::to_float(*info, on_host.data_ptr<float>());
    if (!t.tensor.is_cpu()) t.tensor.copy_(on_host);
  }
}

void verify(const fs::path& checkpoint) { verify_manifest(checkpoint); }

}  // namespace thinktune::checkpoint
