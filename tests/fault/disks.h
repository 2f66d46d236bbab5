// Disks that lose their power, become full, or kill the process: in place of core::files().
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "thinktune/core/file_layer.h"

namespace thinktune::fault {
namespace fs = std::filesystem;

// In place of the disk for the length of a scope.
class InPlaceOfTheDisk {
 public:
  explicit InPlaceOfTheDisk(core::FileLayer& layer) { core::replace_files(&layer); }
  ~InPlaceOfTheDisk() { core::replace_files(nullptr); }
};

// Passes everything on and counts the calls that change something; what happens at one of them is for others to say.
class CountingDisk : public core::FileLayer {
 public:
  int open(const fs::path& path, int flags) override {
    const bool changes = (flags & O_CREAT) != 0;
    if (changes && fails()) return -1;
    const int fd = core::FileLayer::open(path, flags);
    if (fd < 0) return fd;
    const std::lock_guard lock(mutex_);
    names_[fd] = path;
    if (changes) happened({.kind = Operation::Open, .path = path, .truncates = (flags & O_TRUNC) != 0});
    return fd;
  }
  ssize_t write(int fd, const void* data, size_t num_bytes) override {
    if (fails()) return -1;
    const ssize_t written = core::FileLayer::write(fd, data, num_bytes);
    if (written > 0) of_file(fd, Operation::Write, {static_cast<const char*>(data), static_cast<size_t>(written)});
    return written;
  }
  int truncate(int fd, off_t num_bytes) override {
    if (fails()) return -1;
    const int result = core::FileLayer::truncate(fd, num_bytes);
    of_file(fd, Operation::Truncate, "", num_bytes);
    return result;
  }
  int sync(int fd) override {
    if (fails()) return -1;
    const int result = core::FileLayer::sync(fd);
    of_file(fd, Operation::Sync);
    return result;
  }
  int close(int fd) override {
    const std::lock_guard lock(mutex_);
    names_.erase(fd);
    return core::FileLayer::close(fd);
  }
  int rename(const fs::path& from, const fs::path& to) override {
    if (fails()) return -1;
    const int result = core::FileLayer::rename(from, to);
    const std::lock_guard lock(mutex_);
    if (result == 0) happened({.kind = Operation::Rename, .path = from, .to = to});
    return result;
  }
  int remove(const fs::path& path) override {
    if (fails()) return -1;
    const int result = core::FileLayer::remove(path);
    const std::lock_guard lock(mutex_);
    if (result == 0) happened({.kind = Operation::Remove, .path = path});
    return result;
  }
  int make_folder(const fs::path& path) override {
    if (fails()) return -1;
    const int result = core::FileLayer::make_folder(path);
    const std::lock_guard lock(mutex_);
    if (result == 0) happened({.kind = Operation::MakeFolder, .path = path});
    return result;
  }

  struct Operation {
    enum Kind { Open, Write, Truncate, Sync, Rename, Remove, MakeFolder } kind = Open;
    fs::path path, to;
    std::string data;
    off_t num_bytes = 0;
    bool truncates = false;
  };

  int64_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 protected:
  virtual bool fails_at(int64_t) { return false; }  // with errno
  virtual void happened(Operation) {}               // under the lock

 private:
  bool fails() {
    const std::lock_guard lock(mutex_);
    return fails_at(count_++);
  }
  void of_file(int fd, Operation::Kind kind, std::string data = "", off_t num_bytes = 0) {
    const int code = errno;
    {
      const std::lock_guard lock(mutex_);
      happened({.kind = kind, .path = names_[fd], .data = std::move(data), .num_bytes = num_bytes});
    }
    errno = code;
  }

  std::mutex mutex_;
  int64_t count_ = 0;
  std::map<int, fs::path> names_;
};

// Fails from call number `first` on for `length` calls.
class FailingDisk final : public CountingDisk {
 public:
  FailingDisk(int64_t first, int64_t length, int code) : first_(first), length_(length), code_(code) {}

 protected:
  bool fails_at(int64_t number) override {
    if (number < first_ || number >= first_ + length_) return false;
    errno = code_;
    return true;
  }

 private:
  int64_t first_, length_;
  int code_;
};

// Kills the process at call number `at`.
class KillingDisk final : public CountingDisk {
 public:
  explicit KillingDisk(int64_t at) : at_(at) {}

 protected:
  bool fails_at(int64_t number) override {
    if (number == at_) ::raise(SIGKILL);
    return false;
  }

 private:
  int64_t at_;
};

class RecordingDisk final : public CountingDisk {
 public:
  std::vector<Operation> operations;

 protected:
  void happened(Operation operation) override { operations.push_back(std::move(operation)); }
};

// What a power loss leaves of what was not flushed.
enum class Left {
  Nothing,     // only what was flushed: content of files, entries of folders
  Everything,  // as if only the process had died
  NamesOnly,   // new names, with the content that was flushed
  Some,        // of each folder's changes the first few, of each file's new bytes the first few, some of them zeros
};

// Follows the recorded calls, and knows what a power loss may leave of them.
class Platter {
 public:
  // What is in `root` counts as flushed.
  explicit Platter(fs::path root) : root_(std::move(root)), top_(read(root_)) {}
  Platter(const Platter& other) : root_(other.root_) {
    std::map<const Node*, std::shared_ptr<Node>> copied;
    top_ = copy(other.top_, copied);
  }

  void apply(const CountingDisk::Operation& o, double share_of_write = 1) {
    const auto [folder, name] = place(o.path);
    if (folder == nullptr) return;
    switch (o.kind) {
      case CountingDisk::Operation::Open: {
        std::shared_ptr<Node>& node = folder->entries[name];
        if (node == nullptr) node = std::make_shared<Node>();
        if (o.truncates) node->content.clear();
        break;
      }
      case CountingDisk::Operation::Write:
        folder->entries.at(name)->content +=
            o.data.substr(0, static_cast<size_t>(share_of_write * static_cast<double>(o.data.size())));
        return;
      case CountingDisk::Operation::Truncate:
        folder->entries.at(name)->content.resize(static_cast<size_t>(o.num_bytes));
        return;
      case CountingDisk::Operation::Sync: {
        Node& node = o.path == root_ ? *top_ : *folder->entries.at(name);
        node.flushed = node.content;
        node.history = {node.entries};
        return;
      }
      case CountingDisk::Operation::Rename: {
        const auto [target, new_name] = place(o.to);
        target->entries[new_name] = folder->entries.at(name);
        folder->entries.erase(name);
        if (target != folder) target->history.push_back(target->entries);
        break;
      }
      case CountingDisk::Operation::Remove:
        folder->entries.erase(name);
        break;
      case CountingDisk::Operation::MakeFolder:
        folder->entries[name] = std::make_shared<Node>(Node{.is_folder = true});
        break;
    }
    folder->history.push_back(folder->entries);
  }

  // Into an empty folder.
  void write_to(const fs::path& folder, Left left, uint32_t seed = 0) const {
    std::mt19937 random(seed);
    write(*top_, folder, left, random);
  }

 private:
  struct Node {
    using Entries = std::map<std::string, std::shared_ptr<Node>>;
    bool is_folder = false;
    std::string content, flushed;
    Entries entries;
    std::vector<Entries> history = {{}};  // since the last flush, which is the first
  };

  static std::shared_ptr<Node> read(const fs::path& path) {
    auto node = std::make_shared<Node>();
    node->is_folder = fs::is_directory(path);
    if (node->is_folder) {
      for (const auto& entry : fs::directory_iterator(path))
        node->entries[entry.path().filename()] = read(entry.path());
      node->history = {node->entries};
    } else {
      std::stringstream text;
      text << std::ifstream(path, std::ios::binary).rdbuf();
      node->content = node->flushed = text.str();
    }
    return node;
  }

  static std::shared_ptr<Node> copy(const std::shared_ptr<Node>& node,
                                    std::map<const Node*, std::shared_ptr<Node>>& copied) {
    std::shared_ptr<Node>& result = copied[node.get()];
    if (result != nullptr) return result;
    result = std::make_shared<Node>(*node);
    const std::shared_ptr<Node> kept = result;
    for (auto& [name, child] : kept->entries) child = copy(child, copied);
    for (Node::Entries& entries : kept->history)
      for (auto& [name, child] : entries) child = copy(child, copied);
    return kept;
  }

  // The folder of a path, and its name there; null for what is not on this disk.
  std::pair<Node*, std::string> place(const fs::path& path) const {
    const fs::path relative = path.lexically_relative(root_);
    if (relative.empty() || *relative.begin() == "..") return {nullptr, ""};
    Node* folder = top_.get();
    for (const fs::path& part : relative.parent_path()) {
      const auto next = folder->entries.find(part);
      if (next == folder->entries.end()) return {nullptr, ""};
      folder = next->second.get();
    }
    return {folder, relative.filename()};
  }

  static void write(const Node& node, const fs::path& path, Left left, std::mt19937& random) {
    if (node.is_folder) {
      fs::create_directories(path);
      const size_t number = left == Left::Nothing ? 0
                            : left == Left::Some  ? random() % node.history.size()
                                                  : node.history.size() - 1;
      for (const auto& [name, child] : node.history[number]) write(*child, path / name, left, random);
      return;
    }
    std::string content = left == Left::Everything ? node.content : node.flushed;
    if (left == Left::Some && node.content.starts_with(node.flushed)) {
      const size_t more = node.content.size() - node.flushed.size(), length = more == 0 ? 0 : random() % (more + 1);
      content += node.content.substr(node.flushed.size(), length);
      if (length > 0 && random() % 2 == 0)  // a block that was never written
        std::fill(content.end() - static_cast<std::ptrdiff_t>(1 + random() % length), content.end(), '\0');
    }
    std::ofstream(path, std::ios::binary) << content;
  }

  fs::path root_;
  std::shared_ptr<Node> top_;
};

// Runs of minutes instead of seconds: every place instead of some.
inline bool all_places() { return std::getenv("THINKTUNE_FAULT_ALL") != nullptr; }

}  // namespace thinktune::fault
