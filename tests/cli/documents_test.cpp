// What ships beside the program agrees with it: configs/README.md, the configs, the help.
#include "program.h"

namespace thinktune::cli {
namespace {

class Documents : public ProgramTest {};

TEST_F(Documents, ConfigsReadmeIsWhatDocsPrints) {
  const Outcome docs = run_program({"docs"});
  expect_success(docs);
  EXPECT_TRUE(docs.out == read_text(test::source_folder() / "configs" / "README.md"))
      << "the settings have changed: build/release/bin/thinktune docs > configs/README.md";
}

// A dry run prints a config in which every key stands; that config is valid and prints itself.
TEST_F(Documents, EveryConfigPassesADryRun) {
  int num_configs = 0;
  for (const auto& entry : fs::directory_iterator(test::source_folder() / "configs")) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path().string());
    ++num_configs;
    std::vector<std::string> arguments = {
        "train", "--dry-run", "--config", entry.path().string(), "--set", "model=" + model_.string()};
    if (json::parse(read_text(entry.path()), nullptr, true, true).value("data", json::object()).empty())
      arguments.insert(arguments.end(), {"--set", "data.train_file=" + data_.string()});
    const Outcome first = run_program(arguments, {.folder = test::source_folder()});
    expect_success(first);
    EXPECT_THAT(first.out, HasSubstr("rollouts a step"));
    const fs::path resolved = folder_.path() / "resolved.json";
    write_text(resolved, first.out);
    EXPECT_EQ(run_program({"train", "--dry-run", "--config", resolved.string()}, {.folder = test::source_folder()}).out,
              first.out);
  }
  EXPECT_GE(num_configs, 2);
  EXPECT_FALSE(fs::exists(output_));
}

TEST_F(Documents, HelpNamesEveryCommandAndExitCode) {
  const Outcome help = run_program({"--help"});
  expect_success(help);
  for (const char* code :
       {"Exit code: 0 done; 2 something that you can mend", "\n3 the content of a file", "\n4 the machine",
        "; 5 a bug in thinktune", "\n130, 143 and 129 stopped by SIGINT (Ctrl-C), SIGTERM and SIGHUP"})
    EXPECT_THAT(help.out, HasSubstr(code));
  for (const char* command :
       {"train", "eval", "generate", "convert", "inspect", "doctor", "compare", "bench", "score", "docs"}) {
    EXPECT_THAT(help.out, HasSubstr("\n  " + std::string(command) + " "));
    const Outcome one = run_program({command, "--help"});
    expect_success(one);
    EXPECT_THAT(one.out, HasSubstr(std::string("thinktune ") + command));
  }
}

TEST_F(Documents, VersionNamesProgramLibraryAndKernels) {
  const Outcome version = run_program({"--version"});
  expect_success(version);
  EXPECT_THAT(version.out, AllOf(HasSubstr("thinktune "), HasSubstr("2.14.1")));
}

TEST_F(Documents, WhatIsNotKnownIsRefusedWithTheNearestName) {
  expect_refused(run_program({"trian"}), {"trian", "train"});
  expect_refused(run_program({}), {"train"});
  expect_refused(run_program({"generate", "--model", model_.string()}), {"--prompt"});
  expect_refused(run_program({"generate", "--model", model_.string(), "--prompt", "x", "--temperature", "hot"}),
                 {"--temperature", "hot"});
  expect_refused_untouched({"optim.lr_rate", "optim.lr"}, {"--set", "optim.lr_rate=1"});
  expect_refused_untouched({"steps", "0"}, {"--set", "steps=0"});
}

}  // namespace
}  // namespace thinktune::cli
