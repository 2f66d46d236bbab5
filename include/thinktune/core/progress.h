// How far a long piece of work is. On a terminal one line, with a bar, is rewritten in place; elsewhere (a file, a
// pipe) a whole line is printed now and then. Log lines that come in between push the rewritten line down instead of
// running into it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace thinktune::core {

struct ProgressOptions {
  std::string title;            // what is being done: "evaluating gsm8k"
  int64_t total = 0;            // number of pieces; 0: not known
  double redraw_every_s = 0.1;  // on a terminal at most this often
  double print_every_s = 30;    // elsewhere at most this often
  // For tests; the defaults are stderr, whether it is a terminal, and a steady clock in seconds.
  std::FILE* stream = nullptr;
  enum class Terminal { Detect, Yes, No } terminal = Terminal::Detect;
  std::function<double()> now_s;
};

// One thread; one line at a time on the screen.
class ProgressLine {
 public:
  explicit ProgressLine(ProgressOptions options);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();  // removes the line from a terminal, prints nothing

  // `done` pieces are done. `note` stands at the end of the line. `share` of the work, in [0, 1], is done where that is
  // more than the whole pieces tell: bar and time left go by it.
  void update(int64_t done, std::string_view note = "", double share = 0);

  // On a terminal removes the line; elsewhere prints a last whole line if an earlier one was printed.
  void finish();

 private:
  std::string text(double now_s) const;
  void draw(const std::string& line);
  void erase();

  ProgressOptions options_;
  bool terminal_;
  double started_s_;
  double shown_s_;
  bool shown_ = false;
  bool finished_ = false;
  int64_t done_ = 0;
  double share_ = 0;
  std::string note_;
};

}  // namespace thinktune::core
