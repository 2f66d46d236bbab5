#include "eval/sample_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/rollout/names.h"

namespace thinktune::eval {
namespace {

using nlohmann::json;
using rollout::Verdict;

constexpr int64_t kMostTokens = 1'000'000'000;  // of a sample; sums over all rows of a file stay within 64 bits

template <class E>
E value_of(const core::Choices<E>& choices, const std::string& name) {
  for (const auto& [known, value] : choices)
    if (known == name) return value;
  throw core::data_error("");  // the caller says where
}

}  // namespace

SampleRow parse_sample_row(const json& row, const std::vector<std::string>& measures, const std::string& where) {
  const auto verdict_of = [&](const std::string& key) {
    return value_of(rollout::kVerdictNames, row.at(key).get<std::string>());
  };
  try {
    SampleRow parsed{
        .id = row.at("id").get<std::string>(), .sample = core::json_integer(row.at("sample")), .score = {}};
    SampleScore& score = parsed.score;
    score.success = row.at("success").get<bool>();
    const Verdict verdict = verdict_of("verdict");
    score.right = verdict == Verdict::Right;
    score.unparsed = verdict == Verdict::Unparsed;
    score.answered = row.at("extracted").is_string();
    if (score.answered) score.answer = row.at("extracted").get<std::string>();
    score.num_tokens = core::json_integer(row.at("tokens"));
    if (parsed.sample < 0 || score.num_tokens < 0 || score.num_tokens > kMostTokens)
      throw core::data_error("");  // as in value_of
    score.ending = value_of(kEndingNames, row.at("finish").get<std::string>());
    for (const std::string& measure : measures) score.measures.push_back(verdict_of(measure) == Verdict::Right ? 1 : 0);
    return parsed;
  } catch (const json::exception&) {
  } catch (const core::Error&) {
  }
  throw core::data_error(fmt::format("{}: not a sample as an evaluation writes it", where),
                         "the file was changed: evaluate again in another folder");
}

SampleRows read_sample_rows(const std::filesystem::path& file, const std::vector<std::string>& measures) {
  SampleRows result;
  if (!std::filesystem::exists(file)) return result;
  const std::string content = core::read_file(file, "samples");
  std::string_view rest = content;
  uint64_t end = 0;
  for (size_t number = 1; !rest.empty(); ++number) {
    const size_t length = rest.find('\n');
    if (length == std::string_view::npos) break;
    core::check_json_depth(rest.substr(0, length), fmt::format("{}:{}", file.string(), number));
    const json row = json::parse(rest.substr(0, length), nullptr, /*allow_exceptions=*/false);
    rest.remove_prefix(length + 1);
    if (row.is_discarded() && rest.empty()) break;
    result.rows.push_back(parse_sample_row(row, measures, fmt::format("{}:{}", file.string(), number)));
    result.ends.push_back(end += length + 1);
  }
  return result;
}

SampleFile::SampleFile(std::filesystem::path path) : path_(std::move(path)) {
  core::check_own_file(path_);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("write");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd_);
    throw core::user_error(fmt::format("another evaluation is writing to {}", path_.parent_path().string()),
                           "wait for it or end it, or choose another --out");
  }
}

SampleFile::~SampleFile() {
  if (fd_ >= 0) ::close(fd_);
}

void SampleFile::fail(const char* verb) const {
  const int code = errno;
  const char* hint = code == ENOSPC || code == EDQUOT
                         ? "the disk is full: free some space and run the same command again; it goes on where it was"
                         : "choose another --out, or mend this one and run the same command again";
  throw core::user_error(fmt::format("cannot {} {}: {}", verb, path_.string(), std::strerror(code)), hint);
}

void SampleFile::cut_to(uint64_t num_bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(num_bytes)) != 0) fail("shorten");
}

void SampleFile::append(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t written = ::write(fd_, lines.data(), lines.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    lines.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd_) != 0 && errno != EINVAL) fail("flush");
}

}  // namespace thinktune::eval
