// The grammar of what stands behind a value (attributes, items, calls, filters, tests), and of what is assigned to.
#include "text/jinja_parser.h"
#include "thinktune/core/error.h"

namespace thinktune::text::jinja {

ExprPtr Parser::postfix(ExprPtr of) {
  while (true) {
    if (at_operator(".") || at_operator("[")) {
      of = subscript(std::move(of));
    } else if (at_operator("(")) {
      of = call(std::move(of));
    } else {
      return of;
    }
  }
}

ExprPtr Parser::filters_and_tests(ExprPtr of) {
  while (true) {
    if (at_operator("|")) {
      of = filters(std::move(of));
    } else if (at_name("is")) {
      of = test(std::move(of));
    } else if (at_operator("(")) {
      of = call(std::move(of));
    } else {
      return of;
    }
  }
}

ExprPtr Parser::filters(ExprPtr of) {
  while (skip_operator("|")) of = filter(std::move(of));
  return of;
}

ExprPtr Parser::filter(ExprPtr of) {
  auto expr = make(Expr::Type::Filter, peek().line);
  expr->name = expect_name("a filter's name");
  while (skip_operator(".")) expr->name += "." + expect_name("a filter's name");
  expr->function = find_filter(expr->name);
  if (expr->function == nullptr) unknown_.push_back({expr->line, fmt::format("no filter is named '{}'", expr->name)});
  expr = add_child(std::move(expr), std::move(of));
  if (at_operator("(")) expr->arguments = arguments();
  for (const Argument& argument : expr->arguments) deepen(*expr, *argument.value);
  return expr;
}

ExprPtr Parser::test(ExprPtr of) {
  auto expr = make(Expr::Type::Test, next().line);
  const bool is_negated = skip_name("not");
  expr->name = expect_name("a test's name");
  while (skip_operator(".")) expr->name += "." + expect_name("a test's name");
  expr->function = find_test(expr->name);
  if (expr->function == nullptr) unknown_.push_back({expr->line, fmt::format("no test is named '{}'", expr->name)});
  expr = add_child(std::move(expr), std::move(of));
  const bool value_follows = peek().type == Token::Type::String || peek().type == Token::Type::Integer ||
                             peek().type == Token::Type::Float || at_operator("[") || at_operator("{");
  bool name_follows = peek().type == Token::Type::Name;
  for (const std::string_view word : {"else", "or", "and", "if", "is", "in", "not", "recursive"})
    name_follows = name_follows && !at_name(word);
  if (at_operator("(")) {
    expr->arguments = arguments();
  } else if (value_follows || name_follows) {  // "is divisibleby 3"
    Argument argument;
    argument.value = postfix(primary());
    expr->arguments.push_back(std::move(argument));
  }
  for (const Argument& argument : expr->arguments) deepen(*expr, *argument.value);
  if (at_name("is")) fail_at(peek().line, "tests cannot be chained: put the first in brackets");
  if (!is_negated) return expr;
  return wrap(Expr::Type::Not, std::move(expr));
}

ExprPtr Parser::subscript(ExprPtr of) {
  const int line = peek().line;
  if (skip_operator(".")) {
    if (peek().type == Token::Type::Integer)
      return add_child(add_child(make(Expr::Type::Item, line), std::move(of)), number());
    auto expr = make(Expr::Type::Attribute, line);
    expr->name = expect_name("an attribute's name");
    return add_child(std::move(expr), std::move(of));
  }
  expect_operator("[");
  auto key = subscript_part();
  if (at_operator(",")) {
    key = add_child(make(Expr::Type::Tuple, line), std::move(key));
    while (skip_operator(",")) key = add_child(std::move(key), subscript_part());
  }
  expect_operator("]");
  return add_child(add_child(make(Expr::Type::Item, line), std::move(of)), std::move(key));
}

// What stands in brackets: a key, or start:stop:step with any of them left out.
ExprPtr Parser::subscript_part() {
  const int line = peek().line;
  ExprPtr start;
  if (!at_operator(":")) {
    start = expression();
    if (!at_operator(":")) return start;
  }
  auto slice = add_child(make(Expr::Type::Slice, line), std::move(start));
  for (int part = 0; part < 2; ++part) {
    const bool follows = skip_operator(":") && !at_operator(":") && !at_operator("]") && !at_operator(",");
    slice = add_child(std::move(slice), follows ? expression() : nullptr);
  }
  return slice;
}

ExprPtr Parser::call(ExprPtr of) {
  auto expr = add_child(make(Expr::Type::Call, peek().line), std::move(of));
  expr->arguments = arguments();
  for (const Argument& argument : expr->arguments) deepen(*expr, *argument.value);
  return expr;
}

std::vector<Argument> Parser::arguments() {
  const Deeper deeper(*this);
  expect_operator("(");
  std::vector<Argument> all;
  while (!at_operator(")")) {
    if (!all.empty()) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    Argument argument;
    const bool is_named = peek().type == Token::Type::Name && at_ + 1 < tokens_.size() &&
                          is(tokens_[at_ + 1], Token::Type::Operator, "=");
    if (skip_operator("*")) {
      argument.type = Argument::Type::Sequence;
    } else if (skip_operator("**")) {
      argument.type = Argument::Type::Mapping;
    } else if (is_named) {
      argument.type = Argument::Type::Named;
      argument.name = next().text;
      next();
    } else if (!all.empty() && all.back().type != Argument::Type::Positional &&
               all.back().type != Argument::Type::Sequence) {
      fail_at(peek().line, "an argument without a name follows one with a name");
    }
    argument.value = expression();
    all.push_back(std::move(argument));
  }
  next();
  return all;
}

ExprPtr Parser::target(bool with_namespace) {
  const int line = peek().line;
  auto first = single_target(with_namespace);
  if (!at_operator(",")) return first;
  auto all = add_child(make(Expr::Type::Tuple, line), std::move(first));
  while (skip_operator(",")) {
    if (at_name("in") || at_operator("=") || at_operator(")")) break;
    all = add_child(std::move(all), single_target(with_namespace));
  }
  return all;
}

ExprPtr Parser::single_target(bool with_namespace) {
  const Deeper deeper(*this);
  const int line = peek().line;
  if (skip_operator("(")) {
    auto inside = target(with_namespace);
    expect_operator(")");
    return inside;
  }
  auto name = make(Expr::Type::Name, line);
  name->name = expect_name("a variable's name");
  for (const std::string_view word : {"true", "false", "none", "True", "False", "None"})
    if (name->name == word) fail_at(line, fmt::format("'{}' cannot be assigned to", word));
  name->symbol = symbol(name->name);
  if (!with_namespace || !skip_operator(".")) return name;
  auto attribute = make(Expr::Type::Attribute, line);
  attribute->name = expect_name("an attribute's name");
  return add_child(std::move(attribute), std::move(name));
}

}  // namespace thinktune::text::jinja
