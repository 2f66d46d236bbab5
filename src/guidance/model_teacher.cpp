#include "thinktune/guidance/model_teacher.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "thinktune/guidance/reply.h"
#include "thinktune/ops/device.h"

namespace thinktune::guidance {
namespace {

using core::ChatMessage;
using core::TokenId;
using Ids = std::vector<TokenId>;

size_t common_length(const Ids& a, const Ids& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

std::string decoded(const infer::Generation& generation, const text::Tokenizer& tokenizer) {
  const bool ended = generation.stop == infer::Stop::EndOfTurn && !generation.ids.empty();
  return tokenizer.decode({generation.ids.begin(), generation.ids.end() - (ended ? 1 : 0)});
}

std::string opinion_and_reason_tag(const std::string& opinion) {
  return fmt::format("{}{}{}", kBeforeOpinion, opinion, kBeforeReason);
}

constexpr infer::SamplingOptions kGreedy = {.temperature = 0.0};

}  // namespace

ModelTeacher::ModelTeacher(infer::Engine& engine, const text::ChatTemplate& chat, const text::Tokenizer& tokenizer,
                           std::vector<ChatMessage> fixed, const GuidanceOptions& options)
    : engine_(engine), chat_(chat), tokenizer_(tokenizer), fixed_(std::move(fixed)), options_(options) {
  // What two prompts with nothing in common in their last turn share is what all prompts share.
  held_ = tokenizer_.encode(render({{"user", "A"}}));
  held_.resize(common_length(held_, tokenizer_.encode(render({{"user", "0"}}))));
  if (!held_.empty()) engine_.hold_prefix(held_);
}

std::vector<text::Segment> ModelTeacher::render(const std::vector<ChatMessage>& last_messages) const {
  std::vector<ChatMessage> messages = fixed_;
  messages.insert(messages.end(), last_messages.begin(), last_messages.end());
  return chat_.render(text::acceptable_messages(chat_, messages), true);
}

std::vector<ModelTeacher::Rendered> ModelTeacher::render_all(const std::vector<TeacherRequest>& requests) {
  const auto limit = static_cast<size_t>(options_.max_teacher_prompt_tokens);
  std::vector<Rendered> all;
  for (const TeacherRequest& request : requests) {
    Rendered rendered{.segments = render(request.messages)};
    const Ids ids = tokenizer_.encode(rendered.segments);
    ++stats_.num_requests;
    if (ids.size() > limit) {
      rendered.num_dropped = ids.size() - limit;
      if (++stats_.num_prompts_cut == 1)
        spdlog::warn(
            "a teacher prompt of {} tokens was cut on the left to guidance.max_teacher_prompt_tokens = {}: it lost its "
            "beginning, and what is computed once for all prompts does not serve it",
            ids.size(), limit);
    }
    if (rendered.num_dropped > 0 || common_length(ids, held_) < held_.size()) ++stats_.num_prefix_missed;
    all.push_back(std::move(rendered));
  }
  return all;
}

Ids ModelTeacher::prompt_ids(const Rendered& rendered, const std::string& written) const {
  std::vector<text::Segment> segments = rendered.segments;
  segments.push_back({written, text::Special::AsText});
  Ids ids = tokenizer_.encode(segments);
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(rendered.num_dropped));
  return ids;
}

std::vector<TeacherReply> ModelTeacher::reply(const std::vector<TeacherRequest>& requests) {
  const ops::ProfilerRange range("teacher");
  const std::vector<Rendered> prompts = render_all(requests);
  std::vector<std::string> forced;
  for (const TeacherRequest& request : requests) forced.push_back(request.forced_opinion);
  if (requests.empty()) return {};
  if (!held_.empty() && !engine_.holds_prefix()) engine_.hold_prefix(held_);
  return options_.format == Format::Free ? reply_free(prompts, forced) : reply_constrained(prompts, std::move(forced));
}

std::vector<infer::Generation> ModelTeacher::generate(const std::vector<Rendered>& prompts,
                                                      const std::vector<std::string>& written, int64_t max_tokens,
                                                      const std::vector<std::string>& stop_texts) {
  std::vector<infer::Request> requests;
  for (size_t i = 0; i < prompts.size(); ++i)
    requests.push_back(
        {.prompt_ids = prompt_ids(prompts[i], written[i]), .max_new_tokens = max_tokens, .stop_texts = stop_texts});
  std::vector<infer::Generation> generations;
  for (auto& samples : engine_.generate(requests, kGreedy, core::RandomKey{}))
    generations.push_back(std::move(samples.at(0)));
  return generations;
}

std::vector<TeacherReply> ModelTeacher::reply_free(const std::vector<Rendered>& prompts,
                                                   const std::vector<std::string>& forced) {
  std::vector<std::string> written;
  for (const std::string& opinion : forced) written.push_back(opinion.empty() ? "" : opinion_and_reason_tag(opinion));
  const std::vector<infer::Generation> generations = generate(prompts, written, options_.max_reply_tokens, {});
  std::vector<TeacherReply> replies;
  for (size_t i = 0; i < prompts.size(); ++i)
    replies.push_back(
        {written[i] + decoded(generations[i], tokenizer_), generations[i].stop == infer::Stop::EndOfTurn});
  return replies;
}

void ModelTeacher::decide_opinions(const std::vector<Rendered>& prompts, std::vector<std::string>& opinions) {
  // The two texts as a whole are encoded, and scored from where their ids part: no assumption on where a token ends.
  std::vector<infer::ScoreRequest> texts;
  std::vector<size_t> undecided;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!opinions[i].empty()) continue;
    const Ids correct = prompt_ids(prompts[i], fmt::format("{}{}", kBeforeOpinion, kCorrect));
    const Ids incorrect = prompt_ids(prompts[i], fmt::format("{}{}", kBeforeOpinion, kIncorrect));
    const auto parting = static_cast<std::ptrdiff_t>(common_length(correct, incorrect));
    texts.push_back({.prompt_ids = {correct.begin(), correct.begin() + parting},
                     .continuations = {{correct.begin() + parting, correct.end()},
                                       {incorrect.begin() + parting, incorrect.end()}}});
    undecided.push_back(i);
  }
  if (undecided.empty()) return;
  const auto logprobs = engine_.score(texts);
  const auto total = [&](size_t i, size_t c) {
    return std::accumulate(logprobs[i][c].begin(), logprobs[i][c].end(), 0.0);
  };
  for (size_t i = 0; i < undecided.size(); ++i)
    opinions[undecided[i]] = total(i, 0) > total(i, 1) ? kCorrect : kIncorrect;
}

std::vector<TeacherReply> ModelTeacher::reply_constrained(const std::vector<Rendered>& prompts,
                                                          std::vector<std::string> opinions) {
  decide_opinions(prompts, opinions);
  std::vector<std::string> written, reasons;
  for (const std::string& opinion : opinions) written.push_back(opinion_and_reason_tag(opinion));
  for (const auto& generation : generate(prompts, written, options_.max_reason_tokens, reply_tags()))
    reasons.push_back(trim_part(decoded(generation, tokenizer_)));
  for (size_t i = 0; i < prompts.size(); ++i) written[i] += fmt::format("{}{}", reasons[i], kBeforePhrase);
  const std::vector<infer::Generation> phrases = generate(prompts, written, options_.max_phrase_tokens, reply_tags());
  std::vector<TeacherReply> replies;
  for (size_t i = 0; i < prompts.size(); ++i)
    replies.push_back({format_reply(opinions[i], reasons[i], trim_part(decoded(phrases[i], tokenizer_))), true});
  return replies;
}

}  // namespace thinktune::guidance
