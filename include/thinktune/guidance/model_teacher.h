// The teacher of a run: the frozen initial model, through the same engine as the policy. Greedy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/guidance/options.h"
#include "thinktune/guidance/teacher.h"
#include "thinktune/infer/engine.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::guidance {

struct ModelTeacherStats {
  int64_t num_requests = 0;
  int64_t num_prompts_cut = 0;    // longer than max_teacher_prompt_tokens
  int64_t num_prefix_missed = 0;  // prompts that do not begin with the held prefix (cut ones, above all)
};

class ModelTeacher final : public Teacher {
 public:
  // Everything but the options and `fixed` must outlive the teacher. `engine` is the teacher's own, over weights that
  // never change: the keys and values of what all prompts begin with (system text, examples) are computed here, once,
  // and held; anew where the engine has released it. `fixed`: TeacherPrompt::fixed_messages.
  ModelTeacher(infer::Engine& engine, const text::ChatTemplate& chat, const text::Tokenizer& tokenizer,
               std::vector<core::ChatMessage> fixed, const GuidanceOptions& options);

  // A request's messages go behind the fixed ones. A prompt above max_teacher_prompt_tokens loses its first tokens
  // (then the held prefix does not help: counted, and logged the first time). free: generated up to the end of turn or
  // max_reply_tokens; with a forced opinion "<opinion>…</opinion><reason>" is written for it
  //   and belongs to the returned text.
  // constrained: the tags are written for it. The opinion, unless forced, is the word with the larger log-probability
  // behind
  //   "<opinion>", summed over the word's tokens: that is the probability of the text, and neither word begins with the
  //   other (a mean would favour the word with more tokens, most of which are certain once the first stands). On a tie:
  //   incorrect. Then the reason and the phrase, each up to a tag, an end of turn, or its limit, as trim_part leaves
  //   it. The text is in the form of reply.h.
  std::vector<TeacherReply> reply(const std::vector<TeacherRequest>& requests) override;

  const std::vector<core::TokenId>& held_prefix() const { return held_; }
  const ModelTeacherStats& stats() const { return stats_; }

 private:
  // One request's conversation up to where the teacher begins, and how many of its first tokens are left out.
  struct Rendered {
    std::vector<text::Segment> segments;
    size_t num_dropped = 0;
  };

  std::vector<text::Segment> render(const std::vector<core::ChatMessage>& last_messages) const;
  std::vector<Rendered> render_all(const std::vector<TeacherRequest>& requests);
  // The prompt's ids with `written` as the beginning of the teacher's turn (it does not count towards the limit).
  std::vector<core::TokenId> prompt_ids(const Rendered& rendered, const std::string& written) const;
  std::vector<infer::Generation> generate(const std::vector<Rendered>& prompts, const std::vector<std::string>& written,
                                          int64_t max_tokens, const std::vector<std::string>& stop_texts);
  void decide_opinions(const std::vector<Rendered>& prompts, std::vector<std::string>& opinions);
  std::vector<TeacherReply> reply_free(const std::vector<Rendered>& prompts, const std::vector<std::string>& forced);
  std::vector<TeacherReply> reply_constrained(const std::vector<Rendered>& prompts, std::vector<std::string> opinions);

  infer::Engine& engine_;
  const text::ChatTemplate& chat_;
  const text::Tokenizer& tokenizer_;
  std::vector<core::ChatMessage> fixed_;
  GuidanceOptions options_;
  std::vector<core::TokenId> held_;
  ModelTeacherStats stats_;
};

}  // namespace thinktune::guidance
