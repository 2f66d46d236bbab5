#include "data/arithmetic_wordings.h"

#include "thinktune/core/error.h"

namespace thinktune::data {
namespace {

constexpr std::string_view kNames[] = {"Tom",   "Mia",   "Ben",   "Ana",   "Leo",   "Eva",   "Sam",  "Lily",
                                       "Omar",  "Nina",  "Paul",  "Rosa",  "Jack",  "Emma",  "Kofi", "Sara",
                                       "Max",   "Ivy",   "Luis",  "Ruth",  "David", "Maria", "Noah", "Grace",
                                       "Peter", "Julia", "Henry", "Clara", "Adam",  "Zoe"};

constexpr std::string_view kThings[] = {"apples",  "books",   "marbles", "stickers", "pencils", "coins",
                                        "cards",   "shells",  "buttons", "stamps",   "beads",   "balloons",
                                        "cookies", "oranges", "eggs",    "crayons",  "flowers", "candles",
                                        "stones",  "cups",    "ribbons", "lemons",   "photos",  "puzzles"};

constexpr std::string_view kAdd[] = {
    "{A} has {x} {o}. {B} gives {A} {y} more {o}. How many {o} does {A} have now?",
    "There are {x} {o} in a box. {A} puts {y} more {o} into the box. How many {o} are in the box now?",
    "{A} has {x} {o} and {B} has {y} {o}. How many {o} do they have together?",
    "{A} buys {x} {o} on Monday and {y} {o} on Tuesday. How many {o} does {A} buy in all?",
    "A shop sells {x} {o} in the morning and {y} {o} in the afternoon. How many {o} does the shop sell that day in "
    "total?",
    "{A} found {x} {o} at home and then {y} more at school. How many {o} did {A} find altogether?",
    "One bag holds {x} {o} and another bag holds {y} {o}. How many {o} are in the two bags together?",
    "{A} had {x} {o} and then got {y} more. How many {o} does {A} have now?",
    "{A} is {x} years old. How old will {A} be in {y} years?",
    "{A} walks {x} kilometers before lunch and {y} kilometers after lunch. How many kilometers does {A} walk in total?",
    "A bus carries {x} people. At the next stop {y} more people get on and nobody gets off. How many people are on the "
    "bus now?",
    "{A} reads {x} pages on Saturday and {y} pages on Sunday. How many pages does {A} read on the two days together?",
    "{B} has {x} {o}. {A} has {y} more {o} than {B}. How many {o} does {A} have?",
    "A red ribbon is {x} inches long and a blue ribbon is {y} inches long. {A} lays them end to end. How many inches "
    "long is the "
    "line?",
    "{A} scores {x} points in the first game and {y} points in the second game. How many points does {A} score in the "
    "two games?",
    "How many {o} are on the table in total if {A} puts {x} {o} on the empty table and {B} adds {y} {o}?"};

constexpr std::string_view kSubtract[] = {
    "{A} has {x} {o}. {A} gives {y} {o} to {B}. How many {o} does {A} have left?",
    "There are {x} {o} in a basket. {A} takes {y} {o} out. How many {o} are still in the basket?",
    "{A} had {x} {o} but lost {y} of them. How many {o} does {A} have now?",
    "{A} has {x} {o} and {B} has {y} {o}. How many more {o} does {A} have than {B}?",
    "A shop has {x} {o} and sells {y} of them. How many {o} are left in the shop?",
    "{A} needs {x} {o} and already has {y} of them. How many more {o} does {A} need?",
    "A book has {x} pages. {A} has read {y} pages of it. How many pages are left to read?",
    "{A} is {x} years old and {B} is {y} years old. How many years older is {A} than {B}?",
    "A rope is {x} meters long. {A} cuts off {y} meters. How many meters of rope are left?",
    "There were {x} birds in a tree. Then {y} of them flew away. How many birds are still in the tree?",
    "{A} had {x} dollars and spent {y} dollars. How many dollars does {A} have left?",
    "Of the {x} {o} on a shelf, {y} are old and the others are new. How many new {o} are on the shelf?",
    "{A} wants to walk {x} kilometers and has walked {y} kilometers so far. How many kilometers are left?",
    "A bus carries {x} people. At a stop {y} people get off and nobody gets on. How many people are on the bus now?",
    "{A} and {B} have {x} {o} together. {B} has {y} of them. How many {o} does {A} have?",
    "How many {o} are left on the plate if {A} takes {y} of the {x} {o} on it?"};

constexpr std::string_view kMultiply[] = {
    "{A} has {x} boxes. Each box holds {y} {o}. How many {o} does {A} have in all?",
    "There are {x} bags with {y} {o} in each bag. How many {o} are there in total?",
    "{A} buys {x} packs of {o}. There are {y} {o} in each pack. How many {o} does {A} buy?",
    "One ticket costs {y} dollars. How many dollars do {x} tickets cost?",
    "{A} works {x} hours and earns {y} dollars for each hour. How many dollars does {A} earn?",
    "A garden has {x} rows of plants with {y} plants in each row. How many plants are in the garden?",
    "{A} reads {y} pages every day. How many pages does {A} read in {x} days?",
    "In a class, {x} children bring {y} {o} each. How many {o} do they bring altogether?",
    "{A} fills {x} shelves with {y} {o} on each shelf. How many {o} are on the shelves in all?",
    "{A} runs {y} kilometers every day. How many kilometers does {A} run in {x} days?",
    "One table seats {y} people. How many people can sit at {x} such tables?",
    "{B} has {y} {o}. {A} has {x} times as many {o} as {B}. How many {o} does {A} have?",
    "{A} gives {y} {o} to each of {x} friends. How many {o} does {A} give away?",
    "A rectangular room is {x} meters long and {y} meters wide. How many square meters is its floor?",
    "A machine packs {y} {o} every minute. How many {o} does it pack in {x} minutes?",
    "How many {o} does {A} need to put {y} {o} on each of {x} plates?"};

constexpr std::string_view kDivide[] = {
    "{A} shares {x} {o} equally among {y} friends. How many {o} does each friend get?",
    "{A} puts {x} {o} into bags, {y} in each bag. How many bags does {A} fill?",
    "There are {x} {o} in {y} equal rows. How many {o} are in each row?",
    "Together, {y} equal tickets cost {x} dollars. How many dollars does one ticket cost?",
    "{A} reads {x} pages in {y} days, the same number each day. How many pages does {A} read each day?",
    "A rope of {x} meters is cut into {y} equal pieces. How many meters long is each piece?",
    "Each box holds {y} {o}. How many boxes does {A} need for {x} {o}?",
    "{A} earns {x} dollars in {y} hours, the same for each hour. How many dollars does {A} earn in one hour?",
    "A class of {x} children forms teams of {y} children. How many teams are there?",
    "{A} has {x} {o}, which is {y} times as many as {B} has. How many {o} does {B} have?",
    "{A} packs {x} {o} into {y} boxes with the same number in each. How many {o} are in each box?",
    "At a party, {x} {o} are placed equally on {y} plates. How many {o} are on each plate?",
    "A car drives {x} kilometers in {y} hours at a steady speed. How many kilometers does it drive in one hour?",
    "How many days do {x} {o} last if {A} uses {y} {o} every day?"};

constexpr std::string_view kMultiplyAdd[] = {
    "{A} has {x} boxes with {y} {o} each and {z} more {o} on a shelf. How many {o} does {A} have in all?",
    "{A} has {x} packs of {y} {o}. {B} gives {A} {z} more {o}. How many {o} does {A} have now?",
    "There are {x} bags with {y} {o} in each bag, and {z} {o} beside them. How many {o} are there in total?",
    "{A} works {x} hours for {y} dollars an hour and then finds {z} dollars. How many dollars does {A} get altogether?",
    "One ticket costs {y} dollars. {A} buys {x} tickets and a drink for {z} dollars. How many dollars does {A} pay?",
    "{A} reads {y} pages a day for {x} days, and then {z} more pages. How many pages does {A} read in all?",
    "A hall has {x} rows of {y} chairs. {A} brings in {z} more chairs. How many chairs are in the hall now?",
    "{A} runs {y} kilometers on each of {x} days and then {z} kilometers on one more day. How many kilometers is that "
    "in total?",
    "{A} gives {y} {o} to each of {x} friends and keeps {z} {o}. How many {o} did {A} have at the start?",
    "{B} has {y} {o}. {A} has {z} more than {x} times as many {o} as {B}. How many {o} does {A} have?",
    "A garden has {x} rows of {y} plants. {A} plants {z} more. How many plants are in the garden now?",
    "A machine packs {y} {o} every minute. It runs for {x} minutes, and {A} packs {z} more {o} by hand. How many {o} "
    "are packed?"};

constexpr std::string_view kMultiplySubtract[] = {
    "{A} has {x} boxes with {y} {o} each and gives {z} {o} to {B}. How many {o} does {A} have left?",
    "{A} has {x} packs of {y} {o} and loses {z} {o}. How many {o} does {A} have now?",
    "There are {x} bags with {y} {o} in each bag. {A} takes {z} {o} out. How many {o} are still in the bags?",
    "{A} works {x} hours for {y} dollars an hour and spends {z} dollars. How many dollars are left?",
    "One ticket costs {y} dollars. {A} buys {x} tickets and gets {z} dollars off the total. How many dollars does {A} "
    "pay?",
    "A book has {x} chapters of {y} pages. {A} has read {z} pages. How many pages are left to read?",
    "A hall has {x} rows of {y} chairs. {A} carries {z} chairs out. How many chairs are in the hall now?",
    "{A} bakes {x} trays of {y} rolls, and {z} rolls are eaten. How many rolls are left?",
    "{A} plans to run {y} kilometers on each of {x} days and has run {z} kilometers so far. How many kilometers are "
    "left?",
    "{B} has {y} {o}. {A} has {z} fewer than {x} times as many {o} as {B}. How many {o} does {A} have?",
    "A garden has {x} rows of {y} plants. {A} digs up {z} plants. How many plants are left in the garden?",
    "A shop gets {x} crates of {y} {o} and sells {z} {o}. How many of these {o} are left?"};

}  // namespace

std::span<const std::string_view> wordings(Operation operation) {
  switch (operation) {
    case Operation::Add:
      return kAdd;
    case Operation::Subtract:
      return kSubtract;
    case Operation::Multiply:
      return kMultiply;
    case Operation::Divide:
      return kDivide;
    case Operation::MultiplyAdd:
      return kMultiplyAdd;
    case Operation::MultiplySubtract:
      return kMultiplySubtract;
  }
  throw core::internal_error("an operation without wordings");
}

std::span<const std::string_view> names() { return kNames; }
std::span<const std::string_view> things() { return kThings; }

std::string fill(std::string_view wording, const Slots& slots) {
  std::string text;
  for (size_t i = 0; i < wording.size(); ++i) {
    if (wording[i] != '{') {
      text += wording[i];
      continue;
    }
    const char slot = wording[i + 1];
    switch (slot) {
      case 'A':
        text += slots.a;
        break;
      case 'B':
        text += slots.b;
        break;
      case 'o':
        text += slots.thing;
        break;
      default:
        text += std::to_string(slots.operands[static_cast<size_t>(slot - 'x')]);
    }
    i += 2;  // the letter and the closing brace
  }
  return text;
}

}  // namespace thinktune::data
