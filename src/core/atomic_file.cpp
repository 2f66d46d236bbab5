#include "thinktune/core/atomic_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "mapped_ranges.h"
#include "thinktune/core/error.h"
#include "thinktune/core/file_layer.h"

namespace thinktune::core {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_writing(const fs::path& path, const char* verb) {
  const int code = errno;
  const char* hint = "";
  if (code == ENOSPC) hint = "the disk is full: free some space; what was saved before is untouched";
  if (code == EDQUOT) hint = "the disk quota is used up: free some space; what was saved before is untouched";
  if (code == EFBIG)
    hint = "a limit on the size of files was reached (ulimit -f): raise it; what was saved before is untouched";
  if (code == EACCES || code == EROFS || code == EPERM)
    hint = "the folder is not writable: choose another output folder";
  if (code == ENOENT || code == ENOTDIR) hint = "the folder is not there: make it first, or choose another one";
  if (code == EIO)
    hint = "the disk reports an error: what was saved before is untouched, but should be copied elsewhere";
  throw user_error(fmt::format("cannot {} {}: {}", verb, path.string(), std::strerror(code)), hint);
}

Error cannot_read(const fs::path& path, std::string_view what) {
  return data_error(fmt::format("cannot read the {} {}: {}", what, path.string(), std::strerror(errno)));
}

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  const int fd;
};

// O_DIRECT asks for addresses, lengths and places that are multiples of the disk's blocks: 512 or 4096 bytes.
constexpr size_t kBlockBytes = 4096, kBufferBytes = size_t{4} << 20;

}  // namespace

class Checksum {
 public:
  Checksum() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset(state_);
  }
  ~Checksum() { XXH3_freeState(state_); }
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void add(const void* data, size_t num_bytes) { XXH3_64bits_update(state_, data, num_bytes); }
  uint64_t value() const { return XXH3_64bits_digest(state_); }

 private:
  XXH3_state_t* state_;
};

uint64_t xxh3_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

void AtomicFile::FreeBuffer::operator()(std::byte* buffer) const { std::free(buffer); }

AtomicFile::AtomicFile(fs::path target, Content content)
    : target_(std::move(target)), checksum_(std::make_unique<Checksum>()) {
  temporary_ = target_;
  temporary_ += fmt::format(".tmp-{}", ::getpid());
  if (content == Content::Bulk) {
    buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, kBufferBytes)));
    if (buffer_ == nullptr) throw std::bad_alloc();
    open_temporary(O_DIRECT);
    past_cache_ = fd_ >= 0;
  }
  if (fd_ < 0 && (content == Content::Small || errno == EINVAL)) open_temporary(0);  // EINVAL: it has no O_DIRECT
  if (fd_ < 0) fail_writing(target_, "write");
}

void AtomicFile::open_temporary(int more_flags) {
  fd_ = files().open(temporary_, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | more_flags);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  files().close(fd_);
  files().remove(temporary_);
}

void AtomicFile::write(const void* data, size_t num_bytes) {
  TT_CHECK(fd_ >= 0, "write to {} after commit", target_.string());
  checksum_->add(data, num_bytes);
  num_bytes_ += num_bytes;
  const auto* next = static_cast<const std::byte*>(data);
  if (buffer_ == nullptr) return write_to_disk(next, num_bytes);
  while (num_bytes > 0) {
    const size_t part = std::min(num_bytes, kBufferBytes - buffered_bytes_);
    std::memcpy(buffer_.get() + buffered_bytes_, next, part);
    next += part;
    num_bytes -= part;
    buffered_bytes_ += part;
    if (buffered_bytes_ == kBufferBytes) write_to_disk(buffer_.get(), std::exchange(buffered_bytes_, 0));
  }
}

void AtomicFile::write_to_disk(const std::byte* data, size_t num_bytes) {
  while (num_bytes > 0) {
    const size_t whole_blocks = num_bytes / kBlockBytes * kBlockBytes;
    if (past_cache_ && whole_blocks == 0) stop_passing_the_cache();
    const ssize_t written = files().write(fd_, data, past_cache_ ? whole_blocks : num_bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EINVAL && past_cache_) {  // a file system that takes no such writes, or other blocks
      stop_passing_the_cache();
      continue;
    }
    if (written < 0) fail_writing(target_, "write");
    data += written;
    num_bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::stop_passing_the_cache() {
  if (files().use_cache(fd_) != 0) fail_writing(target_, "write");
  past_cache_ = false;
}

void AtomicFile::flush() {
  TT_CHECK(fd_ >= 0, "flush of {} after commit", target_.string());
  if (buffer_ != nullptr) {
    write_to_disk(buffer_.get(), std::exchange(buffered_bytes_, 0));
    buffer_.reset();
  }
  if (files().sync(fd_) != 0) fail_writing(target_, "flush");
}

WrittenFile AtomicFile::commit() {
  TT_CHECK(fd_ >= 0, "commit of {} twice", target_.string());
  flush();
  const int fd = std::exchange(fd_, -1);
  if (files().close(fd) != 0 || files().rename(temporary_, target_) != 0) {
    const int code = errno;
    files().remove(temporary_);
    errno = code;
    fail_writing(target_, "replace");
  }
  sync_folder(target_.parent_path());
  return {target_.filename(), num_bytes_, checksum_->value()};
}

WrittenFile write_file_atomically(const fs::path& target, std::string_view content) {
  AtomicFile file(target);
  file.write(content);
  return file.commit();
}

Error removed_meanwhile(const fs::path& path) {
  return user_error(fmt::format("{} was removed while the run was writing to it", path.string()),
                    "what was in it is lost; the run's folder must stay where it is until the run has ended");
}

void sync_folder(const fs::path& folder) {
  const fs::path where = folder.empty() ? fs::path(".") : folder;
  const int fd = files().open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_writing(where, "open");
  const int result = files().sync(fd);
  const int code = errno;
  files().close(fd);
  errno = code;
  if (result != 0 && code != EINVAL) fail_writing(where, "flush");  // EINVAL: a file system without folder sync
}

void make_folders(const fs::path& folder) {
  std::error_code ignored;
  if (folder.empty() || fs::is_directory(folder, ignored)) return;
  make_folders(folder.parent_path());
  make_folder(folder);
}

void make_folder(const fs::path& folder) {
  if (files().make_folder(folder) != 0) {
    const int code = errno;
    std::error_code ignored;
    if (code != EEXIST || !fs::is_directory(folder, ignored)) {
      errno = code == EEXIST ? ENOTDIR : code;
      fail_writing(folder, "make the folder");
    }
  }
  sync_folder(folder.parent_path());
}

void rename_and_sync(const fs::path& from, const fs::path& to) {
  if (files().rename(from, to) != 0) fail_writing(to, "give the finished files the name");
  sync_folder(to.parent_path());
}

void remove_tree(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(fs::symlink_status(path, code))) {
    std::vector<fs::path> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, code)) inside.push_back(entry.path());
    for (const fs::path& entry : inside) remove_tree(entry);
  }
  if (files().remove(path) != 0 && errno != ENOENT) fail_writing(path, "remove");
}

std::string read_file(const fs::path& path, std::string_view what, const ReadLimits& limits) {
  const int waits = limits.pipes ? 0 : O_NONBLOCK;  // opening a pipe waits for a writer
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | waits));
  if (file.fd < 0)
    throw user_error(fmt::format("cannot open the {} {}: {}", what, path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) throw cannot_read(path, what);
  if (S_ISDIR(info.st_mode)) throw user_error(fmt::format("the {} {} is a folder, not a file", what, path.string()));
  const bool is_stream = limits.pipes && (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode));
  if (!S_ISREG(info.st_mode) && !is_stream)
    throw user_error(fmt::format("the {} {} is not a regular file", what, path.string()));
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > limits.max_bytes)
    throw data_error(
        fmt::format("the {} {} has {} bytes; at most {} are read", what, path.string(), size, limits.max_bytes));
  std::string content;
  content.reserve(size);
  std::vector<char> part(size_t{1} << 16);
  for (;;) {
    const ssize_t num_bytes = ::read(file.fd, part.data(), part.size());
    if (num_bytes < 0 && errno == EINTR) continue;
    if (num_bytes < 0) throw cannot_read(path, what);
    if (num_bytes == 0) return content;
    if (content.size() + static_cast<size_t>(num_bytes) > limits.max_bytes)
      throw data_error(fmt::format("the {} {} has more than {} bytes, which is the most that is read", what,
                                   path.string(), limits.max_bytes));
    content.append(part.data(), static_cast<size_t>(num_bytes));
  }
}

FileFacts facts_of(const fs::path& path, std::string_view what) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe would wait for a writer
  if (file.fd < 0)
    throw user_error(fmt::format("cannot open the {} {}: {}", what, path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) throw cannot_read(path, what);
  if (!S_ISREG(info.st_mode)) throw user_error(fmt::format("the {} {} is not a regular file", what, path.string()));
  FileFacts facts{.name = path.filename()};
  Checksum checksum;
  std::vector<std::byte> part(size_t{1} << 20);
  for (;;) {
    const ssize_t num_bytes = ::read(file.fd, part.data(), part.size());
    if (num_bytes < 0 && errno == EINTR) continue;
    if (num_bytes < 0) throw cannot_read(path, what);
    if (num_bytes == 0) break;
    checksum.add(part.data(), static_cast<size_t>(num_bytes));
    facts.num_bytes += static_cast<uint64_t>(num_bytes);
  }
  facts.xxh3 = checksum.value();
  return facts;
}

MappedFile::MappedFile(const fs::path& path) : MappedFile() {  // so that the destructor unmaps after an exception
  path_ = path;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for a writer
  if (fd < 0) throw user_error(fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    throw user_error(fmt::format("{} is not a regular file", path.string()));
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int code = errno;
    ::close(fd);
    if (mapped == MAP_FAILED)
      throw data_error(fmt::format("cannot map {} into memory: {}", path.string(), std::strerror(code)));
    data_ = static_cast<const std::byte*>(mapped);
    add_mapped_range(data_, size_, path_);
  } else {
    ::close(fd);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  remove_mapped_range(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void discard_pages(std::span<const std::byte> mapped) {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + mapped.size()) / page * page;
  // Values stay what they are whatever the system makes of it, so a refusal is no error.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace thinktune::core
