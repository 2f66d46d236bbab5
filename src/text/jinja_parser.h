// Tokens to expressions and statements. The expressions' grammar is in jinja_expressions.cpp, the statements' in
// jinja_parser.cpp.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace thinktune::text::jinja {

class Parser {
 public:
  explicit Parser(const std::string& source);
  Program run();

 private:
  // Tokens.
  const Token& peek() const { return tokens_[at_]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool at_operator(std::string_view op) const { return is(peek(), Token::Type::Operator, op); }
  bool at_name(std::string_view name) const { return is(peek(), Token::Type::Name, name); }
  static bool is(const Token& token, Token::Type type, std::string_view text) {
    return token.type == type && token.text == text;
  }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  std::string expect_name(std::string_view what);
  void expect_end_of_tag();
  [[noreturn]] void unexpected(std::string_view wanted) const;

  // Names, and where the interpreter's own are mentioned.
  int symbol(const std::string& name);
  int num_mentions(int symbol) const { return mentions_[static_cast<size_t>(symbol)]; }

  // Expressions.
  ExprPtr make(Expr::Type type, int line) const;
  void deepen(Expr& parent, const Expr& child) const;  // throws where the tree gets too deep
  ExprPtr add_child(ExprPtr parent, ExprPtr child) const;
  ExprPtr wrap(Expr::Type type, ExprPtr child) const;  // a node on the child's line
  ExprPtr text_constant(std::string text, int line) const;
  // Separated by commas a tuple; without conditional expressions ("a if b") where an `if` would follow (for).
  ExprPtr tuple(bool with_conditional = true);
  ExprPtr expression();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr primary();
  ExprPtr postfix(ExprPtr of);
  ExprPtr filters_and_tests(ExprPtr of);
  ExprPtr filters(ExprPtr of);
  ExprPtr filter(ExprPtr of);
  ExprPtr test(ExprPtr of);
  ExprPtr subscript(ExprPtr of);
  ExprPtr subscript_part();
  ExprPtr call(ExprPtr of);
  ExprPtr name_or_constant();
  ExprPtr number();
  ExprPtr string();
  ExprPtr parenthesized();
  ExprPtr list();
  ExprPtr dict();
  std::vector<Argument> arguments();
  bool ends_tuple() const;
  ExprPtr target(bool with_namespace);
  ExprPtr single_target(bool with_namespace);

  // Statements.
  std::vector<Stmt> block(std::initializer_list<std::string_view> ends, std::string_view opened_by, int line);
  std::vector<Stmt> captured_block(std::string_view end, int line);
  Stmt statement();
  Stmt if_statement(int line);
  Stmt for_statement(int line);
  Stmt set_statement(int line);
  Stmt macro_statement(int line);
  Stmt call_statement(int line);
  Stmt filter_statement(int line);
  Stmt with_statement(int line);
  Stmt jump_statement(const std::string& word, int line);
  void parameters(MacroNode& macro);
  void macro_body(MacroNode& macro, std::string_view end);
  void end_block(std::string_view end);

  class Deeper;  // counts nesting, for as long as it lives

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Program program_;
  std::unordered_map<std::string, int> symbols_;
  std::vector<int> mentions_;  // a symbol
  int nesting_ = 0;
  int num_loops_ = 0;  // around this place that a break may leave

  // Filters and tests that nothing is known of. Under a condition they are an error only when they are reached, as in
  // Jinja, and leave this list; at the end of the parse the first that is left is an error.
  struct Unknown {
    int line = 0;
    std::string message;
  };
  std::vector<Unknown> unknown_;
};

// Throws where nesting would let recursion overflow the stack.
class Parser::Deeper {
 public:
  explicit Deeper(Parser& parser);
  ~Deeper() { --parser_.nesting_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Parser& parser_;
};

}  // namespace thinktune::text::jinja
