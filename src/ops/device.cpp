#include "thinktune/ops/device.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <new>
#include <optional>
#include <string_view>

#include "cuda_build.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

// N of "cuda:N"; -1 for "cuda"; nothing for what is neither.
std::optional<int> gpu_number(const std::string& name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (name == "cuda") return -1;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int number = 0;
  const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size();
  const auto [last, error] = std::from_chars(begin, end, number);
  const bool valid = error == std::errc() && last == end && number >= 0 && number <= 127;
  return valid ? std::optional(number) : std::nullopt;
}

}  // namespace

void check_device_name(const std::string& name, const std::string& setting) {
  if (name == "auto" || name == "cpu" || gpu_number(name)) return;
  throw core::user_error(fmt::format("{} is \"{}\"", setting, name), "use auto, cpu, cuda, or cuda:N for GPU N");
}

void compute_deterministically() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);  // nothing here reads what it did not write
  context.setAllowBF16ReductionCuBLAS(false);
  context.setAllowTF32CuBLAS(false);
}

at::Device open_device(const std::string& name) {
  check_device_name(name, "device");
  const int64_t num_gpus = cuda::num_gpus();
  if (name == "cpu" || (name == "auto" && num_gpus == 0)) return at::kCPU;
  if (!cuda::is_built())
    throw core::user_error(fmt::format("device is \"{}\", but this thinktune was built without CUDA", name),
                           "build it with CUDA: scripts/setup.sh --cuda, then cmake --preset cuda and cmake --build "
                           "--preset cuda; or use --set device=cpu");
  if (num_gpus == 0)
    throw core::user_error(
        fmt::format("device is \"{}\", but there is no GPU that CUDA {} can use", name, cuda::version()),
        "nvidia-smi shows GPUs and driver; CUDA_VISIBLE_DEVICES may hide them");
  const int number = std::max(0, gpu_number(name).value_or(0));
  if (number >= num_gpus)
    throw core::user_error(fmt::format("device is \"{}\", but the GPUs are cuda:0 … cuda:{}", name, num_gpus - 1));
  const at::Device gpu(at::kCUDA, static_cast<at::DeviceIndex>(number));
  compute_deterministically();
  cuda::make_current(gpu);
  return gpu;
}

std::string device_of_rank(const std::string& name, const LocalRank& local, int64_t num_gpus) {
  check_device_name(name, "device");
  if (local.size == 1 || name == "cpu" || (name == "auto" && num_gpus == 0)) return name;
  if (gpu_number(name).value_or(-1) >= 0)
    throw core::user_error(
        fmt::format("device is \"{}\", but this machine has {} ranks, and each needs a GPU of its own", name,
                    local.size),
        "use device=cuda: rank N of a machine takes cuda:N");
  if (num_gpus == 1 && local.may_see_only_its_own) return "cuda:0";
  if (num_gpus < local.size)
    throw core::user_error(
        fmt::format("{} ranks on this machine, but {} GPU{} to see", local.size, num_gpus, num_gpus == 1 ? "" : "s"),
        "start as many ranks as there are GPUs, or compute on the CPU: --set device=cpu");
  return fmt::format("cuda:{}", local.rank);
}

int64_t num_gpus() { return cuda::num_gpus(); }

std::string describe(at::Device device) {
  if (!device.is_cuda()) return "CPU";
  return fmt::format("{} ({}, {:.1f} GiB)", cuda::name(device), device.str(),
                     static_cast<double>(cuda::memory(device).total) / (1 << 30));
}

std::string cuda_support() {
  if (!cuda::is_built()) return "no CUDA";
  const int64_t num_gpus = cuda::num_gpus();
  if (num_gpus == 0) return fmt::format("CUDA {}, no GPU: computes on the CPU", cuda::version());
  return fmt::format("CUDA {}, {} GPU{}", cuda::version(), num_gpus, num_gpus == 1 ? "" : "s");
}

FreeOrder::FreeOrder() : was_deterministic_(at::globalContext().deterministicAlgorithms()) {
  at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false);
}
FreeOrder::~FreeOrder() { at::globalContext().setDeterministicAlgorithms(was_deterministic_, /*warn_only=*/false); }

void synchronize(at::Device device) {
  if (device.is_cuda()) cuda::synchronize(device);
}

DeviceMemory memory_of(at::Device device) { return device.is_cuda() ? cuda::memory(device) : DeviceMemory{}; }

void reset_peak_memory(at::Device device) {
  if (device.is_cuda()) cuda::reset_peak_memory(device);
}

ProfilerRange::ProfilerRange(const char* name) { cuda::push_range(name); }
ProfilerRange::~ProfilerRange() { cuda::pop_range(); }

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  if (of_torch == nullptr) return false;
  // No type of their own: the host's allocator, CUDA outside of LibTorch's (graphs, contexts), cuBLAS.
  const std::string_view text = of_torch->what_without_backtrace();
  constexpr std::string_view kWords[] = {"can't allocate memory", "CUDA error: out of memory",
                                         "CUBLAS_STATUS_ALLOC_FAILED"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view words) { return text.find(words) != std::string_view::npos; });
}

}  // namespace thinktune::ops
