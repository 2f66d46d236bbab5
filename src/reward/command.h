// The part "command": asks a supervised child for rewards (CommandOptions in reward.h has the protocol).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reward/child_process.h"
#include "reward/command_reply.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {

class CommandReward {
 public:
  // Throws Error{User} if the program is not to be found. It is started by the first ask().
  explicit CommandReward(const CommandOptions& options);

  // One reply a response, in their order. Throws Error{User} with the child's last words when it has been started again
  // too often, or fails too often; what was asked is then lost, and the child has ended. When a signal asks for a stop
  // (core/signals.h) the child is ended, and what it has not answered yet has no reward: for a step that is given up.
  std::vector<CommandReply> ask(std::span<const Response> responses);

 private:
  struct Request {
    uint64_t id = 0;
    size_t response = 0;  // its number among those asked
    int num_starts = 1;   // how many children have had it as their oldest one
  };

  std::vector<CommandReply> give_up(std::vector<CommandReply> replies);
  void send_requests(std::span<const Response> responses);
  void handle_line(const std::string& line, std::vector<CommandReply>& replies);
  void handle_silence(std::vector<CommandReply>& replies);
  void handle_end(std::vector<CommandReply>& replies);
  void restart(const std::string& why);
  void settle(size_t position, CommandReply reply, std::vector<CommandReply>& replies);
  void blame_oldest(const std::string& why, std::vector<CommandReply>& replies);
  [[noreturn]] void stop(const std::string& what);
  double seconds_of_silence() const;

  CommandOptions options_;
  std::unique_ptr<ChildProcess> child_;
  uint64_t next_id_ = 0;
  std::deque<Request> waiting_;                      // not sent yet
  std::deque<Request> in_flight_;                    // sent, without a reply; the oldest first
  std::chrono::steady_clock::time_point last_sign_;  // of life, or the moment from which one is expected
  int64_t num_restarts_ = 0;                         // since the last reply
  int64_t num_failures_ = 0;                         // since the last reply
  std::deque<bool> last_outcomes_;                   // of the last requests: failed?
  std::string last_failure_, last_words_;
};

}  // namespace thinktune::reward
