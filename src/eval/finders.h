// What the published protocols find answers by. Each equals the regular expression beside its name in
// eval/protocols.h, in one pass; white space and bytes are ASCII's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::eval {

std::optional<std::string> first_hashes(std::string_view text);
std::optional<std::string> last_numeral(std::string_view text);
std::optional<std::string> minerva_sentence(std::string_view text);
std::optional<std::string> the_answer_is(std::string_view text);
std::optional<std::string> parenthesised_letter(std::string_view text, const std::vector<std::string>& choices);
std::optional<std::string> first_answer_line(std::string_view text);
std::optional<std::string> last_answer_line(std::string_view text);
std::optional<std::string> first_answer_letter(std::string_view text);

bool is_space(char c);
char lower(char c);
std::string trim(std::string_view text);

// Lower case, without ASCII punctuation.
std::string without_case_and_punctuation(std::string_view text);

}  // namespace thinktune::eval
