// Files that are there whole or not at all. Data goes to a temporary name in the same folder, is flushed to the disk,
// and takes its final name in one rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace thinktune::core {

// Not copyable, one thread. A writer that is destroyed before commit() removes its temporary file and leaves the target
// as it was.
class AtomicFile {
 public:
  // Throws Error{User} if the folder cannot be written.
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // Throws Error{User} with the system's reason, e.g. when the disk is full.
  void write(const void* data, size_t num_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  // What is written so far is on the disk after it. commit() does this too; when several files are to change together,
  // flushing all of them first leaves nothing in the commits that a full disk can stop.
  void flush();

  // Flush, rename, flush the folder. After it the target is complete on the disk.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

void write_file_atomically(const std::filesystem::path& target, std::string_view content);

// Flushes a folder's own entries (its renames) to the disk.
void sync_folder(const std::filesystem::path& folder);

// Throws Error{User} if it cannot be opened, Error{Data} if it cannot be read to its end; `what` names the file's part
// in the message ("config", "manifest").
std::string read_file(const std::filesystem::path& path, std::string_view what);

// A file mapped read-only into memory; the mapping lives as long as the object. Move-only.
class MappedFile {
 public:
  // Throws Error{User} if the file cannot be opened or is no regular file.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Frees the memory of the pages that lie wholly inside `mapped`, a part of a MappedFile. They may be read again, and
// come from the disk, or the system's cache of it, then.
void discard_pages(std::span<const std::byte> mapped);

}  // namespace thinktune::core
