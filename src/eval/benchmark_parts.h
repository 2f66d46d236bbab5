// What run_benchmark is made of.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "thinktune/eval/benchmark.h"

namespace thinktune::eval {

// How far a chunk is. Told with each new token and each sample that is done; a problem without choices to draw from
// (one that is scored, one without room for an answer) is done as a whole.
struct ChunkProgress {
  int64_t samples = 0;
  int64_t tokens = 0;
  double share = 0;  // of the chunk's work, by whichever of samples and tokens is nearer to its end
};
using OnProgress = std::function<void(const ChunkProgress&)>;

// A chunk's rows, in order of problems and samples. `first`: index of the first problem in the suite.
std::vector<nlohmann::ordered_json> run_generation_chunk(const Subject& subject, const ResolvedTask& resolved,
                                                         std::span<const data::Problem> problems, uint64_t first,
                                                         const std::vector<data::Example>& examples, uint64_t seed,
                                                         const OnProgress& on_progress);
std::vector<nlohmann::ordered_json> run_scoring_chunk(const Subject& subject, const ResolvedTask& resolved,
                                                      std::span<const data::Problem> problems,
                                                      const std::vector<data::Example>& examples,
                                                      const OnProgress& on_progress);

// The prompt's tokens. A raw text stands behind what the tokenizer puts before every text, never before what it puts
// behind.
std::vector<core::TokenId> encode_chat(const Subject& subject, const Task& task, const std::string& question);
std::vector<core::TokenId> encode_raw(const text::Tokenizer& tokenizer, const std::string& text);

// Which of the choices wins by each of Task::measures(): sums of log-probabilities; those over the number of characters
// (UTF-8 code points, as len() of a Python text); over the number of bytes. The first of equals wins.
struct ScoredChoice {
  size_t best[3] = {0, 0, 0};
};
ScoredChoice best_choices(const std::vector<double>& sums, const std::vector<std::string>& choices);

// All that decides a number.
nlohmann::ordered_json settings_json(const Subject& subject, const Suite& suite, const ResolvedTask& resolved,
                                     const BenchmarkOptions& options, int64_t num_problems, int64_t chunk_problems);

std::string dump_row(const nlohmann::ordered_json& row);  // one line; bytes that are no UTF-8 become U+FFFD

}  // namespace thinktune::eval
