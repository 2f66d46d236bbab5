#include "thinktune/train/doctor.h"

#include <ATen/ATen.h>

#include <exception>
#include <optional>

#include "doctor_parts.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/errors.h"

namespace thinktune::train {

bool check(const char* name, const OnFinding& on_finding, const std::function<Verdict()>& look) {
  Finding finding{
      .check = name, .health = Health::Failed, .found = "", .advice = "", .kind = core::ErrorKind::Internal};
  try {
    const Verdict verdict = look();
    finding = {name, verdict.health, verdict.found, verdict.advice, verdict.kind};
  } catch (const std::exception& exception) {
    const core::Error error = to_error(exception);
    finding = {name, Health::Failed, error.message(), error.hint(), error.kind()};
  }
  on_finding(finding);
  return finding.health != Health::Failed;
}

void skip(const char* name, const OnFinding& on_finding, const std::string& why) {
  on_finding({.check = name, .health = Health::Skipped, .found = why, .advice = ""});
}

namespace {

// Every operation of a run, on numbers whose results are known: the first that gave others; "" if none did. All of them
// are done whatever one gave, as the other ranks do them too.
std::string wrong_operation(comm::Communicator& ranks, at::Device device) {
  const int64_t R = ranks.size(), r = ranks.rank();
  const at::TensorOptions f32 = at::TensorOptions(device).dtype(at::kFloat);
  const auto blocks = [&](int64_t first, int64_t step) {  // four times each of R numbers
    return at::arange(R, f32).mul(static_cast<double>(step)).add(static_cast<double>(first)).repeat_interleave(4);
  };
  const auto block = [&](int64_t number) { return at::full({4}, static_cast<double>(number), f32); };
  std::string wrong;
  const auto expect = [&](const char* operation, const at::Tensor& result, const at::Tensor& known) {
    if (wrong.empty() && !at::equal(result, known)) wrong = operation;
  };
  const at::Tensor sum = block(r + 1), share = at::empty({4}, f32), all = at::empty({4 * R}, f32),
                   turned = at::empty({4 * R}, f32), one = block(r);
  ranks.all_reduce(sum, "doctor: all-reduce");
  expect("all-reduce", sum, block(R * (R + 1) / 2));
  ranks.start_reduce_scatter(share, blocks(0, 1), "doctor: reduce-scatter")->wait();
  expect("reduce-scatter", share, block(r * R));
  ranks.start_all_gather(all, block(r), "doctor: all-gather")->wait();
  expect("all-gather", all, blocks(0, 1));
  ranks.start_all_to_all(turned, blocks(r * R, 1), "doctor: all-to-all")->wait();
  expect("all-to-all", turned, blocks(r, R));
  ranks.broadcast(one, R - 1, "doctor: broadcast");
  expect("broadcast", one, block(R - 1));
  return wrong.empty() ? "" : fmt::format("{} over {}", wrong, device.is_cuda() ? "NCCL" : "Gloo");
}

double seconds_of_sum(comm::Communicator& ranks, at::Device device) {
  const at::Tensor sum = at::zeros({int64_t{1} << 20}, at::TensorOptions(device).dtype(at::kFloat));
  ranks.all_reduce(sum, "doctor: first sum");  // what is made once for a size is made here
  ops::synchronize(device);
  ranks.barrier("doctor: begin");
  const core::Stopwatch watch;
  ranks.all_reduce(sum, "doctor: timed sum");
  ops::synchronize(device);
  return watch.seconds();
}

}  // namespace

void examine_ranks(comm::Communicator& ranks, const std::string& device_name, const OnFinding& on_finding) {
  check("ranks", on_finding, [&]() -> Verdict {
    const int64_t R = ranks.size();
    if (R == 1) return {.found = "one rank: nothing travels (--nproc N tries N of them)"};
    std::vector<at::Device> devices = {at::kCPU};
    if (const at::Device device = ops::open_device(device_name); device.is_cuda()) devices.push_back(device);
    std::string wrong, times;
    for (const at::Device device : devices) {
      const std::string on_device = wrong_operation(ranks, device);
      if (wrong.empty()) wrong = on_device;
      times += fmt::format("{}{} over {}", times.empty() ? "" : ", ",
                           core::human_duration(seconds_of_sum(ranks, device)), device.is_cuda() ? "NCCL" : "Gloo");
    }
    const std::vector<std::string> said =
        ranks.all_gather_bytes(fmt::format("{}:{}", ranks.rank(), wrong), "doctor: what was wrong");
    if (!ranks.is_first()) return {};
    constexpr const char* kAdvice = "the network or its library is at fault: a run's weights would be wrong";
    for (int64_t rank = 0; rank < R; ++rank) {
      const std::string &text = said[static_cast<size_t>(rank)], begin = fmt::format("{}:", rank);
      if (!text.starts_with(begin))
        return {Health::Failed, fmt::format("the exchange of texts of {} ranks gives others", R), kAdvice,
                core::ErrorKind::Device};
      if (text != begin)
        return {Health::Failed,
                fmt::format("the {} of {} ranks gives wrong numbers on rank {}", text.substr(begin.size()), R, rank),
                kAdvice, core::ErrorKind::Device};
    }
    return {.found = fmt::format("{} ranks: sums and copies are right; the sum of 4 MiB took {}", R, times)};
  });
}

void examine_run(const TrainOptions& options, const ExamineOptions& how, const OnFinding& on_finding) {
  const OnFinding& say = on_finding;
  check("settings", say, [&]() -> Verdict {
    validate(options);
    std::string sizes = describe_sizes(options);
    return {.found = sizes.substr(0, sizes.find('\n'))};
  });
  check("device", say,
        [&]() -> Verdict { return {.found = "computes on " + ops::describe(ops::open_device(options.device))}; });

  std::vector<data::Problem> problems;
  check("data", say, [&]() -> Verdict {
    data::validate(options.data);
    data::Problems loaded = data::load_problems(options.data);
    problems = std::move(loaded.train);
    Verdict verdict{.found = fmt::format("{} training problems, {} held out", problems.size(), loaded.heldout.size())};
    if (loaded.heldout.empty()) {
      verdict.health = Health::Warning;
      verdict.advice = "without data.heldout_file nothing says whether the run has made the model better";
    }
    return verdict;
  });
  if (problems.empty())
    skip("reward", say, "there are no problems");
  else
    check("reward", say, [&] { return look_at_reward(options, problems); });

  std::optional<model::Pretrained> model;
  check("model files", say, [&]() -> Verdict {
    model.emplace(options.model);
    return look_at_files(*model);
  });
  if (!model) {
    for (const char* name :
         {"memory", "disk", "tokenizer", "end of turn", "chat template", "prompts", "base model", "signal"})
      skip(name, say, "the model cannot be opened");
    return;
  }
  check("memory", say, [&] { return look_at_memory(options, model->config(), how.ranks); });
  check("disk", say, [&] { return look_at_disk(options, model->config()); });

  model::Vocabulary vocabulary;
  const bool readable = check("tokenizer", say, [&] {
    vocabulary = model->load_vocabulary({.chat_template = options.chat_template, .needs_chat = false});
    return look_at_tokenizer(*vocabulary.tokenizer, model->config().vocab_size, problems);
  });
  const bool chats =
      readable && check("chat template", say, [&]() -> Verdict {
        if (vocabulary.chat == nullptr)
          return {Health::Failed, "there is no chat template: it is a base model, or the file was left out",
                  "take the instruct version of the model, or give one: --set chat_template=FILE.jinja"};
        if (problems.empty()) return {Health::Ok, "it can be read"};
        return look_at_template(options, vocabulary, problems.front());
      });
  if (!readable) skip("chat template", say, "the tokenizer cannot be read");
  if (!chats || problems.empty()) {
    for (const char* name : {"end of turn", "prompts", "base model", "signal"})
      skip(name, say, chats ? "there are no problems" : "there is no chat template that works");
    return;
  }
  check("end of turn", say, [&] { return look_at_end_of_turn(*model, vocabulary); });
  const bool fits = check("prompts", say, [&] { return look_at_prompts(options, vocabulary, problems); });
  if (how.sampled && fits) {
    look_at_samples(options, *model, vocabulary, problems, how.num_problems, say);
  } else {
    for (const char* name : {"base model", "signal"})
      skip(name, say, fits ? "left out by --quick" : "there is no prompt that fits");
  }
}

}  // namespace thinktune::train
