// The command reward against children of every kind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "thinktune/core/error.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Reads requests as JSON and defines reply(id, reward, **more).
constexpr const char* kPrelude = R"(
import json, os, sys, time
def reply(id, reward, **more):
    print(json.dumps({"id": id, "reward": reward, **more}), flush=True)
requests = (json.loads(line) for line in sys.stdin)
)";

class CommandTest : public ::testing::Test {
 protected:
  // Options whose command is the Python script.
  RewardOptions python(const std::string& script, double time_limit_s = 20) {
    const fs::path file = folder_.path() / "judge.py";
    std::ofstream(file) << kPrelude << script;
    RewardOptions options;
    options.answer.weight = 0;
    options.command.weight = 1;
    options.command.argv = {"python3", file.string(), (folder_.path() / "state").string()};
    options.command.time_limit_s = time_limit_s;
    return options;
  }

  static std::vector<Judgement> ask(Reward& reward, const std::vector<std::string>& texts) {
    std::vector<Response> responses;
    for (const std::string& text : texts)
      responses.push_back({.id = "p", .problem = "q?", .gold = "5", .text = text, .num_tokens = 3, .ended = true});
    return reward.judge(responses);
  }
  static std::vector<Judgement> ask(const RewardOptions& options, const std::vector<std::string>& texts) {
    return ask(*make_reward(options), texts);
  }

  static std::string refusal(const RewardOptions& options, const std::vector<std::string>& texts) {
    return test::message_of_error(core::ErrorKind::User, [&] { ask(options, texts); });
  }

  test::TempFolder folder_;
};

void expect_unscored(const Judgement& judgement, const std::string& reason) {
  EXPECT_FALSE(judgement.scored);
  EXPECT_EQ(judgement.reward, 0);
  EXPECT_THAT(judgement.reason, HasSubstr("unscored: the command failed: "));
  EXPECT_THAT(judgement.reason, HasSubstr(reason));
}

TEST_F(CommandTest, GivesTheRewardOfEachResponse) {
  const auto reward = make_reward(python(R"(
for r in requests:
    assert r["problem_id"] == "p" and r["problem"] == "q?" and r["gold"] == "5" and r["tokens"] == 3 and r["ended"] is True
    reply(r["id"], float(r["response"]), reason="as it says")
)"));
  for (int round = 0; round < 3; ++round) {
    const auto judgements = ask(*reward, {"0.25", "-3", "1e3"});
    ASSERT_EQ(judgements.size(), 3u);
    EXPECT_EQ(judgements[0].reward, 0.25);
    EXPECT_EQ(judgements[1].reward, -3);
    EXPECT_EQ(judgements[2].reward, 1000);
    EXPECT_TRUE(judgements[0].scored);
    EXPECT_THAT(judgements[0].reason, HasSubstr("; command: as it says"));
    ASSERT_EQ(judgements[0].parts.size(), 1u);
    EXPECT_EQ(judgements[0].parts[0].name, "command");
  }
  EXPECT_TRUE(ask(*reward, {}).empty());
}

TEST_F(CommandTest, RepliesMayComeInAnyOrder) {
  auto options = python(R"(
batch = []
for r in requests:
    batch.append(r)
    if len(batch) == 4:
        for b in reversed(batch): reply(b["id"], float(b["response"]))
        batch = []
)");
  options.command.max_in_flight = 4;
  const auto judgements = ask(options, {"0", "1", "2", "3", "4", "5", "6", "7"});
  for (size_t i = 0; i < judgements.size(); ++i) EXPECT_EQ(judgements[i].reward, static_cast<double>(i));
}

TEST_F(CommandTest, IsStartedOnlyWhenItIsAsked) {
  const auto options = python("open(sys.argv[1], 'w').close()\nfor r in requests: reply(r['id'], 1)\n");
  const auto reward = make_reward(options);
  EXPECT_FALSE(fs::exists(folder_.path() / "state"));
  ask(*reward, {"a"});
  EXPECT_TRUE(fs::exists(folder_.path() / "state"));
}

TEST_F(CommandTest, LargeTextsGoBothWays) {
  const auto options = python(R"(
for r in requests:
    print(json.dumps({"id": r["id"], "reward": len(r["response"]), "reason": "x" * 900000}), flush=True)
)");
  const std::vector<std::string> texts(6, std::string(3'000'000, 'a'));
  for (const Judgement& judgement : ask(options, texts)) EXPECT_EQ(judgement.reward, 3'000'000);
}

TEST_F(CommandTest, BytesThatAreNoUtf8Arrive) {
  const auto options = python("for r in requests: reply(r['id'], len(r['response']))\n");
  EXPECT_EQ(ask(options, {"a\xff\xfe\xe2\x80z"}).at(0).reward, 5) << "two bytes and a cut character are one mark each";
}

TEST_F(CommandTest, RepliesThatSayNothingAreFailuresAndTheOthersCount) {
  auto options = python(R"(
bad = ['no json', '[]', '{}', '{"reward": 1}', '{"id": "7", "reward": 1}', '{"id": -1, "reward": 1}', '']
for r in requests:
    i, id = int(r["response"]), r["id"]
    if i == 0: reply(id, 1)
    elif i == 1: reply(id, float("nan"))
    elif i == 2: reply(id, float("inf"))
    elif i == 3: print('{"id": %d, "reward": 1e999}' % id, flush=True)
    elif i == 4: reply(id, "1")
    elif i == 5: reply(id, None, reason="cannot say")
    elif i == 6: print('{"id": %d}' % id, flush=True)
    elif i == 7: reply(id + 1000, 1)
    elif i == 8: print("Loading the judge...", flush=True)
    elif i == 9: reply(id, True)
    else: print(bad[i - 10], flush=True)
)");
  options.command.max_in_flight = 1;
  options.command.max_failures = 100;
  std::vector<std::string> texts;
  for (int i = 0; i < 17; ++i) texts.push_back(std::to_string(i));
  texts.push_back("0");
  const auto judgements = ask(options, texts);
  EXPECT_EQ(judgements.front().reward, 1);
  EXPECT_EQ(judgements.back().reward, 1);
  expect_unscored(judgements[1], "its reply is no JSON");
  expect_unscored(judgements[3], "a number that is too large");
  expect_unscored(judgements[4], "its reward is no finite number");
  expect_unscored(judgements[5], "it gave no reward: cannot say");
  expect_unscored(judgements[6], "its reply has no reward");
  expect_unscored(judgements[7], "which was never made");
  expect_unscored(judgements[8], "its reply is no JSON: \"Loading the judge...\"");
  for (size_t i = 1; i < 17; ++i) expect_unscored(judgements[i], "");
}

TEST_F(CommandTest, SilenceFailsTheOldestRequestAloneAndTheChildIsStartedAgain) {
  auto options = python(R"(
for r in requests:
    if r["response"] == "hang": time.sleep(1000)
    reply(r["id"], 1)
)",
                        0.7);
  const auto begin = std::chrono::steady_clock::now();
  const auto judgements = ask(options, {"a", "b", "hang", "c", "d"});
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 30);
  for (const size_t i : {0, 1, 3, 4}) EXPECT_EQ(judgements[i].reward, 1) << i;
  expect_unscored(judgements[2], "no reply within 0.7 s");
}

TEST_F(CommandTest, ASlowChildIsInTimeIfEachReplyIs) {
  const auto options = python("for r in requests:\n    time.sleep(0.3)\n    reply(r['id'], 1)\n", 1.5);
  for (const Judgement& judgement : ask(options, std::vector<std::string>(8, "a"))) EXPECT_EQ(judgement.reward, 1);
}

TEST_F(CommandTest, AnEndIsTriedOnceMoreAndThenBlamedOnTheRequest) {
  auto options = python(R"(
for r in requests:
    if r["response"] == "die": os._exit(3)
    if r["response"] == "die once" and not os.path.exists(sys.argv[1]):
        open(sys.argv[1], "w").close()
        os.kill(os.getpid(), 9)
    reply(r["id"], 1)
)");
  const auto judgements = ask(options, {"a", "die", "b", "die once", "c"});
  for (const size_t i : {0, 2, 3, 4}) EXPECT_EQ(judgements[i].reward, 1) << i << " " << judgements[i].reason;
  expect_unscored(judgements[1], "it ended twice on this request (exit code 3)");
}

TEST_F(CommandTest, EndsInARowStopTheRunWithItsLastWords) {
  auto options = python("sys.stderr.write('x' * 100000 + '\\nno model there\\n')\nsys.exit(4)\n");
  options.command.max_restarts = 2;
  const std::string message = refusal(options, {"a", "b", "c", "d"});
  EXPECT_THAT(message, HasSubstr("python3"));
  EXPECT_THAT(message, HasSubstr("was started 3 times in a row without one reply: it ended (exit code 4)"));
  EXPECT_THAT(message, HasSubstr("no model there"));
  EXPECT_LT(message.size(), 6000u);
}

TEST_F(CommandTest, FailuresInARowStopTheRun) {
  auto options = python("for r in requests: reply(r['id'], None, reason='no key')\n");
  options.command.max_failures = 4;
  EXPECT_EQ(ask(options, {"a", "b", "c"}).size(), 3u);
  const std::string message = refusal(options, {"a", "b", "c", "d"});
  EXPECT_THAT(message, HasSubstr("failed 4 times in a row; the last time: it gave no reward: no key"));
  EXPECT_THAT(message, HasSubstr("it said nothing on its standard error"));
}

TEST_F(CommandTest, TooLargeAShareOfFailuresStopsTheRun) {
  auto options = python("for i, r in enumerate(requests): reply(r['id'], None if i % 3 else 1)\n");
  options.command.max_failure_share = 0.7;
  EXPECT_EQ(ask(options, std::vector<std::string>(150, "a")).size(), 150u);
  options.command.max_failure_share = 0.6;
  EXPECT_EQ(ask(options, std::vector<std::string>(99, "a")).size(), 99u) << "the share is of the last 100";
  EXPECT_THAT(refusal(options, std::vector<std::string>(150, "a")), HasSubstr("of the last 100 responses"));
}

TEST_F(CommandTest, AChildThatDoesNotReadDoesNotBlock) {
  auto options = python("time.sleep(1000)\n", 0.5);
  options.command.max_restarts = 1;
  EXPECT_THAT(refusal(options, std::vector<std::string>(4, std::string(4'000'000, 'a'))),
              HasSubstr("no reply within 0.5 s, and it does not read its standard input"));
}

TEST_F(CommandTest, AChildThatClosesItsInputIsAnEndAndNoSignal) {
  auto options = python("os.close(0)\ntime.sleep(1000)\n", 5);
  options.command.max_restarts = 1;
  EXPECT_THAT(refusal(options, std::vector<std::string>(4, std::string(4'000'000, 'a'))),
              HasSubstr("was started 2 times"));
}

TEST_F(CommandTest, AnEndlessLineIsCutOff) {
  auto options = python("for r in requests:\n    while True: sys.stdout.write('x' * 65536)\n");
  options.command.max_restarts = 1;
  EXPECT_THAT(refusal(options, {"a", "b", "c"}), HasSubstr("a reply longer than 1 MB"));
}

TEST_F(CommandTest, EndlessGarbageIsCutOff) {
  auto options = python("while True: print('x' * 1000)\n");
  options.command.max_failures = 5;
  EXPECT_THAT(refusal(options, std::vector<std::string>(10, "a")), HasSubstr("failed 5 times in a row"));
}

TEST_F(CommandTest, AFloodOfOldRepliesIsNoSignOfLife) {
  auto options = python(R"(
for r in requests:
    reply(r["id"], 1)
    if r["response"] == "b":
        while True: reply(0, 1)
)",
                        0.5);
  options.command.max_in_flight = 1;
  const auto judgements = ask(options, {"a", "b", "c", "d"});
  EXPECT_EQ(judgements[0].reward, 1);
  EXPECT_EQ(judgements[1].reward, 1);  // its reply comes before the flood, which answers nobody any more
  expect_unscored(judgements[2], "no reply within 0.5 s");
  EXPECT_EQ(judgements[3].reward, 1) << "the next child is asked";
}

TEST_F(CommandTest, RewardsThatWouldDrownAllOthersAndNestedReplies) {
  auto options = python(R"(
for r in requests:
    if r["response"] == "deep": print("[" * 400000 + "]" * 400000, flush=True)
    elif r["response"] == "deep field": print('{"id": %d, "reward": %s}' % (r["id"], "[" * 300000 + "]" * 300000), flush=True)
    else: reply(r["id"], float(r["response"]))
)");
  options.command.max_in_flight = 1;
  const auto judgements = ask(options, {"1e9", "1.1e9", "-1e308", "deep", "deep field", "2"});
  EXPECT_EQ(judgements[0].reward, 1e9);
  expect_unscored(judgements[1], "its reward is beyond ±1e+09");
  expect_unscored(judgements[2], "its reward is beyond ±1e+09");
  expect_unscored(judgements[3], "its reply is no JSON object");
  expect_unscored(judgements[4], "its reward is no finite number");
  EXPECT_EQ(judgements[5].reward, 2);
}

TEST_F(CommandTest, ANoisyChildIsHeardToTheEnd) {
  const auto options = python("for r in requests:\n    sys.stderr.write('n' * 1000000)\n    reply(r['id'], 1)\n");
  for (const Judgement& judgement : ask(options, {"a", "b"})) EXPECT_EQ(judgement.reward, 1);
}

TEST_F(CommandTest, AMissingProgramIsRefusedAtOnce) {
  RewardOptions options;
  options.command = {.weight = 1, .argv = {"thinktune-no-such-program"}};
  EXPECT_THROW(make_reward(options), core::Error);
  options.command.argv = {(folder_.path() / "not there").string()};
  EXPECT_THROW(make_reward(options), core::Error);
  const fs::path text = folder_.path() / "text";
  std::ofstream(text) << "no program";
  options.command.argv = {text.string()};
  EXPECT_THROW(make_reward(options), core::Error) << "not executable";
  fs::permissions(text, fs::perms::owner_all);
  EXPECT_THAT(refusal(options, {"a"}), HasSubstr("cannot start the command of the reward")) << "no format that runs";
}

bool is_gone(const fs::path& pid_file) {
  pid_t pid = 0;
  std::ifstream(pid_file) >> pid;
  EXPECT_GT(pid, 0);
  for (int i = 0; i < 200; ++i) {
    if (::kill(pid, 0) != 0 && errno == ESRCH) return true;
    std::ifstream status("/proc/" + std::to_string(pid) + "/stat");  // orphans: a zombie of init's is over, too
    std::string word;
    status >> word >> word >> word;
    if (word == "Z") return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST_F(CommandTest, EndsWithTheRewardAndSoDoesWhatItStarted) {
  const auto options = python(R"(
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
with open(sys.argv[1], "w") as f: f.write(f"{os.getpid()}\n")
with open(sys.argv[1] + "2", "w") as f: f.write(f"{child.pid}\n")
for r in requests: reply(r["id"], 1)
time.sleep(1000)
)");
  ask(options, {"a"});
  EXPECT_TRUE(is_gone(folder_.path() / "state"));
  EXPECT_TRUE(is_gone(folder_.path() / "state2"));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was not reaped";
}

TEST_F(CommandTest, EndsInPeaceIfItsInputDoes) {
  const auto options = python("for r in requests: reply(r['id'], 1)\nopen(sys.argv[1], 'w').close()\n");
  const auto begin = std::chrono::steady_clock::now();
  ask(options, {"a"});
  EXPECT_TRUE(fs::exists(folder_.path() / "state")) << "it was killed before it could put away its things";
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 20);
}

TEST_F(CommandTest, InheritsNoOpenFiles) {
  const fs::path secret = folder_.path() / "secret";
  std::ofstream(secret) << "x";
  const int fd = ::open(secret.c_str(), O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(fd, 0);
  const auto options = python(R"(
names = []
for name in os.listdir("/proc/self/fd"):
    try: names.append(os.readlink("/proc/self/fd/" + name))
    except OSError: pass
for r in requests: reply(r["id"], sum(n.endswith("secret") for n in names))
)");
  EXPECT_EQ(ask(options, {"a"}).at(0).reward, 0);
  ::close(fd);
}

TEST_F(CommandTest, AFailureLeavesTheVerdictAndTheOtherParts) {
  auto options = python("for r in requests: reply(r['id'], None)\n");
  options.answer.weight = 1;
  const Judgement judgement = ask(options, {"\\boxed{5}"}).at(0);
  EXPECT_EQ(judgement.verdict, Verdict::Right);
  EXPECT_TRUE(judgement.success);
  EXPECT_FALSE(judgement.scored);
  EXPECT_EQ(judgement.reward, 0);
  ASSERT_EQ(judgement.parts.size(), 1u);
  EXPECT_EQ(judgement.parts[0].name, "answer");
}

}  // namespace
}  // namespace thinktune::reward
