#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Alphabetic symbols: circled and squared letters, which are no letters by category.
bool is_alphabetic_symbol(char32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

uint8_t find_kind(char32_t c) {
  if (c == '\r' || c == '\n') return kSpace | kNewline;
  if (is_space(c)) return kSpace;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return kLetter | kWordPart;
  if (category == UTF8PROC_CATEGORY_NO) return kNumber;
  if (category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL) return kNumber | kWordPart;
  const bool is_word_part = (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME) ||
                            category == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D || is_alphabetic_symbol(c);
  return is_word_part ? kOther | kWordPart : kOther;
}

// Two stages: equal blocks of 256 characters are stored once.
struct KindTable {
  static constexpr size_t kNumBlocks = 0x1100;
  std::array<uint16_t, kNumBlocks> block_of{};
  std::vector<std::array<uint8_t, 256>> blocks;

  KindTable() {
    std::map<std::array<uint8_t, 256>, uint16_t> known;
    for (size_t i = 0; i < kNumBlocks; ++i) {
      std::array<uint8_t, 256> block;
      for (size_t j = 0; j < 256; ++j) block[j] = find_kind(static_cast<char32_t>(i << 8 | j));
      const auto [found, is_new] = known.try_emplace(block, static_cast<uint16_t>(blocks.size()));
      if (is_new) blocks.push_back(block);
      block_of[i] = found->second;
    }
  }
};

bool is_composed(NormalForm form) { return form == NormalForm::Nfc || form == NormalForm::Nfkc; }
bool is_compatible(NormalForm form) { return form == NormalForm::Nfkc || form == NormalForm::Nfkd; }

void decompose(char32_t code_point, utf8proc_option_t options, std::vector<utf8proc_int32_t>& out) {
  std::array<utf8proc_int32_t, 32> parts;  // the longest decomposition has 18
  int last_boundclass = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts.data(), parts.size(),
                                             options, &last_boundclass);
  TT_CHECK(count >= 0 && count <= std::ssize(parts), "the character U+{:04X} decomposes into {}",
           static_cast<uint32_t>(code_point), count);
  out.insert(out.end(), parts.begin(), parts.begin() + count);
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

}  // namespace

uint8_t kind_of(char32_t code_point) {
  static const KindTable table;
  return table.blocks[table.block_of[code_point >> 8]][code_point & 0xFF];
}

bool is_surely_in_normal_form(std::string_view text, NormalForm form) {
  // The first characters that change: U+0300 (combining marks) when composing, U+00C0 when decomposing, U+00A0 where
  // compatible characters count. Their lead bytes in UTF-8:
  const unsigned char lead = is_compatible(form) ? 0xC2 : is_composed(form) ? 0xCC : 0xC3;
  return std::none_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) >= lead; });
}

// utf8proc_map would order long runs of combining marks by exchanging neighbours, in quadratic time; so decomposition
// and order are done here, and only the composition there.
std::string to_normal_form(std::string_view text, NormalForm form) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                      (is_compatible(form) ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> characters;
  characters.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_character_length(text);
    TT_CHECK(length > 0, "a text that is not UTF-8");
    decompose(utf8_code_point(text.data(), length), options, characters);
    text.remove_prefix(length);
  }
  for (auto first = characters.begin(); first != characters.end();) {
    if (combining_class(*first) == 0) {
      ++first;
      continue;
    }
    const auto last = std::find_if(first, characters.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(first, last, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    first = last;
  }
  auto size = static_cast<utf8proc_ssize_t>(characters.size());
  if (is_composed(form)) {
    size = utf8proc_normalize_utf32(characters.data(), size,
                                    static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    TT_CHECK(size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
  }
  std::string out;
  out.reserve(2 * static_cast<size_t>(size));
  for (utf8proc_ssize_t i = 0; i < size; ++i) append_utf8(static_cast<char32_t>(characters[i]), out);
  return out;
}

}  // namespace thinktune::text
