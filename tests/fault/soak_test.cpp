// 200 steps: open files and memory stay what they are.
#include <malloc.h>

#include <fstream>
#include <functional>

#include "fault/small_runs.h"
#include "thinktune/core/heap.h"

namespace thinktune::fault {
namespace {

// Of files that are mapped, what was resident at first: a library's pages come as its code is first run, at any step,
// and the system may take them away.
int64_t resident_bytes() {
  int64_t pages = 0, resident = 0, of_files = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident >> of_files;
  static const int64_t of_files_at_first = of_files;
  return (resident - of_files + of_files_at_first) * ::sysconf(_SC_PAGESIZE);
}

int64_t num_open_files() { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); }

// Bytes of this process, after each step.
struct Memory {
  int64_t resident = 0;
  int64_t taken = 0;  // by the heap, from the system
  int64_t used = 0;   // of it
};

Memory memory_now() {
  const struct mallinfo2 heap = ::mallinfo2();
  return {resident_bytes(), static_cast<int64_t>(heap.arena + heap.hblkhd),
          static_cast<int64_t>(heap.uordblks + heap.hblkhd)};
}

class Soak : public SmallRuns {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the sanitizer's own heap is not looked at";
#endif
  }

  train::TrainOptions soak_options() {
    train::TrainOptions o = options("soak");
    o.steps = 200;
    o.checkpoint.every = 1;  // saves and steps have met before what is measured
    o.eval.every = 2;
    o.report.tensorboard = true;
    return o;
  }

  // The model is its own teacher beside the student, on two threads. A random model earns nothing, and the entropy's
  // gradient moves it all the same.
  train::TrainOptions with_a_model_that_teaches() {
    train::TrainOptions o = soak_options();
    o.threads = 2;
    o.loss.entropy_coefficient = 0.01;
    train::test::let_the_model_teach(o, folder_.path());
    return o;
  }

  // In a process of its own, whose heap `set_up_heap` prepares. No teacher: the model teaches.
  void run_200_steps(const train::TrainOptions& o, std::unique_ptr<guidance::Teacher> teacher,
                     const std::function<void()>& set_up_heap) {
    EXPECT_EQ(in_child([&] {
                set_up_heap();
                std::vector<Memory> memory;
                std::vector<int64_t> files;
                memory.reserve(200), files.reserve(200);
                train::Trainer trainer(o, "{}\n", std::move(teacher));
                trainer.stops().observer = [&](int64_t step, const std::string& phase) {
                  if (phase != "report" || step < std::ssize(memory)) return;
                  memory.push_back(memory_now());
                  files.push_back(num_open_files());
                };
                trainer.run({});
                std::ofstream out(folder_.path() / "measured");
                for (size_t i = 0; i < memory.size(); ++i)
                  out << memory[i].resident << " " << memory[i].taken << " " << memory[i].used << " " << files[i]
                      << "\n";
              }),
              0);
    std::ifstream in(folder_.path() / "measured");
    int64_t count = 0;
    for (Memory m; in >> m.resident >> m.taken >> m.used >> count;) {
      memory_.push_back(m);
      files_.push_back(count);
    }
    ASSERT_EQ(memory_.size(), 200U);
    double asked = 0;
    for (const auto& row : train::test::rows_without_times(fs::path(o.output) / "metrics.jsonl")) {
      asked += row["teacher/asked"].get<double>();
      if (o.loss.entropy_coefficient > 0) {
        EXPECT_GT(row["optim/grad_norm"], 0) << "step " << row["step"];
      }
    }
    EXPECT_GT(asked, 200);
    // A save that is under way has a file open: the most then, the fewest now. One that is left open by a step, or a
    // save, would be 36 and more by now.
    EXPECT_LE(*std::min_element(files_.begin() + 190, files_.end()),
              *std::max_element(files_.begin() + 10, files_.begin() + 20));
  }

  // From step `from` to the end, percent: of the least and of the most of ten steps.
  struct Growth {
    double least, most;
  };
  Growth growth(const char* what, int64_t Memory::*bytes, int64_t from) const {
    const auto range = [&](int64_t step) {
      const auto by_bytes = [bytes](const Memory& a, const Memory& b) { return a.*bytes < b.*bytes; };
      const auto [least, most] = std::minmax_element(memory_.begin() + step - 10, memory_.begin() + step, by_bytes);
      return std::pair((*least).*bytes, (*most).*bytes);
    };
    const auto [least_before, most_before] = range(from);
    const auto [least_after, most_after] = range(200);
    const auto percent = [](int64_t before, int64_t after) {
      return 100 * (static_cast<double>(after) / static_cast<double>(before) - 1);
    };
    const Growth found = {percent(least_before, least_after), percent(most_before, most_after)};
    std::printf("%s: after %ld steps %.1f MiB, after 200 steps %.1f MiB (%+.2f %%; at most %+.2f %%)\n", what,
                static_cast<long>(from), static_cast<double>(least_before) / (1 << 20),
                static_cast<double>(least_after) / (1 << 20), found.least, found.most);
    return found;
  }

  // At most 1 % more. What a save or an evaluation takes comes and goes, and is in some of ten steps or in all, as fast
  // as the disk is.
  void expect_flat(const char* what, int64_t Memory::*bytes, int64_t from) const {
    const Growth found = growth(what, bytes, from);
    EXPECT_LE(std::min(found.least, found.most), 1) << what;
  }

  std::vector<Memory> memory_;
  std::vector<int64_t> files_;
};

TEST_F(Soak, MemoryAndOpenFilesAreFlat) {
  const train::TrainOptions o = soak_options();
  run_200_steps(o, train::test::answering_teacher(o), [] {});
  EXPECT_LE(growth("resident", &Memory::resident, 20).most, 1);
}

TEST_F(Soak, AModelThatTeachesTakesNoMore) {
  run_200_steps(with_a_model_that_teaches(), nullptr, [] {});
  expect_flat("used", &Memory::used, 20);
  expect_flat("resident", &Memory::resident, 100);  // the heap settles in 70 steps: 1.4 MiB of 106
}

// What the program keeps of freed memory is taken in pieces of 64 MiB, whose pages become resident as they are first
// written to.
TEST_F(Soak, TheProgramsHeapIsFlat) {
  run_200_steps(with_a_model_that_teaches(), nullptr, core::keep_freed_memory);
  expect_flat("used", &Memory::used, 20);
  expect_flat("taken", &Memory::taken, 20);
  expect_flat("resident", &Memory::resident, 100);
}

}  // namespace
}  // namespace thinktune::fault
