#include "thinktune/core/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "thinktune/core/log.h"

namespace thinktune::core {
namespace {

using Terminal = ProgressOptions::Terminal;

// A progress line that writes to a temporary file under a clock that the test turns.
class Progress : public ::testing::Test {
 protected:
  void SetUp() override { file_ = std::tmpfile(); }
  void TearDown() override { std::fclose(file_); }

  ProgressOptions options(Terminal terminal) {
    return {.title = "work", .total = 10, .stream = file_, .terminal = terminal, .now_s = [this] { return now_s_; }};
  }

  std::string written() {
    std::string text(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), file_), text.size());
    return text;
  }

  std::FILE* file_ = nullptr;
  double now_s_ = 100;
};

TEST_F(Progress, RewritesOneLineOnATerminalNotTooOften) {
  {
    ProgressLine line(options(Terminal::Yes));
    line.update(1);
    now_s_ += 0.01;
    line.update(2);  // too soon
    now_s_ += 1.99;
    line.update(4, "half");
    line.finish();
    line.finish();
  }
  EXPECT_EQ(
      written(),
      "\r\033[Kwork: [#...........] 1/10, 0.00 s left\r\033[Kwork: [####........] 4/10, 3.00 s left, half\r\033[K");
}

TEST_F(Progress, ATerminalIsLeftCleanWithoutFinish) {
  { ProgressLine(options(Terminal::Yes)).update(1); }
  EXPECT_EQ(written(), "\r\033[Kwork: [#...........] 1/10, 0.00 s left\r\033[K");
}

TEST_F(Progress, PrintsWholeLinesNowAndThenElsewhere) {
  {
    ProgressLine line(options(Terminal::No));
    line.update(1);
    now_s_ += 29;
    line.update(2);
    now_s_ += 2;
    line.update(3);
    now_s_ += 1;
    line.update(4);
    now_s_ += 10;
    line.update(10);
    line.finish();
    line.finish();
  }
  EXPECT_EQ(written(), "work: 3/10, 1 min 12 s left\nwork: 10/10, 42.0 s\n");
}

TEST_F(Progress, ShortWorkPrintsNothingElsewhere) {
  {
    ProgressLine line(options(Terminal::No));
    line.update(1);
    line.update(10);
    line.finish();
  }
  EXPECT_EQ(written(), "");
}

TEST_F(Progress, CountsWithoutATotal) {
  auto unknown = options(Terminal::Yes);
  unknown.total = 0;
  ProgressLine line(unknown);
  now_s_ += 5;
  line.update(7);
  EXPECT_EQ(written(), "\r\033[Kwork: 7, 5.00 s");
}

TEST_F(Progress, AShareSaysMoreThanWholePieces) {
  ProgressLine line(options(Terminal::Yes));
  now_s_ += 10;
  line.update(0, "", 0.25);
  now_s_ += 10;
  line.update(6, "", 0.5);  // the pieces say more
  EXPECT_EQ(written(), "\r\033[Kwork: [###.........] 0/10, 30.0 s left\r\033[Kwork: [#######.....] 6/10, 13.3 s left");
}

TEST_F(Progress, CutsALineThatWouldWrapBetweenCharacters) {
  auto wide = options(Terminal::Yes);
  wide.title = "";
  ProgressLine line(wide);
  std::string note;
  for (int i = 0; i < 100; ++i) note += "ä";
  line.update(1, note);
  const std::string head = "[#...........] 1/10, 0.00 s left, ";
  EXPECT_EQ(written(), "\r\033[K" + head + note.substr(0, 2 * (79 - head.size())));
}

TEST_F(Progress, ALogLineTakesThePlaceOfTheProgressLine) {
  const auto before = spdlog::default_logger();
  set_up_logging();
  ::testing::internal::CaptureStderr();
  {
    auto on_stderr = options(Terminal::Yes);
    on_stderr.stream = stderr;
    ProgressLine line(on_stderr);
    line.update(1);
    spdlog::info("hello");
    line.finish();  // the line is gone already: nothing to remove
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::MatchesRegex("\r\033\\[Kwork: \\[#\\.*\\] 1/10, 0\\.00 s left\r\033\\[K[0-9:]* hello\n"));
  spdlog::set_default_logger(before);
}

}  // namespace
}  // namespace thinktune::core
