#include "thinktune/core/error.h"

#include <string_view>
#include <utility>

namespace thinktune::core {

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {
  what_ = hint_.empty() ? message_ : message_ + "\n  " + hint_;
}

Error user_error(std::string message, std::string hint) {
  return {ErrorKind::User, std::move(message), std::move(hint)};
}
Error data_error(std::string message, std::string hint) {
  return {ErrorKind::Data, std::move(message), std::move(hint)};
}
Error device_error(std::string message, std::string hint) {
  return {ErrorKind::Device, std::move(message), std::move(hint)};
}
Error internal_error(std::string message, std::string hint) {
  return {ErrorKind::Internal, std::move(message), std::move(hint)};
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::User:
      return 2;
    case ErrorKind::Data:
      return 3;
    case ErrorKind::Device:
      return 4;
    case ErrorKind::Internal:
      return 5;
  }
  return 5;
}

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::string_view path(file);
  const size_t src = path.rfind("src/");
  if (src != std::string_view::npos) path.remove_prefix(src);
  throw internal_error(fmt::format("{}:{}: {} (expected {})", path, line, message, condition),
                       "this is a bug in thinktune: please report it with the command that led here");
}

}  // namespace thinktune::core
