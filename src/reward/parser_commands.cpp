// Commands: fractions, roots, functions, Greek letters.
#include <unordered_map>
#include <unordered_set>

#include "reward/parser.h"

namespace thinktune::reward {
namespace {

const std::unordered_map<std::string_view, Fn> kFunctions = {
    {"\\sin", Fn::Sin},       {"\\cos", Fn::Cos},       {"\\tan", Fn::Tan},       {"\\cot", Fn::Cot},
    {"\\sec", Fn::Sec},       {"\\csc", Fn::Csc},       {"\\arcsin", Fn::Arcsin}, {"\\arccos", Fn::Arccos},
    {"\\arctan", Fn::Arctan}, {"\\arccot", Fn::Arccot}, {"\\sinh", Fn::Sinh},     {"\\cosh", Fn::Cosh},
    {"\\tanh", Fn::Tanh},     {"\\ln", Fn::Ln},         {"\\log", Fn::Log},       {"\\lg", Fn::Log},
    {"\\exp", Fn::Exp},       {"\\floor", Fn::Floor},   {"\\ceil", Fn::Ceil},     {"\\abs", Fn::Abs},
    {"\\max", Fn::Max},       {"\\min", Fn::Min},       {"\\gcd", Fn::Gcd},       {"\\lcm", Fn::Lcm}};

// Names of quantities.
const std::unordered_set<std::string_view> kNames = {
    "\\alpha", "\\beta",   "\\gamma", "\\delta",  "\\epsilon",      "\\zeta",  "\\eta",      "\\theta",  "\\iota",
    "\\kappa", "\\lambda", "\\mu",    "\\nu",     "\\xi",           "\\rho",   "\\sigma",    "\\tau",    "\\upsilon",
    "\\phi",   "\\chi",    "\\psi",   "\\omega",  "\\Gamma",        "\\Delta", "\\Theta",    "\\Lambda", "\\Xi",
    "\\Sigma", "\\Phi",    "\\Psi",   "\\Omega",  "\\ell",          "\\angle", "\\triangle", "\\hbar",   "\\partial",
    "\\nabla", "\\zzz",    "\\star",  "\\square", "\\measuredangle"};

bool is_angle_function(Fn fn) { return fn <= Fn::Csc; }

Fn inverse(Fn fn) {
  switch (fn) {
    case Fn::Sin:
      return Fn::Arcsin;
    case Fn::Cos:
      return Fn::Arccos;
    case Fn::Tan:
      return Fn::Arctan;
    case Fn::Cot:
      return Fn::Arccot;
    default:
      return fn;
  }
}

}  // namespace

NodeId Parser::command() {
  const Nested nested(*this);
  if (!nested.ok()) return kNoNode;
  const std::string_view text = tokens_[at_++].text;
  if (text == "\\frac") return fraction();
  if (text == "\\sqrt") return root();
  if (text == "\\cbrt") return tree_.add(Kind::Root, {group_or_atom(false), tree_.add_integer(3)});
  if (text == "\\pi") return tree_.add(Kind::Pi, {});
  if (text == "\\infty") return tree_.add(Kind::Infinity, {});
  if (text == "\\binom") return binomial();
  if (const auto fn = kFunctions.find(text); fn != kFunctions.end()) {
    if (fn->second == Fn::Log && text == "\\lg") {
      const NodeId of = argument();
      return tree_.add_function(Fn::Log, {of, tree_.add_integer(10)});
    }
    return function(fn->second);
  }
  if (kNames.contains(text)) return tree_.add_symbol(text);
  if (text == "\\mathbb" || text == "\\mathbf" || text == "\\Bbb" || text == "\\mathds") return number_set();
  if (text == "\\R" || text == "\\reals" || text == "\\Reals")
    return tree_.add(Kind::NumberSet, {}, tree_.name_index("R"));
  if (text == "\\emptyset") return tree_.add(Kind::EmptySet, {});
  if (text == "\\lfloor") return fenced("\\rfloor", Fn::Floor);
  if (text == "\\lceil") return fenced("\\rceil", Fn::Ceil);
  if (text == "\\langle") return angle();
  if (text == "\\sum" || text == "\\prod" || text == "\\int" || text == "\\lim" || text == "\\oint")
    return big_operator(text);
  if (text == "\\overline" || text == "\\bar" || text == "\\hat" || text == "\\widehat" || text == "\\tilde" ||
      text == "\\dot" || text == "\\mathcal" || text == "\\mathscr" || text == "\\mathfrak" || text == "\\widetilde") {
    const NodeId of = group_or_atom(false);
    return tree_.add(Kind::Opaque, {of}, tree_.name_index(text));
  }
  return fail("a command that is not known");
}

NodeId Parser::fraction() {
  const NodeId numerator = group_or_atom(true);
  if (numerator == kNoNode) return kNoNode;
  return tree_.add(Kind::Quotient, {numerator, group_or_atom(true)});
}

NodeId Parser::binomial() {
  const NodeId n = group_or_atom(true);
  if (n == kNoNode) return kNoNode;
  return tree_.add_function(Fn::Binomial, {n, group_or_atom(true)});
}

NodeId Parser::root() {
  NodeId degree = kNoNode;
  if (accept("[")) {
    degree = sum();
    if (degree == kNoNode) return kNoNode;
    if (!accept("]")) return fail("a bracket is never closed");
  }
  const NodeId of = group_or_atom(false);
  if (of == kNoNode) return kNoNode;
  if (degree == kNoNode) degree = tree_.add_integer(2);
  return tree_.add(Kind::Root, {of, degree});
}

NodeId Parser::function(Fn fn) {
  NodeId base = kNoNode, power = kNoNode;
  for (int i = 0; i < 2; ++i) {
    if (base == kNoNode && fn == Fn::Log && accept("_")) {
      base = group_or_atom(false);
      if (base == kNoNode) return kNoNode;
    } else if (power == kNoNode && accept("^")) {
      power = exponent();
      if (power == kNoNode) return kNoNode;
    }
  }
  // \sin^{-1} is the inverse, \sin^2 the square.
  const bool inverts = power != kNoNode && tree_.kind(power) == Kind::Negative &&
                       tree_.kind(tree_.child(power, 0)) == Kind::Number &&
                       tree_.number(tree_.child(power, 0)).digits == "1" &&
                       tree_.number(tree_.child(power, 0)).exponent == 0 && inverse(fn) != fn;
  if (inverts) fn = inverse(fn);
  const bool is_angle = is_angle_function(fn);
  in_angle_ += is_angle;
  const NodeId of = argument();
  in_angle_ -= is_angle;
  if (of == kNoNode) return kNoNode;
  NodeId id;
  if (fn == Fn::Log)
    id = tree_.add_function(fn, {of, base == kNoNode ? tree_.add_integer(10) : base});
  else if (fn == Fn::Max || fn == Fn::Min || fn == Fn::Gcd || fn == Fn::Lcm) {
    const Kind kind = tree_.kind(of);
    if (kind != Kind::Tuple && kind != Kind::Set && kind != Kind::List)
      return fail("a function of several quantities with one");
    const std::vector<NodeId> items(tree_.children(of).begin(), tree_.children(of).end());
    id = tree_.add(Kind::Function, items, static_cast<uint32_t>(fn));
  } else {
    id = tree_.add_function(fn, {of});
  }
  return power == kNoNode || inverts ? id : tree_.add(Kind::Power, {id, power});
}

// Of a function: a group, or the factors up to the next sign or function: \sin 2x \cos x is sin(2x)·cos(x).
NodeId Parser::argument() {
  if (done()) return fail("a function without its argument");
  if (next_is("(") || next_is("[") || next_is("{") || next_is("\\{")) {
    const NodeId id = atom();
    // "\sin{x}^2" and "\sin(x)^2" are powers of the sine; "\ln{2}x" is a product.
    return id != kNoNode && tree_.kind(id) == Kind::Bracket && tree_.children(id).size() == 1 ? tree_.child(id, 0) : id;
  }
  const bool minus = accept("-");
  std::vector<NodeId> factors;
  do {
    if (next_is(TokenKind::Command) && (kFunctions.contains(peek()->text) || peek()->text == "\\sum")) {
      if (factors.empty()) factors.push_back(factor());
      break;
    }
    if (!factors.empty() && next_is("(")) break;
    factors.push_back(factor());
    if (factors.back() == kNoNode) return kNoNode;
  } while (starts_factor());
  NodeId id = factors.size() == 1 ? factors[0] : tree_.add(Kind::Product, factors);
  // \sin\pi/6 means \sin(\pi/6).
  if (id != kNoNode && in_angle_ > 0 && next_is("/") && !tree_[id].has_symbol && next_is(TokenKind::Number, 1)) {
    ++at_;
    id = tree_.add(Kind::Quotient, {id, number()});
  }
  return minus ? tree_.add(Kind::Negative, {id}) : id;
}

// Sums, integrals and limits are not computed: two are equal if their parts are.
NodeId Parser::big_operator(std::string_view name) {
  std::string text(name);
  NodeId top = kNoNode;
  for (int i = 0; i < 2; ++i) {
    if (next_is("_")) {
      const size_t begin = at_++;
      size_t open = 0;
      do {
        if (done()) return fail("a brace is never closed");
        if (next_is("{")) ++open;
        if (next_is("}")) --open;
        ++at_;
      } while (open > 0);
      if (at_ - begin > 64) return fail("an index that is too long");
      text += canonical_text(tokens_.subspan(begin, at_ - begin));
    } else if (top == kNoNode && accept("^")) {
      top = exponent();
      if (top == kNoNode) return kNoNode;
    }
  }
  if (top == kNoNode) top = tree_.add_integer(0);
  const NodeId of = product();
  return tree_.add(Kind::Opaque, {top, of}, tree_.name_index(text));
}

}  // namespace thinktune::reward
