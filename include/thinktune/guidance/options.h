// Settings of guidance. The defaults are the published method (ThinkTuning, arXiv 2508.07616); what departs from it was
// seen to be needed by small models.
#pragma once

#include <cstdint>
#include <string>

#include "thinktune/algo/teaching_schedule.h"
#include "thinktune/core/options.h"

namespace thinktune::guidance {

// What the scheduled share is taken of.
enum class Selection {
  Group,   // of each group's eligible rollouts, at least one in every group that has one
  Global,  // of the whole batch's eligible rollouts, at least one in the batch
};
inline const core::Choices<Selection> kSelectionNames = {{"group", Selection::Group}, {"global", Selection::Global}};

// Which eligible rollouts can be taken.
enum class Select {
  Random,               // any
  Wrong,                // those not judged Right
  GroupsWithoutSuccess  // those of groups in which no rollout earned a reward; the schedule only says whether, not how
                        // many
};
inline const core::Choices<Select> kSelectNames = {
    {"random", Select::Random}, {"wrong", Select::Wrong}, {"groups_without_success", Select::GroupsWithoutSuccess}};

// Who says whether the response is correct.
enum class Opinion { Model, Verifier };
inline const core::Choices<Opinion> kOpinionNames = {{"model", Opinion::Model}, {"verifier", Opinion::Verifier}};

// What the teacher is told besides the question and the response.
enum class TeacherSees { Nothing, Answer, Solution };
inline const core::Choices<TeacherSees> kTeacherSeesNames = {
    {"nothing", TeacherSees::Nothing}, {"answer", TeacherSees::Answer}, {"solution", TeacherSees::Solution}};

// How the reply comes to have its three parts.
enum class Format {
  Free,        // the teacher writes the tags itself; a reply that is not in form is not used
  Constrained  // the tags are written for it, it fills them
};
inline const core::Choices<Format> kFormatNames = {{"free", Format::Free}, {"constrained", Format::Constrained}};

// Which tokens of a guided rollout are in the loss and shaped as guided ones.
enum class LossOn {
  WholeTrajectory,  // every response token
  // The teacher's, with the end-of-turn token behind them. Neither the student's own nor the empty line between both:
  // to be rewarded for going on after one's own answer is what makes a small student go on after right ones too.
  GuidanceTokens
};
inline const core::Choices<LossOn> kLossOnNames = {{"whole_trajectory", LossOn::WholeTrajectory},
                                                   {"guidance_tokens", LossOn::GuidanceTokens}};

// What becomes of the teacher's words.
enum class Use {
  Splice,  // reason and phrase behind the student's response
  Replace  // the phrase instead of the student's response: a demonstration
};
inline const core::Choices<Use> kUseNames = {{"splice", Use::Splice}, {"replace", Use::Replace}};

// Watches whether the student still ends its turns.
struct GuardOptions {
  bool enabled = false;  // pause guidance; off: only say so in the log
  double max_drop =
      0.1;  // allowed fall of the share of responses that end by themselves, against the mean of the first steps
  int64_t window = 4;        // steps in the mean of the first steps, and in the running mean
  int64_t pause_steps = 10;  // steps without guidance; then the running mean is looked at again
};
void describe(core::Fields& fields, GuardOptions& options);
void validate(const GuardOptions& options);

struct GuidanceOptions {
  bool enabled = true;  // off: plain GRPO, no teacher is loaded
  algo::ScheduleOptions schedule;
  Selection selection = Selection::Group;
  Select select = Select::Random;
  int64_t per_group = 1;  // rollouts of each group, with select = groups_without_success
  Opinion opinion = Opinion::Model;
  TeacherSees teacher_sees = TeacherSees::Nothing;
  Format format = Format::Free;
  LossOn loss_on = LossOn::WholeTrajectory;
  Use use = Use::Splice;
  int64_t response_limit = 0;  // tokens of a guided response; 0: the run's limit
  std::string prompt_file;     // JSON of teacher_prompt.h; empty: the built-in one, configs/teacher/general.json
  bool repeat_question =
      false;  // state the question a second time behind the response (the public code states it twice)
  int64_t max_teacher_prompt_tokens = 3072;  // longer prompts lose their beginning
  int64_t max_reply_tokens = 1024;           // generated, format = free
  int64_t max_used_reply_tokens = 512;       // of the teacher's words that are put into the response
  int64_t max_reason_tokens = 128;           // generated, format = constrained
  int64_t max_phrase_tokens = 384;           // generated, format = constrained
  GuardOptions guard;
};
void describe(core::Fields& fields, GuidanceOptions& options);
// Throws Error{User} naming the field, also for settings that contradict each other.
void validate(const GuidanceOptions& options);

// One sentence for the log: how many rollouts of a group of `group_size` the settings guide. The published γ = .1 with
// groups of five guides one in five, because every group has at least one.
std::string describe_selection(const GuidanceOptions& options, int64_t group_size);

}  // namespace thinktune::guidance
