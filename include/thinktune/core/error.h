// Errors: one type, thrown at the doors of the library, shown by the command line.
//
// The library never exits and never aborts. What a user can cause (a config, a file, a full disk) is an Error with a
// message that says what is wrong and where, and a hint that says what to do. What a model writes is never an error: it
// is a value.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>

namespace thinktune::core {

enum class ErrorKind {
  User,      // a setting, a command line, a file that is not there or cannot be written: the user can mend it
  Data,      // a file's content: a truncated model, a malformed line, a damaged checkpoint
  Device,    // the machine: out of memory, a failed kernel
  Internal,  // a broken promise between two of our own functions: a bug
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = "");

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }  // empty if there is nothing useful to add
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
  std::string what_;  // message, and the hint on a line of its own
};

Error user_error(std::string message, std::string hint = "");
Error data_error(std::string message, std::string hint = "");
Error device_error(std::string message, std::string hint = "");
Error internal_error(std::string message, std::string hint = "");

// User 2, Data 3, Device 4, Internal 5: scripts rely on them, and `thinktune --help` lists them.
int exit_code(ErrorKind kind);

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace thinktune::core

// A precondition between our own functions. Throws Error{Internal} with file, line, the condition and a formatted
// message.
#define TT_CHECK(condition, ...)                                                                   \
  do {                                                                                             \
    if (!(condition)) [[unlikely]]                                                                 \
      ::thinktune::core::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
