#include "cli/config_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

namespace thinktune::cli {
namespace {

constexpr size_t kLongestSuggested = 100;  // a longer word is no misspelt key; also bounds the time of the distance
constexpr size_t kMostSuggestions = 3;

std::string folded(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

// The largest distance at which a word of that length counts as misspelt. "lr" is not a misspelt "kl".
size_t limit_for(size_t length) { return length < 3 ? 0 : length < 6 ? 1 : length / 3; }

std::string_view leaf_of(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

std::set<std::string> words_of(std::string_view name) {
  std::set<std::string> words;
  std::string word;
  for (const char c : folded(name) + "_") {
    if (c != '_') {
      word += c;
    } else if (!word.empty()) {
      words.insert(std::move(word));
      word.clear();
    }
  }
  return words;
}

// max_tokens and max_prompt_tokens: one has all words of the other.
bool shares_all_words(std::string_view a, std::string_view b) {
  const auto x = words_of(a), y = words_of(b);
  if (x.empty() || y.empty()) return false;
  return std::includes(x.begin(), x.end(), y.begin(), y.end()) || std::includes(y.begin(), y.end(), x.begin(), x.end());
}

void keep_best(std::vector<std::string>& best, size_t& best_cost, size_t cost, const std::string& name) {
  if (cost > best_cost) return;
  if (cost < best_cost) best.clear();
  best_cost = cost;
  if (best.size() < kMostSuggestions) best.push_back(name);
}

std::vector<std::string> probably_meant(const std::string& key, const std::vector<Field>& fields) {
  if (key.size() > kLongestSuggested) return {};
  const std::string section = section_of(key), leaf = folded(leaf_of(key)), whole = folded(key);
  std::vector<std::string> best;
  size_t best_cost = SIZE_MAX;
  for (const Field& field : fields) {
    const std::string name = folded(leaf_of(field.key));
    const bool same_section = section_of(field.key) == section;
    // Costs are doubled, so that at the same distance a key of the same section wins.
    const size_t distance = edit_distance(leaf, name);
    if (distance <= (same_section ? limit_for(leaf.size()) : leaf.size() / 5) && distance < name.size())
      keep_best(best, best_cost, 2 * distance + !same_section, field.key);
    else if (const size_t d = edit_distance(whole, folded(field.key)); d <= limit_for(leaf.size()))
      keep_best(best, best_cost, 2 * d + 1, field.key);
  }
  if (!best.empty()) return best;
  for (const Field& field : fields)
    if (section_of(field.key) == section && shares_all_words(leaf, leaf_of(field.key)) &&
        best.size() < kMostSuggestions)
      best.push_back(field.key);
  return best;
}

}  // namespace

std::string joined(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : fmt::format("{}.{}", section, name);
}

std::string section_of(const std::string& key) {
  const size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string cut(std::string_view text, size_t longest) {
  if (text.size() <= longest) return std::string(text);
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0) == 0x80)
    --longest;  // not inside a character
  return std::string(text.substr(0, longest)) + "…";
}

std::string printable(std::string_view text) {
  const std::string quoted =
      nlohmann::json(cut(text, 80)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

std::string shown(const nlohmann::json& value) {
  if (value.is_string()) return fmt::format("\"{}\"", printable(value.get_ref<const std::string&>()));
  if (value.is_array()) return "a list";
  if (value.is_object()) return "a section";
  return value.dump();
}

std::string either(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

std::vector<std::string> nearest_names(std::string_view word, const std::vector<std::string>& names) {
  if (word.size() > kLongestSuggested) return {};
  std::vector<std::string> best;
  size_t best_cost = SIZE_MAX;
  for (const std::string& name : names) {
    const size_t distance = edit_distance(folded(word), folded(name));
    if (distance <= limit_for(word.size()) && distance < name.size()) keep_best(best, best_cost, distance, name);
  }
  return best;
}

std::string advice_for_unknown(const std::string& key, const std::vector<Field>& fields) {
  if (const auto meant = probably_meant(key, fields); !meant.empty())
    return fmt::format("; did you mean {}?", either(meant));
  const std::string section = section_of(key);
  std::string known;
  for (const Field& field : fields)
    if (section_of(field.key) == section) known += (known.empty() ? "" : ", ") + std::string(leaf_of(field.key));
  return fmt::format("; {} has: {}", section.empty() ? "the config" : section, known.empty() ? "nothing" : known);
}

}  // namespace thinktune::cli
