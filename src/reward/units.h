// Units of measure by their names.
#pragma once

#include <string_view>

namespace thinktune::reward {

// One name for every spelling ("centimeters", "cm" → "cm"); empty if the word is no unit that is known. Words that are
// not known are never compared: "5 apples" is 5.
std::string_view canonical_unit(std::string_view word);

// The power of ten that a word stands for ("million" → 6), 0 if none.
int scale_of_word(std::string_view word);

// The number that a word stands for ("eight" → 8, up to sixteen), 0 if none.
int number_of_word(std::string_view word);

}  // namespace thinktune::reward
