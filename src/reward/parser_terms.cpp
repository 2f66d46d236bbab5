// Sums, products and factors.
#include <array>

#include "reward/parser.h"

namespace thinktune::reward {

NodeId Parser::sum() {
  NodeId first = signed_product();
  if (first == kNoNode) return first;
  std::vector<NodeId> terms;
  while (!done()) {
    Kind sign;
    if (next_is("+"))
      sign = Kind::Sum;
    else if (next_is("-") && !next_is(TokenKind::Word, 1))  // "5-inch"
      sign = Kind::Negative;
    else if (next_is_command("\\pm"))
      sign = Kind::PlusMinus;
    else if (next_is_command("\\mp"))
      sign = Kind::MinusPlus;
    else
      break;
    ++at_;
    if (terms.empty()) terms.push_back(first);
    NodeId term = signed_product();
    if (sign != Kind::Sum) term = tree_.add(sign, {term});
    if (term == kNoNode) return kNoNode;
    terms.push_back(term);
  }
  return terms.empty() ? first : tree_.add(Kind::Sum, terms);
}

// One sign at most: "--3" is nobody's answer.
NodeId Parser::signed_product() {
  if (accept("+")) return next_is("+") || next_is("-") ? fail("two signs in a row") : product();
  if (accept("-"))
    return next_is("+") || next_is("-") ? fail("two signs in a row") : tree_.add(Kind::Negative, {product()});
  if (accept_command("\\pm")) return tree_.add(Kind::PlusMinus, {product()});
  if (accept_command("\\mp")) return tree_.add(Kind::MinusPlus, {product()});
  return product();
}

bool Parser::starts_factor() const {
  if (done()) return false;
  const Token& token = *peek();
  switch (token.kind) {
    case TokenKind::Letter:
    case TokenKind::Begin:
      return true;
    case TokenKind::Number:
      return at_ > 0 && tokens_[at_ - 1].is_symbol("!");  // n! 2^n; elsewhere two numbers side by side are two
    case TokenKind::Symbol:
      if (token.text == "|")
        return token.delimiter == Delimiter::Left || (token.delimiter == Delimiter::None && open_bars_ == 0);
      return token.text == "(" || token.text == "{" || (token.text == "[" && token.delimiter != Delimiter::Right);
    case TokenKind::Command: {
      static constexpr std::array<std::string_view, 23> kNoFactors = {
          "\\mid",    "\\pm",    "\\mp",     "\\cup",        "\\cap",        "\\setminus", "\\in",     "\\notin",
          "\\approx", "\\to",    "\\choose", "\\rangle",     "\\rfloor",     "\\rceil",    "\\ldots",  "\\dots",
          "\\cdots",  "\\equiv", "\\sim",    "\\rightarrow", "\\Rightarrow", "\\pmod",     "\\implies"};
      for (const std::string_view text : kNoFactors)
        if (token.text == text) return false;
      return true;
    }
    default:
      return false;
  }
}

// "5 x 10^3": the letter is a sign if numbers stand on both sides.
bool Parser::times_sign() {
  if (!next_is(TokenKind::Letter) || peek()->text != "x" || !next_is(TokenKind::Number, 1)) return false;
  if (at_ == 0 || tokens_[at_ - 1].kind != TokenKind::Number) return false;
  ++at_;
  return true;
}

// A bare U between two sets is their union.
bool Parser::union_sign(NodeId left) const {
  const Kind kind = tree_.kind(left);
  const bool is_set = kind == Kind::Tuple || kind == Kind::Interval || kind == Kind::Set || kind == Kind::Union;
  return is_set && next_is(TokenKind::Letter) && peek()->text == "U";
}

NodeId Parser::product() {
  NodeId first = factor();
  std::vector<NodeId> factors;
  uint32_t has_sign = 0;  // f(2) is a name, x * 2 is none
  while (first != kNoNode && !done()) {
    bool divides = false;
    if (next_is("/") && !next_is(TokenKind::Word, 1)) {
      divides = true;
      ++at_;
    } else if (accept("*") || times_sign()) {
      has_sign = 1;
    } else if (!starts_factor() || union_sign(factors.empty() ? first : factors.back())) {
      break;
    }
    const bool minus = accept("-");
    NodeId next = factor();
    if (minus) next = tree_.add(Kind::Negative, {next});
    if (next == kNoNode) return kNoNode;
    if (divides) {
      if (!factors.empty()) first = tree_.add(Kind::Product, factors);
      factors.clear();
      first = tree_.add(Kind::Quotient, {first, next});
    } else {
      if (factors.empty()) factors.push_back(first);
      factors.push_back(next);
    }
  }
  if (first == kNoNode || factors.empty()) return first;
  return tree_.add(Kind::Product, factors, has_sign);
}

NodeId Parser::factor() {
  if (done()) return fail("it ends where a quantity is missing");
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  if (next_is(TokenKind::Currency)) {
    const uint32_t name = tree_.name_index(peek()->text);
    ++at_;
    const bool minus = accept("-");
    NodeId id = atom();
    if (id != kNoNode) id = postfix(id);
    if (minus) id = tree_.add(Kind::Negative, {id});
    return tree_.add(Kind::Quantity, {id}, name);
  }
  const NodeId id = atom();
  return id == kNoNode ? id : postfix(id);
}

NodeId Parser::postfix(NodeId id) {
  bool raised = false;
  for (int height = 0; id != kNoNode && !done(); ++height) {
    // Each sign is one more level of the tree.
    if (height > kMaxDepth) return fail("nested too deeply");
    if (accept("!")) {
      id = tree_.add(Kind::Factorial, {id});
    } else if (next_is(TokenKind::Percent)) {
      ++at_;
      id = tree_.add(Kind::Percent, {id});
    } else if (next_is(TokenKind::Degree)) {
      ++at_;
      std::string name = "°";
      if (next_is(TokenKind::Letter) || next_is(TokenKind::Word)) {
        if (peek()->text == "C" || peek()->text == "F") name += tokens_[at_++].text;
      }
      id = in_angle_ > 0 ? tree_.add(Kind::Quotient,
                                     {tree_.add(Kind::Product, {id, tree_.add(Kind::Pi, {})}), tree_.add_integer(180)})
                         : tree_.add(Kind::Quantity, {id}, tree_.name_index(name));
    } else if (next_is("^")) {
      if (raised) return fail("two exponents in a row");
      raised = true;
      ++at_;
      id = tree_.add(Kind::Power, {id, exponent()});
    } else if (next_is("_")) {
      id = index(id);
    } else if (next_is("'") && tree_.kind(id) == Kind::Symbol) {
      ++at_;
      id = tree_.add_symbol(tree_.name(id).substr(0, 64) + "'");
    } else {
      break;
    }
  }
  return id;
}

// x^{2}, x^2, x^-2, x^{-2}, x^12 (which TeX sets as x¹2, but nobody who writes it means that).
NodeId Parser::exponent() {
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  const bool minus = accept("-");
  NodeId id = group_or_atom(false);
  // 2^3^2 is 2^(3^2) in plain text.
  if (id != kNoNode && accept("^")) id = tree_.add(Kind::Power, {id, exponent()});
  return minus ? tree_.add(Kind::Negative, {id}) : id;
}

// What a command takes as one argument: a group, or one token. `digit`: of a number one digit only, as in \frac12.
NodeId Parser::group_or_atom(bool digit) {
  if (done()) return fail("it ends where an argument is missing");
  if (digit && next_is(TokenKind::Number) && peek()->text.size() > 1) {
    Token& token = tokens_[at_];
    if (token.text[0] < '0' || token.text[0] > '9') return fail("a fraction without braces around its parts");
    const char first = token.text[0];
    token.text.remove_prefix(1);
    if (token.text[0] < '0' || token.text[0] > '9') return fail("a fraction without braces around its parts");
    return tree_.add_integer(static_cast<uint64_t>(first - '0'));
  }
  return atom();
}

// The index of a name belongs to the name; of a number it is the base.
NodeId Parser::index(NodeId id) {
  const Token& before = tokens_[at_ - 1];
  ++at_;
  size_t end = at_;
  if (next_is("{")) {
    size_t open = 0;
    do {
      if (end >= tokens_.size()) return fail("a brace is never closed");
      if (tokens_[end].is_symbol("{")) ++open;
      if (tokens_[end].is_symbol("}")) --open;
      ++end;
    } while (open > 0);
  } else if (!done()) {
    ++end;
  } else {
    return fail("it ends where an index is missing");
  }
  const std::span<Token> tokens = tokens_.subspan(at_, end - at_);
  if (tree_.kind(id) == Kind::Number && before.kind == TokenKind::Number) {
    const std::string digits(before.text);
    const NodeId base = group_or_atom(false);
    return base == kNoNode ? base : tree_.add(Kind::Based, {base}, tree_.name_index(digits));
  }
  if (tree_.kind(id) != Kind::Symbol && tree_.kind(id) != Kind::Imaginary && tree_.kind(id) != Kind::Euler)
    return fail("an index at what is no name");
  const std::string name = tree_.kind(id) == Kind::Symbol ? tree_.name(id) : std::string(before.text);
  if (tokens.size() > 64 || name.size() > 256) return fail("an index that is too long");
  std::string text = canonical_text(tokens);
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') text = text.substr(1, text.size() - 2);
  at_ = end;
  return tree_.add_symbol(name + "_" + text);
}

}  // namespace thinktune::reward
