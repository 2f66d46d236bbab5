// Two evaluations of the same problems, paired problem by problem.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "thinktune/eval/statistics.h"

namespace thinktune::eval {

struct SuiteComparison {
  std::string suite;
  std::string protocol;
  std::string a_model;
  std::string b_model;
  int64_t num_problems = 0;
  double a = 0;  // pass@1
  double b = 0;
  PairedComparison paired;       // of b − a
  std::vector<std::string> won;  // ids: b's mean over samples is the larger
  std::vector<std::string> lost;
  std::vector<std::string> notes;  // settings other than the model in which the two differ
};

// Folders that `thinktune eval --out` wrote. Throws Error{User} if one is not finished, if they are of other suites,
// protocols, data files or numbers of problems, and Error{Data} for files that were changed.
std::vector<SuiteComparison> compare_evaluations(const std::filesystem::path& a, const std::filesystem::path& b,
                                                 uint64_t seed, int64_t num_resamples = kResamples);

// summary.json of a whole --out folder: the suites' own, in the order of the call.
void write_overview(const std::filesystem::path& folder, const std::vector<std::string>& suites);

}  // namespace thinktune::eval
