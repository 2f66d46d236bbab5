// Death by kill -9: in every phase of every step, in the midst of saving, and at random moments.
#include <gmock/gmock.h>

#include <chrono>
#include <random>
#include <set>
#include <thread>

#include "fault/disks.h"
#include "fault/small_runs.h"

namespace thinktune::fault {
namespace {

constexpr int kKilled = 128 + SIGKILL;

class Kill : public SmallRuns {};

// N steps = k steps, death, resume, N - k steps: for every k and phase, at the phase's beginning and at its end.
TEST_F(Kill, InAnyPhaseOfAnyStep) {
  struct Moment {
    int64_t number;  // of the look at the signals, counted over the whole run
    int64_t step;
    std::string phase;
  };
  std::vector<Moment> all;
  const train::TrainOptions whole = options("whole");
  train(whole, {}, [&](int64_t step, const std::string& phase) { all.push_back({std::ssize(all), step, phase}); });
  std::vector<Moment> moments;
  std::set<std::string> phases;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto parts = [&](size_t a, size_t b) { return all[a].step != all[b].step || all[a].phase != all[b].phase; };
    const bool begins = i == 0 || parts(i - 1, i), ends = i + 1 == all.size() || parts(i, i + 1);
    if (begins || ends || all_places()) moments.push_back(all[i]);
    phases.insert(all[i].phase);
  }
  EXPECT_EQ(phases, (std::set<std::string>{"sampling", "teacher", "old log-probs", "update", "report", "evaluation",
                                           "saving"}));
  for (const Moment& moment : moments) {
    SCOPED_TRACE(testing::Message() << "step " << moment.step << ", " << moment.phase << ", call " << moment.number);
    const train::TrainOptions o = options("killed");
    const int code = in_child([&] {
      int64_t number = 0;
      train(o, {}, [&](int64_t, const std::string&) {
        if (number++ == moment.number) ::raise(SIGKILL);
      });
    });
    ASSERT_EQ(code, kKilled);
    go_on(o);
    train::test::expect_same_results(whole, o);
    ASSERT_FALSE(HasFailure());
    remove(o);
  }
}

TEST_F(Kill, InTheMidstOfSaving) {
  const train::TrainOptions whole = options("whole");
  CountingDisk counting;
  {
    const InPlaceOfTheDisk in_place(counting);
    train(whole);
  }
  const int64_t stride = all_places() ? 1 : counting.count() / 16;
  for (int64_t at = stride / 2; at < counting.count(); at += stride) {
    SCOPED_TRACE(testing::Message() << "at file call " << at << " of " << counting.count());
    const train::TrainOptions o = options("killed");
    const int code = in_child([&] {
      KillingDisk killing(at);
      const InPlaceOfTheDisk in_place(killing);
      train(o);
    });
    ASSERT_EQ(code, kKilled);
    go_on(o);
    train::test::expect_same_results(whole, o);
    remove(o);
  }
}

// A run is killed and gone on with until it ends; then the next one, until there were 100 kills.
TEST_F(Kill, AtAHundredRandomMoments) {
  const train::TrainOptions whole = options("whole");
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(in_child([&] { train(whole); }), 0);
  const double whole_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::mt19937 random(7);
  std::uniform_real_distribution<double> moment(0, whole_s);
  const train::TrainOptions o = options("killed");
  int kills = 0, runs = 0;
  while (kills < 100) {
    const int code = in_child([&] { go_on(o); },
                              [&](pid_t child) {
                                std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
                                ::kill(child, SIGKILL);
                              });
    ASSERT_TRUE(code == 0 || code == kKilled) << code;
    if (code == kKilled) ++kills;
    if (code == 0) {
      train::test::expect_same_results(whole, o);
      ASSERT_FALSE(HasFailure()) << "after " << kills << " kills";
      remove(o);
      ++runs;
    }
  }
  if (fs::exists(o.output)) {
    EXPECT_EQ(in_child([&] { go_on(o); }), 0);
    train::test::expect_same_results(whole, o);
  }
  std::printf("%d kills, %d runs\n", kills, runs + 1);
}

}  // namespace
}  // namespace thinktune::fault
