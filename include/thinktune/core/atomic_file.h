// Files that are there whole or not at all. Data goes to a temporary name in the same folder, is flushed to the disk,
// and takes its final name in one rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "thinktune/core/error.h"

namespace thinktune::core {

struct FileFacts {
  std::string name;  // without its folder
  uint64_t num_bytes = 0;
  uint64_t xxh3 = 0;  // XXH3, 64 bits
};
// Of what a file was given, known without reading it again: what the disk or the memory in between makes of it does not
// change its checksum.
using WrittenFile = FileFacts;

// What goes into a file.
enum class Content {
  Small,  // any amount, through the system's cache
  Bulk,   // many MB that nobody reads soon: gathered in 4 MiB of memory and written past the cache, where copying them
          // would take a core for seconds and push out what others need there. A file system that cannot do this takes
          // them through its cache
};

uint64_t xxh3_of(std::span<const std::byte> bytes);
class Checksum;  // the same, part by part

// Not copyable, one thread. A writer that is destroyed before commit() removes its temporary file and leaves the target
// as it was.
class AtomicFile {
 public:
  // Throws Error{User} if the folder cannot be written.
  explicit AtomicFile(std::filesystem::path target, Content content = Content::Small);
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
  WrittenFile commit();

 private:
  struct FreeBuffer {
    void operator()(std::byte* buffer) const;
  };

  void open_temporary(int more_flags);
  void write_to_disk(const std::byte* data, size_t num_bytes);
  void stop_passing_the_cache();

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  std::unique_ptr<Checksum> checksum_;
  uint64_t num_bytes_ = 0;
  std::unique_ptr<std::byte[], FreeBuffer> buffer_;  // of Content::Bulk
  size_t buffered_bytes_ = 0;
  bool past_cache_ = false;
};

WrittenFile write_file_atomically(const std::filesystem::path& target, std::string_view content);

// Error{User}: what a run writes to is gone.
Error removed_meanwhile(const std::filesystem::path& path);

// Flushes a folder's own entries (its renames) to the disk.
void sync_folder(const std::filesystem::path& folder);

// All four throw Error{User} with the system's reason. The first two flush the parents' entries, the third the entries
// of to's parent; what remove_tree has removed may be there again after a power loss. Paths that are there already, or
// not there any more, are no error.
void make_folders(const std::filesystem::path& folder);  // parents too
void make_folder(const std::filesystem::path& folder);   // its parent must be there
void rename_and_sync(const std::filesystem::path& from, const std::filesystem::path& to);
void remove_tree(const std::filesystem::path& path);

// What read_file takes.
struct ReadLimits {
  uint64_t max_bytes = uint64_t{16} << 30;  // data sets, and the rows of long runs
  bool pipes = false;  // pipes and terminals too: for what the user himself names on the command line
};

// All of a file. Throws Error{User} if it cannot be opened, or is no regular file (a pipe would wait for ever, a device
// has no end), Error{Data} if it cannot be read to its end or is larger than it may be; `what` names the file's part in
// the message ("config", "manifest").
std::string read_file(const std::filesystem::path& path, std::string_view what, const ReadLimits& limits = {});

// Of a file as it is now. It is read part by part: a disk that fails is an error here, where reading the bytes of a
// MappedFile would end the process. Errors as of read_file.
FileFacts facts_of(const std::filesystem::path& path, std::string_view what);

// A file mapped read-only into memory; the mapping lives as long as the object. Move-only. Where the file becomes
// shorter meanwhile, or its disk fails, reading the bytes is a SIGBUS: see name_mapped_files_that_fail.
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
  MappedFile() = default;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Frees the memory of the pages that lie wholly inside `mapped`, a part of a MappedFile. They may be read again, and
// come from the disk, or the system's cache of it, then.
void discard_pages(std::span<const std::byte> mapped);

// For a program's main, once: from here on a SIGBUS from the bytes of a MappedFile ends the process with the exit code
// of Error{Data} and a message that names the file. Every other SIGBUS does what it would have done.
void name_mapped_files_that_fail();

}  // namespace thinktune::core
