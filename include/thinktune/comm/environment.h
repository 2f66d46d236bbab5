// Which rank this process is: from the environment that its launcher has set.
//
//   torchrun, thinktune --nproc   RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT
//   srun                          SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_TASKS_PER_NODE,
//                                 SLURM_STEP_NODELIST, SLURM_JOB_ID
//   mpirun (Open MPI)             OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE
//
// MASTER_ADDR and MASTER_PORT hold for all of them. Where they are missing, Slurm's first node is the address and the
// port follows from the job's number; Open MPI's is this machine if all ranks are on it, at port 29500.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace thinktune::comm {

struct Environment {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  // among the ranks of this machine: picks the device
  int64_t local_size = 1;
  std::string master_address;  // where rank 0 is found; empty with one rank
  int64_t master_port = 0;
  std::string launcher = "none";  // "--nproc", "torchrun", "Slurm", "Open MPI"
};

// The value of a variable; nullopt if it is not set.
using Lookup = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_variable(const std::string& name);  // of this process

// Without any launcher's variables: one rank. Throws Error{User} naming the variable that is missing, is no number, or
// contradicts another.
Environment read_environment(const Lookup& lookup = process_variable);

// The first host of a Slurm node list: "gpu[07-09,12],login1" → "gpu07". Throws Error{User} for an empty or unclosed
// one.
std::string first_host(const std::string& node_list);

}  // namespace thinktune::comm
