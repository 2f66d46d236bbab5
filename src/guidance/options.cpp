#include "thinktune/guidance/options.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinktune::guidance {

void describe(core::Fields& f, GuardOptions& o) {
  f.boolean("enabled", o.enabled, "pause guidance when the student stops ending its turns; off: only warn");
  f.number("max_drop", o.max_drop, {.min = 0.0, .max = 1.0, .min_excluded = true},
           "allowed fall of the share of responses that end by themselves, against the mean of the first steps");
  f.integer("window", o.window, core::at_least(int64_t{1}),
            "steps in the mean of the first steps, and in the running mean");
  f.integer("pause_steps", o.pause_steps, core::at_least(int64_t{1}),
            "steps without guidance before the share is looked at again");
}

void validate(const GuardOptions& options) { core::check_ranges(options, "guidance.guard"); }

void describe(core::Fields& f, GuidanceOptions& o) {
  const core::IntRange tokens = core::at_least(int64_t{1});
  f.boolean("enabled", o.enabled, "a teacher guides some rollouts; off: plain GRPO");
  f.group("schedule", o.schedule, "share of guided rollouts by step");
  f.choice(
      "selection", o.selection, kSelectionNames,
      "what the schedule's share is taken of. group: each group, at least one rollout of it; global: the whole batch");
  f.choice("select", o.select, kSelectNames,
           "which rollouts can be guided. random: any; wrong: those not judged right; groups_without_success: those of "
           "groups in "
           "which none earned a reward");
  f.integer("per_group", o.per_group, core::at_least(int64_t{1}),
            "select = groups_without_success: how many rollouts of each such group are guided");
  f.choice("opinion", o.opinion, kOpinionNames,
           "who says whether a response is correct. model: the teacher; verifier: the comparison with the answer");
  f.choice("teacher_sees", o.teacher_sees, kTeacherSeesNames, "what the teacher is told besides question and response");
  f.choice("format", o.format, kFormatNames,
           "free: the teacher writes the tags itself, and a reply that is not in form is not used; constrained: they "
           "are written "
           "for it, and it fills them");
  f.choice("loss_on", o.loss_on, kLossOnNames,
           "tokens of a guided rollout that are in the loss. whole_trajectory: all; guidance_tokens: only the "
           "teacher's, without "
           "the empty line before them");
  f.choice("use", o.use, kUseNames,
           "splice: the teacher's words go behind the response; replace: its phrase stands instead of it");
  f.integer("response_limit", o.response_limit, core::at_least(int64_t{0}),
            "limit of a guided response, the teacher's words included, in tokens; 0: rollout.max_new_tokens");
  f.text("prompt_file", o.prompt_file, "JSON with the teacher's system text and examples; empty: the built-in one");
  f.boolean("repeat_question", o.repeat_question, "state the question a second time behind the response");
  f.integer("max_teacher_prompt_tokens", o.max_teacher_prompt_tokens, tokens,
            "longer teacher prompts lose their beginning");
  f.integer("max_reply_tokens", o.max_reply_tokens, tokens, "format = free: tokens generated for a reply");
  f.integer("max_used_reply_tokens", o.max_used_reply_tokens, tokens,
            "tokens of the teacher's words put into a response");
  f.integer("max_reason_tokens", o.max_reason_tokens, tokens, "format = constrained: tokens generated for the reason");
  f.integer("max_phrase_tokens", o.max_phrase_tokens, tokens, "format = constrained: tokens generated for the phrase");
  f.group("guard", o.guard, "pauses guidance when the student stops ending its turns");
}

void validate(const GuidanceOptions& o) {
  core::check_ranges(o, "guidance");
  algo::validate(o.schedule);
  validate(o.guard);
  const bool by_group_outcome = o.select == Select::GroupsWithoutSuccess;
  if (by_group_outcome && o.selection == Selection::Global)
    throw core::user_error(
        "guidance.selection is global, but guidance.select is groups_without_success",
        "groups_without_success takes per_group rollouts of each such group; leave selection at group");
  if (!by_group_outcome && o.per_group != 1)
    throw core::user_error(fmt::format("guidance.per_group is {}, but guidance.select is {}", o.per_group,
                                       core::name_of(kSelectNames, o.select)),
                           "per_group counts with groups_without_success only; elsewhere the schedule says how many");
}

std::string describe_selection(const GuidanceOptions& o, int64_t group_size) {
  if (!o.enabled) return "guidance: off";
  if (o.select == Select::GroupsWithoutSuccess)
    return fmt::format("guidance: {} of {} rollouts in every group in which none earned a reward",
                       std::min(o.per_group, group_size), group_size);
  const char* kind = o.select == Select::Wrong ? "wrong " : "";
  if (o.selection == Selection::Global)
    return fmt::format("guidance: a share of {:g} of the batch's eligible {}rollouts at first, at least one",
                       o.schedule.init, kind);
  const int64_t count = algo::guided_count(group_size, o.schedule.init);
  return fmt::format(
      "guidance: a share of {:g} at first, at least one eligible {}rollout a group: {} of {}, {:.3g} % of the rollouts",
      o.schedule.init, kind, count, group_size, 100.0 * static_cast<double>(count) / static_cast<double>(group_size));
}

}  // namespace thinktune::guidance
