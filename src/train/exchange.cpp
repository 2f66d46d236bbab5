#include "exchange.h"

#include "bytes.h"
#include "thinktune/core/error.h"

namespace thinktune::rollout {

template <class Archive>
void serialize(Archive& archive, RewardPart& p) {
  archive(p.name, p.weight, p.value);
}

template <class Archive>
void serialize(Archive& archive, Judgement& j) {
  archive(j.verdict, j.strict, j.lenient, j.success, j.reward, j.scored, j.extracted, j.reason, j.parts);
}

template <class Archive>
void serialize(Archive& archive, Guidance& g) {
  archive(g.guided, g.outcome, g.opinion, g.teacher_reply, g.before);
}

template <class Archive>
void serialize(Archive& archive, Rollout& r) {
  archive(r.ids, r.origin, r.sampler_logprobs, r.old_logprobs, r.finish, r.text, r.judgement, r.guidance, r.advantage);
}

}  // namespace thinktune::rollout

namespace thinktune::guidance {

template <class Archive>
void serialize(Archive& archive, TeacherReply& r) {
  archive(r.text, r.ended);
}

}  // namespace thinktune::guidance

namespace thinktune::train {
namespace {

template <class T>
std::vector<T> part_of(const comm::Communicator& comm, const std::vector<T>& all) {
  std::vector<T> part;
  for (size_t i = static_cast<size_t>(comm.rank()); i < all.size(); i += static_cast<size_t>(comm.size()))
    part.push_back(all[i]);
  return part;
}

// From the parts of all ranks `count` elements in their order.
template <class T>
std::vector<T> gather_parts(comm::Communicator& comm, const std::vector<T>& own, size_t count, const char* what) {
  std::vector<std::vector<T>> parts;
  for (const std::string& bytes : comm.all_gather_bytes(to_bytes(own), what))
    parts.push_back(from_bytes<std::vector<T>>(bytes));
  std::vector<T> all;
  for (size_t i = 0; i < count; ++i) {
    std::vector<T>& part = parts[i % parts.size()];
    TT_CHECK(i / parts.size() < part.size(), "{}: a rank has only {}", what, part.size());
    all.push_back(std::move(part[i / parts.size()]));
  }
  return all;
}

class DividedTeacher final : public guidance::Teacher {
 public:
  DividedTeacher(comm::Communicator& comm, std::unique_ptr<guidance::Teacher> teacher, ShardedWeights* weights)
      : comm_(comm), teacher_(std::move(teacher)), weights_(weights) {}

  std::vector<guidance::TeacherReply> reply(const std::vector<guidance::TeacherRequest>& requests) override {
    const std::vector<guidance::TeacherRequest> own = part_of(comm_, requests);
    const std::vector<guidance::TeacherReply> replies = passes_through(
        weights_, [&] { return own.empty() ? std::vector<guidance::TeacherReply>() : teacher_->reply(own); });
    return gather_parts(comm_, replies, requests.size(), "the teacher's replies");
  }

 private:
  comm::Communicator& comm_;
  std::unique_ptr<guidance::Teacher> teacher_;
  ShardedWeights* weights_;
};

}  // namespace

std::vector<rollout::Prompt> own_part(const comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts) {
  return part_of(comm, prompts);
}

std::vector<rollout::Group> gather_groups(comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts,
                                          std::vector<rollout::Group> own) {
  if (comm.size() == 1) return own;
  std::vector<std::vector<rollout::Rollout>> own_rollouts;
  for (rollout::Group& group : own) own_rollouts.push_back(std::move(group.rollouts));
  std::vector<std::vector<rollout::Rollout>> rollouts =
      gather_parts(comm, own_rollouts, prompts.size(), "the rollouts");
  std::vector<rollout::Group> groups;
  for (size_t i = 0; i < prompts.size(); ++i) groups.push_back({prompts[i], std::move(rollouts[i])});
  return groups;
}

void judge_guided(comm::Communicator& comm, std::vector<rollout::Group>& groups, reward::Reward& reward) {
  std::vector<rollout::Sampled> guided;
  for (rollout::Group& group : groups)
    for (rollout::Rollout& rollout : group.rollouts)
      if (rollout.guidance.guided) guided.push_back({&group.prompt, &rollout});
  if (comm.size() == 1 || guided.empty()) return reward::judge(guided, reward);

  const std::vector<rollout::Sampled> own = part_of(comm, guided);
  reward::judge(own, reward);
  std::vector<rollout::Judgement> judgements;
  for (const rollout::Sampled& sampled : own) judgements.push_back(sampled.rollout->judgement);
  judgements = gather_parts(comm, judgements, guided.size(), "the judgements");
  for (size_t i = 0; i < guided.size(); ++i) guided[i].rollout->judgement = std::move(judgements[i]);
}

std::unique_ptr<guidance::Teacher> divide_teacher(comm::Communicator& comm, std::unique_ptr<guidance::Teacher> teacher,
                                                  ShardedWeights* weights) {
  if (comm.size() == 1) return teacher;
  return std::make_unique<DividedTeacher>(comm, std::move(teacher), weights);
}

}  // namespace thinktune::train
