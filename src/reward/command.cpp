#include "reward/command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "thinktune/core/error.h"
#include "thinktune/core/signals.h"

namespace thinktune::reward {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr size_t kWindow = 100;  // requests that max_failure_share is of
constexpr int kMaxStartsOfRequest = 2;
constexpr double kLongestWait_ms = 200;  // until it is asked again whether a signal wants the run to stop

// Bytes that are no UTF-8 become U+FFFD: a child is owed valid JSON whatever a model wrote.
std::string request_line(uint64_t id, const Response& response) {
  const json request = {{"id", id},
                        {"problem_id", response.id},
                        {"problem", response.problem},
                        {"gold", response.gold},
                        {"response", response.text},
                        {"tokens", response.num_tokens},
                        {"ended", response.ended}};
  return request.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

CommandReward::CommandReward(const CommandOptions& options) : options_(options) {
  if (find_program(options_.argv.front()).empty())
    throw core::user_error(
        fmt::format("the command of the reward, {}, is not there or cannot be run", options_.argv.front()),
        "reward.command.argv names a program in PATH, or a path, and its arguments");
}

std::vector<CommandReply> CommandReward::ask(std::span<const Response> responses) {
  std::vector<CommandReply> replies(responses.size());
  waiting_.clear();
  in_flight_.clear();
  for (size_t i = 0; i < responses.size(); ++i) waiting_.push_back({.id = next_id_++, .response = i});
  last_sign_ = Clock::now();
  while (!waiting_.empty() || !in_flight_.empty()) {
    if (core::stop_signal() != 0) return give_up(std::move(replies));
    if (child_ == nullptr) child_ = std::make_unique<ChildProcess>(options_.argv);
    send_requests(responses);
    const double left_s = options_.time_limit_s - seconds_of_silence();
    child_->exchange(static_cast<int>(std::clamp(left_s * 1000 + 1, 0.0, kLongestWait_ms)));
    for (std::string line; child_ != nullptr && child_->take_line(line);) handle_line(line, replies);
    if (in_flight_.empty()) continue;
    if (child_->has_overlong_line()) {
      blame_oldest("its reply is longer than 1 MB", replies);
      restart("a reply longer than 1 MB");
    } else if (child_->is_over()) {
      handle_end(replies);
    } else if (seconds_of_silence() >= options_.time_limit_s) {
      handle_silence(replies);
    }
  }
  return replies;
}

std::vector<CommandReply> CommandReward::give_up(std::vector<CommandReply> replies) {
  for (const std::deque<Request>* unanswered : {&waiting_, &in_flight_})
    for (const Request& request : *unanswered) replies[request.response].reason = "the command was not waited for";
  if (child_ != nullptr) child_->end(0);
  child_.reset();
  return replies;
}

void CommandReward::send_requests(std::span<const Response> responses) {
  const auto limit = static_cast<size_t>(options_.max_in_flight);
  if (in_flight_.empty()) last_sign_ = Clock::now();  // it had nothing to reply to
  while (!waiting_.empty() && in_flight_.size() < limit) {
    // One request that killed a child goes alone, so that no other is blamed for it.
    if (!in_flight_.empty() && (waiting_.front().num_starts > 1 || in_flight_.back().num_starts > 1)) break;
    child_->write(request_line(waiting_.front().id, responses[waiting_.front().response]));
    in_flight_.push_back(waiting_.front());
    waiting_.pop_front();
  }
}

void CommandReward::handle_line(const std::string& line, std::vector<CommandReply>& replies) {
  ParsedReply parsed = parse_reply(line);
  const auto request =
      std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Request& r) { return r.id == parsed.id; });
  if (request != in_flight_.end()) {
    last_sign_ = Clock::now();
    settle(static_cast<size_t>(request - in_flight_.begin()), std::move(parsed.reply), replies);
  } else if (!parsed.id) {
    blame_oldest(parsed.reply.reason, replies);
  } else if (*parsed.id >= next_id_) {
    blame_oldest(fmt::format("it replied to request {}, which was never made", *parsed.id), replies);
  }  // else a late reply to a request that has failed
}

void CommandReward::handle_silence(std::vector<CommandReply>& replies) {
  const bool does_not_read = child_->num_unwritten_bytes() > 0;
  const std::string what = fmt::format("no reply within {:g} s{}", options_.time_limit_s,
                                       does_not_read ? ", and it does not read its standard input" : "");
  blame_oldest(what, replies);
  restart(what);
}

void CommandReward::handle_end(std::vector<CommandReply>& replies) {
  const std::string how = child_->end(0.2);
  if (++in_flight_.front().num_starts > kMaxStartsOfRequest)
    blame_oldest(fmt::format("it ended twice on this request ({})", how), replies);
  restart(fmt::format("it ended ({})", how));
}

// The child goes; what it has not replied to is sent to the next one.
void CommandReward::restart(const std::string& why) {
  child_->end(0);
  last_words_ = child_->last_errors();
  child_.reset();
  waiting_.insert(waiting_.begin(), in_flight_.begin(), in_flight_.end());
  in_flight_.clear();
  if (last_failure_.empty()) last_failure_ = why;
  if (++num_restarts_ > options_.max_restarts)
    stop(fmt::format("was started {} times in a row without one reply: {}", num_restarts_, why));
  last_sign_ = Clock::now();
}

void CommandReward::blame_oldest(const std::string& why, std::vector<CommandReply>& replies) {
  if (!in_flight_.empty()) settle(0, {.reason = "the command failed: " + why}, replies);
}

void CommandReward::settle(size_t position, CommandReply reply, std::vector<CommandReply>& replies) {
  const bool failed = !reply.ok;
  if (failed) {
    if (!reply.reason.starts_with("the command failed: ")) reply.reason = "the command failed: " + reply.reason;
    last_failure_ = reply.reason.substr(std::string_view("the command failed: ").size());
    ++num_failures_;
  } else {
    num_failures_ = num_restarts_ = 0;
  }
  replies[in_flight_[position].response] = std::move(reply);
  in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(position));
  last_outcomes_.push_back(failed);
  if (last_outcomes_.size() > kWindow) last_outcomes_.pop_front();
  const auto num_failed = std::count(last_outcomes_.begin(), last_outcomes_.end(), true);
  if (num_failures_ >= options_.max_failures)
    stop(fmt::format("failed {} times in a row; the last time: {}", num_failures_, last_failure_));
  if (last_outcomes_.size() == kWindow &&
      static_cast<double>(num_failed) > options_.max_failure_share * static_cast<double>(kWindow))
    stop(fmt::format("failed for {} of the last {} responses; the last time: {}", num_failed, kWindow, last_failure_));
}

void CommandReward::stop(const std::string& what) {
  if (child_ != nullptr) {
    child_->end(0);
    last_words_ = child_->last_errors();
    child_.reset();
  }
  const size_t end = last_words_.find_last_not_of(" \r\n\t");
  throw core::user_error(fmt::format("the command of the reward, {}, {}", joined(options_.argv), what),
                         end == std::string::npos
                             ? "it said nothing on its standard error"
                             : "the last it said on its standard error:\n" + last_words_.substr(0, end + 1));
}

double CommandReward::seconds_of_silence() const {
  return std::chrono::duration<double>(Clock::now() - last_sign_).count();
}

}  // namespace thinktune::reward
