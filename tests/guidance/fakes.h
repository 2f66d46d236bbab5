// What the tests of guidance have instead of a model: a tokenizer that can be read off, a teacher that says what it is
// told to say, and rollouts made by hand.
#pragma once

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "thinktune/guidance/guidance.h"
#include "thinktune/guidance/reply.h"

namespace thinktune::guidance::test {

using core::TokenId;
using rollout::Finish;
using rollout::Group;
using rollout::Origin;
using rollout::Rollout;
using rollout::Verdict;

inline constexpr TokenId kEnd = 256;       // "<|end|>": what is written
inline constexpr TokenId kOtherEnd = 257;  // "<|stop|>": ends a turn as well
inline constexpr TokenId kTwoLines = 258;  // "\n\n": one token, so that a separator can be told from two line ends

// One token a byte, but "\n\n" is one, and the special tokens.
class ByteTokenizer final : public text::Tokenizer {
 public:
  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<text::Segment>& segments) const override {
    std::vector<TokenId> ids;
    for (const auto& [text, special] : segments)
      for (size_t i = 0; i < text.size();) {
        if (special == text::Special::Parse && text.compare(i, 7, "<|end|>") == 0) {
          ids.push_back(kEnd);
          i += 7;
        } else if (special == text::Special::Parse && text.compare(i, 8, "<|stop|>") == 0) {
          ids.push_back(kOtherEnd);
          i += 8;
        } else if (text.compare(i, 2, "\n\n") == 0) {
          ids.push_back(kTwoLines);
          i += 2;
        } else {
          ids.push_back(static_cast<unsigned char>(text[i++]));
        }
      }
    return ids;
  }
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override {
    std::string text;
    for (const TokenId id : ids)
      if (!(skip_special && is_special(id))) text += token_text(id);
    return text;
  }
  int64_t vocab_size() const override { return 259; }
  bool is_special(TokenId id) const override { return id == kEnd || id == kOtherEnd; }
  TokenId special_id(std::string_view token) const override {
    return token == "<|end|>" ? kEnd : token == "<|stop|>" ? kOtherEnd : -1;
  }
  std::string token_text(TokenId id) const override {
    if (id == kEnd) return "<|end|>";
    if (id == kOtherEnd) return "<|stop|>";
    if (id == kTwoLines) return "\n\n";
    return std::string(1, static_cast<char>(id));
  }
  std::string to_tokenizer_json() const override { return "{}"; }
};

class ScriptedTeacher final : public Teacher {
 public:
  using Script = std::function<TeacherReply(const TeacherRequest&)>;
  explicit ScriptedTeacher(Script script) : script_(std::move(script)) {}
  // Says the same to everybody.
  explicit ScriptedTeacher(std::string text, bool ended = true)
      : script_([=](const TeacherRequest&) {
          return TeacherReply{text, ended};
        }) {}

  std::vector<TeacherReply> reply(const std::vector<TeacherRequest>& requests) override {
    std::vector<TeacherReply> replies;
    for (const TeacherRequest& request : requests) {
      seen.push_back(request);
      replies.push_back(script_(request));
    }
    ++num_calls;
    return replies;
  }

  std::vector<TeacherRequest> seen;
  int num_calls = 0;

 private:
  Script script_;
};

// A response that ended by itself; `right` sets verdict and reward.
inline Rollout ended_rollout(const std::string& text, bool right = false, TokenId end = kEnd) {
  Rollout rollout;
  rollout.ids = ByteTokenizer().encode(text);
  rollout.ids.push_back(end);
  rollout.origin.assign(rollout.ids.size(), Origin::Student);
  rollout.sampler_logprobs.assign(rollout.ids.size(), -0.5f);
  rollout.old_logprobs = rollout.sampler_logprobs;
  rollout.finish = Finish::EndOfTurn;
  rollout.text = text;
  rollout.judgement = {
      .verdict = right ? Verdict::Right : Verdict::Wrong, .success = right, .reward = right ? 1.0 : 0.0};
  return rollout;
}

inline Rollout cut_rollout(const std::string& text) {
  Rollout rollout = ended_rollout(text);
  rollout.ids.pop_back();
  rollout.origin.pop_back();
  rollout.sampler_logprobs.pop_back();
  rollout.old_logprobs.pop_back();
  rollout.finish = Finish::Length;
  return rollout;
}

inline Group group_of(uint64_t number, std::vector<Rollout> rollouts) {
  Group group;
  group.prompt.id = "p" + std::to_string(number);
  group.prompt.number = number;
  group.prompt.problem = "What is 1 + " + std::to_string(number) + "?";
  group.prompt.gold = std::to_string(number + 1);
  group.prompt.solution = "We add: \\boxed{" + group.prompt.gold + "}.";
  group.rollouts = std::move(rollouts);
  return group;
}

// `num_right` right ones, then wrong ones.
inline Group plain_group(uint64_t number, int size, int num_right = 0) {
  std::vector<Rollout> rollouts;
  for (int i = 0; i < size; ++i) rollouts.push_back(ended_rollout("answer " + std::to_string(i), i < num_right));
  return group_of(number, std::move(rollouts));
}

// What is logged while it lives.
class LogCapture {
 public:
  LogCapture() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_);
    auto logger = std::make_shared<spdlog::logger>("test", sink);
    logger->set_pattern("%l %v");
    logger->set_level(spdlog::level::info);
    spdlog::set_default_logger(logger);
  }
  ~LogCapture() { spdlog::set_default_logger(before_); }
  std::string text() const { return stream_.str(); }
  void clear() { stream_.str(""); }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream stream_;
};

}  // namespace thinktune::guidance::test
