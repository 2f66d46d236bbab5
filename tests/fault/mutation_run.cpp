// Damaged copies of real files through the program's own readers: each is refused with a clear Error, or read to
// something that passes its checks. Anything else is a finding: a crash, another exception, 30 seconds of computing or
// five minutes of waiting, memory beyond 4 GB.
//
//   mutation_run                    40 copies of each file
//   mutation_run 10000              as many
//   mutation_run 10000 tokenizer    only files whose name has "tokenizer" in it
//
// One line a file. A copy that is a finding is kept in the working directory. Exit status: 1 after a finding.
#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>

#include "checkpoint/saved_run.h"
#include "fault/mutations.h"
#include "support/manifest.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/data/dataset.h"
#include "thinktune/data/prompts.h"
#include "thinktune/guidance/guard.h"
#include "thinktune/guidance/teacher_prompt.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/optim/adamw.h"
#include "thinktune/text/open_tokenizer.h"
#include "thinktune/train/config_changes.h"
#include "thinktune/train/options.h"

namespace thinktune {
namespace {

namespace fs = std::filesystem;

constexpr int kComputing_s = 30, kWaiting_s = 300;
constexpr rlim_t kMemoryBytes = rlim_t{4} << 30;

[[noreturn]] void wrong(const char* what) { throw std::logic_error(what); }

// A file, and how it is read. `write` puts a copy where `read` finds it.
struct Subject {
  std::string name;
  std::string content;
  std::function<void(const std::string& copy)> write;
  std::function<void()> read;
};

void write_file(const fs::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary | std::ios::trunc).write(content.data(), std::ssize(content));
}

// ---- What is done with what could be read
// -----------------------------------------------------------------------------

void use(const text::Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode("Hello  world 12\n\xC3\xA9 <|im_end|> don't", text::Special::Parse);
  for (const core::TokenId id : ids)
    if (id < 0 || id >= tokenizer.vocab_size()) wrong("a token beyond the vocabulary");
  tokenizer.decode(ids);
}

void use(const model::Pretrained& model) {
  model.check_tensors();
  const model::Weights weights = model.load_weights(at::kBFloat16);
  if (weights.embedding.size(0) != model.config().vocab_size) wrong("an embedding of another size");
}

void read_model(const fs::path& folder) { use(model::Pretrained(folder)); }

// ---- Where the files come from
// ------------------------------------------------------------------------------------------

class Subjects {
 public:
  std::vector<Subject> take() {
    add_tiny_models();
    add_tokenizers();
    add_templates();
    add_gguf(test::model_file());
    add_gguf(test::gemma_file());
    add_data();
    add_configs();
    add_checkpoint();
    return std::move(subjects_);
  }

 private:
  fs::path copy_of(const fs::path& folder) {
    const fs::path copy = root_.path() / std::to_string(subjects_.size());
    fs::copy(folder, copy);
    fs::permissions(copy, fs::perms::owner_all);
    for (const auto& entry : fs::directory_iterator(copy)) fs::permissions(entry.path(), fs::perms::owner_all);
    return copy;
  }

  void add_file(const std::string& name, const fs::path& file, std::function<void()> read) {
    subjects_.push_back({name, core::read_file(file, "real file"),
                         [file](const std::string& copy) { write_file(file, copy); }, std::move(read)});
  }

  void add_tiny_models() {
    std::vector<fs::path> folders;
    if (fs::exists(test::golden_folder() / "tiny_models"))
      for (const auto& entry : fs::directory_iterator(test::golden_folder() / "tiny_models"))
        if (entry.is_directory()) folders.push_back(entry.path());
    std::sort(folders.begin(), folders.end());
    for (const fs::path& folder : folders) {
      const fs::path copy = copy_of(folder);
      fs::remove(copy / "golden.json");
      std::vector<fs::path> files;
      for (const auto& entry : fs::directory_iterator(copy)) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
      for (const fs::path& file : files)
        add_file(fmt::format("{}/{}", folder.filename().string(), file.filename().string()), file,
                 [copy] { read_model(copy); });
    }
  }

  void add_tokenizers() {
    for (const char* name : {"smollm2", "mistral_v3"}) {
      const fs::path folder = test::golden_folder() / "tokenizers" / name;
      if (!fs::exists(folder)) continue;
      const fs::path copy = copy_of(folder);
      for (const char* file : {"tokenizer.json", "tokenizer.model"})
        if (fs::exists(copy / file))
          add_file(fmt::format("tokenizers/{}/{}", name, file), copy / file,
                   [copy] { use(*text::open_tokenizer(copy)); });
    }
    if (const fs::path llama3 = test::llama3_tokenizer_file(); fs::exists(llama3)) {
      const fs::path copy = root_.path() / "llama3.model";
      fs::copy_file(llama3, copy);
      add_file("tokenizers/llama3/tokenizer.model", copy, [copy] { use(*text::open_tokenizer(copy)); });
    }
  }

  void add_templates() {
    const fs::path folder = test::golden_folder() / "chat_templates";
    if (!fs::exists(folder)) return;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      const auto source = std::make_shared<std::string>();
      subjects_.push_back({"chat_templates/" + file.stem().string(), test::read_json(file)["template"],
                           [source](const std::string& copy) { *source = copy; },
                           [source] {
                             const text::ChatTemplate chat(*source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
                             chat.render({{"user", "Hi"}, {"assistant", "<b>"}, {"user", "<|im_end|>"}}, true);
                           }});
    }
  }

  // The tensors' own bytes are left out: nothing of them decides what is read, and they are 98 % of the file.
  void add_gguf(const fs::path& file) {
    if (!fs::exists(file)) return;
    const fs::path copy = root_.path() / file.filename();
    const auto size = static_cast<int64_t>(fs::file_size(file));
    int64_t data = 0;
    {
      const core::MappedFile mapped(file);
      const weights::Gguf gguf(file);
      data = size;
      for (const weights::TensorInfo& tensor : gguf.tensors())
        data -= static_cast<int64_t>(std::max<size_t>(tensor.bytes.size(), 0));
    }
    // Paddings between tensors make `data` a little larger than the metadata.
    std::ifstream in(file, std::ios::binary);
    std::string metadata(static_cast<size_t>(std::min(data, size)), '\0');
    in.read(metadata.data(), std::ssize(metadata));
    const int64_t rest = size - std::ssize(metadata);
    subjects_.push_back({file.filename().string(), metadata,
                         [copy, rest](const std::string& changed) {
                           write_file(copy, changed);
                           fs::resize_file(copy, changed.size() + static_cast<size_t>(rest));  // a hole
                         },
                         [copy] {
                           const model::Pretrained model(copy);
                           model.check_tensors();
                           use(*model.load_vocabulary({.needs_chat = false}).tokenizer);
                         }});
  }

  void add_data() {
    if (!fs::exists(test::data_folder())) return;
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(test::data_folder()))
      if (entry.path().extension() == ".jsonl" && entry.path().parent_path().filename() != "answers")
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      const fs::path copy = root_.path() / fmt::format("{}.jsonl", subjects_.size());
      fs::copy_file(file, copy);
      fs::permissions(copy, fs::perms::owner_all);
      add_file(fmt::format("{}/{}", file.parent_path().filename().string(), file.filename().string()), copy, [copy] {
        if (data::read_jsonl(copy).empty()) wrong("a data file without a problem");
      });
    }
  }

  void add_configs() {
    for (const char* name : {"quickstart.json", "paper.json", "bench_grpo_step.json"}) {
      const fs::path copy = root_.path() / name;
      fs::copy_file(test::source_folder() / "configs" / name, copy);
      add_file(fmt::format("configs/{}", name), copy, [copy] {
        train::TrainOptions options;
        cli::read_options(cli::ConfigDocument::from_file(copy), options);
        options.model = options.output = "as a user gives them";
        if (options.data.generator == data::Generator::None) options.data.train_file = options.model;
        train::validate(options);
      });
    }
    for (const char* name : {"general.json", "arithmetic.json", "worked_solution.json"}) {
      const fs::path copy = root_.path() / name;
      fs::copy_file(test::source_folder() / "configs" / "teacher" / name, copy);
      add_file(fmt::format("configs/teacher/{}", name), copy,
               [copy] { guidance::TeacherPrompt::read(copy).fixed_messages({}); });
    }
  }

  // As a crash or a bad disk leaves it, and with a manifest of the damaged files, as whoever means harm would write it.
  void add_checkpoint() {
    run_ = std::make_unique<checkpoint::test::SavedRun>(1);
    checkpoint::RunState state = checkpoint::test::state_of(3);
    state.config = cli::to_json_text(train::TrainOptions());
    state.guard = guidance::to_json({.first = {0.9, 0.75}, .recent = {0.5, 0.9}, .paused_until = 7, .num_pauses = 1});
    for (const bool listed_anew : {false, true}) {
      const fs::path folder = root_.path() / (listed_anew ? "listed_anew" : "checked");
      fs::create_directories(folder);
      const fs::path saved = checkpoint::save(folder, state, run_->tensors, {.keep_last = 0});
      const auto resume = [this, folder] { resume_from(folder); };
      if (!listed_anew) {
        for (const char* name : {"state.json", "training_state.safetensors", "manifest.json", "model.safetensors"})
          add_file(fmt::format("checkpoint/{}", name), saved / name, resume);
        continue;
      }
      // A resume reads no more than these; the others are read by their checksums alone.
      for (const char* name : {"state.json", "training_state.safetensors"}) {
        add_file(fmt::format("checkpoint with new checksums/{}", name), saved / name, resume);
        subjects_.back().write = [saved, name](const std::string& copy) {
          write_file(saved / name, copy);
          test::list_anew(saved, name);
        };
      }
    }
  }

  // All that a resume does with what it reads.
  void resume_from(const fs::path& folder) {
    std::vector<std::string> skipped;
    const auto found = checkpoint::find_newest(folder, run_->config, skipped);
    if (!found) throw core::data_error(skipped.empty() ? "no checkpoint" : skipped.front());
    const checkpoint::RunState& state = found->state;
    if (state.step != 3) wrong("another step than the folder's name says");
    train::compare_configs(state.config, cli::to_json_text(train::TrainOptions()));
    checkpoint::load_tensors(found->path, run_->tensors);
    optim::AdamW(run_->tensors.master, {}).restore(state.num_updates);
    data::DataOrder(state.seed, 5, state.data_position).next();
    if (state.guard.empty()) return;
    guidance::GuardState guard = guidance::guard_state_from_json(state.guard);
    guidance::observe(guard, {}, state.step, 0.5);
  }

  test::TempFolder root_;
  std::unique_ptr<checkpoint::test::SavedRun> run_;
  std::vector<Subject> subjects_;
};

// ---- Running them
// -------------------------------------------------------------------------------------------------------

struct Progress {  // shared with the child
  std::atomic<uint64_t> next{0}, refused{0}, accepted{0};
  char what[400] = {};
};

// What a copy comes to; for a finding the child ends with a message.
void try_copy(const Subject& subject, uint64_t index, Progress& progress) {
  const auto finding = [&](const std::string& what) {
    std::snprintf(progress.what, sizeof progress.what, "%s", what.c_str());
    ::_exit(3);
  };
  subject.write(test::Mutator(subject.name, index).mutate(subject.content));
  try {
    subject.read();
    ++progress.accepted;
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::Internal || error.kind() == core::ErrorKind::Device) finding(error.what());
    if (error.message().empty()) finding("an error without a message");
    ++progress.refused;
  } catch (const std::exception& error) {
    finding(error.what());
  }
}

[[noreturn]] void run_child(const Subject& subject, uint64_t count, Progress& progress) {
  at::set_num_threads(1);
#ifndef __SANITIZE_ADDRESS__  // whose shadow takes terabytes of addresses
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  const rlimit limit{pages * 4096 + kMemoryBytes, pages * 4096 + kMemoryBytes};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
  while (progress.next < count) {
    const itimerval limit_of_copy = {.it_interval = {}, .it_value = {.tv_sec = kComputing_s, .tv_usec = 0}};
    ::setitimer(ITIMER_PROF, &limit_of_copy, nullptr);
    try_copy(subject, progress.next, progress);
    ++progress.next;
  }
  ::_exit(0);
}

// 0 if it ended well; else how it ended. A child that makes no progress is killed.
std::string watch(pid_t child, const Progress& progress) {
  using Clock = std::chrono::steady_clock;
  uint64_t seen = 0;
  Clock::time_point since = Clock::now();
  for (int status = 0;;) {
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) return fmt::format("computes for {} s", kComputing_s);
      if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
      if (WEXITSTATUS(status) == 0) return "";
      return progress.what[0] != '\0' ? progress.what : fmt::format("exit code {}", WEXITSTATUS(status));
    }
    if (progress.next != seen) seen = progress.next, since = Clock::now();
    if (Clock::now() - since > std::chrono::seconds(kWaiting_s)) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return fmt::format("no end within {} s", kWaiting_s);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

int64_t run(const Subject& subject, uint64_t count) {
  constexpr int64_t kMostFindings = 5;  // of a file
  subject.write(subject.content);
  try {
    subject.read();
  } catch (const core::Error& error) {
    std::printf("%-50s CANNOT BE READ AS IT IS: %s\n", subject.name.c_str(), error.what());
    return 1;
  }
  void* memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
  auto& progress = *new (memory) Progress;
  const auto start = std::chrono::steady_clock::now();
  int64_t findings = 0;
  while (progress.next < count && findings < kMostFindings) {
    progress.what[0] = '\0';
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) run_child(subject, count, progress);
    const std::string end = watch(child, progress);
    if (end.empty()) continue;
    const uint64_t index = progress.next++;
    ++findings;
    std::string kept = fmt::format("mutation-{}-{}", subject.name, index);
    std::replace(kept.begin(), kept.end(), '/', '-');
    write_file(kept, test::Mutator(subject.name, index).mutate(subject.content));
    std::printf("%-50s FINDING, copy %llu: %s (kept as %s)\n", subject.name.c_str(),
                static_cast<unsigned long long>(index), end.c_str(), kept.c_str());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%-50s %6llu copies: %6llu refused, %6llu read, %lld findings; %.1f s\n", subject.name.c_str(),
              static_cast<unsigned long long>(progress.next.load()),
              static_cast<unsigned long long>(progress.refused.load()),
              static_cast<unsigned long long>(progress.accepted.load()), static_cast<long long>(findings), seconds);
  std::fflush(stdout);
  subject.write(subject.content);  // for those that are read together with it
  ::munmap(memory, sizeof(Progress));
  return findings;
}

int run_all(uint64_t count, const std::string& wanted) {
  spdlog::set_level(spdlog::level::err);  // a warning a copy would be too many
  at::set_num_threads(1);                 // before any other thread is there: children are forked
  Subjects subjects;
  int64_t findings = 0, files = 0;
  for (const Subject& subject : subjects.take()) {
    if (subject.name.find(wanted) == std::string::npos) continue;
    findings += run(subject, count);
    ++files;
  }
  std::printf("%lld files, %llu copies each, %lld findings\n", static_cast<long long>(files),
              static_cast<unsigned long long>(count), static_cast<long long>(findings));
  return findings > 0 || files == 0 ? 1 : 0;
}

}  // namespace
}  // namespace thinktune

int main(int num_arguments, char** arguments) {
  const uint64_t count = num_arguments > 1 ? std::strtoull(arguments[1], nullptr, 10) : 40;
  try {
    return thinktune::run_all(count, num_arguments > 2 ? arguments[2] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
