// A program of the user's as a child: lines to its standard input, lines from its standard output, the end of what it
// says on its standard error. Nothing here blocks longer than it is told to, and no signal reaches this process.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace thinktune::reward {

// Path of `program` as a shell would find it, empty if there is none that can be run.
std::string find_program(const std::string& program);

class ChildProcess {
 public:
  // Starts argv[0], found in PATH, in a process group of its own, with no other open files than the standard three.
  // Throws Error{User} if it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& argv);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();  // as end(), with a second of patience

  // Queues text for its standard input.
  void write(std::string_view text) { unwritten_ += text; }
  size_t num_unwritten_bytes() const { return unwritten_.size() - num_written_; }

  // Writes and reads what is possible, waiting up to `wait_ms` for the first of it.
  void exchange(int wait_ms);

  // Takes the next whole line of its standard output; false if there is none yet.
  bool take_line(std::string& line);

  bool has_overlong_line() const { return overlong_line_; }
  bool is_over() const { return over_; }  // it has closed its standard output, or does not read any more

  // Closes its standard input, waits `patience_s` for its end, asks it to end (SIGTERM), waits a second, and kills the
  // whole group. Says how it ended: "exit code 1", "signal 11 (Segmentation fault)".
  std::string end(double patience_s);

  const std::string& last_errors() const { return errors_; }  // at most the last 4 KB of its standard error

 private:
  void write_some();
  void read_output();
  void read_errors();
  bool wait_for_end(double seconds);  // true: it has ended, and is not reaped yet

  pid_t pid_ = -1;
  int input_ = -1, output_ = -1, error_ = -1;  // this side's ends
  std::string unwritten_;
  size_t num_written_ = 0;   // bytes of unwritten_ that are written
  std::string read_;         // of standard output, from the line that is not taken yet on
  size_t num_taken_ = 0;     // bytes of read_ that are taken
  size_t num_searched_ = 0;  // bytes of read_ that hold no line break behind num_taken_
  std::string errors_;
  bool over_ = false, overlong_line_ = false;
};

}  // namespace thinktune::reward
