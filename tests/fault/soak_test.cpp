// 200 steps: open files and memory stay what they are.
#include <fstream>

#include "fault/small_runs.h"
#include "thinktune/core/heap.h"

namespace thinktune::fault {
namespace {

int64_t resident_bytes() {
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

int64_t num_open_files() { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); }

class Soak : public SmallRuns {};

// As the program runs: its heap, two threads, and the model as its own teacher beside the student. A random model earns
// nothing, and the entropy's gradient moves it all the same.
TEST_F(Soak, MemoryAndOpenFilesAreFlat) {
  train::TrainOptions o = options("soak");
  o.steps = 200;
  o.threads = 2;
  o.loss.entropy_coefficient = 0.01;
  o.guidance.format = guidance::Format::Constrained;
  o.guidance.opinion = guidance::Opinion::Model;
  o.guidance.max_reason_tokens = o.guidance.max_phrase_tokens = 12;
  o.guidance.max_teacher_prompt_tokens = 1024;
  o.guidance.prompt_file = (folder_.path() / "teacher.json").string();
  std::ofstream(o.guidance.prompt_file) << R"({"system": "Be kind.", "examples": []})";
  o.checkpoint.every = 5;
  o.eval.every = 10;
  o.report.tensorboard = true;
  std::vector<int64_t> memory, files;
  EXPECT_EQ(in_child([&] {
              core::keep_freed_memory();
              train::Trainer trainer(o, "{}\n");
              trainer.stops().observer = [&](int64_t step, const std::string& phase) {
                if (phase != "report" || step < std::ssize(memory)) return;
                memory.push_back(resident_bytes());
                files.push_back(num_open_files());
              };
              trainer.run({});
              std::ofstream out(folder_.path() / "measured");
              for (size_t i = 0; i < memory.size(); ++i) out << memory[i] << " " << files[i] << "\n";
            }),
            0);
  std::ifstream in(folder_.path() / "measured");
  for (int64_t bytes = 0, count = 0; in >> bytes >> count;) {
    memory.push_back(bytes);
    files.push_back(count);
  }
  ASSERT_EQ(memory.size(), 200U);
  for (const auto& row : train::test::rows_without_times(fs::path(o.output) / "metrics.jsonl")) {
    EXPECT_GT(row["teacher/replies_valid"], 0) << "step " << row["step"];
    EXPECT_GT(row["optim/grad_norm"], 0) << "step " << row["step"];
  }
  // The largest of ten steps: what a save or an evaluation takes comes and goes.
  const int64_t before = *std::max_element(memory.begin() + 10, memory.begin() + 20);
  const int64_t after = *std::max_element(memory.begin() + 190, memory.end());
  // A save that is under way has a file open: the most then, the fewest now. One that is left open by a step, or a
  // save, would be 36 and more by now.
  const int64_t files_before = *std::max_element(files.begin() + 10, files.begin() + 20);
  const int64_t files_after = *std::min_element(files.begin() + 190, files.end());
  std::printf("resident after 20 steps %.1f MiB, after 200 steps %.1f MiB (%+.2f %%), %ld and %ld open files\n",
              static_cast<double>(before) / (1 << 20), static_cast<double>(after) / (1 << 20),
              100 * (static_cast<double>(after) / static_cast<double>(before) - 1), static_cast<long>(files_before),
              static_cast<long>(files_after));
  EXPECT_LE(files_after, files_before);
  EXPECT_LE(after, before + before / 100);
}

}  // namespace
}  // namespace thinktune::fault
