#include "thinktune/train/errors.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "thinktune/ops/device.h"

namespace thinktune::train {
namespace {

constexpr const char* kMemoryHint =
    "in training, lower update.micro_batch_tokens or engine.kv_cache_mib, or set update.gradient_checkpointing; else a "
    "smaller model or more memory is needed";
constexpr const char* kBug = "this is a bug in thinktune: please report it with the command that led here";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What CUDA and its libraries begin their messages with, as LibTorch passes them on.
bool is_of_a_gpu(std::string_view text) {
  constexpr std::string_view kWords[] = {"CUDA error", "CUDA driver error", "cuDNN error", "NCCL error"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view words) { return text.find(words) != std::string_view::npos; });
}

core::Error of_torch(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  if (is_of_a_gpu(text))
    return core::device_error(first_line(text),
                              "the GPU or its driver has failed (nvidia-smi and the kernel's log say more)");
  return core::internal_error("LibTorch: " + first_line(text), kBug);
}

}  // namespace

core::Error to_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const core::Error*>(&exception)) return *error;
  const auto* torch = dynamic_cast<const c10::Error*>(&exception);
  if (ops::is_out_of_memory(exception)) {
    const bool of_a_gpu = torch != nullptr && std::string_view(torch->what_without_backtrace()).starts_with("CUDA");
    return core::device_error(of_a_gpu ? first_line(torch->what_without_backtrace()) : "out of memory", kMemoryHint);
  }
  if (torch != nullptr) return of_torch(*torch);
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&exception))
    return core::user_error(fmt::format(
        "cannot use {}: {}", (file->path2().empty() ? file->path1() : file->path2()).string(), file->code().message()));
  if (const auto* system = dynamic_cast<const std::system_error*>(&exception))  // a thread that cannot be started
    return core::device_error(system->what(), "the system refuses it: limits (ulimit -a), or memory, may be used up");
  return core::internal_error(exception.what(), kBug);
}

}  // namespace thinktune::train
