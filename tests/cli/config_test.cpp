#include "thinktune/cli/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/error.h"

namespace thinktune::cli {
namespace toy {

struct ScheduleOptions {
  double init = 0.1;
  int64_t steps = 3;
};
void describe(core::Fields& f, ScheduleOptions& o) {
  f.number("init", o.init, core::between(0, 1), "first share");
  f.integer("steps", o.steps, core::at_least(int64_t{1}), "steps until it is 0");
}

enum class Mode { Paper, Reference, Off };
const core::Choices<Mode> kModes = {{"paper", Mode::Paper}, {"reference", Mode::Reference}, {"off", Mode::Off}};

struct GuidanceOptions {
  Mode mode = Mode::Paper;
  ScheduleOptions schedule;
  int64_t max_reply_tokens = 512;
  std::string prompt_file;
};
void describe(core::Fields& f, GuidanceOptions& o) {
  f.choice("mode", o.mode, kModes, "the paper's formula | the public code's");
  f.group("schedule", o.schedule, "How the share falls.");
  f.integer("max_reply_tokens", o.max_reply_tokens, {1, 4096}, "limit of a reply");
  f.text("prompt_file", o.prompt_file, "words for the teacher");
}

struct OptimOptions {
  double lr = 1e-6;
  double clip_norm = 1;
  bool fused = true;
};
void describe(core::Fields& f, OptimOptions& o) {
  f.number("lr", o.lr, core::above(0.0), "learning rate");
  f.number("clip_norm", o.clip_norm, core::above(0.0), "largest gradient norm");
  f.boolean("fused", o.fused, "one kernel");
}

struct RunOptions {
  int64_t seed = 1;
  GuidanceOptions guidance;
  OptimOptions optim;
  std::vector<std::string> levels = {"easy", "hard"};
  std::string output = "runs/`a`|b";
};
void describe(core::Fields& f, RunOptions& o) {
  f.integer("seed", o.seed, {}, "seed of all random numbers");
  f.group("guidance", o.guidance, "The teacher.");
  f.group("optim", o.optim, "");
  f.texts("levels", o.levels, "levels");
  f.text("output", o.output, "run folder");
}

}  // namespace toy

namespace {

using core::ErrorKind;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using toy::RunOptions;

RunOptions read(std::string_view text, const std::vector<std::string>& sets = {}) {
  ConfigDocument document = ConfigDocument::from_text(text, "config.json");
  for (const std::string& assignment : sets) document.set(assignment);
  RunOptions options;
  read_options(document, options);
  return options;
}

std::string error_of(std::string_view text, const std::vector<std::string>& sets = {}) {
  return test::message_of_error(ErrorKind::User, [&] { read(text, sets); });
}

TEST(Config, ReadsEveryKindOfField) {
  const RunOptions o = read(R"({
    // a comment
    "seed": -7, /* another: "seed": 8, */
    "guidance": {"mode": "off", "schedule": {"init": 1, "steps": 1e3}, "max_reply_tokens": 2.0, "prompt_file": "a // b"},
    "optim": {"lr": 2e-5, "fused": false},
    "levels": []
  })");
  EXPECT_EQ(o.seed, -7);
  EXPECT_EQ(o.guidance.mode, toy::Mode::Off);
  EXPECT_EQ(o.guidance.schedule.init, 1.0);
  EXPECT_EQ(o.guidance.schedule.steps, 1000);
  EXPECT_EQ(o.guidance.max_reply_tokens, 2);
  EXPECT_EQ(o.guidance.prompt_file, "a // b");
  EXPECT_EQ(o.optim.lr, 2e-5);
  EXPECT_FALSE(o.optim.fused);
  EXPECT_TRUE(o.levels.empty());
  EXPECT_EQ(o.optim.clip_norm, 1);  // not mentioned: the default
  EXPECT_EQ(o.output, "runs/`a`|b");
}

TEST(Config, EmptyObjectAndNoDocumentAreTheDefaults) {
  RunOptions none;
  read_options(ConfigDocument(), none);
  EXPECT_EQ(to_json_text(none), to_json_text(RunOptions{}));
  EXPECT_EQ(to_json_text(read("{}")), to_json_text(RunOptions{}));
  EXPECT_EQ(to_json_text(read("\xEF\xBB\xBF{\"optim\": {}}\n// end")),
            to_json_text(RunOptions{}));  // with a byte-order mark
}

TEST(Config, KeepsTheOptionsThatItIsGivenAsDefaults) {
  RunOptions options;
  options.optim.lr = 5;
  read_options(nlohmann::json::parse(R"({"seed": 2})"), options);
  EXPECT_EQ(options.optim.lr, 5);
  EXPECT_EQ(options.seed, 2);
}

TEST(Config, FromAFile) {
  const test::TempFolder folder;
  std::ofstream(folder.path() / "train.json") << "{\n\"seed\": 3,\n\"sed\": 4}\n";
  RunOptions o;
  EXPECT_EQ(test::message_of_error(ErrorKind::User,
                                   [&] { read_options(ConfigDocument::from_file(folder.path() / "train.json"), o); }),
            "train.json:3: sed is not a known key; did you mean seed?");
  EXPECT_THAT(
      test::message_of_error(ErrorKind::User, [&] { ConfigDocument::from_file(folder.path() / "missing.json"); }),
      HasSubstr("missing.json"));
}

TEST(UnknownKey, SuggestsTheNearestOne) {
  EXPECT_EQ(error_of(R"({"guidance": {"shedule": {"init": 1}}})"),
            "config.json:1: guidance.shedule is not a known key; did you mean guidance.schedule?");
  EXPECT_EQ(error_of("{\n  \"guidence\": {\"mode\": 3}\n}"),
            "config.json:2: guidence is not a known key; did you mean guidance?");
  EXPECT_EQ(error_of(R"({"optim": {"Clip-Norm": 1}})"),
            "config.json:1: optim.Clip-Norm is not a known key; did you mean optim.clip_norm?");
  EXPECT_EQ(error_of(R"({"guidance": {"schedule": {"inti": 1}}})"),
            "config.json:1: guidance.schedule.inti is not a known key; did you mean guidance.schedule.init?");
}

TEST(UnknownKey, LooksInOtherSectionsToo) {
  EXPECT_EQ(error_of(R"({"lr": 1})"), "config.json:1: lr is not a known key; did you mean optim.lr?");
  EXPECT_EQ(error_of(R"({"guidance": {"init": 1}})"),
            "config.json:1: guidance.init is not a known key; did you mean guidance.schedule.init?");
  EXPECT_EQ(error_of(R"({"optim": {"max_reply_token": 1}})"),
            "config.json:1: optim.max_reply_token is not a known key; did you mean guidance.max_reply_tokens?");
}

TEST(UnknownKey, FindsAKeyWithMoreWords) {
  EXPECT_EQ(error_of(R"({"guidance": {"max_tokens": 1}})"),
            "config.json:1: guidance.max_tokens is not a known key; did you mean guidance.max_reply_tokens?");
}

TEST(UnknownKey, ListsTheSectionWhereNothingIsNear) {
  EXPECT_EQ(error_of(R"({"optim": {"zebra": 1}})"),
            "config.json:1: optim.zebra is not a known key; optim has: lr, clip_norm, fused");
  EXPECT_EQ(error_of(R"({"zebra": 1})"),
            "config.json:1: zebra is not a known key; the config has: seed, guidance, optim, levels, output");
  EXPECT_EQ(error_of(R"({"": 1})"),
            "config.json:1: \"\" is not a known key; the config has: seed, guidance, optim, levels, output");
}

TEST(UnknownKey, DottedKeysBelongIntoTheirSection) {
  EXPECT_EQ(error_of(R"({"optim.lr": 1})"), "config.json:1: optim.lr must stand inside its section: \"optim\": { … }");
}

TEST(UnknownKey, AllProblemsAreShownAtOnceButNotEndlessly) {
  EXPECT_EQ(error_of("{\"sed\": 1,\n\"optim\": {\"lr\": -1,\n\"fused\": 1}}"),
            "config.json:1: sed is not a known key; did you mean seed?\n"
            "config.json:2: optim.lr is -1, allowed is more than 0\n"
            "config.json:3: optim.fused is 1, but must be true or false");
  std::string many = "{";
  for (int i = 0; i < 50000; ++i) many += (i > 0 ? ",\"key" : "\"key") + std::to_string(i) + "\":1";
  const auto start = std::chrono::steady_clock::now();
  const std::string message = error_of(many + "}");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_THAT(message, HasSubstr("\n… and 49990 more"));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 10);
}

TEST(UnknownKey, ChangesNothing) {
  RunOptions options;
  const auto bad = nlohmann::json::parse(R"({"seed": 9, "zebra": 1})");
  EXPECT_THROW(read_options(bad, options), core::Error);
  EXPECT_EQ(options.seed, 1);
}

TEST(UnknownKey, LongAndOddKeysStayReadable) {
  const std::string message = error_of("{\"" + std::string(100000, 'x') + "\": 1}");
  EXPECT_LT(message.size(), 300u);
  EXPECT_THAT(error_of("{\"a\\u001b[31m\\n\": 1}"), HasSubstr("a\\u001b[31m\\n is not a known key"));
}

TEST(WrongType, NamesKeyValueAndWhatIsMeant) {
  EXPECT_EQ(error_of(R"({"optim": {"lr": "fast"}})"),
            "config.json:1: optim.lr is \"fast\", but must be a number (more than 0)");
  EXPECT_EQ(error_of(R"({"optim": {"lr": "0.1"}})"),
            "config.json:1: optim.lr is \"0.1\", but must be a number (more than 0); write it without quotes");
  EXPECT_EQ(error_of(R"({"optim": {"lr": null}})"),
            "config.json:1: optim.lr is null, but must be a number (more than 0); leave the key out for its default");
  EXPECT_EQ(error_of(R"({"optim": {"fused": "true"}})"),
            "config.json:1: optim.fused is \"true\", but must be true or false; write it without quotes");
  EXPECT_EQ(error_of(R"({"seed": 1.5})"), "config.json:1: seed is 1.5, but must be a whole number (any integer)");
  EXPECT_EQ(error_of(R"({"seed": true})"), "config.json:1: seed is true, but must be a whole number (any integer)");
  EXPECT_EQ(error_of(R"({"guidance": {"max_reply_tokens": [1]}})"),
            "config.json:1: guidance.max_reply_tokens is a list, but must be a whole number (1 … 4096)");
  EXPECT_EQ(error_of(R"({"output": 3})"), "config.json:1: output is 3, but must be a text, in double quotes");
  EXPECT_EQ(error_of(R"({"levels": "easy"})"),
            "config.json:1: levels is \"easy\", but must be a list of texts: [\"…\", \"…\"]");
  EXPECT_EQ(error_of(R"({"levels": ["easy", 3]})"),
            "config.json:1: levels holds 3, but must be a list of texts: [\"…\", \"…\"]");
  EXPECT_EQ(error_of(R"({"guidance": {"mode": 1}})"),
            "config.json:1: guidance.mode is 1, but must be one of paper, reference, off");
  EXPECT_EQ(error_of(R"({"guidance": "on"})"),
            "config.json:1: guidance is \"on\", but is a section: \"guidance\": { … }");
  EXPECT_EQ(error_of(R"({"optim": {"lr": {"value": 1}}})"),
            "config.json:1: optim.lr is a section, but must be a number (more than 0)");
}

TEST(WrongType, WholeNumbersMustBeExact) {
  EXPECT_EQ(read(R"({"seed": 9223372036854775807})").seed, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(read(R"({"seed": -9223372036854775808})").seed, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(read(R"({"seed": 9007199254740992.0})").seed, int64_t{1} << 53);
  EXPECT_THAT(error_of(R"({"seed": 9223372036854775808})"),
              HasSubstr("seed is 9223372036854775808, but must be a whole number"));
  EXPECT_THAT(error_of(R"({"seed": 99999999999999999999})"), HasSubstr("but must be a whole number"));
  EXPECT_THAT(error_of(R"({"seed": 9007199254740994.0})"),
              HasSubstr("but must be a whole number"));  // it may have been …993.0
  EXPECT_THAT(error_of(R"({"seed": 1e-3})"), HasSubstr("but must be a whole number"));
}

TEST(OutOfRange, NamesTheRangeOrTheChoices) {
  EXPECT_EQ(error_of(R"({"optim": {"lr": 0}})"), "config.json:1: optim.lr is 0, allowed is more than 0");
  EXPECT_EQ(error_of(R"({"guidance": {"schedule": {"init": 1.01}}})"),
            "config.json:1: guidance.schedule.init is 1.01, allowed is at least 0, at most 1");
  EXPECT_EQ(error_of(R"({"guidance": {"max_reply_tokens": 0}})"),
            "config.json:1: guidance.max_reply_tokens is 0, allowed is 1 … 4096");
  EXPECT_EQ(error_of(R"({"guidance": {"mode": "papr"}})"),
            "config.json:1: guidance.mode is \"papr\", allowed is paper, reference, off; did you mean paper?");
  EXPECT_EQ(error_of(R"({"guidance": {"mode": "luffy"}})"),
            "config.json:1: guidance.mode is \"luffy\", allowed is paper, reference, off");
}

TEST(Syntax, SaysWhereAndWhat) {
  EXPECT_EQ(error_of("{\n  \"seed\": 1, // why\n\n}"),
            "config.json:2: a comma stands behind the last entry\n  remove it");
  EXPECT_EQ(error_of("{\"levels\": [\"a,]\",\n]}"), "config.json:1: a comma stands behind the last entry\n  remove it");
  EXPECT_THAT(error_of("{\n\"seed\": 1\n\"output\": \"a\"}"),
              AllOf(HasSubstr("config.json:3: "), HasSubstr("is a comma missing at the end of the line before?")));
  EXPECT_THAT(error_of("{'seed': 1}"), AllOf(HasSubstr("config.json:1: "), HasSubstr("double quotes")));
  EXPECT_THAT(error_of("{\n\"seed\": 1,\n"), AllOf(HasSubstr("config.json:"), HasSubstr("unexpected end of input")));
  EXPECT_THAT(error_of(""), AllOf(HasSubstr("config.json:1: "), HasSubstr("unexpected end of input")));
  EXPECT_THAT(error_of("{\"seed\": True}"), HasSubstr("config.json:1: "));
  EXPECT_THAT(error_of("{\"seed\": 1} trailing"), HasSubstr("config.json:1: "));
  EXPECT_THAT(error_of("{\"seed\": 1, /* open"), HasSubstr("config.json:1: "));
  EXPECT_THAT(error_of("{\"optim\": {\"lr\": 1e999}}"), HasSubstr("number overflow"));
  EXPECT_THAT(error_of("{\"output\": \"\xFF\"}"), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of("[1]"), HasSubstr("it holds a list, but a config is an object"));
  EXPECT_THAT(error_of("3"), HasSubstr("it holds 3, but a config is an object"));
  for (const char* text : {"", "{'seed': 1}", "{\"seed\": True}"})
    EXPECT_THAT(error_of(text), Not(HasSubstr("json.exception")));
}

TEST(Syntax, DuplicateKeysAreRefused) {
  EXPECT_EQ(error_of("{\"optim\": {\"lr\": 1,\n\"fused\": true,\n\"lr\": 2}}"),
            "config.json:3: optim.lr is there twice (first in line 1)\n  keep one of them");
  EXPECT_THAT(error_of("{\"optim\": {},\n\"optim\": {}}"),
              HasSubstr("config.json:2: optim is there twice (first in line 1)"));
  EXPECT_THAT(error_of(R"({"levels": [{"a": 1, "a": 2}]})"), HasSubstr("a is there twice"));
  EXPECT_EQ(error_of(R"({"levels": [{"a": 1}, {"a": 2}]})"),
            "config.json:1: levels holds a section, but must be a list of texts: [\"…\", \"…\"]");
}

TEST(Syntax, NestingBombsAreRefused) {
  for (const char* piece : {"[", "{\"a\":"}) {
    std::string text = "{\"seed\":";
    for (int i = 0; i < 200000; ++i) text += piece;
    EXPECT_THAT(error_of(text), HasSubstr("config.json:1: nested deeper than 32 levels"));
  }
  nlohmann::json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = nlohmann::json::array({std::move(deep)});
  const nlohmann::json config{{"seed", deep}};
  RunOptions options;
  EXPECT_EQ(test::message_of_error(ErrorKind::User, [&] { read_options(config, options); }),
            "config: seed is a list, but must be a whole number (any integer)");
}

TEST(Set, WinsOverTheFileAndKeepsItsNeighbours) {
  const RunOptions o = read(R"({"optim": {"lr": 1, "clip_norm": 3}})",
                            {"optim.lr=2e-5", "guidance.schedule.steps=7", "optim.fused=false", "guidance.mode=off",
                             R"(levels=["x"])", "seed=2", "seed=3"});
  EXPECT_EQ(o.optim.lr, 2e-5);
  EXPECT_EQ(o.optim.clip_norm, 3);
  EXPECT_EQ(o.guidance.schedule.steps, 7);
  EXPECT_FALSE(o.optim.fused);
  EXPECT_EQ(o.guidance.mode, toy::Mode::Off);
  EXPECT_THAT(o.levels, ::testing::ElementsAre("x"));
  EXPECT_EQ(o.seed, 3);
}

TEST(Set, AnObjectIsMergedIntoItsSection) {
  const RunOptions o =
      read(R"({"guidance": {"mode": "off", "schedule": {"steps": 9}}})", {R"(guidance={"schedule": {"init": 0.5}})"});
  EXPECT_EQ(o.guidance.mode, toy::Mode::Off);
  EXPECT_EQ(o.guidance.schedule.steps, 9);
  EXPECT_EQ(o.guidance.schedule.init, 0.5);
}

TEST(Set, TextsTakeWhateverIsWritten) {
  EXPECT_EQ(read("{}", {"output=runs/first"}).output, "runs/first");
  EXPECT_EQ(read("{}", {"output=007"}).output, "007");
  EXPECT_EQ(read("{}", {"output=1e3"}).output, "1e3");
  EXPECT_EQ(read("{}", {"output=true"}).output, "true");
  EXPECT_EQ(read("{}", {"output=\"quoted\""}).output, "quoted");
  EXPECT_EQ(read("{}", {"output=a=b"}).output, "a=b");
  EXPECT_EQ(read("{}", {"output="}).output, "");
}

TEST(Set, ErrorsNameTheAssignment) {
  EXPECT_EQ(error_of("{}", {"guidance.shedule=3"}),
            "--set guidance.shedule=3: guidance.shedule is not a known key; did you mean guidance.schedule?");
  EXPECT_EQ(error_of(R"({"optim": {"lr": 1}})", {"optim.lr=fast"}),
            "--set optim.lr=fast: optim.lr is \"fast\", but must be a number (more than 0)");
  EXPECT_EQ(error_of(R"({"optim": {"lr": 1}})", {R"(optim={"lr": -1})"}),
            "--set optim={\\\"lr\\\": -1}: optim.lr is -1, allowed is more than 0");
  EXPECT_EQ(
      error_of("{}", {"guidance.mode=papr"}),
      "--set guidance.mode=papr: guidance.mode is \"papr\", allowed is paper, reference, off; did you mean paper?");
  EXPECT_EQ(error_of("{\n\"optim\": 3}", {"optim.lr=1"}),
            "--set optim.lr=1: optim is 3 (config.json:2), not a section");
  EXPECT_EQ(error_of("{\n\"optim\": null}", {"optim.lr=1"}),
            "--set optim.lr=1: optim is null (config.json:2), not a section");
  EXPECT_EQ(error_of("{}", {"optim=3"}), "--set optim=3: optim is 3, but is a section: \"optim\": { … }");
  EXPECT_EQ(error_of("{}", {"optim.lr.x=3"}),
            "--set optim.lr.x=3: optim.lr is a section, but must be a number (more than 0)");
  EXPECT_EQ(error_of("{}", {"optim.lr"}), "--set optim.lr: there is no \"=\"\n  write --set section.key=value");
  for (const char* bad : {"=1", ".lr=1", "optim.=1", "optim..lr=1"})
    EXPECT_THAT(error_of("{}", {bad}), HasSubstr("is no key")) << bad;
  EXPECT_THAT(error_of("{}", {"output=\xFF"}), HasSubstr("it is not UTF-8"));
  EXPECT_THAT(error_of("{}", {"levels=" + std::string(100000, '[') + std::string(100000, ']')}),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(error_of("{}", {R"(optim={"lr": 1, "lr": 2})"}), HasSubstr("is there twice"));
}

TEST(ToJsonText, IsEveryFieldInOrderAndIsReadBack) {
  RunOptions options;
  options.optim.lr = 0.1 + 0.2;  // 17 digits
  options.guidance.mode = toy::Mode::Reference;
  options.output = "ä \" \\ \n";
  options.seed = std::numeric_limits<int64_t>::min();
  const std::string text = to_json_text(options);
  const RunOptions back = read(text);
  EXPECT_EQ(to_json_text(back), text);
  EXPECT_EQ(back.optim.lr, options.optim.lr);
  EXPECT_EQ(back.output, options.output);
  EXPECT_EQ(back.seed, options.seed);
  EXPECT_EQ(to_json_text(RunOptions{}), R"({
  "seed": 1,
  "guidance": {
    "mode": "paper",
    "schedule": {
      "init": 0.1,
      "steps": 3
    },
    "max_reply_tokens": 512,
    "prompt_file": ""
  },
  "optim": {
    "lr": 1e-06,
    "clip_norm": 1.0,
    "fused": true
  },
  "levels": [
    "easy",
    "hard"
  ],
  "output": "runs/`a`|b"
}
)");
}

TEST(ToMarkdown, HasATableForEachSection) {
  EXPECT_EQ(to_markdown(RunOptions{}), R"(| key | default | allowed | meaning |
|---|---|---|---|
| `seed` | `1` | any integer | seed of all random numbers |
| `levels` | `["easy","hard"]` | a list of texts | levels |
| `output` | `` "runs/`a`\|b" `` | a text | run folder |

## guidance

The teacher.

| key | default | allowed | meaning |
|---|---|---|---|
| `guidance.mode` | `"paper"` | `paper`, `reference`, `off` | the paper's formula \| the public code's |
| `guidance.max_reply_tokens` | `512` | 1 … 4096 | limit of a reply |
| `guidance.prompt_file` | `""` | a text | words for the teacher |

### guidance.schedule

How the share falls.

| key | default | allowed | meaning |
|---|---|---|---|
| `guidance.schedule.init` | `0.1` | at least 0, at most 1 | first share |
| `guidance.schedule.steps` | `3` | at least 1 | steps until it is 0 |

## optim

| key | default | allowed | meaning |
|---|---|---|---|
| `optim.lr` | `1e-06` | more than 0 | learning rate |
| `optim.clip_norm` | `1.0` | more than 0 | largest gradient norm |
| `optim.fused` | `true` | true or false | one kernel |
)");
}

TEST(ListFields, RefusesADescriptionThatCannotBeWritten) {
  RunOptions options;
  options.optim.lr = NAN;
  EXPECT_THROW(list_fields(options), core::Error);
  FieldCollector collector;
  bool flag = false;
  collector.boolean("a", flag, "");
  EXPECT_THROW(collector.boolean("a", flag, ""), core::Error);
  EXPECT_THROW(collector.boolean("a.b", flag, ""), core::Error);
}

TEST(NearestNames, ShortWordsAreNotMisspeltOnes) {
  const std::vector<std::string> names = {"lr", "kl", "betas", "linear", "cosine", "constant"};
  EXPECT_THAT(nearest_names("kr", names), ::testing::IsEmpty());
  EXPECT_THAT(nearest_names("LR", names), ::testing::ElementsAre("lr"));
  EXPECT_THAT(nearest_names("lineer", names), ::testing::ElementsAre("linear"));
  EXPECT_THAT(nearest_names("btea", names), ::testing::IsEmpty());
  EXPECT_THAT(nearest_names("betsa", names), ::testing::ElementsAre("betas"));  // a swap is one step
  EXPECT_THAT(nearest_names("", names), ::testing::IsEmpty());
}

}  // namespace
}  // namespace thinktune::cli
