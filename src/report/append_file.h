// A file that only grows at its end, or is cut back to an earlier length.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace thinktune::report {

class AppendFile {
 public:
  // Opens or makes it. Throws Error{User} with the system's reason, as the functions below do.
  explicit AppendFile(std::filesystem::path path);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  // All of `data` or, when it throws, nothing. Error{User} too if somebody has removed the file meanwhile.
  void append(std::string_view data);
  void cut_to(uint64_t num_bytes);
  void sync();

  uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  void check_still_there() const;

  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

}  // namespace thinktune::report
