#include "thinktune/guidance/guidance.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/guidance/reply.h"

namespace thinktune::guidance {
namespace {

using rollout::Group;
using rollout::Rollout;

// A linear schedule down to 0 may leave a rounding error of init · 2^-53 there.
constexpr double kZeroShare = 1e-12;

// First step from which on the schedule never asks the teacher again.
int64_t first_step_without_teacher(const GuidanceOptions& options, const algo::TeachingSchedule& schedule,
                                   int64_t num_steps) {
  if (!options.enabled) return 0;
  if (options.select != Select::GroupsWithoutSuccess) return schedule.turned_off_at();
  int64_t step = num_steps;
  while (step > 0 && schedule.value(step - 1) <= kZeroShare) --step;
  return step;
}

double share_that_ended(const std::vector<Group>& groups) {
  int64_t num_rollouts = 0, num_ended = 0;
  for (const Group& group : groups)
    for (const Rollout& rollout : group.rollouts) {
      ++num_rollouts;
      num_ended += rollout.finish == rollout::Finish::EndOfTurn;
    }
  return num_rollouts == 0 ? 0.0 : static_cast<double>(num_ended) / static_cast<double>(num_rollouts);
}

std::string_view verifier_opinion(const rollout::Judgement& judgement) {
  return judgement.verdict == rollout::Verdict::Right ? kCorrect : kIncorrect;
}

void report_event(const GuardVerdict& verdict, const GuardOptions& options, int64_t step) {
  const std::string shares =
      fmt::format("the share of responses that end by themselves is {:.3f} (mean of {} steps), it was {:.3f}",
                  verdict.running, options.window, verdict.baseline);
  switch (verdict.event) {
    case GuardEvent::None:
      return;
    case GuardEvent::Paused:
      spdlog::warn("GUIDANCE PAUSED at step {} for {} steps: {}", step, options.pause_steps, shares);
      return;
    case GuardEvent::PausedAgain:
      spdlog::warn("GUIDANCE STAYS PAUSED at step {} for {} more steps: {}", step, options.pause_steps, shares);
      return;
    case GuardEvent::Resumed:
      spdlog::warn("GUIDANCE RESUMED at step {}: {}", step, shares);
      return;
    case GuardEvent::Warned:
      spdlog::warn(
          "the student may be forgetting how to end its turns, step {}: {}; guidance.guard.enabled would pause "
          "guidance",
          step, shares);
  }
}

}  // namespace

PromptView prompt_view(const GuidanceOptions& options) {
  return {.teacher_sees = options.teacher_sees, .repeat_question = options.repeat_question};
}

Guide::Guide(const GuidanceOptions& options, const GuideSetup& setup, const text::Tokenizer& tokenizer,
             Teacher& teacher)
    : options_((validate(options), options)),
      setup_(setup),
      tokenizer_(tokenizer),
      teacher_(teacher),
      schedule_(options.schedule, setup.num_steps),
      teacher_until_(first_step_without_teacher(options, schedule_, setup.num_steps)) {
  TT_CHECK(!setup.end_of_turn_ids.empty(), "the model has no end-of-turn token");
  TT_CHECK(setup.response_limit >= 1 && setup.group_size >= 1, "limit {}, group size {}", setup.response_limit,
           setup.group_size);
  spdlog::info("{}", describe_selection(options_, setup.group_size));
  if (options_.enabled && teacher_until_ < setup.num_steps)
    spdlog::info("guidance: the teacher leaves at step {} of {}", teacher_until_, setup.num_steps);
}

bool Guide::teacher_on(int64_t step) const {
  if (!needs_teacher(step)) return false;
  return options_.select == Select::GroupsWithoutSuccess ? schedule_.value(step) > kZeroShare
                                                         : schedule_.teacher_on(step);
}

GuidanceReport Guide::guide(std::vector<Group>& groups, int64_t step) {
  GuidanceReport report;
  report.num_groups = static_cast<int64_t>(groups.size());
  for (Group& group : groups) {
    report.num_rollouts += static_cast<int64_t>(group.rollouts.size());
    for (Rollout& rollout : group.rollouts) rollout.guidance = {};
  }
  report.scheduled_share = schedule_.value(step);
  report.teacher_on = teacher_on(step);
  if (!report.teacher_on) return report;

  watch(groups, step, report);
  if (report.paused) return report;

  const SelectionResult selected = select_rollouts(groups, setup_.end_of_turn_ids, options_, report.scheduled_share,
                                                   {.seed = setup_.seed, .step = step});
  report.num_eligible = selected.num_eligible;
  report.num_candidates = selected.num_candidates;
  report.num_selected = static_cast<int64_t>(selected.chosen.size());
  report.num_empty = selected.num_empty;
  report.num_groups_without_eligible = selected.num_groups_without_eligible;
  report.num_groups_without_success = selected.num_groups_without_success;

  ask(groups, selected.chosen, report);
  if (report.num_rollouts > 0)
    report.guided_share = static_cast<double>(report.num_guided) / static_cast<double>(report.num_rollouts);
  return report;
}

void Guide::watch(const std::vector<Group>& groups, int64_t step, GuidanceReport& report) {
  if (report.num_rollouts == 0) return;
  report.ended_share = share_that_ended(groups);
  const GuardVerdict verdict = observe(guard_, options_.guard, step, report.ended_share);
  report.paused = verdict.paused;
  report_event(verdict, options_.guard, step);
}

std::string Guide::what_is_missing(const rollout::Prompt& prompt) const {
  if (options_.teacher_sees == TeacherSees::Answer && stripped(prompt.gold).empty()) return "no_answer";
  if (options_.teacher_sees == TeacherSees::Solution && stripped(prompt.solution).empty()) return "no_solution";
  return "";
}

void Guide::ask(std::vector<Group>& groups, const std::vector<Chosen>& chosen, GuidanceReport& report) {
  std::vector<TeacherRequest> requests;
  std::vector<Rollout*> asked;
  for (const Chosen& at : chosen) {
    const rollout::Prompt& prompt = groups[at.group].prompt;
    Rollout& rollout = groups[at.group].rollouts[at.rollout];
    rollout.guidance.before = rollout.judgement;
    rollout.guidance.outcome = what_is_missing(prompt);
    if (!rollout.guidance.outcome.empty()) continue;
    const Exercise exercise{prompt.problem, rollout.text, prompt.gold, prompt.solution};
    TeacherRequest request{.messages = {TeacherPrompt::request_message(exercise, prompt_view(options_))}};
    if (options_.opinion == Opinion::Verifier) request.forced_opinion = verifier_opinion(rollout.judgement);
    requests.push_back(std::move(request));
    asked.push_back(&rollout);
  }
  report.num_asked = static_cast<int64_t>(requests.size());
  if (requests.size() < chosen.size() && !std::exchange(warned_nothing_to_show_, true))
    spdlog::warn(
        "guidance: {} of {} selected rollouts belong to problems without the {} that guidance.teacher_sees asks for; "
        "such "
        "rollouts are not guided",
        chosen.size() - requests.size(), chosen.size(), core::name_of(kTeacherSeesNames, options_.teacher_sees));

  if (!requests.empty()) {
    const std::vector<TeacherReply> replies = teacher_.reply(requests);
    TT_CHECK(replies.size() == requests.size(), "{} replies to {} requests", replies.size(), requests.size());
    for (size_t i = 0; i < replies.size(); ++i) apply(*asked[i], replies[i], report);
  }
  for (const Chosen& at : chosen) ++report.outcomes[groups[at.group].rollouts[at.rollout].guidance.outcome];
}

void Guide::apply(Rollout& rollout, const TeacherReply& reply, GuidanceReport& report) {
  rollout::Guidance& guidance = rollout.guidance;
  guidance.teacher_reply = reply.text;
  const ParsedReply parsed = parse_reply(reply.text, reply.ended);
  if (parsed.error != ReplyError::None) {
    guidance.outcome = core::name_of(kReplyErrorNames, parsed.error);
    return;
  }
  ++report.num_replies_valid;
  guidance.opinion = parsed.opinion;
  report.num_opinions_agree += parsed.opinion == verifier_opinion(guidance.before);

  const int64_t limit = options_.response_limit > 0 ? options_.response_limit : setup_.response_limit;
  const SpliceResult spliced = splice(rollout, parsed, tokenizer_,
                                      {.use = options_.use,
                                       .response_limit = limit,
                                       .max_used_reply_tokens = options_.max_used_reply_tokens,
                                       .end_of_turn = setup_.end_of_turn_ids.front()});
  if (spliced.outcome == SpliceOutcome::NoRoom) {
    guidance.outcome = "no_room";
    return;
  }
  guidance.guided = true;
  guidance.outcome = "guided";
  ++report.num_guided;
  report.num_cut += spliced.outcome == SpliceOutcome::Cut;
  report.num_replies_cut += spliced.reply_cut;
}

}  // namespace thinktune::guidance
