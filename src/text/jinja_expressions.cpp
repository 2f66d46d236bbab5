// The grammar of expressions, loosest first: a if b else c, or, and, not, comparisons, + and -, ~, * / // %, **, sign,
// then what is written behind a value: attributes, items, calls, filters and tests.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

#include "text/jinja_parser.h"
#include "thinktune/core/error.h"

namespace thinktune::text::jinja {
namespace {
constexpr int kMaxDepth = 200;
}

ExprPtr Parser::make(Expr::Type type, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->type = type;
  expr->line = line;
  return expr;
}

void Parser::deepen(Expr& parent, const Expr& child) const {
  parent.depth = std::max(parent.depth, child.depth + 1);
  if (parent.depth > kMaxDepth)
    fail_at(parent.line, fmt::format("an expression is nested more than {} deep", kMaxDepth));
}

ExprPtr Parser::add_child(ExprPtr parent, ExprPtr child) const {
  if (child != nullptr) deepen(*parent, *child);
  parent->children.push_back(std::move(child));
  return parent;
}

ExprPtr Parser::wrap(Expr::Type type, ExprPtr child) const {
  auto parent = make(type, child->line);
  return add_child(std::move(parent), std::move(child));
}

ExprPtr Parser::text_constant(std::string text, int line) const {
  auto expr = make(Expr::Type::Constant, line);
  expr->value =
      Value::object(std::shared_ptr<const Text>(std::make_shared<Text>(MarkedText(std::move(text), Mark::Template))));
  return expr;
}

bool Parser::ends_tuple() const {
  return peek().type == Token::Type::BlockEnd || peek().type == Token::Type::PrintEnd || at_operator(")") ||
         at_name("in") || at_name("if") || at_name("recursive");
}

ExprPtr Parser::tuple(bool with_conditional) {
  const int line = peek().line;
  auto first = with_conditional ? expression() : disjunction();
  if (!at_operator(",")) return first;
  auto all = add_child(make(Expr::Type::Tuple, line), std::move(first));
  while (skip_operator(",")) {
    if (ends_tuple()) break;
    all = add_child(std::move(all), with_conditional ? expression() : disjunction());
  }
  return all;
}

ExprPtr Parser::expression() {
  const Deeper deeper(*this);
  const size_t num_unknown = unknown_.size();
  auto value = disjunction();
  while (at_name("if")) {
    auto conditional = make(Expr::Type::Conditional, next().line);
    auto condition = disjunction();
    auto otherwise = skip_name("else") ? expression() : nullptr;
    conditional = add_child(std::move(conditional), std::move(value));
    conditional = add_child(std::move(conditional), std::move(condition));
    value = add_child(std::move(conditional), std::move(otherwise));
    unknown_.resize(num_unknown);
  }
  return value;
}

ExprPtr Parser::disjunction() {
  auto left = conjunction();
  if (!at_name("or")) return left;
  auto all = wrap(Expr::Type::Or, std::move(left));
  while (skip_name("or")) all = add_child(std::move(all), conjunction());
  return all;
}

ExprPtr Parser::conjunction() {
  auto left = negation();
  if (!at_name("and")) return left;
  auto all = wrap(Expr::Type::And, std::move(left));
  while (skip_name("and")) all = add_child(std::move(all), negation());
  return all;
}

ExprPtr Parser::negation() {
  if (!at_name("not")) return comparison();
  const Deeper deeper(*this);
  const int line = next().line;
  return add_child(make(Expr::Type::Not, line), negation());
}

ExprPtr Parser::comparison() {
  auto left = sum();
  std::vector<Comparison> comparisons;
  ExprPtr all;
  while (true) {
    static constexpr std::pair<std::string_view, Comparison> kComparisons[] = {
        {"==", Comparison::Equal}, {"!=", Comparison::NotEqual},     {"<=", Comparison::LessEqual},
        {"<", Comparison::Less},   {">=", Comparison::GreaterEqual}, {">", Comparison::Greater}};
    const Comparison* found = nullptr;
    for (const auto& [op, meaning] : kComparisons)
      if (at_operator(op)) found = &meaning;
    Comparison comparison = Comparison::In;
    if (found != nullptr) {
      comparison = *found;
      next();
    } else if (at_name("not") && at_ + 1 < tokens_.size() && is(tokens_[at_ + 1], Token::Type::Name, "in")) {
      comparison = Comparison::NotIn;
      next(), next();
    } else if (!skip_name("in")) {
      return all ? std::move(all) : std::move(left);
    }
    if (!all) all = wrap(Expr::Type::Compare, std::move(left));
    all->comparisons.push_back(comparison);
    all = add_child(std::move(all), sum());
  }
}

ExprPtr Parser::sum() {
  auto left = concatenation();
  if (!at_operator("+") && !at_operator("-")) return left;
  auto all = wrap(Expr::Type::Arithmetic, std::move(left));
  while (at_operator("+") || at_operator("-")) {
    all->operators.push_back(next().text == "+" ? Operator::Add : Operator::Subtract);
    all = add_child(std::move(all), concatenation());
  }
  return all;
}

ExprPtr Parser::concatenation() {
  auto left = product();
  if (!at_operator("~")) return left;
  auto all = wrap(Expr::Type::Concat, std::move(left));
  while (skip_operator("~")) all = add_child(std::move(all), product());
  return all;
}

ExprPtr Parser::product() {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {
      {"*", Operator::Multiply}, {"/", Operator::Divide}, {"//", Operator::FloorDivide}, {"%", Operator::Modulo}};
  auto left = power();
  ExprPtr all;
  while (true) {
    const Operator* found = nullptr;
    for (const auto& [op, meaning] : kOperators)
      if (at_operator(op)) found = &meaning;
    if (found == nullptr) return all ? std::move(all) : std::move(left);
    next();
    if (!all) all = wrap(Expr::Type::Arithmetic, std::move(left));
    all->operators.push_back(*found);
    all = add_child(std::move(all), power());
  }
}

ExprPtr Parser::power() {
  auto left = unary();
  if (!at_operator("**")) return left;
  auto all = wrap(Expr::Type::Arithmetic, std::move(left));
  while (skip_operator("**")) {  // from the left, as Jinja has it and Python has not
    all->operators.push_back(Operator::Power);
    all = add_child(std::move(all), unary());
  }
  return all;
}

ExprPtr Parser::unary(bool with_filters) {
  const Deeper deeper(*this);
  ExprPtr value;
  if (at_operator("-") || at_operator("+")) {
    const Token& sign = next();
    value = add_child(make(sign.text == "-" ? Expr::Type::Negative : Expr::Type::Positive, sign.line), unary(false));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExprPtr Parser::primary() {
  switch (peek().type) {
    case Token::Type::Name:
      return name_or_constant();
    case Token::Type::String:
      return string();
    case Token::Type::Integer:
    case Token::Type::Float:
      return number();
    default:
      if (at_operator("(")) return parenthesized();
      if (at_operator("[")) return list();
      if (at_operator("{")) return dict();
      unexpected("a value");
  }
}

ExprPtr Parser::name_or_constant() {
  const Token& token = next();
  const std::string& name = token.text;
  auto expr = make(Expr::Type::Constant, token.line);
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    expr->value = Value::boolean(name[0] == 't' || name[0] == 'T');
  } else if (name == "none" || name == "None") {
    expr->value = Value::none();
  } else {
    static constexpr std::string_view kWords[] = {"if", "else", "elif", "and", "or", "not", "in", "is", "for"};
    for (const std::string_view word : kWords)
      if (name == word) fail_at(token.line, fmt::format("'{}' stands where a value was to come", name));
    expr->type = Expr::Type::Name;
    expr->name = name;
    expr->symbol = symbol(name);
  }
  return expr;
}

ExprPtr Parser::number() {
  const Token& token = next();
  std::string digits;
  for (const char c : token.text)
    if (c != '_') digits += c;
  auto expr = make(Expr::Type::Constant, token.line);
  if (token.type == Token::Type::Float) {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    // Python reads what is too large or too small as infinity or zero.
    if (error == std::errc::result_out_of_range) value = std::strtod(digits.c_str(), nullptr);
    expr->value = Value::number(value);
    return expr;
  }
  const char kind = digits.size() > 1 ? static_cast<char>(digits[1] | 0x20) : '0';
  const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
  const char* begin = digits.data() + (base == 10 ? 0 : 2);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(begin, digits.data() + digits.size(), value, base);
  if (error == std::errc::result_out_of_range)
    fail_at(token.line, fmt::format("the integer {} is larger than {}", digits, std::numeric_limits<int64_t>::max()));
  if (error != std::errc() || end != digits.data() + digits.size())
    fail_at(token.line, fmt::format("'{}' is no number", token.text));
  expr->value = Value::integer(value);
  return expr;
}

ExprPtr Parser::string() {
  const int line = peek().line;
  std::string text;
  while (peek().type == Token::Type::String) text += next().text;
  return text_constant(std::move(text), line);
}

ExprPtr Parser::parenthesized() {
  const Deeper deeper(*this);
  const int line = next().line;
  if (skip_operator(")")) return make(Expr::Type::Tuple, line);
  auto inside = tuple();
  expect_operator(")");
  return inside;
}

ExprPtr Parser::list() {
  const Deeper deeper(*this);
  auto all = make(Expr::Type::List, next().line);
  while (!at_operator("]")) {
    if (!all->children.empty()) {
      expect_operator(",");
      if (at_operator("]")) break;
    }
    all = add_child(std::move(all), expression());
  }
  next();
  return all;
}

ExprPtr Parser::dict() {
  const Deeper deeper(*this);
  auto all = make(Expr::Type::Dict, next().line);
  while (!at_operator("}")) {
    if (!all->children.empty()) {
      expect_operator(",");
      if (at_operator("}")) break;
    }
    all = add_child(std::move(all), expression());
    expect_operator(":");
    all = add_child(std::move(all), expression());
  }
  next();
  return all;
}

}  // namespace thinktune::text::jinja
