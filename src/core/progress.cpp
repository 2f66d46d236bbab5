#include "thinktune/core/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "core/console.h"
#include "thinktune/core/clock.h"

namespace thinktune::core {

std::mutex& console_mutex() {
  static std::mutex mutex;
  return mutex;
}

bool& progress_line_on_stderr() {
  static bool shown = false;
  return shown;
}

namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Cut to the terminal's width: a line that wraps can no longer be rewritten in place. Continuation bytes of UTF-8 take
// no column.
std::string cut_to_width(const std::string& line, std::FILE* stream) {
  winsize size{};
  const size_t width = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
  size_t columns = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0) == 0x80) continue;
    if (columns == width) return line.substr(0, i);
    ++columns;
  }
  return line;
}

std::string bar(double share) {
  constexpr size_t kColumns = 12;
  const auto full = std::min(kColumns, static_cast<size_t>(share * kColumns + 1e-9));
  return "[" + std::string(full, '#') + std::string(kColumns - full, '.') + "]";
}

}  // namespace

ProgressLine::ProgressLine(ProgressOptions options) : options_(std::move(options)) {
  if (options_.stream == nullptr) options_.stream = stderr;
  if (!options_.now_s) options_.now_s = steady_seconds;
  terminal_ = options_.terminal == ProgressOptions::Terminal::Detect
                  ? ::isatty(::fileno(options_.stream)) == 1
                  : options_.terminal == ProgressOptions::Terminal::Yes;
  started_s_ = options_.now_s();
  // The first redraw is due at once, the first whole line only when the work has proved to be long.
  shown_s_ = terminal_ ? -std::numeric_limits<double>::infinity() : started_s_;
}

ProgressLine::~ProgressLine() {
  if (terminal_) erase();
}

std::string ProgressLine::text(double now_s) const {
  std::string line = options_.title.empty() ? "" : options_.title + ": ";
  if (terminal_ && options_.total > 0) line += bar(share_) + " ";
  line += options_.total > 0 ? fmt::format("{}/{}", done_, options_.total) : fmt::format("{}", done_);
  const double elapsed_s = now_s - started_s_;
  if (options_.total > 0 && share_ > 0 && share_ < 1)
    line += fmt::format(", {} left", human_duration(elapsed_s / share_ * (1 - share_)));
  else
    line += fmt::format(", {}", human_duration(elapsed_s));
  if (!note_.empty()) line += fmt::format(", {}", note_);
  return line;
}

void ProgressLine::draw(const std::string& line) {
  const std::lock_guard lock(console_mutex());
  std::fputs(kEraseLine, options_.stream);
  std::fputs(cut_to_width(line, options_.stream).c_str(), options_.stream);
  std::fflush(options_.stream);
  shown_ = true;
  if (options_.stream == stderr) progress_line_on_stderr() = true;
}

void ProgressLine::erase() {
  const std::lock_guard lock(console_mutex());
  if (!shown_) return;
  shown_ = false;
  // A log line may have taken its place already.
  const bool still_there = options_.stream != stderr || std::exchange(progress_line_on_stderr(), false);
  if (!still_there) return;
  std::fputs(kEraseLine, options_.stream);
  std::fflush(options_.stream);
}

void ProgressLine::update(int64_t done, std::string_view note, double share) {
  done_ = done;
  share_ = options_.total > 0 ? std::max(share, static_cast<double>(done) / static_cast<double>(options_.total)) : 0;
  note_ = note;
  const double now_s = options_.now_s();
  if (now_s - shown_s_ < (terminal_ ? options_.redraw_every_s : options_.print_every_s)) return;
  shown_s_ = now_s;
  if (terminal_) {
    draw(text(now_s));
    return;
  }
  const std::lock_guard lock(console_mutex());
  std::fprintf(options_.stream, "%s\n", text(now_s).c_str());
  std::fflush(options_.stream);
  shown_ = true;
}

void ProgressLine::finish() {
  if (std::exchange(finished_, true)) return;
  if (terminal_) {
    erase();
  } else if (shown_) {
    const std::lock_guard lock(console_mutex());
    std::fprintf(options_.stream, "%s\n", text(options_.now_s()).c_str());
    std::fflush(options_.stream);
  }
}

}  // namespace thinktune::core
