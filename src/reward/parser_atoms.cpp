// The smallest parts of an expression: numbers, names and words, and what stands in brackets.
#include <unordered_set>

#include "reward/lexer_tables.h"
#include "reward/parser.h"
#include "reward/units.h"

namespace thinktune::reward {
namespace {

// Words that turn the meaning of what follows: such a phrase is text, and no name.
const std::unordered_set<std::string_view> kTurns = {
    "not",     "nor",  "no",      "neither", "never", "without", "at",     "most",    "least",  "less", "more",
    "between", "from", "through", "to",      "over",  "under",   "below",  "above",   "about",  "if",   "unless",
    "or",      "and",  "than",    "greater", "every", "each",    "either", "exactly", "almost", "but",  "except"};

bool is_plain_integer(std::string_view text) { return text.find_first_of(".eE") == std::string_view::npos; }

}  // namespace

NodeId Parser::atom() {
  if (done()) return fail("it ends where a quantity is missing");
  const Token& token = *peek();
  switch (token.kind) {
    case TokenKind::Number:
      return number();
    case TokenKind::Letter:
      ++at_;
      if (token.text == "e") return tree_.add(Kind::Euler, {});
      if (token.text == "i") return tree_.add(Kind::Imaginary, {});
      return tree_.add_symbol(token.text);
    case TokenKind::Word:
      return word();
    case TokenKind::Command:
      return command();
    case TokenKind::Begin:
      return environment();
    case TokenKind::Symbol:
      if (token.text == "(" || token.text == "[") return brackets();
      if (token.text == "{") return braces();
      if (token.text == "\\{") return set();
      if (token.text == "|") return absolute();
      break;
    default:
      break;
  }
  return fail("a sign where a quantity is missing");
}

NodeId Parser::number() {
  const Token& token = tokens_[at_++];
  if (!done() && (next_is(".") || peek()->kind == TokenKind::Command)) {
    const bool point = next_is(".");
    const bool line =
        next_is_command("\\overline", point) || next_is_command("\\bar", point) || next_is_command("\\dot", point);
    if (line && point == is_plain_integer(token.text)) return repeating(token);
  }
  const NodeId whole = tree_.add_number(read_decimal(token.text));
  if (!mixed_ || whole == kNoNode || !is_plain_integer(token.text)) return whole;
  if (next_is_command("\\frac") ||
      (next_is(TokenKind::Number) && peek()->space_before && next_is("/", 1) && next_is(TokenKind::Number, 2)))
    return mixed_number(whole);
  return whole;
}

// "2\frac{1}{2}" and "2 1/2", if the part is a proper fraction of integers; otherwise `whole` alone is read.
NodeId Parser::mixed_number(NodeId whole) {
  const auto proper = [](std::string_view numerator, std::string_view denominator) {
    const Decimal n = read_decimal(numerator), m = read_decimal(denominator);
    if (n.exponent < 0 || m.exponent < 0 || m.is_zero()) return false;
    const auto length = [](const Decimal& d) { return d.digits.size() + static_cast<size_t>(d.exponent); };
    if (length(n) != length(m)) return length(n) < length(m);
    return n.digits < m.digits;
  };
  if (!next_is_command("\\frac")) {
    if (!proper(peek()->text, peek(2)->text) || next_is("^", 3)) return fail("two numbers side by side");
    const NodeId numerator = tree_.add_number(read_decimal(peek()->text));
    const NodeId denominator = tree_.add_number(read_decimal(peek(2)->text));
    at_ += 3;
    return tree_.add(Kind::Sum, {whole, tree_.add(Kind::Quotient, {numerator, denominator})}, 1);
  }
  // Looked at, not read: \frac{a}{b}, \frac{a}b, \frac a{b}, \frac ab, \frac12.
  size_t at = 1;
  std::string_view parts[2];
  if (next_is(TokenKind::Number, 1) && peek(1)->text.size() == 2 && is_plain_integer(peek(1)->text)) {
    parts[0] = peek(1)->text.substr(0, 1);
    parts[1] = peek(1)->text.substr(1, 1);
    at = 2;
  } else {
    for (std::string_view& part : parts) {
      const bool braced = next_is("{", at);
      if (braced) ++at;
      if (!next_is(TokenKind::Number, at) || (!braced && peek(at)->text.size() != 1)) return whole;
      part = peek(at)->text;
      if (braced && !next_is("}", at + 1)) return whole;
      at += braced ? 2 : 1;
    }
  }
  if (next_is("^", at) || !is_plain_integer(parts[0]) || !is_plain_integer(parts[1]) || !proper(parts[0], parts[1]))
    return whole;
  const NodeId numerator = tree_.add_number(read_decimal(parts[0]));
  const NodeId denominator = tree_.add_number(read_decimal(parts[1]));
  at_ += at;
  return tree_.add(Kind::Sum, {whole, tree_.add(Kind::Quotient, {numerator, denominator})}, 1);
}

// "0.8\overline{4}", "0.\overline{142857}".
NodeId Parser::repeating(const Token& head) {
  accept(".");
  ++at_;  // \overline
  const bool braced = accept("{");
  if (!next_is(TokenKind::Number) || !is_plain_integer(peek()->text)) return fail("a line over what are no digits");
  std::string digits;
  for (const char c : peek()->text)
    if (c >= '0' && c <= '9') digits += c;
  ++at_;
  if (braced && !accept("}")) return fail("a brace is never closed");
  if (digits.size() > 64) return fail("too many repeating digits");
  const size_t point = head.text.find('.');
  const auto places = static_cast<int64_t>(point == std::string_view::npos ? 0 : head.text.size() - point - 1);
  // d repeated for ever is d / 99…9, behind `places` digits.
  const NodeId nines = tree_.add_number(read_decimal(std::string(digits.size(), '9')));
  const NodeId shift = tree_.add_number(Decimal{false, "1", places});
  const NodeId part =
      tree_.add(Kind::Quotient, {tree_.add_number(read_decimal(digits)), tree_.add(Kind::Product, {nines, shift})});
  return tree_.add(Kind::Sum, {tree_.add_number(read_decimal(head.text)), part}, 1);
}

// A name of words ("Total cost"), or a text answer ("Even", "no solution"): one symbol.
NodeId Parser::word() {
  std::string name = "\"";
  for (; next_is(TokenKind::Word) && !next_is_word("and") && !next_is_word("or"); ++at_) {
    const std::string text = lower_case(peek()->text);
    if (kTurns.contains(text)) return fail("words that are no name");
    name += text;
    if (name.size() > 400) return fail("too many words");
  }
  if (name.size() == 1) return fail("'and' or 'or' where a quantity is missing");
  return tree_.add_symbol(name);
}

NodeId Parser::braces() {
  ++at_;
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  open_bars_ = 0;
  NodeId id = list();
  if (id == kNoNode) return id;
  if (accept_command("\\choose")) id = tree_.add_function(Fn::Binomial, {id, sum()});
  if (!accept("}")) return fail("a brace is never closed");
  // "{1, 3}": braces whose backslashes were lost.
  if (id != kNoNode && tree_.kind(id) == Kind::List) {
    const std::vector<NodeId> items(tree_.children(id).begin(), tree_.children(id).end());
    return tree_.add(Kind::Set, items);
  }
  return id;
}

// ( … ), [ … ], and intervals with one of each.
NodeId Parser::brackets() {
  const bool square = next_is("[");
  ++at_;
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  open_bars_ = 0;
  std::vector<NodeId> items;
  do {
    // "(1,000)" may be a number with brackets around it, or a pair.
    const bool group = !items.empty() && next_is(TokenKind::Number) && !peek()->space_before &&
                       peek()->text.size() == 3 && peek()->text[0] == '0';
    if (group && is_plain_integer(peek()->text)) return fail("a pair that looks like a number's thousands");
    items.push_back(relation());
    if (items.back() == kNoNode) return kNoNode;
  } while (accept(","));
  if (!next_is(")") && !next_is("]")) return fail("a bracket is never closed");
  const bool closes_square = next_is("]");
  ++at_;
  if (items.size() == 1 && !square && !closes_square) return items[0];
  if (items.size() == 2 && (square || closes_square))
    return tree_.add(Kind::Interval, items, (square ? kClosedLeft : 0) | (closes_square ? kClosedRight : 0));
  if (square != closes_square) return fail("brackets that do not match");
  return tree_.add(square ? Kind::Bracket : Kind::Tuple, items);
}

NodeId Parser::set() {
  ++at_;
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  open_bars_ = 0;
  if (accept("\\}")) return tree_.add(Kind::EmptySet, {});
  // {x | x > 2} and {x : x > 2} are what their condition says.
  bool condition = next_is(TokenKind::Letter) && (next_is("|", 1) || next_is(":", 1));
  if (condition) at_ += 2;
  NodeId id = list();
  if (id == kNoNode) return id;
  if (!condition && accept_command("\\mid")) {
    condition = true;
    id = list();
  } else if (condition && tree_.kind(id) != Kind::Relation && tree_.kind(id) != Kind::List) {
    return fail("a set that is no list");
  }
  if (condition) return id == kNoNode || accept("\\}") ? id : fail("a set that is no list");
  if (!accept("\\}")) return fail("a set that is no list");
  if (tree_.kind(id) != Kind::List) return tree_.add(Kind::Set, {id});
  const std::vector<NodeId> items(tree_.children(id).begin(), tree_.children(id).end());
  return tree_.add(Kind::Set, items);
}

NodeId Parser::absolute() {
  ++at_;
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  ++open_bars_;
  const NodeId id = sum();
  if (id == kNoNode) return id;
  if (!accept("|")) return fail("a bar is never closed");
  return tree_.add_function(Fn::Abs, {id});
}

NodeId Parser::fenced(std::string_view close, Fn fn) {
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  open_bars_ = 0;
  const NodeId id = sum();
  if (id == kNoNode) return id;
  if (!accept_command(close)) return fail("a bracket is never closed");
  return tree_.add_function(fn, {id});
}

NodeId Parser::angle() {
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  std::vector<NodeId> items;
  do {
    items.push_back(sum());
    if (items.back() == kNoNode) return kNoNode;
  } while (accept(","));
  if (!accept_command("\\rangle")) return fail("a bracket is never closed");
  return tree_.add(Kind::Tuple, items);
}

// Rows between \begin and \end.
NodeId Parser::environment() {
  const std::string_view name = tokens_[at_++].text;
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  open_bars_ = 0;
  if (name == "array" && accept("{")) {  // its columns: {c|c}
    while (!done() && !next_is("}")) ++at_;
    accept("}");
  }
  static const std::unordered_set<std::string_view> kMatrices = {"pmatrix", "bmatrix", "matrix",      "array",
                                                                 "vmatrix", "Bmatrix", "smallmatrix", "Vmatrix"};
  if (!kMatrices.contains(name)) return fail("an environment that is no matrix");
  return matrix(name);
}

NodeId Parser::matrix(std::string_view name) {
  std::vector<NodeId> entries;
  size_t columns = 0, column = 0;
  while (!next_is(TokenKind::End)) {
    if (done()) return fail("a matrix is never closed");
    entries.push_back(sum());
    if (entries.back() == kNoNode) return kNoNode;
    ++column;
    if (accept("&")) continue;
    const bool row_ends = accept("\\\\");
    while (accept_command("\\hline") || accept("\\\\")) {
    }
    if (!row_ends && !next_is(TokenKind::End)) return fail("an entry of a matrix that is no quantity");
    if (columns != 0 && column != columns) return fail("a matrix with rows of different lengths");
    columns = column;
    column = 0;
  }
  if (tokens_[at_].text != name) return fail("an environment that ends with another's name");
  if (columns == 0 || column != 0) return fail("a matrix without entries");
  ++at_;
  if (name != "vmatrix") return tree_.add(Kind::Matrix, entries, static_cast<uint32_t>(columns));
  if (columns != 2 || entries.size() != 4) return fail("a determinant of more than two rows");
  const NodeId down = tree_.add(Kind::Product, {entries[0], entries[3]});
  const NodeId up = tree_.add(Kind::Product, {entries[1], entries[2]});
  return tree_.add(Kind::Sum, {down, tree_.add(Kind::Negative, {up})});
}

NodeId Parser::number_set() {
  const bool braced = accept("{");
  if (!next_is(TokenKind::Letter)) return fail("a command that is not known");
  const uint32_t name = tree_.name_index(peek()->text);
  ++at_;
  if (braced && !accept("}")) return fail("a brace is never closed");
  return tree_.add(Kind::NumberSet, {}, name);
}

}  // namespace thinktune::reward
