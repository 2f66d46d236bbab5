// Reads an answer's tokens into a tree. Recursive descent without backtracking: linear in the number of tokens; nesting
// is followed to kMaxDepth.
//
//   answer   = relation { ("," | ";" | and | or) relation }
//   relation = side { (= | != | < | <= | > | >= | \in | \approx) side }
//   side     = ratio { (\cup | \cap | \setminus) ratio } [unit]
//   ratio    = sum { ":" sum }
//   sum      = [sign] product { (+ | - | \pm | \mp) product }
//   product  = factor { [* | /] factor }
//   factor   = atom { ! | % | degree | ^ exponent | _ index | ' }
#pragma once

#include <span>
#include <string>
#include <vector>

#include "reward/expression.h"
#include "reward/lexer.h"

namespace thinktune::reward {

class Parser {
 public:
  static constexpr int kMaxDepth = 200;  // of factors, brackets and commands in one another: 100 brackets

  // Tokens of numbers may be split where TeX splits them (\frac12). `mixed`: whether 2\frac{1}{2} is 5/2 rather than 1.
  Parser(std::span<Token> tokens, Expressions& tree, bool mixed) : tokens_(tokens), tree_(tree), mixed_(mixed) {}

  // kNoNode if the tokens are no mathematics: error() says why.
  NodeId answer();
  const char* error() const { return error_; }

 private:
  class Nested;

  // parser.cpp: statements and units
  NodeId list();
  bool separator(bool& is_or);
  NodeId relation();
  bool relation_sign(Relate& relate);
  NodeId side();
  NodeId set_level();
  NodeId ratio();
  NodeId unit(NodeId id);
  NodeId scaled(NodeId id);
  bool unit_words(std::string& name);
  bool unit_exponent(std::string& name);

  // parser_terms.cpp: from sums to factors
  NodeId sum();
  NodeId signed_product();
  NodeId product();
  NodeId factor();
  NodeId postfix(NodeId id);
  NodeId exponent();
  NodeId index(NodeId id);
  NodeId group_or_atom(bool digit);
  bool starts_factor() const;
  bool times_sign();
  bool union_sign(NodeId left) const;

  // parser_atoms.cpp: the smallest parts
  NodeId atom();
  NodeId number();
  NodeId mixed_number(NodeId whole);
  NodeId repeating(const Token& head);
  NodeId fraction();
  NodeId word();
  NodeId command();
  NodeId braces();
  NodeId brackets();
  NodeId set();
  NodeId absolute();
  NodeId fenced(std::string_view close, Fn fn);
  NodeId angle();
  NodeId root();
  NodeId function(Fn fn);
  NodeId argument();
  NodeId binomial();
  NodeId big_operator(std::string_view name);
  NodeId environment();
  NodeId matrix(std::string_view name);
  NodeId number_set();

  bool done() const { return at_ >= tokens_.size(); }
  const Token* peek(size_t ahead = 0) const { return at_ + ahead < tokens_.size() ? &tokens_[at_ + ahead] : nullptr; }
  bool next_is(TokenKind kind, size_t ahead = 0) const { return peek(ahead) != nullptr && peek(ahead)->kind == kind; }
  bool next_is(std::string_view symbol, size_t ahead = 0) const {
    return peek(ahead) != nullptr && peek(ahead)->is_symbol(symbol);
  }
  bool next_is_command(std::string_view text, size_t ahead = 0) const {
    return peek(ahead) != nullptr && peek(ahead)->is_command(text);
  }
  bool next_is_word(std::string_view text) const { return peek() != nullptr && peek()->is(TokenKind::Word, text); }
  bool accept(std::string_view symbol) {
    if (!next_is(symbol)) return false;
    ++at_;
    return true;
  }
  bool accept_command(std::string_view text) {
    if (!next_is_command(text)) return false;
    ++at_;
    return true;
  }
  NodeId fail(const char* why) {
    if (error_ == nullptr) error_ = why;
    return kNoNode;
  }

  std::span<Token> tokens_;
  Expressions& tree_;
  bool mixed_;
  size_t at_ = 0;
  int depth_ = 0;
  int open_bars_ = 0;  // of |…| in the innermost bracket
  int in_angle_ = 0;   // in the argument of a trigonometric function, where degrees count
  const char* error_ = nullptr;
};

// One level of nesting; ok() is false where there are too many.
class Parser::Nested {
 public:
  explicit Nested(Parser& parser) : parser_(parser), bars_(parser.open_bars_) { ++parser_.depth_; }
  ~Nested() {
    --parser_.depth_;
    parser_.open_bars_ = bars_;
  }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  bool ok() const {
    if (parser_.depth_ > kMaxDepth) parser_.fail("nested too deeply");
    return parser_.depth_ <= kMaxDepth;
  }

 private:
  Parser& parser_;
  int bars_;
};

}  // namespace thinktune::reward
