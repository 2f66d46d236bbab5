#include "thinktune/guidance/guard.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::guidance {
namespace {

double mean(const std::vector<double>& values) {
  return values.empty() ? 0.0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

constexpr const char* kWhat = "the guidance guard's saved state";

std::vector<double> read_shares(const nlohmann::json& json, const char* name) {
  const auto shares = json.at(name).get<std::vector<double>>();
  for (const double share : shares)
    if (!(share >= 0 && share <= 1))
      throw core::data_error(fmt::format("{} cannot be read: {} holds {}, which is no share", kWhat, name, share));
  return shares;
}

// Far beyond any run's steps, and so that nothing that is added to it overflows.
int64_t read_count(const nlohmann::json& json, const char* name) {
  constexpr int64_t kMost = int64_t{1} << 53;
  const int64_t count = core::json_integer(json.at(name));
  if (count < 0 || count > kMost)
    throw core::data_error(fmt::format("{} cannot be read: {} is {}, not from 0 to {}", kWhat, name, count, kMost));
  return count;
}

}  // namespace

std::string to_json(const GuardState& state) {
  return nlohmann::json{{"first", state.first},
                        {"recent", state.recent},
                        {"paused_until", state.paused_until},
                        {"num_pauses", state.num_pauses},
                        {"warned", state.warned}}
      .dump();
}

GuardState guard_state_from_json(const std::string& text) {
  core::check_json_depth(text, kWhat);
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    GuardState state;
    state.first = read_shares(json, "first");
    state.recent = read_shares(json, "recent");
    state.paused_until = read_count(json, "paused_until");
    state.num_pauses = read_count(json, "num_pauses");
    json.at("warned").get_to(state.warned);
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw core::data_error(fmt::format("{} cannot be read: {}", kWhat, error.what()));
  }
}

GuardVerdict observe(GuardState& state, const GuardOptions& options, int64_t step, double ended_share) {
  const auto window = static_cast<size_t>(options.window);
  if (state.first.size() < window) state.first.push_back(ended_share);
  state.recent.push_back(ended_share);
  if (state.recent.size() > window) state.recent.erase(state.recent.begin(), state.recent.end() - options.window);

  GuardVerdict verdict{.baseline = mean(state.first), .running = mean(state.recent)};
  const bool fallen = state.recent.size() == window && verdict.baseline - verdict.running > options.max_drop;
  if (!options.enabled) {
    if (fallen && !state.warned) verdict.event = GuardEvent::Warned;
    state.warned = fallen;
    return verdict;
  }
  const bool was_paused = state.paused_until > 0;
  if (was_paused && step < state.paused_until) {
    verdict.paused = true;
  } else if (fallen) {
    state.paused_until = step + options.pause_steps;
    ++state.num_pauses;
    verdict.paused = true;
    verdict.event = was_paused ? GuardEvent::PausedAgain : GuardEvent::Paused;
  } else if (was_paused) {
    state.paused_until = 0;
    verdict.event = GuardEvent::Resumed;
  }
  return verdict;
}

}  // namespace thinktune::guidance
