#include "thinktune/train/doctor.h"

#include <ATen/ATen.h>

#include <exception>
#include <filesystem>
#include <new>
#include <optional>

#include "doctor_parts.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"

namespace thinktune::train {

bool check(const char* name, const OnFinding& on_finding, const std::function<Verdict()>& look) {
  Finding finding{
      .check = name, .health = Health::Failed, .found = "", .advice = "", .kind = core::ErrorKind::Internal};
  try {
    const Verdict verdict = look();
    finding = {name, verdict.health, verdict.found, verdict.advice, verdict.kind};
  } catch (const core::Error& error) {
    finding = {name, Health::Failed, error.message(), error.hint(), error.kind()};
  } catch (const std::filesystem::filesystem_error& error) {
    finding = {name, Health::Failed, error.what(), "", core::ErrorKind::User};
  } catch (const std::bad_alloc&) {
    finding = {name, Health::Failed, "out of memory", "a smaller model is needed, or a larger machine",
               core::ErrorKind::Device};
  } catch (const std::exception& error) {
    finding.found = error.what();
    finding.advice = "this is a bug in thinktune: please report it with the command that led here";
  }
  on_finding(finding);
  return finding.health != Health::Failed;
}

void skip(const char* name, const OnFinding& on_finding, const std::string& why) {
  on_finding({.check = name, .health = Health::Skipped, .found = why, .advice = ""});
}

void examine_ranks(comm::Communicator& ranks, const OnFinding& on_finding) {
  check("ranks", on_finding, [&]() -> Verdict {
    const int64_t R = ranks.size(), r = ranks.rank();
    if (R == 1) return {.found = "one rank: nothing travels (--nproc N tries N of them)"};
    constexpr int64_t kNumbers = int64_t{1} << 20;
    const auto wrong = [&](const char* what) -> Verdict {
      return {Health::Failed, fmt::format("the {} of {} ranks gives wrong numbers", what, R),
              "the network or its library is at fault: a run's weights would be wrong", core::ErrorKind::Device};
    };
    const at::Tensor sum = at::full({kNumbers}, static_cast<double>(r + 1), at::kFloat);
    ranks.barrier("doctor: begin");
    core::Stopwatch watch;
    ranks.all_reduce(sum, "doctor: all-reduce");
    const double seconds = watch.seconds();
    if (!sum.eq(static_cast<double>(R * (R + 1) / 2)).all().item<bool>()) return wrong("all-reduce");
    const at::Tensor ranks_4 = at::arange(R, at::kFloat).repeat_interleave(4);  // 0 0 0 0 1 1 1 1 …
    const at::Tensor share = at::empty({4}, at::kFloat);
    ranks.start_reduce_scatter(share, ranks_4.clone(), "doctor: reduce-scatter")->wait();
    if (!share.eq(static_cast<double>(r * R)).all().item<bool>()) return wrong("reduce-scatter");
    const at::Tensor all = at::empty({4 * R}, at::kFloat);
    ranks.start_all_gather(all, at::full({4}, static_cast<double>(r), at::kFloat), "doctor: all-gather")->wait();
    if (!at::equal(all, ranks_4)) return wrong("all-gather");
    const at::Tensor one = at::full({4}, static_cast<double>(r), at::kFloat);
    ranks.broadcast(one, R - 1, "doctor: broadcast");
    if (!one.eq(static_cast<double>(R - 1)).all().item<bool>()) return wrong("broadcast");
    const std::vector<std::string> names = ranks.all_gather_bytes(fmt::format("rank {}", r), "doctor: names");
    for (int64_t i = 0; i < R; ++i)
      if (names[static_cast<size_t>(i)] != fmt::format("rank {}", i)) return wrong("exchange of texts");
    return {.found = fmt::format("{} ranks: sums and copies are right; the sum of 4 MiB took {}", R,
                                 core::human_duration(seconds))};
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
  check("memory", say, [&] { return look_at_memory(options, model->config(), how.num_ranks); });
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
