// The benchmarks by name: which file of the user's data folder holds each, and where it is published. No problem's text
// is part of this project.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/data/dataset.h"

namespace thinktune::eval {

enum class SuiteKind {
  Math,    // the answer is a number or an expression
  Choice,  // the answer is the letter of a choice
};

struct SuiteInfo {
  std::string_view name;
  SuiteKind kind = SuiteKind::Math;
  std::vector<std::string_view> files;  // below the data folder; the first that is there is read
  int64_t num_problems = 0;             // of the published file
  std::string_view source;              // where the data set lives
  std::string_view note;                // how its rows become ours; empty: nothing to say
};

const std::vector<SuiteInfo>& suites();
std::vector<std::string> suite_names();

// Throws Error{User} for an unknown name, with those there are.
const SuiteInfo& find_suite(std::string_view name);

struct Suite {
  std::string name;
  SuiteKind kind = SuiteKind::Math;
  std::filesystem::path file;
  std::string file_hash;  // XXH64 of the file's bytes, 16 hexadecimal digits
  std::vector<data::Problem> problems;
};

// Reads the suite's file below data_dir. Throws Error{User} if it is not there, saying where the data set lives and
// under which name to put it; Error{Data} naming file and line for what cannot be read.
Suite load_suite(const SuiteInfo& info, const std::filesystem::path& data_dir);

// A user's own JSONL file (data/dataset.h) as a suite named after the file. Throws Error{Data} if only some of its
// problems have choices.
Suite load_own_suite(const std::filesystem::path& file);

// GPQA's CSV as its authors publish it: columns looked up by their exact names, line breaks inside quotes. The right
// answer and the three others come in an order that is a function of the record's id alone (kGpqaShuffleSeed), so it is
// the same whatever the limit, the protocol and the sample. Ids are the column "Record ID".
inline constexpr uint64_t kGpqaShuffleSeed = 0;
std::vector<data::Problem> read_gpqa(const std::filesystem::path& file);

std::string hash_hex(std::string_view bytes);  // XXH64 with seed 0, 16 hexadecimal digits
uint64_t hash_of(std::string_view bytes);

}  // namespace thinktune::eval
