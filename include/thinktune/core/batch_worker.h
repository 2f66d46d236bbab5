// A thread beside the caller's that handles items as they come.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace thinktune::core {

// Hands items to `handle` on one other thread, in the order they were added: each time all that have come by then. What
// `handle` throws ends the work: nothing is handled after it, and the caller gets it from its next add() or finish().
template <class Item>
class BatchWorker {
 public:
  explicit BatchWorker(std::function<void(const std::vector<Item>&)> handle)
      : handle_(std::move(handle)), thread_([this] { run(); }) {}

  // Waits for the batch in work; what nobody has begun is left.
  ~BatchWorker() {
    {
      const std::lock_guard lock(mutex_);
      waiting_.clear();
    }
    stop();
  }

  BatchWorker(const BatchWorker&) = delete;
  BatchWorker& operator=(const BatchWorker&) = delete;

  void add(Item item) {
    {
      const std::lock_guard lock(mutex_);
      if (error_) std::rethrow_exception(error_);
      waiting_.push_back(std::move(item));
    }
    changed_.notify_one();
  }

  // Returns when all items are handled. Nothing can be added after it.
  void finish() {
    stop();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    for (;;) {
      std::vector<Item> batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        batch.swap(waiting_);
      }
      try {
        handle_(batch);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
        return;
      }
    }
  }

  std::function<void(const std::vector<Item>&)> handle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> waiting_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace thinktune::core
