#include "thinktune/report/metrics.h"

#include <algorithm>
#include <string_view>

#include "thinktune/core/error.h"

namespace thinktune::report {
namespace {

auto find(const std::vector<std::pair<std::string, double>>& entries, std::string_view name) {
  return std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.first == name; });
}

}  // namespace

void Metrics::add(std::string name, double value) {
  TT_CHECK(!name.empty(), "a metric without a name");
  TT_CHECK(!has(name), "the metric {} is added twice", name);
  entries_.emplace_back(std::move(name), value);
}

void Metrics::add(const Metrics& others) {
  for (const auto& [name, value] : others.entries_) add(name, value);
}

bool Metrics::has(std::string_view name) const { return find(entries_, name) != entries_.end(); }

double Metrics::at(std::string_view name) const {
  const auto entry = find(entries_, name);
  TT_CHECK(entry != entries_.end(), "there is no metric {}", name);
  return entry->second;
}

}  // namespace thinktune::report
