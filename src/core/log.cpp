#include "thinktune/core/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/console.h"
#include "thinktune/core/error.h"
#include "thinktune/core/options.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::core {
namespace {

const Choices<spdlog::level::level_enum> kLevels = {
    {"trace", spdlog::level::trace},  {"debug", spdlog::level::debug}, {"info", spdlog::level::info},
    {"warning", spdlog::level::warn}, {"error", spdlog::level::err},   {"off", spdlog::level::off},
};

spdlog::level::level_enum level_of(std::string_view name, std::string_view source) {
  std::string known;
  for (const auto& [text, level] : kLevels) {
    if (text == name) return level;
    known += known.empty() ? std::string(text) : fmt::format(", {}", text);
  }
  throw user_error(fmt::format("{} is \"{}\", allowed are {}", source, name, known));
}

// "warning: " and the like; nothing for info, which is what nearly every line is.
class LevelFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    if (message.level == spdlog::level::info) return;
    const std::string_view name =
        name_of(kLevels, message.level == spdlog::level::critical ? spdlog::level::err : message.level);
    out.append(name.data(), name.data() + name.size());
    const std::string_view colon = ": ";
    out.append(colon.data(), colon.data() + colon.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelFlag>(); }
};

std::unique_ptr<spdlog::formatter> make_formatter(const std::string& pattern, spdlog::pattern_time_type time) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(time);
  formatter->add_flag<LevelFlag>('*').set_pattern(pattern);
  return formatter;
}

class ConsoleSink final : public spdlog::sinks::ansicolor_stderr_sink_mt {
 public:
  explicit ConsoleSink(spdlog::color_mode mode) : ansicolor_stderr_sink(mode) {}

  void log(const spdlog::details::log_msg& message) override {
    const std::lock_guard lock(console_mutex());
    if (std::exchange(progress_line_on_stderr(), false)) std::fputs(kEraseLine, stderr);
    ansicolor_stderr_sink::log(message);
  }
};

}  // namespace

void set_up_logging(std::string_view level) {
  const char* environment = std::getenv("THINKTUNE_LOG");
  spdlog::level::level_enum chosen = spdlog::level::info;
  if (!level.empty())
    chosen = level_of(level, "the log level");
  else if (environment != nullptr && *environment != '\0')
    chosen = level_of(environment, "the environment's THINKTUNE_LOG");

  const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org
  const bool plain = no_color != nullptr && *no_color != '\0';
  auto console = std::make_shared<ConsoleSink>(plain ? spdlog::color_mode::never : spdlog::color_mode::automatic);
  console->set_formatter(make_formatter("%H:%M:%S %^%*%$%v", spdlog::pattern_time_type::local));

  auto logger = std::make_shared<spdlog::logger>("thinktune", std::move(console));
  logger->set_level(chosen);
  logger->flush_on(spdlog::level::trace);  // a run that is killed keeps its last lines
  spdlog::set_default_logger(std::move(logger));
}

void add_log_file(const std::filesystem::path& file) {
  check_own_file(file);
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_formatter(make_formatter("%Y-%m-%dT%H:%M:%S.%eZ %*%v", spdlog::pattern_time_type::utc));
    spdlog::default_logger()->sinks().push_back(std::move(sink));
  } catch (const spdlog::spdlog_ex& error) {
    throw user_error(fmt::format("cannot write the log file {}: {}", file.string(), error.what()));
  }
}

}  // namespace thinktune::core
