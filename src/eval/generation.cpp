// Chunks of drawn responses, and of scored choices.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "eval/benchmark_parts.h"
#include "thinktune/core/error.h"
#include "thinktune/eval/answers.h"
#include "thinktune/rollout/names.h"

namespace thinktune::eval {
namespace {

using core::TokenId;
using nlohmann::ordered_json;

constexpr size_t kNone = static_cast<size_t>(-1);  // the request of a problem that is too long for the model

struct Response {
  std::string text;
  int64_t num_tokens = 0;
  Ending ending = Ending::Length;
};

// Up to the first stop text; nothing is cut if there is none.
void cut_at_stop(std::string& text, const std::vector<std::string>& stops) {
  size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  text.resize(end);
}

Response to_response(const infer::Generation& generation, const Task& task, const text::Tokenizer& tokenizer) {
  Response response{.num_tokens = std::ssize(generation.ids)};
  std::vector<TokenId> words = generation.ids;
  if (generation.stop == infer::Stop::EndOfTurn) {
    response.ending = Ending::EndOfTurn;
    words.pop_back();
  }
  response.text = tokenizer.decode(words);
  if (generation.stop == infer::Stop::StopText) {
    response.ending = Ending::StopText;
    cut_at_stop(response.text, task.stop);
  }
  return response;
}

ordered_json generated_row(const Task& task, const data::Problem& problem, size_t sample, const Response& response) {
  rollout::Judgement judgement;
  if (response.ending == Ending::TooLong)
    judgement.reason = "the prompt leaves no room for an answer within the model's positions";
  else
    judgement = judge_answer(task, problem, response.text, response.ending != Ending::Length);
  ordered_json row = {{"id", problem.id}, {"sample", sample}, {"gold", problem.answer}, {"text", response.text}};
  row["extracted"] = nullptr;
  if (!judgement.extracted.empty()) row["extracted"] = judgement.extracted;
  row["verdict"] = core::name_of(rollout::kVerdictNames, judgement.verdict);
  row["strict"] = core::name_of(rollout::kVerdictNames, judgement.strict);
  row["lenient"] = core::name_of(rollout::kVerdictNames, judgement.lenient);
  row["success"] = judgement.success;
  row["reason"] = judgement.reason;
  row["tokens"] = response.num_tokens;
  row["finish"] = core::name_of(kEndingNames, response.ending);
  return row;
}

// The choices behind the question: tokens of the joined text behind those of the question alone, as the published
// harness cuts them.
infer::ScoreRequest score_request(const Task& task, const data::Problem& problem,
                                  const std::vector<data::Example>& examples, const text::Tokenizer& tokenizer) {
  const std::string question = render_question(task, problem, examples);
  infer::ScoreRequest request{.prompt_ids = encode_raw(tokenizer, question), .continuations = {}};
  for (size_t c = 0; c < problem.choices.size(); ++c) {
    const std::vector<TokenId> joined = encode_raw(tokenizer, question + render_choice(task, problem, c));
    const auto behind = std::min(std::ssize(request.prompt_ids), std::ssize(joined));
    request.continuations.emplace_back(joined.begin() + behind, joined.end());
  }
  return request;
}

bool fits(const infer::ScoreRequest& request, const model::ModelConfig& config) {
  return std::all_of(request.continuations.begin(), request.continuations.end(),
                     [&](const std::vector<TokenId>& continuation) {
                       return std::ssize(request.prompt_ids) + std::ssize(continuation) <= model::max_tokens(config);
                     });
}

ordered_json scored_row(const Task& task, const data::Problem& problem, const std::vector<double>& sums) {
  const ScoredChoice scored = best_choices(sums, problem.choices);
  const std::vector<std::string> measures = task.measures();
  const auto letter = [](size_t index) { return std::string(1, static_cast<char>('A' + index)); };
  const size_t decides =
      static_cast<size_t>(std::find(measures.begin(), measures.end(), task.decides) - measures.begin());
  TT_CHECK(decides < measures.size(), "{} is decided by {}, which is not measured", task.suite, task.decides);
  const auto verdict = [&](size_t m) { return letter(scored.best[m]) == problem.answer ? "right" : "wrong"; };
  ordered_json row = {{"id", problem.id}, {"sample", 0}, {"gold", problem.answer}, {"logprobs", sums}};
  row["extracted"] = letter(scored.best[decides]);
  row["verdict"] = verdict(decides);
  for (size_t m = 0; m < measures.size(); ++m) row[measures[m]] = verdict(m);
  row["success"] = letter(scored.best[decides]) == problem.answer;
  row["reason"] = fmt::format("the likeliest choice by {}", task.decides);
  row["tokens"] = 0;
  row["finish"] = core::name_of(kEndingNames, Ending::Scored);
  return row;
}

ordered_json too_long_to_score(const Task& task, const data::Problem& problem) {
  ordered_json row = {{"id", problem.id}, {"sample", 0}, {"gold", problem.answer}};
  row["extracted"] = nullptr;
  row["verdict"] = "unparsed";
  for (const std::string& measure : task.measures()) row[measure] = "unparsed";
  row["success"] = false;
  row["reason"] = "the prompt and its choices exceed the model's positions";
  row["tokens"] = 0;
  row["finish"] = core::name_of(kEndingNames, Ending::TooLong);
  return row;
}

int64_t count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace

std::vector<TokenId> encode_chat(const Subject& subject, const Task& task, const std::string& question) {
  TT_CHECK(subject.chat != nullptr, "a chat prompt without a chat template");
  std::vector<core::ChatMessage> messages;
  if (!task.system.empty()) messages.push_back({"system", task.system});
  messages.push_back({"user", question});
  return subject.tokenizer.encode(subject.chat->render(text::acceptable_messages(*subject.chat, messages), true));
}

std::vector<TokenId> encode_raw(const text::Tokenizer& tokenizer, const std::string& text) {
  const std::vector<TokenId> ids = tokenizer.encode(text);
  std::vector<TokenId> whole = tokenizer.add_special_tokens(ids);
  const auto words = std::search(whole.begin(), whole.end(), ids.begin(), ids.end());
  TT_CHECK(words != whole.end() || ids.empty(), "special tokens were put inside a text");
  whole.erase(words + std::ssize(ids), whole.end());
  return whole;
}

std::vector<ordered_json> run_generation_chunk(const Subject& subject, const ResolvedTask& resolved,
                                               std::span<const data::Problem> problems, uint64_t first,
                                               const std::vector<data::Example>& examples, uint64_t seed,
                                               const OnProgress& on_progress) {
  const Task& task = resolved.task;
  std::vector<infer::Request> requests;
  std::vector<size_t> request_of;  // by problem, or kNone
  ChunkProgress done;
  int64_t most_tokens = 0;
  const int64_t num_samples = std::ssize(problems) * task.samples;
  const auto tell = [&] {
    const double by_tokens = static_cast<double>(done.tokens) / static_cast<double>(most_tokens);
    done.share = std::max(by_tokens, static_cast<double>(done.samples) / static_cast<double>(num_samples));
    on_progress(done);
  };
  for (size_t p = 0; p < problems.size(); ++p) {
    const std::string question = render_question(task, problems[p], examples);
    infer::Request request;
    request.prompt_ids =
        task.form == PromptForm::Chat ? encode_chat(subject, task, question) : encode_raw(subject.tokenizer, question);
    const int64_t room = model::max_tokens(subject.config) - std::ssize(request.prompt_ids);
    request.num_samples = task.samples;
    request.max_new_tokens = std::min(task.max_new_tokens, room);
    request.prompt_number = first + p;
    request.stop_texts = task.stop;
    request.on_token = [&](uint32_t, TokenId) {
      ++done.tokens;
      tell();
    };
    request.on_end = [&](uint32_t, const infer::Generation&) {
      ++done.samples;
      tell();
    };
    most_tokens += task.samples * std::max<int64_t>(request.max_new_tokens, 0);
    request_of.push_back(room >= 1 ? requests.size() : kNone);
    if (room >= 1)
      requests.push_back(std::move(request));
    else
      done.samples += task.samples;
  }
  const core::RandomKey key = {.seed = seed, .stream = core::Stream::Evaluation, .step = hash_of(task.suite)};
  const auto generations =
      subject.engine.generate(requests, {.temperature = task.temperature, .top_p = task.top_p}, key);
  std::vector<ordered_json> rows;
  for (size_t p = 0; p < problems.size(); ++p)
    for (size_t s = 0; s < static_cast<size_t>(task.samples); ++s)
      rows.push_back(generated_row(task, problems[p], s,
                                   request_of[p] == kNone
                                       ? Response{.text = "", .num_tokens = 0, .ending = Ending::TooLong}
                                       : to_response(generations[request_of[p]][s], task, subject.tokenizer)));
  return rows;
}

ScoredChoice best_choices(const std::vector<double>& sums, const std::vector<std::string>& choices) {
  ScoredChoice scored;
  double best[3] = {0, 0, 0};
  for (size_t i = 0; i < sums.size(); ++i) {
    const double values[3] = {sums[i], sums[i] / static_cast<double>(count_characters(choices[i])),
                              sums[i] / static_cast<double>(choices[i].size())};
    for (size_t m = 0; m < 3; ++m)
      if (i == 0 || values[m] > best[m]) {
        best[m] = values[m];
        scored.best[m] = i;
      }
  }
  return scored;
}

std::vector<ordered_json> run_scoring_chunk(const Subject& subject, const ResolvedTask& resolved,
                                            std::span<const data::Problem> problems,
                                            const std::vector<data::Example>& examples, const OnProgress& on_progress) {
  const Task& task = resolved.task;
  ChunkProgress done;
  const auto tell_one_more = [&] {
    ++done.samples;
    done.share = static_cast<double>(done.samples) / static_cast<double>(problems.size());
    on_progress(done);
  };
  std::vector<infer::ScoreRequest> requests;
  std::vector<size_t> request_of;  // by problem, or kNone
  for (const data::Problem& problem : problems) {
    infer::ScoreRequest request = score_request(task, problem, examples, subject.tokenizer);
    request_of.push_back(fits(request, subject.config) ? requests.size() : kNone);
    if (request_of.back() == kNone)
      tell_one_more();
    else
      requests.push_back(std::move(request));
  }
  const auto logprobs = subject.engine.score(requests, tell_one_more);
  std::vector<ordered_json> rows;
  for (size_t p = 0; p < problems.size(); ++p) {
    if (request_of[p] == kNone) {
      rows.push_back(too_long_to_score(task, problems[p]));
      continue;
    }
    std::vector<double> sums;
    for (const std::vector<float>& of_a_choice : logprobs[request_of[p]])
      sums.push_back(std::accumulate(of_a_choice.begin(), of_a_choice.end(), 0.0));
    rows.push_back(scored_row(task, problems[p], sums));
  }
  return rows;
}

}  // namespace thinktune::eval
