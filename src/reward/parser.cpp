// Statements, lists and units.
#include "reward/parser.h"

#include "reward/lexer_tables.h"
#include "reward/units.h"

namespace thinktune::reward {

NodeId Parser::answer() {
  const NodeId id = list();
  if (id != kNoNode && !done()) return fail("something stands behind it that is no part of it");
  if (id == kNoNode && error_ == nullptr) error_ = tree_.full() ? "too long" : "no mathematics";
  return id;
}

bool Parser::separator(bool& is_or) {
  bool found = accept(",") || accept(";");
  if (next_is_word("and") || next_is_word("or")) {
    is_or |= peek()->text == "or";
    ++at_;
    found = true;
  }
  return found;
}

NodeId Parser::list() {
  const NodeId first = relation();
  bool is_or = false;
  if (first == kNoNode || !separator(is_or)) return first;
  std::vector<NodeId> items = {first};
  do {
    items.push_back(relation());
    if (items.back() == kNoNode) return kNoNode;
  } while (separator(is_or));
  return tree_.add(Kind::List, items, is_or ? 1 : 0);
}

bool Parser::relation_sign(Relate& relate) {
  if (done()) return false;
  const Token& token = *peek();
  if (token.kind == TokenKind::Command) {
    if (token.text != "\\in" && token.text != "\\approx") return false;
    relate = token.text == "\\in" ? Relate::In : Relate::Approximately;
  } else if (token.kind == TokenKind::Symbol) {
    if (token.text == "=")
      relate = Relate::Equal;
    else if (token.text == "!=")
      relate = Relate::Unequal;
    else if (token.text == "<")
      relate = Relate::Less;
    else if (token.text == "<=")
      relate = Relate::LessEqual;
    else if (token.text == ">")
      relate = Relate::Greater;
    else if (token.text == ">=")
      relate = Relate::GreaterEqual;
    else
      return false;
  } else {
    return false;
  }
  ++at_;
  return true;
}

NodeId Parser::relation() {
  const NodeId first = side();
  Relate relate;
  if (first == kNoNode || !relation_sign(relate)) return first;
  std::vector<NodeId> sides = {first};
  std::vector<Relate> operators;
  do {
    operators.push_back(relate);
    sides.push_back(side());
    if (sides.back() == kNoNode) return kNoNode;
  } while (relation_sign(relate));
  return tree_.add_relation(sides, operators);
}

NodeId Parser::side() {
  const NodeId id = set_level();
  return id == kNoNode ? id : unit(id);
}

NodeId Parser::set_level() {
  NodeId id = ratio();
  while (id != kNoNode && !done()) {
    Kind kind;
    if (next_is_command("\\cup") || union_sign(id))
      kind = Kind::Union;
    else if (next_is_command("\\cap"))
      kind = Kind::Intersection;
    else if (next_is_command("\\setminus"))
      kind = Kind::Difference;
    else
      break;
    ++at_;
    id = tree_.add(kind, {id, ratio()});
  }
  return id;
}

NodeId Parser::ratio() {
  const NodeId first = sum();
  if (first == kNoNode || !next_is(":")) return first;
  std::vector<NodeId> parts = {first};
  while (accept(":")) {
    // 1:05 is a time of day, which no other ratio is.
    if (next_is(TokenKind::Number) && peek()->text.size() > 1 && peek()->text[0] == '0') {
      parts.push_back(tree_.add_symbol(":" + std::string(peek()->text)));
      ++at_;
    } else {
      parts.push_back(sum());
    }
    if (parts.back() == kNoNode) return kNoNode;
  }
  return tree_.add(Kind::Ratio, parts);
}

// "5 million dollars", "60 km/h", "5-inch", "18 €".
NodeId Parser::unit(NodeId id) {
  if (done()) return id;
  id = scaled(id);
  std::string name;
  if (next_is(TokenKind::Currency)) {
    name = peek()->text;
    ++at_;
  }
  if (next_is_word("percent") || next_is_word("Percent")) {
    ++at_;
    id = tree_.add(Kind::Percent, {id});
  }
  if (next_is(TokenKind::Percent)) {  // "28 %" behind what is no factor
    ++at_;
    id = tree_.add(Kind::Percent, {id});
  }
  const bool joined = (next_is("-") || next_is("/")) && next_is(TokenKind::Word, 1);
  if ((joined || next_is(TokenKind::Word)) && !next_is_word("and") && !next_is_word("or")) {
    if (!unit_words(name)) return fail("words behind it that are no unit");
  }
  if (name.empty()) return id;
  return tree_.add(Kind::Quantity, {id}, tree_.name_index(name));
}

NodeId Parser::scaled(NodeId id) {
  if (!next_is(TokenKind::Word)) return id;
  const int scale = scale_of_word(peek()->text);
  if (scale == 0) return id;
  ++at_;
  return tree_.add(Kind::Product, {id, tree_.add_number(Decimal{false, "1", scale})}, 2);
}

// Collects "km/h" as "km/h" and "square feet per day" as "ft^2/day"; one word that is not known makes the whole unit
// "?".
bool Parser::unit_words(std::string& name) {
  bool known = true;
  bool divides = false;
  std::string power;
  bool first = true;
  for (;; first = false) {
    if (accept("/")) {
      divides = true;
    } else if ((next_is("-") || next_is("*")) && next_is(TokenKind::Word, 1)) {
      ++at_;
    }
    if (!next_is(TokenKind::Word) || next_is_word("and") || next_is_word("or")) break;
    const std::string text = lower_case(peek()->text);
    // A bare word was let through by the lexer; text must be asked for what makes it another value.
    if (text.size() > 1 && !may_be_unit(text, true) && canonical_unit(text).empty()) return false;
    if (scale_of_word(text) != 0 || number_of_word(text) != 0) return false;
    if (text.size() == 1 && first && (next_is(".", 1) || !(peek()->in_text || next_is("/", 1))))
      return false;  // "p.m." is no unit
    ++at_;
    if (text == "per") {
      divides = true;
      continue;
    }
    if (text == "square" || text == "sq" || text == "cubic" || text == "cu") {
      power = text[0] == 's' ? "^2" : "^3";
      accept(".");
      continue;
    }
    const std::string_view canonical = text == "in" ? "in" : canonical_unit(text);
    known &= !canonical.empty();
    name += (divides ? "/" : name.empty() ? "" : "*") + std::string(canonical) + power;
    power.clear();
    divides = false;
    if (next_is("^") && !unit_exponent(name)) return false;
    accept(".");
  }
  if (!power.empty() || name.empty()) known = false;  // "square units" of what?
  if (!known) name = "?";
  return !divides;
}

bool Parser::unit_exponent(std::string& name) {
  ++at_;
  const bool braced = accept("{");
  if (!next_is(TokenKind::Number) || (peek()->text != "2" && peek()->text != "3")) return false;
  name += "^" + std::string(peek()->text);
  ++at_;
  return !braced || accept("}");
}

}  // namespace thinktune::reward
