#include "thinktune/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "manifest.h"
#include "state_file.h"
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
constexpr const char* kAsidePrefix = "set-aside-";

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
  const char* kind = nullptr;  // for a message
  size_t place = 0;            // in the order of model::tensor_list
};

std::vector<NamedTensor> named(const RunTensors& tensors) {
  std::vector<NamedTensor> all;
  const auto add = [&](const char* name, const char* kind, const std::vector<at::Tensor>& list) {
    for (size_t i = 0; i < list.size(); ++i) all.push_back({fmt::format("{}.{}", name, i), list[i].detach(), kind, i});
  };
  add("master", "weight", tensors.master);
  add("first_moment", "first moment", tensors.first_moments);
  add("second_moment", "second moment", tensors.second_moments);
  return all;
}

// Numbers that are not finite have an exponent of ones only.
bool all_finite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return found == 0;
}

// The model's name of a tensor that is not finite: a fused one has several, of its parts.
std::string name_of_not_finite(const model::ModelConfig& config, size_t place, const at::Tensor& values) {
  size_t next = 0;
  return model::first_not_finite(
      config, model::map_weights(model::empty_weights(config, at::kFloat, at::kMeta), [&](const at::Tensor& other) {
        return next++ == place ? values : at::zeros({}).expand(other.sizes());
      }));
}

void check_finite(const NamedTensor& t, const at::Tensor& on_host, const model::ModelConfig& config, int64_t step) {
  if (!all_finite(on_host.const_data_ptr<float>(), on_host.numel()))
    throw core::device_error(fmt::format("after step {}: a {} of {} is not finite; it was not saved", step, t.kind,
                                         name_of_not_finite(config, t.place, on_host)),
                             "go on from the last checkpoint with a lower learning rate, or with precision f32");
}

core::WrittenFile write_tensors(const fs::path& file, const RunTensors& tensors, int64_t step) {
  std::vector<weights::TensorToWrite> writes;
  for (const NamedTensor& t : named(tensors)) {
    TT_CHECK(t.tensor.scalar_type() == at::kFloat && t.tensor.is_contiguous(), "{} must be f32 and contiguous", t.name);
    weights::TensorToWrite& write = writes.emplace_back(t.name, weights::DType::F32, t.tensor.sizes().vec());
    if (t.tensor.is_cpu())
      write.data = t.tensor.const_data_ptr();
    else  // the host holds one of them at a time
      write.produce = [t, &tensors, step](std::byte* out) {
        const at::Tensor on_host = t.tensor.is_meta() ? tensors.next() : t.tensor.cpu();
        if (t.tensor.is_meta()) check_finite(t, on_host, *tensors.config, step);
        std::memcpy(out, on_host.const_data_ptr(), on_host.nbytes());
      };
  }
  return weights::write_safetensors(file, writes);
}

RunState read_state(const fs::path& checkpoint, const model::ModelConfig& config) {
  const fs::path file = core::inner_file(checkpoint, kStateName, core::kMaxSideFileBytes);
  const SavedState saved = parse_state(core::read_file(file, "run state"), file.string());
  if (saved.model != identity(config))
    throw core::data_error(fmt::format("the checkpoint {} belongs to another model: {}", checkpoint.string(),
                                       differences(saved.model, identity(config))));
  if (const int64_t named = step_of(checkpoint); named >= 0 && named != saved.state.step)
    throw core::data_error(
        fmt::format("{}: step is {}, the folder's name says {}", file.string(), saved.state.step, named),
        "a checkpoint keeps the name that it was given");
  if (saved.state.num_updates > optim::AdamW::kMaxUpdates)
    throw core::data_error(fmt::format("{}: num_updates is {}, at most {} are counted", file.string(),
                                       saved.state.num_updates, optim::AdamW::kMaxUpdates));
  return saved.state;
}

// For a message: whoever wrote the files chose their names.
std::string shown_names(std::vector<std::string> names) {
  constexpr size_t kMost = 10;
  const size_t more = names.size() - std::min(names.size(), kMost);
  names.resize(names.size() - more);
  std::string text = fmt::format("{}{}", fmt::join(names, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

Found open_checkpoint(const fs::path& path, const model::ModelConfig& config) {
  if (const std::vector<std::string> unlisted = verify(path); !unlisted.empty())
    spdlog::warn("{} holds files that its manifest does not list; they are not read: {}", path.string(),
                 shown_names(unlisted));
  return {path, read_state(path, config)};
}

// What a crash left half written. Only one process at a time writes into a run's folder, so nobody is at work there.
void remove_leftovers(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with(kTemporaryPrefix)) leftovers.push_back(entry.path());
  for (const fs::path& path : leftovers) core::remove_tree(path);
}

// Under a temporary name first: half of it must not look like a damaged checkpoint.
void remove_checkpoint(const fs::path& path) {
  const fs::path temporary = path.parent_path() / fmt::format("{}{}-removed", kTemporaryPrefix, step_of(path));
  core::remove_tree(temporary);
  core::rename_and_sync(path, temporary);
  core::remove_tree(temporary);
}

// Makes room for a checkpoint of the same step. One that is whole is not deleted: it is of a run that went another way.
// Nor is one that cannot be opened now.
void clear_target(const fs::path& target) {
  if (!fs::exists(target)) return;
  try {
    verify(target);
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::Data) return remove_checkpoint(target);
  } catch (const fs::filesystem_error&) {
  }
  set_aside_later(target.parent_path(), step_of(target) - 1);
}

// Newer ones than `step` do not count: a resume has passed them over as damaged, and they must not push out whole ones.
void remove_others(const fs::path& folder, int64_t step, const Retention& retention, const Scores& scores) {
  if (retention.keep_last == 0) return;
  Scores of_checkpoints;
  for (const fs::path& path : list(folder))
    if (const auto score = scores.find(step_of(path)); score != scores.end() && step_of(path) <= step)
      of_checkpoints.insert(*score);
  int64_t kept = 0;
  for (const fs::path& path : list(folder)) {
    if (step_of(path) > step || ++kept <= retention.keep_last) continue;
    if (is_among_best(of_checkpoints, step_of(path), retention.keep_best)) continue;
    try {
      remove_checkpoint(path);
    } catch (const core::Error& error) {
      spdlog::warn("cannot remove the old checkpoint {}: {}", path.string(), error.message());
    }
  }
}

}  // namespace

void describe(core::Fields& f, CheckpointOptions& o) {
  f.integer("every", o.every, core::at_least(int64_t{0}),
            "steps between checkpoints; the last step always makes one. 0: only the last");
  f.integer("keep_last", o.retention.keep_last, core::at_least(int64_t{0}),
            "how many are kept; older ones are removed. 0: all");
  f.integer("keep_best", o.retention.keep_best, core::at_least(int64_t{0}),
            "besides them so many are kept whose evaluation (eval.every) was the best; a step with such an evaluation "
            "is saved, whatever checkpoint.every is");
  f.choice("best_metric", o.best_metric, kMetricNames,
           "what is best: accuracy, or majority (the answer that most of eval.samples give)");
  f.boolean("background", o.background,
            "write beside the next steps, from a copy in memory (12 bytes a parameter, 14 in bf16, while it is "
            "written); false: training waits, and no copy is made");
}

bool is_among_best(const Scores& scores, int64_t step, int64_t count) {
  const auto own = scores.find(step);
  if (own == scores.end()) return false;
  const auto better = [&](const auto& other) {
    return other.second > own->second || (other.second == own->second && other.first < step);
  };
  return std::count_if(scores.begin(), scores.end(), better) < count;
}

void validate(const CheckpointOptions& options) { core::check_ranges(options, "checkpoint"); }

fs::path folder_of(const fs::path& folder, int64_t step) { return folder / fmt::format("{}{}", kPrefix, step); }

fs::path save(const fs::path& folder, const RunState& state, const RunTensors& tensors, const Retention& retention,
              const Scores& scores) {
  const fs::path target = folder_of(folder, state.step);
  const fs::path temporary = folder / fmt::format("{}{}-{}", kTemporaryPrefix, state.step, ::getpid());
  for (const NamedTensor& t : named(tensors))
    if (!t.tensor.is_meta()) check_finite(t, t.tensor.cpu(), *tensors.config, state.step);
  remove_leftovers(folder);
  try {
    core::make_folder(temporary);
    std::vector<core::WrittenFile> written =
        model::save_pretrained(temporary, *tensors.config, *tensors.policy, *tensors.vocabulary);
    written.push_back(write_tensors(temporary / kTensorsName, tensors, state.step));
    written.push_back(
        core::write_file_atomically(temporary / kStateName, to_json_text({state, identity(*tensors.config)})));
    write_manifest(temporary, written);
    clear_target(target);
    core::rename_and_sync(temporary, target);
  } catch (const std::exception&) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);  // what cannot be removed now is removed by the next save
    throw;
  }
  remove_others(folder, state.step, retention, scores);
  return target;
}

std::string what_was_saved(const fs::path& checkpoint) {
  return checkpoint.empty() ? "nothing was saved: no step was done, or no checkpoint was due"
                            : "saved, and whole: " + checkpoint.string();
}

fs::path newest_in(const fs::path& folder) {
  const std::vector<fs::path> found = list(folder);
  return found.empty() ? fs::path() : found.front();
}

std::optional<Found> find_newest(const fs::path& folder, const model::ModelConfig& config,
                                 std::vector<std::string>& skipped) {
  for (const fs::path& path : list(folder)) {
    try {
      return open_checkpoint(path, config);
    } catch (const core::Error& error) {
      skipped.push_back(error.message());
    } catch (const fs::filesystem_error& error) {
      skipped.push_back(fmt::format("the checkpoint {} cannot be read: {}", path.string(), error.code().message()));
    }
  }
  return std::nullopt;
}

Found find_named(const fs::path& folder, const std::string& name, const model::ModelConfig& config) {
  const bool is_number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  std::vector<std::string> there;
  for (const fs::path& path : list(folder)) there.push_back(path.filename().string());
  for (const fs::path& path : {folder / (is_number ? kPrefix + name : name), fs::path(name)})
    if (fs::is_directory(path)) return open_checkpoint(path.has_filename() ? path : path.parent_path(), config);
  throw core::user_error(fmt::format("there is no checkpoint {} in {}", name, folder.string()),
                         there.empty() ? "there are none" : fmt::format("there are {}", fmt::join(there, ", ")));
}

std::vector<fs::path> set_aside_later(const fs::path& folder, int64_t step) {
  std::vector<fs::path> moved;
  for (const fs::path& path : list(folder)) {
    if (step_of(path) <= step) continue;
    int64_t number = 1;
    const auto aside = [&] { return folder / fmt::format("{}{}-of-step-{}", kAsidePrefix, number, step_of(path)); };
    while (fs::exists(aside())) ++number;
    core::rename_and_sync(path, aside());
    moved.push_back(aside());
  }
  return moved;
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

std::vector<std::string> verify(const fs::path& checkpoint) { return verify_manifest(checkpoint); }

}  // namespace thinktune::checkpoint
