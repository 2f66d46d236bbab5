#include "thinktune/comm/environment.h"

#include <charconv>
#include <cstdlib>

#include "thinktune/core/error.h"

namespace thinktune::comm {
namespace {

constexpr int64_t kDefaultPort = 29500;
constexpr const char* kTorchrunHint =
    "torchrun and thinktune --nproc set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; unset them all for "
    "one rank";

class Variables {
 public:
  explicit Variables(const Lookup& lookup) : lookup_(lookup) {}

  bool has(const std::string& name) const { return lookup_(name).has_value(); }
  std::string text(const std::string& name, const std::string& otherwise) const {
    return lookup_(name).value_or(otherwise);
  }

  std::string needed(const std::string& name, const std::string& because, const std::string& hint) const {
    const std::optional<std::string> value = lookup_(name);
    if (!value || value->empty())
      throw core::user_error(fmt::format("{} is not set in the environment, but {}", name, because), hint);
    return *value;
  }

  int64_t number(const std::string& name, const std::string& because, const std::string& hint) const {
    return parse(name, needed(name, because, hint), hint);
  }
  int64_t number_or(const std::string& name, int64_t otherwise, const std::string& hint) const {
    const std::optional<std::string> value = lookup_(name);
    return value ? parse(name, *value, hint) : otherwise;
  }

 private:
  static int64_t parse(const std::string& name, const std::string& text, const std::string& hint) {
    int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code != std::errc() || stop != end || value < 0)
      throw core::user_error(fmt::format("{} is \"{}\" in the environment, not a number from 0 on", name, text), hint);
    return value;
  }

  const Lookup& lookup_;
};

Environment from_torchrun(const Variables& v) {
  const std::string other = v.has("RANK") ? "RANK" : "WORLD_SIZE";
  const std::string because = other + " is";
  Environment e{.launcher = v.has("THINKTUNE_LAUNCHED") ? "--nproc" : "torchrun"};
  e.rank = v.number("RANK", because, kTorchrunHint);
  e.size = v.number("WORLD_SIZE", because, kTorchrunHint);
  if (e.size <= 1) return e;
  e.local_rank = v.number("LOCAL_RANK", "WORLD_SIZE is above 1", kTorchrunHint);
  e.local_size = v.number_or("LOCAL_WORLD_SIZE", e.local_rank + 1, kTorchrunHint);
  e.master_address = v.needed("MASTER_ADDR", "WORLD_SIZE is above 1", kTorchrunHint);
  e.master_port = v.number("MASTER_PORT", "WORLD_SIZE is above 1", kTorchrunHint);
  return e;
}

// Only tasks of a step are ranks: the shell of a batch job has SLURM_PROCID too.
Environment from_slurm(const Variables& v) {
  const std::string hint = "start the ranks by srun, which sets it; or set RANK, WORLD_SIZE, … as torchrun does";
  const std::string because = "SLURM_STEP_NUM_TASKS is";
  Environment e{.launcher = "Slurm"};
  e.size = v.number("SLURM_STEP_NUM_TASKS", because, hint);
  e.rank = v.number("SLURM_PROCID", because, hint);
  if (e.size <= 1) return e;
  e.local_rank = v.number("SLURM_LOCALID", because, hint);
  // "4", "4(x2)" or "4,3": of the first node, which is every node's where they are alike.
  const std::string per_node = v.text("SLURM_STEP_TASKS_PER_NODE", "");
  std::from_chars(per_node.data(), per_node.data() + per_node.size(), e.local_size);
  e.local_size = std::max(e.local_size, e.local_rank + 1);
  e.master_address = v.has("MASTER_ADDR") ? v.needed("MASTER_ADDR", because, hint)
                                          : first_host(v.needed("SLURM_STEP_NODELIST", because, hint));
  e.master_port = v.has("MASTER_PORT") ? v.number("MASTER_PORT", because, hint)
                                       : 15000 + v.number("SLURM_JOB_ID", because, hint) % 20000;
  return e;
}

Environment from_open_mpi(const Variables& v) {
  const std::string because = "OMPI_COMM_WORLD_SIZE is", hint = "start the ranks by mpirun, which sets it";
  Environment e{.launcher = "Open MPI"};
  e.size = v.number("OMPI_COMM_WORLD_SIZE", because, hint);
  e.rank = v.number("OMPI_COMM_WORLD_RANK", because, hint);
  if (e.size <= 1) return e;
  e.local_rank = v.number("OMPI_COMM_WORLD_LOCAL_RANK", because, hint);
  e.local_size = v.number("OMPI_COMM_WORLD_LOCAL_SIZE", because, hint);
  if (e.local_size == e.size && !v.has("MASTER_ADDR"))
    e.master_address = "127.0.0.1";
  else
    e.master_address = v.needed("MASTER_ADDR", "the ranks of Open MPI are on several machines",
                                "name the machine of rank 0: mpirun -x MASTER_ADDR=… -x MASTER_PORT=…");
  e.master_port = v.number_or("MASTER_PORT", kDefaultPort, "MASTER_PORT is a TCP port");
  return e;
}

}  // namespace

std::optional<std::string> process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

std::string first_host(const std::string& node_list) {
  const size_t bracket = node_list.find('['), comma = node_list.find(',');
  std::string host;
  if (bracket == std::string::npos || comma < bracket) {
    host = node_list.substr(0, comma);
  } else {
    const size_t close = node_list.find(']', bracket);
    if (close != std::string::npos) {
      const size_t end = node_list.find_first_of("-,]", bracket + 1);
      // What stands behind the bracket, up to the next comma, belongs to each of its names.
      const size_t next = node_list.find(',', close);
      host = node_list.substr(0, bracket) + node_list.substr(bracket + 1, end - bracket - 1) +
             node_list.substr(close + 1, next == std::string::npos ? next : next - close - 1);
    }
  }
  if (host.empty())
    throw core::user_error(fmt::format("Slurm's node list \"{}\" cannot be read", node_list),
                           "name the machine of rank 0 by MASTER_ADDR");
  return host;
}

Environment read_environment(const Lookup& lookup) {
  const Variables v(lookup);
  Environment e;
  if (v.has("RANK") || v.has("WORLD_SIZE"))
    e = from_torchrun(v);
  else if (v.has("SLURM_STEP_NUM_TASKS"))
    e = from_slurm(v);
  else if (v.has("OMPI_COMM_WORLD_SIZE"))
    e = from_open_mpi(v);
  if (e.size < 1)
    throw core::user_error(fmt::format("{} gives 0 ranks in the environment", e.launcher), "use at least 1");
  if (e.rank >= e.size)
    throw core::user_error(fmt::format("{} gives rank {} of {} ranks in the environment", e.launcher, e.rank, e.size),
                           "ranks count from 0");
  if (e.local_rank >= e.local_size)
    throw core::user_error(fmt::format("{} gives local rank {} of {} local ranks in the environment", e.launcher,
                                       e.local_rank, e.local_size),
                           "ranks count from 0");
  if (e.size > 1 && (e.master_port < 1 || e.master_port > 65535))
    throw core::user_error(fmt::format("MASTER_PORT is {} in the environment", e.master_port),
                           "use a TCP port, 1 … 65535");
  return e;
}

}  // namespace thinktune::comm
