#include "exchange.h"

#include <algorithm>
#include <numeric>

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

// Whose each of many elements is: [r]: those of rank r, in rising order.
using Deal = std::vector<std::vector<size_t>>;

// From the longest to the shortest there and back: 0 … R − 1, R − 1 … 0, 0 … So ranks differ by at most one in number,
// and little in length.
template <class T, class Length>
Deal deal(const comm::Communicator& comm, const std::vector<T>& all, Length length) {
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(all[a]) > length(all[b]); });
  const auto size = static_cast<size_t>(comm.size());
  Deal parts(size);
  for (size_t i = 0; i < order.size(); ++i) {
    const bool back = i / size % 2 == 1;
    parts[back ? size - 1 - i % size : i % size].push_back(order[i]);
  }
  for (std::vector<size_t>& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

template <class T>
std::vector<T> part_of(const comm::Communicator& comm, const std::vector<T>& all, const Deal& parts) {
  std::vector<T> part;
  for (const size_t i : parts[static_cast<size_t>(comm.rank())]) part.push_back(all[i]);
  return part;
}

// From the parts of all ranks all elements in their order.
template <class T>
std::vector<T> gather_parts(comm::Communicator& comm, const std::vector<T>& own, const Deal& parts, const char* what) {
  size_t count = 0;
  for (const std::vector<size_t>& part : parts) count += part.size();
  std::vector<T> all(count);
  const std::vector<std::string> told = comm.all_gather_bytes(to_bytes(own), what);
  for (size_t r = 0; r < parts.size(); ++r) {
    std::vector<T> part = from_bytes<std::vector<T>>(told[r]);
    TT_CHECK(part.size() == parts[r].size(), "{}: rank {} has {} of {}", what, r, part.size(), parts[r].size());
    for (size_t i = 0; i < part.size(); ++i) all[parts[r][i]] = std::move(part[i]);
  }
  return all;
}

Deal deal_prompts(const comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts) {
  return deal(comm, prompts, [](const rollout::Prompt& prompt) { return prompt.ids.size(); });
}

size_t length_of(const guidance::TeacherRequest& request) {
  size_t length = 0;
  for (const core::ChatMessage& message : request.messages) length += message.content.size();
  return length;
}

class DividedTeacher final : public guidance::Teacher {
 public:
  DividedTeacher(comm::Communicator& comm, std::unique_ptr<guidance::Teacher> teacher, ShardedWeights* weights)
      : comm_(comm), teacher_(std::move(teacher)), weights_(weights) {}

  std::vector<guidance::TeacherReply> reply(const std::vector<guidance::TeacherRequest>& requests) override {
    const Deal parts = deal(comm_, requests, length_of);
    const std::vector<guidance::TeacherRequest> own = part_of(comm_, requests, parts);
    const std::vector<guidance::TeacherReply> replies = passes_through(
        weights_, [&] { return own.empty() ? std::vector<guidance::TeacherReply>() : teacher_->reply(own); });
    return gather_parts(comm_, replies, parts, "the teacher's replies");
  }

 private:
  comm::Communicator& comm_;
  std::unique_ptr<guidance::Teacher> teacher_;
  ShardedWeights* weights_;
};

}  // namespace

std::vector<rollout::Prompt> own_part(const comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts) {
  return part_of(comm, prompts, deal_prompts(comm, prompts));
}

std::vector<rollout::Group> gather_groups(comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts,
                                          std::vector<rollout::Group> own) {
  if (comm.size() == 1) return own;
  std::vector<std::vector<rollout::Rollout>> own_rollouts;
  for (rollout::Group& group : own) own_rollouts.push_back(std::move(group.rollouts));
  std::vector<std::vector<rollout::Rollout>> rollouts =
      gather_parts(comm, own_rollouts, deal_prompts(comm, prompts), "the rollouts");
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

  const Deal parts = deal(comm, guided, [](const rollout::Sampled& sampled) { return sampled.rollout->ids.size(); });
  const std::vector<rollout::Sampled> own = part_of(comm, guided, parts);
  reward::judge(own, reward);
  std::vector<rollout::Judgement> judgements;
  for (const rollout::Sampled& sampled : own) judgements.push_back(sampled.rollout->judgement);
  judgements = gather_parts(comm, judgements, parts, "the judgements");
  for (size_t i = 0; i < guided.size(); ++i) guided[i].rollout->judgement = std::move(judgements[i]);
}

std::unique_ptr<guidance::Teacher> divide_teacher(comm::Communicator& comm, std::unique_ptr<guidance::Teacher> teacher,
                                                  ShardedWeights* weights) {
  if (comm.size() == 1) return teacher;
  return std::make_unique<DividedTeacher>(comm, std::move(teacher), weights);
}

}  // namespace thinktune::train
