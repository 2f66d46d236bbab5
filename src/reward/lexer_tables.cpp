#include "reward/lexer_tables.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace thinktune::reward {
namespace {

CommandMeaning synonym(TokenKind kind, std::string_view text) {
  return {CommandClass::Synonym, Token{.kind = kind, .text = text}};
}
CommandMeaning symbol(std::string_view text) { return synonym(TokenKind::Symbol, text); }
CommandMeaning command(std::string_view text) { return synonym(TokenKind::Command, text); }
CommandMeaning currency(std::string_view text) { return synonym(TokenKind::Currency, text); }
CommandMeaning word(std::string_view text) { return synonym(TokenKind::Word, text); }

using Meanings = std::unordered_map<std::string_view, CommandMeaning>;

void add(Meanings& table, CommandClass what, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) table.emplace(name, CommandMeaning{what, {}});
}

Meanings make_meanings() {
  Meanings t = {{"dfrac", command("\\frac")},
                {"tfrac", command("\\frac")},
                {"cfrac", command("\\frac")},
                {"dbinom", command("\\binom")},
                {"tbinom", command("\\binom")},
                {"times", symbol("*")},
                {"cdot", symbol("*")},
                {"ast", symbol("*")},
                {"bullet", symbol("*")},
                {"div", symbol("/")},
                {"lt", symbol("<")},
                {"gt", symbol(">")},
                {"le", symbol("<=")},
                {"leq", symbol("<=")},
                {"leqslant", symbol("<=")},
                {"leqq", symbol("<=")},
                {"ge", symbol(">=")},
                {"geq", symbol(">=")},
                {"geqslant", symbol(">=")},
                {"geqq", symbol(">=")},
                {"ne", symbol("!=")},
                {"neq", symbol("!=")},
                {"colon", symbol(":")},
                {"vert", symbol("|")},
                {"lvert", symbol("|")},
                {"rvert", symbol("|")},
                {"lbrace", symbol("\\{")},
                {"rbrace", symbol("\\}")},
                {"lbrack", symbol("[")},
                {"rbrack", symbol("]")},
                {"&", symbol("&")},
                {"_", symbol("_")},
                {"#", symbol("#")},
                {"prime", symbol("'")},
                {"degree", synonym(TokenKind::Degree, "°")},
                {"%", synonym(TokenKind::Percent, "%")},
                {"$", currency("$")},
                {"euro", currency("euro")},
                {"pounds", currency("pounds")},
                {"yen", currency("yen")},
                {"rupee", currency("rupee")},
                {"textdollar", currency("$")},
                {"land", word("and")},
                {"wedge", word("and")},
                {"lor", word("or")},
                {"vee", word("or")},
                {"varnothing", command("\\emptyset")},
                {"backslash", command("\\setminus")},
                {"varepsilon", command("\\epsilon")},
                {"varphi", command("\\phi")},
                {"vartheta", command("\\theta")},
                {"doteq", symbol("=")},
                {"approx", command("\\approx")},
                {"simeq", command("\\approx")},
                {"tg", command("\\tan")},
                {"ctg", command("\\cot")},
                {"arctg", command("\\arctan")}};
  add(t, CommandClass::Dropped, {"big",       "Big",       "bigg",      "Bigg",        "bigl",
                                 "bigr",      "Bigl",      "Bigr",      "biggl",       "biggr",
                                 "Biggl",     "Biggr",     "bigm",      "middle",      "rm",
                                 "bf",        "it",        "sf",        "tt",          "displaystyle",
                                 "textstyle", "limits",    "nolimits",  ",",           "!",
                                 "(",         ")",         "[",         "]",           "thinspace",
                                 "nonumber",  "notag",     "mathstrut", "scriptstyle", "negthinspace",
                                 "/",         "centering", "hfill",     "strut",       "-"});
  add(t, CommandClass::Space, {"quad", "qquad", "space", ";", ":", " ", "\n", "\t", ">", "enspace", "newline"});
  add(t, CommandClass::Text,
      {"text", "textbf", "textit", "textrm", "textsf", "texttt", "mbox", "hbox", "textnormal", "mathrm", "emph",
       "operatorname", "textup", "textsc", "mathop"});
  add(t, CommandClass::Transparent,
      {"mathbf", "mathit", "mathsf", "mathtt", "boldsymbol", "bm", "boxed", "fbox", "vec", "overrightarrow",
       "mathnormal", "pmb", "underline", "mathbin", "mathord"});
  add(t, CommandClass::Left, {"left"});
  add(t, CommandClass::Right, {"right"});
  return t;
}

const std::unordered_map<std::string_view, std::string_view> kNamedCommands = {
    {"sin", "\\sin"},       {"cos", "\\cos"},        {"tan", "\\tan"},        {"cot", "\\cot"},
    {"sec", "\\sec"},       {"csc", "\\csc"},        {"arcsin", "\\arcsin"},  {"arccos", "\\arccos"},
    {"arctan", "\\arctan"}, {"asin", "\\arcsin"},    {"acos", "\\arccos"},    {"atan", "\\arctan"},
    {"sinh", "\\sinh"},     {"cosh", "\\cosh"},      {"tanh", "\\tanh"},      {"log", "\\log"},
    {"ln", "\\ln"},         {"lg", "\\lg"},          {"exp", "\\exp"},        {"sqrt", "\\sqrt"},
    {"cbrt", "\\cbrt"},     {"pi", "\\pi"},          {"Pi", "\\pi"},          {"theta", "\\theta"},
    {"alpha", "\\alpha"},   {"beta", "\\beta"},      {"infinity", "\\infty"}, {"infty", "\\infty"},
    {"inf", "\\infty"},     {"Infinity", "\\infty"}, {"oo", "\\infty"},       {"floor", "\\floor"},
    {"ceil", "\\ceil"},     {"abs", "\\abs"},        {"max", "\\max"},        {"min", "\\min"},
    {"gcd", "\\gcd"},       {"lcm", "\\lcm"},        {"binom", "\\binom"},    {"arccot", "\\arccot"},
    {"frac", "\\frac"},     {"union", "\\cup"},      {"phi", "\\phi"},        {"lambda", "\\lambda"}};

// Words behind a value that make it another value, or more than one answer: never taken for a unit.
const std::unordered_set<std::string_view> kNotUnits = {
    "and",     "or",    "nor",       "not",    "to",         "through",   "plus",   "minus",      "times",
    "over",    "mod",   "divided",   "modulo", "more",       "less",      "fewer",  "greater",    "than",
    "if",      "when",  "where",     "unless", "except",     "but",       "tau",    "root",       "squared",
    "cubed",   "dozen", "factorial", "dozens", "score",      "half",      "halves", "third",      "thirds",
    "fourth",  "fifth", "fourths",   "fifths", "sixth",      "sixths",    "eighth", "seventh",    "sevenths",
    "eighths", "ninth", "ninths",    "tenth",  "tenths",     "hundredth", "am",     "pm",         "hundredths",
    "bc",      "ad",    "bce",       "base",   "thousandth", "remainder", "choose", "thousandths"};

// Units that may stand behind a value without \text and without white space.
const std::unordered_set<std::string_view> kShortUnits = {
    "cm",  "mm",  "km", "nm", "kg", "mg",  "lb",  "lbs",  "oz",  "ml",   "mL",  "cl",  "dl",  "ft",
    "yd",  "yds", "mi", "in", "hr", "hrs", "min", "mins", "sec", "secs", "ms",  "mph", "kph", "kmh",
    "rpm", "gal", "qt", "pt", "sq", "cu",  "Hz",  "kHz",  "MHz", "GHz",  "kW",  "MW",  "kWh", "MB",
    "GB",  "TB",  "KB", "eV", "kJ", "kPa", "Pa",  "mol",  "deg", "rad",  "USD", "EUR", "GBP", "of",
    "per", "at",  "on", "by", "an", "is",  "are", "we",   "he",  "she",  "pts", "hp"};

// Text of at most three letters.
const std::unordered_set<std::string_view> kShortTexts = {
    "no",  "yes", "odd", "the", "not", "is",   "are", "all", "one", "two",  "six", "ten", "nor", "if",  "of",
    "in",  "on",  "to",  "and", "or",  "any",  "red", "for", "has", "mon",  "tue", "wed", "thu", "fri", "sat",
    "sun", "jan", "feb", "mar", "apr", "jun",  "jul", "aug", "sep", "oct",  "nov", "dec", "iff", "dne", "am",
    "pm",  "but", "per", "is",  "it",  "does", "can", "was", "up",  "west", "low", "old", "new", "man", "boy"};

}  // namespace

CommandMeaning command_meaning(std::string_view name) {
  static const Meanings kMeanings = make_meanings();
  const auto found = kMeanings.find(name);
  return found == kMeanings.end() ? CommandMeaning{} : found->second;
}

std::string_view named_command(std::string_view word) {
  if (word.size() < 2 || word.size() > 8) return {};
  const auto found = kNamedCommands.find(word);
  return found == kNamedCommands.end() ? std::string_view{} : found->second;
}

std::string lower_case(std::string_view word) {
  std::string text(word);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool may_be_unit(std::string_view word, bool apart) {
  if (word.size() == 1) return false;
  const std::string text = lower_case(word.substr(0, 32));
  if (kNotUnits.contains(text)) return false;
  if (kShortUnits.contains(word)) return true;
  return word.size() >= (apart ? 3u : 4u) && text.find_first_of("aeiou") != std::string::npos;
}

bool is_text_word(std::string_view word) {
  if (word.size() < 2) return false;
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const std::string text = lower_case(word.substr(0, 32));
  if (word.size() <= 3) {
    const bool name = word.size() == 3 && !is_lower(word[0]) && is_lower(word[1]) && is_lower(word[2]);
    return name || (kShortTexts.contains(text) && (is_lower(word[1]) || word.size() == 3));  // NO is a segment
  }
  return !std::is_sorted(text.begin(), text.end()) || word.size() > 26;  // "abcd" and "wxyz" are products
}

}  // namespace thinktune::reward
