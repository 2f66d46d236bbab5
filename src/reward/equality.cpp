#include "thinktune/reward/equality.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "reward/comparison.h"
#include "reward/decimal.h"
#include "reward/lexer.h"
#include "reward/lexer_tables.h"
#include "reward/parser.h"
#include "reward/unicode.h"

namespace thinktune::reward {
namespace {

using rollout::Verdict;

constexpr std::string_view kWhite = " \t\r\n\f\v";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhite);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhite) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A signed decimal and nothing else: most answers there are.
std::optional<Decimal> plain_number(std::string_view text) {
  text = trimmed(text);
  if (text.empty() || text.size() > 40) return std::nullopt;
  const bool negative = text[0] == '-';
  if (negative) text.remove_prefix(1);
  size_t points = 0;
  for (const char c : text) points += c == '.';
  if (points > 1 || !std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || c == '.'; }))
    return std::nullopt;
  if (text.empty() || !is_digit(text.back())) return std::nullopt;
  Decimal number = read_decimal(text);
  number.negative = negative && !number.is_zero();
  return number;
}

// The content of the one box there is; the whole text if there is none, or several, or it is never closed.
std::string_view without_box(std::string_view text) {
  size_t open = std::string_view::npos;
  for (const std::string_view name : {"\\boxed{", "\\fbox{"}) {
    const size_t at = text.find(name);
    if (at == std::string_view::npos) continue;
    if (open != std::string_view::npos || text.find(name, at + 1) != std::string_view::npos) return text;
    open = at + name.size();
  }
  if (open == std::string_view::npos) return text;
  size_t depth = 1;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return text.substr(open, i - open);
    }
  }
  return text;
}

// "Special matrix: $…$", "the sum is \(…\)": the formula behind a phrase that ends in a colon or in "is".
std::string_view without_lead(std::string_view text) {
  for (const auto& [open, close] :
       {std::pair{"$$", "$$"}, std::pair{"$", "$"}, std::pair{"\\(", "\\)"}, std::pair{"\\[", "\\]"}}) {
    const std::string_view opens = open, closes = close;
    const size_t begin = text.find(opens);
    if (begin == std::string_view::npos || begin == 0 || text[begin - 1] == '\\') continue;
    const size_t content = begin + opens.size();
    const size_t end = text.find(closes, content);
    if (end == std::string_view::npos) continue;
    const std::string_view behind = trimmed(text.substr(end + closes.size()));
    if (!behind.empty() && behind != "." && behind != ",") continue;
    const std::string_view lead = trimmed(text.substr(0, begin));
    if (lead.find_first_of("0123456789$\\=") != std::string_view::npos) continue;
    if (lead.ends_with(":") || lead.ends_with(" is") || lead.ends_with(" are") || lead == "is" || lead == "are")
      return text.substr(content, end - content);
  }
  return text;
}

// One side. `tokens` views into `ascii` or into the text that was given.
class Side {
 public:
  explicit Side(std::string_view written) {
    written = trimmed(written);
    // Markdown's marks: **5**, `5`.
    while (written.size() > 2 && (written[0] == '*' || written[0] == '`') && written.back() == written[0])
      written = trimmed(written.substr(1, written.size() - 2));
    written = without_lead(without_box(written));
    if (!is_ascii(written)) {
      ascii_ = to_ascii_math(written);
      written = ascii_;
    }
    tokens_ = tokenize(written);
    rest_ = tokens_;
    // One mark, so that "0.33..." does not pass for 0.33.
    if (!rest_.empty() && (rest_.back().is_symbol(".") || rest_.back().is_symbol(",") || rest_.back().is_symbol(";")))
      rest_ = rest_.first(rest_.size() - 1);
    if (rest_.size() > 1 && (rest_[0].is_symbol("=") || rest_[0].is_command("\\approx"))) rest_ = rest_.subspan(1);
    text_ = canonical_text(rest_);
  }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  std::span<Token> tokens() const { return rest_; }
  // The value of a choice: what stands behind "(B)" or "B)"; nothing if there is no letter.
  std::span<Token> behind_choice() const {
    const size_t mark = !rest_.empty() && rest_[0].is_symbol("(") ? 3 : 2;
    return rest_.size() > mark && choice(true) != '\0' ? rest_.subspan(mark) : std::span<Token>{};
  }
  const std::string& text() const { return text_; }

  // "C" and "(C)" are the choice C, and so is, if `with_text`, "(C) 15" or "C. 15"; 0 if it is none.
  char choice(bool with_text) const {
    const auto letter = [&](size_t i) {
      const bool one = i < rest_.size() && rest_[i].text.size() == 1 &&
                       (rest_[i].kind == TokenKind::Letter || rest_[i].kind == TokenKind::Word);
      return one && rest_[i].text[0] >= 'A' && rest_[i].text[0] <= 'Z' ? rest_[i].text[0] : '\0';
    };
    if (rest_.size() == 1) return letter(0);
    if (rest_.size() >= 3 && rest_[0].is_symbol("(") && rest_[2].is_symbol(")"))
      return rest_.size() == 3 || with_text ? letter(1) : '\0';
    if (rest_.size() == 2 && rest_[1].is_symbol(")")) return letter(0);
    const bool marked = with_text && rest_.size() >= 3 &&
                        (rest_[1].is_symbol(")") || rest_[1].is_symbol(".") || rest_[1].is_symbol(":"));
    return marked ? letter(0) : '\0';
  }

 private:
  std::string ascii_;
  std::vector<Token> tokens_;
  std::span<Token> rest_;
  std::string text_;
};

// Words for sets.
NodeId set_of_words(const std::string& text, Expressions& tree) {
  static const std::unordered_set<std::string_view> kAll = {"allrealnumbers", "allreals", "realnumbers",
                                                            "therealnumbers", "allrealnumber"};
  static const std::unordered_set<std::string_view> kNone = {"nosolution",      "nosolutions", "norealsolution",
                                                             "norealsolutions", "emptyset",    "theemptyset"};
  if (kAll.contains(text)) return tree.add(Kind::NumberSet, {}, tree.name_index("R"));
  if (kNone.contains(text)) return tree.add(Kind::EmptySet, {});
  return kNoNode;
}

bool is_all_words(std::span<const Token> tokens) {
  return std::all_of(tokens.begin(), tokens.end(), [](const Token& t) {
    return t.kind == TokenKind::Word || t.kind == TokenKind::Letter ||
           (t.kind == TokenKind::Symbol && (t.text == "." || t.text == "," || t.text == "-" || t.text == "'"));
  });
}

bool has_word(std::span<const Token> tokens) {
  return std::any_of(tokens.begin(), tokens.end(), [](const Token& t) { return t.kind == TokenKind::Word; });
}

Ruling compare_sides(const Side& answer, const Side& gold, const EqualityOptions& options) {
  if (answer.text().empty()) return {Verdict::Unparsed, "the answer is empty"};
  if (answer.text() == gold.text()) return {Verdict::Right, "the same text"};
  const bool both_words = is_all_words(answer.tokens()) && is_all_words(gold.tokens());
  if (both_words && (has_word(answer.tokens()) || has_word(gold.tokens())) &&
      lower_case(answer.text()) == lower_case(gold.text()))
    return {Verdict::Right, "the same words"};
  if (const char choice = gold.choice(false)) {
    const char chosen = answer.choice(true);
    if (chosen != '\0')
      return chosen == choice ? Ruling{Verdict::Right, "the same choice"}
                              : Ruling{Verdict::Wrong, "another choice than the gold answer"};
  } else if (const char chosen = answer.choice(false); chosen != '\0' && gold.choice(true) == chosen) {
    return {Verdict::Right, "the same choice"};
  }
  Expressions tree;
  Budget budget(options.max_steps);
  const auto parse = [&](std::span<Token> tokens, const char*& error) {
    Parser parser(tokens, tree, options.mixed_numbers);
    const NodeId id = parser.answer();
    error = parser.error();
    return id;
  };
  // "(B) 24" is 24 where the other side is no choice. "(B)\frac12" is that only where the letter is text: else it is a
  // product.
  const auto read = [&](const Side& side, const Side& other, const char*& error) {
    const NodeId words = is_all_words(side.tokens()) ? set_of_words(lower_case(side.text()), tree) : kNoNode;
    if (words != kNoNode) return words;
    const std::span<Token> value = other.choice(true) == '\0' ? side.behind_choice() : std::span<Token>{};
    NodeId id = kNoNode;
    if (!value.empty() && side.tokens()[1].in_text) id = parse(value, error);
    if (id == kNoNode) id = parse(side.tokens(), error);
    const char* ignored = nullptr;
    return id == kNoNode && !value.empty() ? parse(value, ignored) : id;
  };
  const char* error = nullptr;
  const char* gold_error = nullptr;
  const NodeId a = read(answer, gold, error);
  const NodeId g = read(gold, answer, gold_error);
  if (a == kNoNode && both_words) return {Verdict::Wrong, "other words than the gold answer"};
  if (a == kNoNode) return {Verdict::Unparsed, error};
  if (g == kNoNode)
    return both_words ? Ruling{Verdict::Wrong, "other words than the gold answer"}
                      : Ruling{Verdict::Unparsed, "the gold answer could not be read, and the texts differ"};
  return Comparison(tree, budget, options).compare(a, g);
}

}  // namespace

void describe(core::Fields& fields, EqualityOptions& options) {
  fields.choice("percent", options.percent, kPercentNames,
                "a percent sign on one side only: 50% is 50 (ignore), 0.5 (value), or both (either)");
  fields.boolean("mixed_numbers", options.mixed_numbers, "2\\frac{1}{2} is 5/2 rather than a product");
  fields.boolean("reduced_fractions", options.reduced_fractions, "an answer that is a fraction has to be reduced");
  fields.boolean("missing_base", options.missing_base, "40 is right where the answer is 40_9");
  fields.boolean("ordered_lists", options.ordered_lists, "the order of a list without brackets counts");
  fields.boolean("compare_units", options.compare_units,
                 "5 cm is wrong where the answer is 5 m; no unit is always right");
  fields.boolean("worked_out", options.worked_out,
                 "where the gold answer is a number, an answer that leaves something to calculate is wrong: 6 \\cdot 7 "
                 "for 42");
  fields.number("relative_tolerance", options.relative_tolerance, core::between(0.0, 1.0),
                "how far a number may be from the gold answer, as a part of it; 0: numbers are exact");
  fields.integer("max_steps", options.max_steps, core::IntRange{1'000, 1'000'000'000},
                 "what a comparison may cost; one step is about 0.2 microseconds");
}

void validate(const EqualityOptions& options) { core::check_ranges(options, "equality"); }

Equality compare_answers(std::string_view answer, std::string_view gold, const EqualityOptions& options) {
  const auto number = plain_number(answer);
  const auto gold_number = number ? plain_number(gold) : std::nullopt;
  if (number && gold_number && options.relative_tolerance == 0) {
    if (*number == *gold_number) return {Verdict::Right, "the same number"};
    return {Verdict::Wrong, "another number than the gold answer"};
  }
  const Ruling ruling = compare_sides(Side(answer), Side(gold), options);
  Equality equality{ruling.verdict, ruling.reason};
  if (equality.reason == "too large to decide")
    equality.reason += " within " + std::to_string(options.max_steps) + " steps";
  return equality;
}

}  // namespace thinktune::reward
