// The numbers of one step or of one evaluation, in the order in which they were added: that is the order in the files.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thinktune::report {

// Names are paths: "reward/mean". What depends on the clock is named "time/…", so that two runs can be compared without
// it.
class Metrics {
 public:
  // Throws Error{Internal} for an empty name or one that is there already.
  void add(std::string name, double value);
  void add(const Metrics& others);

  bool has(std::string_view name) const;
  double at(std::string_view name) const;  // Throws Error{Internal} if it is not there.
  const std::vector<std::pair<std::string, double>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, double>> entries_;
};

}  // namespace thinktune::report
