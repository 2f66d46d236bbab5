#include "thinktune/guidance/guard.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "thinktune/core/error.h"

namespace thinktune::guidance {
namespace {

const GuardOptions kOn{.enabled = true, .max_drop = 0.1, .window = 2, .pause_steps = 3};

// Events and pauses over a series of shares, as letters: '.' on, 'P' paused now, 'p' still paused, 'A' paused again,
// 'R' resumed, 'W' warned.
std::string run(GuardState& state, const GuardOptions& options, const std::vector<double>& shares,
                int64_t first_step = 0) {
  std::string letters;
  for (size_t i = 0; i < shares.size(); ++i) {
    const GuardVerdict verdict = observe(state, options, first_step + static_cast<int64_t>(i), shares[i]);
    switch (verdict.event) {
      case GuardEvent::None:
        letters += verdict.paused ? 'p' : '.';
        break;
      case GuardEvent::Paused:
        letters += 'P';
        break;
      case GuardEvent::PausedAgain:
        letters += 'A';
        break;
      case GuardEvent::Resumed:
        letters += 'R';
        break;
      case GuardEvent::Warned:
        letters += 'W';
        break;
    }
    const bool says_paused = std::string("pPA").find(letters.back()) != std::string::npos;
    EXPECT_EQ(verdict.paused, says_paused) << letters;
  }
  return letters;
}

TEST(Guard, AStudentThatKeepsEndingIsLeftAlone) {
  GuardState state;
  EXPECT_EQ(run(state, kOn, {.9, .9, .85, .95, .8, .85, 1, 1}), "........");
  EXPECT_EQ(state.num_pauses, 0);
}

TEST(Guard, PausesAtTheFallAndResumesAfterIt) {
  GuardState state;
  // Means of two: .9 .9 .8(−.1: not more than max_drop) .7 | pause of 3 steps, then .95.
  EXPECT_EQ(run(state, {.enabled = true, .max_drop = 0.11, .window = 2, .pause_steps = 3},
                {.9, .9, .7, .7, .7, .95, .95, .95}),
            "...P"
            "ppR.");
  EXPECT_EQ(state.num_pauses, 1);
  EXPECT_EQ(state.paused_until, 0);
}

TEST(Guard, StaysPausedWhileTheShareStaysLow) {
  GuardState state;
  EXPECT_EQ(run(state, kOn, {.9, .9, .5, .5, .5, .5, .5, .5, .9, .9, .9, .9}), "..PppAppAppR");
  EXPECT_EQ(state.num_pauses, 3);
}

TEST(Guard, PausesAnewAfterItHasResumed) {
  GuardState state;
  EXPECT_EQ(run(state, kOn, {.9, .9, .5, .9, .9, .9, .5, .9}), "..PppRPp");
}

TEST(Guard, TheFirstStepsAreTheMeasure) {
  GuardState state;
  EXPECT_EQ(run(state, kOn, {.3, .3, .25, .3}), "....");  // low from the start is no fall
  GuardState rising;
  EXPECT_EQ(run(rising, kOn, {.3, .3, .9, .9, .5, .5}), "......");  // back to above the first steps
}

TEST(Guard, NothingHappensBeforeTheWindowIsFull) {
  GuardState state;
  EXPECT_EQ(run(state, {.enabled = true, .max_drop = 0.1, .window = 4, .pause_steps = 1}, {1, 0, 0, 0}), "....");
}

TEST(Guard, OffItOnlyWarnsOnceAFall) {
  GuardState state;
  GuardOptions off = kOn;
  off.enabled = false;
  EXPECT_EQ(run(state, off, {.9, .9, .5, .5, .5, .9, .9, .5}), "..W....W");
  EXPECT_EQ(state.num_pauses, 0);
}

TEST(Guard, TheStateGoesThroughJsonAtAnyStep) {
  const std::vector<double> shares = {.9, .91, .5, 1.0 / 3, .5, .5, .9, .9, .9, .9};
  GuardState whole;
  const std::string expected = run(whole, kOn, shares);
  for (size_t cut = 0; cut <= shares.size(); ++cut) {
    GuardState state;
    std::string letters = run(state, kOn, {shares.begin(), shares.begin() + cut});
    GuardState resumed = guard_state_from_json(to_json(state));
    EXPECT_EQ(resumed, state);
    letters += run(resumed, kOn, {shares.begin() + cut, shares.end()}, static_cast<int64_t>(cut));
    EXPECT_EQ(letters, expected);
    EXPECT_EQ(resumed, whole);
  }
}

TEST(Guard, ADamagedStateIsRefused) {
  for (const char* text :
       {"", "{", "[]", "{\"first\": []}",
        "{\"first\": 1, \"recent\": [], \"paused_until\": 0, \"num_pauses\": 0, \"warned\": false}",
        // no integers of 64 bits
        "{\"first\": [], \"recent\": [], \"paused_until\": 0, \"num_pauses\": 1e40, \"warned\": false}",
        "{\"first\": [], \"recent\": [], \"paused_until\": 133333333333333333333, \"num_pauses\": 0, \"warned\": "
        "false}",
        // counts and shares that cannot be
        "{\"first\": [], \"recent\": [], \"paused_until\": -1, \"num_pauses\": 0, \"warned\": false}",
        "{\"first\": [], \"recent\": [], \"paused_until\": 0, \"num_pauses\": 9223372036854775807, \"warned\": false}",
        "{\"first\": [2], \"recent\": [], \"paused_until\": 0, \"num_pauses\": 0, \"warned\": false}",
        "{\"first\": [], \"recent\": [-0.5], \"paused_until\": 0, \"num_pauses\": 0, \"warned\": false}"}) {
    SCOPED_TRACE(text);
    thinktune::test::message_of_error(core::ErrorKind::Data, [&] { guard_state_from_json(text); });
  }
}

}  // namespace
}  // namespace thinktune::guidance
