#include "reward/units.h"

#include <string>
#include <unordered_map>

#include "reward/lexer_tables.h"

namespace thinktune::reward {
namespace {

using Names = std::unordered_map<std::string_view, std::string_view>;

const Names kUnits = {{"mm", "mm"},
                      {"millimeter", "mm"},
                      {"millimeters", "mm"},
                      {"millimetre", "mm"},
                      {"millimetres", "mm"},
                      {"cm", "cm"},
                      {"centimeter", "cm"},
                      {"centimeters", "cm"},
                      {"centimetre", "cm"},
                      {"centimetres", "cm"},
                      {"m", "m"},
                      {"meter", "m"},
                      {"meters", "m"},
                      {"metre", "m"},
                      {"metres", "m"},
                      {"km", "km"},
                      {"kilometer", "km"},
                      {"kilometers", "km"},
                      {"kilometre", "km"},
                      {"kilometres", "km"},
                      {"inch", "in"},
                      {"inches", "in"},
                      {"ft", "ft"},
                      {"foot", "ft"},
                      {"feet", "ft"},
                      {"yd", "yd"},
                      {"yds", "yd"},
                      {"yard", "yd"},
                      {"yards", "yd"},
                      {"mi", "mi"},
                      {"mile", "mi"},
                      {"miles", "mi"},
                      {"mg", "mg"},
                      {"milligram", "mg"},
                      {"milligrams", "mg"},
                      {"gram", "g"},
                      {"grams", "g"},
                      {"kg", "kg"},
                      {"kilogram", "kg"},
                      {"kilograms", "kg"},
                      {"lb", "lb"},
                      {"lbs", "lb"},
                      {"pound", "lb"},
                      {"pounds", "lb"},
                      {"oz", "oz"},
                      {"ounce", "oz"},
                      {"ounces", "oz"},
                      {"ton", "ton"},
                      {"tons", "ton"},
                      {"ml", "ml"},
                      {"milliliter", "ml"},
                      {"milliliters", "ml"},
                      {"liter", "l"},
                      {"liters", "l"},
                      {"litre", "l"},
                      {"litres", "l"},
                      {"gallon", "gal"},
                      {"gallons", "gal"},
                      {"gal", "gal"},
                      {"quart", "qt"},
                      {"quarts", "qt"},
                      {"pint", "pt"},
                      {"pints", "pt"},
                      {"cup", "cup"},
                      {"cups", "cup"},
                      {"second", "s"},
                      {"seconds", "s"},
                      {"sec", "s"},
                      {"secs", "s"},
                      {"minute", "min"},
                      {"minutes", "min"},
                      {"min", "min"},
                      {"mins", "min"},
                      {"hour", "h"},
                      {"hours", "h"},
                      {"hr", "h"},
                      {"hrs", "h"},
                      {"h", "h"},
                      {"s", "s"},
                      {"day", "day"},
                      {"days", "day"},
                      {"week", "week"},
                      {"weeks", "week"},
                      {"month", "month"},
                      {"months", "month"},
                      {"year", "year"},
                      {"years", "year"},
                      {"dollar", "$"},
                      {"dollars", "$"},
                      {"usd", "$"},
                      {"cent", "cent"},
                      {"cents", "cent"},
                      {"euros", "euro"},
                      {"euro", "euro"},
                      {"eur", "euro"},
                      {"yen", "yen"},
                      {"rupees", "rupee"},
                      {"degree", "°"},
                      {"degrees", "°"},
                      {"deg", "°"},
                      {"radian", "rad"},
                      {"radians", "rad"},
                      {"rad", "rad"},
                      {"mph", "mi/h"},
                      {"kph", "km/h"},
                      {"kmh", "km/h"},
                      {"g", "g"},
                      {"l", "l"},
                      {"kw", "kW"},
                      {"kwh", "kWh"}};

const std::unordered_map<std::string_view, int> kScales = {
    {"hundred", 2},  {"hundreds", 2}, {"thousand", 3}, {"thousands", 3}, {"million", 6},
    {"millions", 6}, {"billion", 9},  {"billions", 9}, {"trillion", 12}, {"trillions", 12}};

const std::unordered_map<std::string_view, int> kNumbers = {
    {"two", 2},     {"three", 3},     {"four", 4},      {"five", 5},     {"six", 6},
    {"seven", 7},   {"eight", 8},     {"nine", 9},      {"ten", 10},     {"eleven", 11},
    {"twelve", 12}, {"thirteen", 13}, {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}};

template <class Table>
typename Table::mapped_type find(const Table& table, std::string_view word) {
  if (word.size() > 16) return {};
  const auto found = table.find(lower_case(word));
  return found == table.end() ? typename Table::mapped_type{} : found->second;
}

}  // namespace

std::string_view canonical_unit(std::string_view word) { return find(kUnits, word); }
int scale_of_word(std::string_view word) { return find(kScales, word); }
int number_of_word(std::string_view word) { return find(kNumbers, word); }

}  // namespace thinktune::reward
