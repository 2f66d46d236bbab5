// Guidance of one step: choose rollouts, ask the teacher, put its words into them (ThinkTuning "One step" 2–6). The
// parts, in order: select.h → teacher_prompt.h → teacher.h → reply.h → splice.h; guard.h watches. Settings: options.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thinktune/algo/teaching_schedule.h"
#include "thinktune/guidance/guard.h"
#include "thinktune/guidance/options.h"
#include "thinktune/guidance/select.h"
#include "thinktune/guidance/splice.h"
#include "thinktune/guidance/teacher.h"
#include "thinktune/guidance/teacher_prompt.h"
#include "thinktune/rollout/types.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::guidance {

// What guidance needs to know of the run.
struct GuideSetup {
  uint64_t seed = 0;
  int64_t num_steps = 1;
  int64_t group_size = 1;                // for the log line alone
  int64_t response_limit = 1024;         // the run's, in tokens
  std::vector<TokenId> end_of_turn_ids;  // all of them; the first is the one that is written
};

struct GuidanceReport {
  bool teacher_on = false;     // by options and schedule
  bool paused = false;         // by the guard
  double scheduled_share = 0;  // the schedule's value
  double guided_share = 0;     // guided rollouts of all rollouts
  double ended_share = 0;      // rollouts that ended by themselves, before guidance; 0 if the teacher is off
  int64_t num_groups = 0;
  int64_t num_rollouts = 0;
  int64_t num_eligible = 0;
  int64_t num_candidates = 0;  // eligible, and of the kind that `select` asks for
  int64_t num_selected = 0;
  int64_t num_asked = 0;  // sent to the teacher
  int64_t num_replies_valid = 0;
  int64_t num_guided = 0;
  int64_t num_cut = 0;          // guided, and cut at the response limit
  int64_t num_replies_cut = 0;  // guided, and the teacher's words cut at max_used_reply_tokens
  int64_t num_empty = 0;        // responses without text, never eligible
  int64_t num_groups_without_eligible = 0;
  int64_t num_groups_without_success = 0;
  int64_t num_opinions_agree = 0;           // of valid replies: the opinion is the verifier's
  std::map<std::string, int64_t> outcomes;  // Guidance.outcome → count, over selected rollouts
};

// One object a run; not for several threads. What it is given must outlive it; the teacher only as long as
// needs_teacher() holds.
class Guide {
 public:
  // Validates the options, and logs once what the selection amounts to.
  Guide(const GuidanceOptions& options, const GuideSetup& setup, const text::Tokenizer& tokenizer, Teacher& teacher);

  // Guides rollouts of these groups, which must have been judged. Sets Rollout.guidance of every rollout, `before` of
  // the selected ones, and what splice() changes of the guided ones: their judgement is still that of the student's own
  // response, so the caller judges them again. Outcomes: "" not selected; "guided"; "no_answer" or "no_solution" (the
  // problem has not what the teacher is to see; it is not asked); a name of kReplyErrorNames; "no_room" (no token of
  // the teacher's fits). None stops the run. A function of options, setup, groups, step and guard state; steps must
  // rise.
  GuidanceReport guide(std::vector<rollout::Group>& groups, int64_t step);

  // Whether a step from this one on can ask the teacher. Once it is false it stays so: the teacher's memory can be
  // freed.
  bool needs_teacher(int64_t step) const { return step < teacher_until_; }

  const GuardState& guard_state() const { return guard_; }
  void set_guard_state(GuardState state) { guard_ = std::move(state); }

 private:
  bool teacher_on(int64_t step) const;
  void watch(const std::vector<rollout::Group>& groups, int64_t step, GuidanceReport& report);
  void ask(std::vector<rollout::Group>& groups, const std::vector<Chosen>& chosen, GuidanceReport& report);
  void apply(rollout::Rollout& rollout, const TeacherReply& reply, GuidanceReport& report);
  std::string what_is_missing(const rollout::Prompt& prompt) const;

  GuidanceOptions options_;
  GuideSetup setup_;
  const text::Tokenizer& tokenizer_;
  Teacher& teacher_;
  algo::TeachingSchedule schedule_;
  int64_t teacher_until_;  // first step from which on the teacher is never asked
  GuardState guard_;
  bool warned_nothing_to_show_ = false;
};

// The view of the teacher's prompt that the options ask for.
PromptView prompt_view(const GuidanceOptions& options);

}  // namespace thinktune::guidance
