#include "thinktune/comm/environment.h"

#include <gmock/gmock.h>

#include <map>

#include "support/errors.h"

namespace thinktune::comm {
namespace {

using core::ErrorKind;
using test::message_of_error;
using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Environment read(const Variables& variables) {
  return read_environment([&](const std::string& name) {
    const auto found = variables.find(name);
    return found != variables.end() ? std::optional(found->second) : std::nullopt;
  });
}

std::string refusal(const Variables& variables) {
  return message_of_error(ErrorKind::User, [&] { read(variables); });
}

const Variables kTorchrun = {{"RANK", "5"},        {"WORLD_SIZE", "8"},      {"LOCAL_RANK", "1"},
                             {"MASTER_ADDR", "a"}, {"MASTER_PORT", "29400"}, {"LOCAL_WORLD_SIZE", "4"}};
const Variables kSlurm = {{"SLURM_PROCID", "3"},
                          {"SLURM_STEP_NUM_TASKS", "4"},
                          {"SLURM_LOCALID", "1"},
                          {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                          {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                          {"SLURM_JOB_ID", "1234567"}};
const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "2"},
                            {"OMPI_COMM_WORLD_SIZE", "3"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}};

Variables with(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}
Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

TEST(Environment, NoLauncherIsOneRank) {
  const Environment e = read({{"MASTER_ADDR", "left over"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}});
  EXPECT_EQ(e.rank, 0);
  EXPECT_EQ(e.size, 1);
  EXPECT_EQ(e.launcher, "none");
}

TEST(Environment, Torchrun) {
  const Environment e = read(kTorchrun);
  EXPECT_EQ(e.rank, 5);
  EXPECT_EQ(e.size, 8);
  EXPECT_EQ(e.local_rank, 1);
  EXPECT_EQ(e.local_size, 4);
  EXPECT_EQ(e.master_address, "a");
  EXPECT_EQ(e.master_port, 29400);
}

TEST(Environment, Slurm) {
  const Environment e = read(kSlurm);
  EXPECT_EQ(e.rank, 3);
  EXPECT_EQ(e.size, 4);
  EXPECT_EQ(e.local_rank, 1);
  EXPECT_EQ(e.local_size, 2);
  EXPECT_EQ(e.master_address, "gpu07");
  EXPECT_EQ(e.master_port, 15000 + 1234567 % 20000);
  EXPECT_EQ(read(with(with(kSlurm, "MASTER_ADDR", "b"), "MASTER_PORT", "7")).master_address, "b");
}

TEST(Environment, OpenMpi) {
  const Environment e = read(kOpenMpi);
  EXPECT_EQ(e.rank, 2);
  EXPECT_EQ(e.size, 3);
  EXPECT_EQ(e.master_address, "127.0.0.1");
  EXPECT_EQ(e.master_port, 29500);
  const Variables spread = with(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "1");
  EXPECT_THAT(refusal(with(spread, "OMPI_COMM_WORLD_LOCAL_RANK", "0")), HasSubstr("MASTER_ADDR is not set"));
}

TEST(Environment, TorchrunsVariablesComeBeforeSlurms) {
  Variables both = kSlurm;
  both.insert(kTorchrun.begin(), kTorchrun.end());
  EXPECT_EQ(read(both).launcher, "torchrun");
}

TEST(Environment, EachMissingVariableIsNamed) {
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"})
    EXPECT_THAT(refusal(without(kTorchrun, name)), HasSubstr(std::string(name) + " is not set")) << name;
  for (const char* name : {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID"})
    EXPECT_THAT(refusal(without(kSlurm, name)), HasSubstr(std::string(name) + " is not set")) << name;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"})
    EXPECT_THAT(refusal(without(kOpenMpi, name)), HasSubstr(std::string(name) + " is not set")) << name;
  EXPECT_THAT(refusal({{"RANK", "1"}}), HasSubstr("WORLD_SIZE is not set in the environment, but RANK is"));
}

TEST(Environment, WhatContradictsIsRefused) {
  EXPECT_THAT(refusal(with(kTorchrun, "RANK", "8")), HasSubstr("rank 8 of 8"));
  EXPECT_THAT(refusal(with(kTorchrun, "RANK", "one")), HasSubstr("RANK is \"one\""));
  EXPECT_THAT(refusal(with(kTorchrun, "RANK", "-1")), HasSubstr("RANK is \"-1\""));
  EXPECT_THAT(refusal(with(kTorchrun, "RANK", "")), HasSubstr("RANK is not set"));
  EXPECT_THAT(refusal(with(kTorchrun, "WORLD_SIZE", "0")), HasSubstr("0 ranks"));
  EXPECT_THAT(refusal(with(kTorchrun, "LOCAL_RANK", "4")), HasSubstr("local rank 4 of 4"));
  EXPECT_THAT(refusal(with(kTorchrun, "MASTER_PORT", "70000")), HasSubstr("MASTER_PORT is 70000"));
  EXPECT_THAT(refusal(with(kTorchrun, "MASTER_PORT", "99999999999999999999")), HasSubstr("MASTER_PORT"));
}

TEST(Environment, OneRankNeedsNoAddress) {
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size, 1);
  EXPECT_EQ(read({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}).size, 1);
}

TEST(FirstHost, OfEveryFormOfANodeList) {
  EXPECT_EQ(first_host("a"), "a");
  EXPECT_EQ(first_host("a,b[1-3]"), "a");
  EXPECT_EQ(first_host("gpu[07-09,12],login1"), "gpu07");
  EXPECT_EQ(first_host("gpu[3]"), "gpu3");
  EXPECT_EQ(first_host("rack[1,2]-n.example,x"), "rack1-n.example");
  for (const char* bad : {"", "gpu[07", ",a"})
    EXPECT_THAT(message_of_error(ErrorKind::User, [&] { first_host(bad); }), HasSubstr("node list")) << bad;
}

}  // namespace
}  // namespace thinktune::comm
