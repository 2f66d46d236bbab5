// Verdicts on, or the rate of, many pairs of answers: reward_benchmark FILE.jsonl [ROUNDS]
//
// FILE: one {"id", "gold", "prediction"} a line; the predictions are bare answers. Without ROUNDS one JSON line a row
// goes to stdout: {"id", "verdict", "reason"}. With ROUNDS, the pairs are compared that often by one thread, and the
// rate is printed.
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "thinktune/reward/equality.h"

int main(int argc, char** argv) {
  using namespace thinktune;
  if (argc < 2) {
    std::fprintf(stderr, "usage: reward_benchmark FILE.jsonl [ROUNDS]\n");
    return 2;
  }
  struct Row {
    std::string id, prediction, gold;
  };
  std::vector<Row> rows;
  std::ifstream in(argv[1]);
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    rows.push_back({json["id"], json["prediction"], json["gold"]});
  }
  const auto name = [](rollout::Verdict verdict) {
    return verdict == rollout::Verdict::Right ? "right" : verdict == rollout::Verdict::Wrong ? "wrong" : "unparsed";
  };
  if (argc == 2) {
    for (const Row& row : rows) {
      const reward::Equality equality = reward::compare_answers(row.prediction, row.gold);
      const nlohmann::json line = {{"id", row.id}, {"verdict", name(equality.verdict)}, {"reason", equality.reason}};
      std::cout << line.dump() << '\n';
    }
    return 0;
  }
  const int rounds = std::stoi(argv[2]);
  size_t num_right = 0;
  const std::clock_t begin = std::clock();
  for (int i = 0; i < rounds; ++i)
    for (const Row& row : rows)
      num_right += reward::compare_answers(row.prediction, row.gold).verdict == rollout::Verdict::Right;
  const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  const double pairs = static_cast<double>(rows.size()) * rounds;
  std::printf("%zu pairs, %zu right: %.0f pairs/s, %.2f µs a pair\n", rows.size(),
              num_right / static_cast<size_t>(rounds), pairs / took, took / pairs * 1e6);
}
