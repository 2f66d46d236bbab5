#include "reward/unicode.h"

#include <algorithm>
#include <unordered_map>

namespace thinktune::reward {
namespace {

using Table = std::unordered_map<std::string_view, std::string_view>;

const Table& characters() {
  static const Table kTable = {
      {"\u00a0", " "},
      {"\u2002", " "},
      {"\u2003", " "},
      {"\u2007", " "},
      {"\u2009", " "},
      {"\u200a", " "},
      {"\u200b", ""},
      {"\u202f", " "},
      {"\u2060", ""},
      {"\u3000", " "},
      {"\ufeff", ""},
      {"−", "-"},
      {"–", "-"},
      {"‐", "-"},
      {"‑", "-"},
      {"－", "-"},
      {"＋", "+"},
      {"＝", "="},
      {"，", ","},
      {"（", "("},
      {"）", ")"},
      {"：", ":"},
      {"×", "\\times "},
      {"✕", "\\times "},
      {"·", "\\cdot "},
      {"⋅", "\\cdot "},
      {"∙", "\\cdot "},
      {"∗", "*"},
      {"÷", "\\div "},
      {"∕", "/"},
      {"⁄", "/"},
      {"±", "\\pm "},
      {"∓", "\\mp "},
      {"≤", "\\le "},
      {"⩽", "\\le "},
      {"≥", "\\ge "},
      {"⩾", "\\ge "},
      {"≠", "\\ne "},
      {"≈", "\\approx "},
      {"∞", "\\infty "},
      {"√", "\\sqrt "},
      {"∛", "\\sqrt[3]"},
      {"∜", "\\sqrt[4]"},
      {"∪", "\\cup "},
      {"∩", "\\cap "},
      {"∖", "\\setminus "},
      {"∈", "\\in "},
      {"∉", "\\notin "},
      {"∅", "\\emptyset "},
      {"ℝ", "\\mathbb{R}"},
      {"ℤ", "\\mathbb{Z}"},
      {"ℕ", "\\mathbb{N}"},
      {"ℚ", "\\mathbb{Q}"},
      {"ℂ", "\\mathbb{C}"},
      {"°", "^\\circ "},
      {"º", "^\\circ "},
      {"℃", "^\\circ C"},
      {"℉", "^\\circ F"},
      {"′", "'"},
      {"’", "'"},
      {"‘", "'"},
      {"“", "\""},
      {"”", "\""},
      {"€", "\\euro "},
      {"£", "\\pounds "},
      {"¥", "\\yen "},
      {"₹", "\\rupee "},
      {"¢", "\\text{ cents}"},
      {"％", "\\%"},
      {"½", "\\frac{1}{2}"},
      {"⅓", "\\frac{1}{3}"},
      {"⅔", "\\frac{2}{3}"},
      {"¼", "\\frac{1}{4}"},
      {"¾", "\\frac{3}{4}"},
      {"⅕", "\\frac{1}{5}"},
      {"⅖", "\\frac{2}{5}"},
      {"⅗", "\\frac{3}{5}"},
      {"⅘", "\\frac{4}{5}"},
      {"⅙", "\\frac{1}{6}"},
      {"⅚", "\\frac{5}{6}"},
      {"⅛", "\\frac{1}{8}"},
      {"⅜", "\\frac{3}{8}"},
      {"⅝", "\\frac{5}{8}"},
      {"⅞", "\\frac{7}{8}"},
      {"π", "\\pi "},
      {"α", "\\alpha "},
      {"β", "\\beta "},
      {"γ", "\\gamma "},
      {"δ", "\\delta "},
      {"ε", "\\epsilon "},
      {"θ", "\\theta "},
      {"λ", "\\lambda "},
      {"μ", "\\mu "},
      {"ρ", "\\rho "},
      {"σ", "\\sigma "},
      {"τ", "\\tau "},
      {"φ", "\\phi "},
      {"ψ", "\\psi "},
      {"ω", "\\omega "},
      {"Δ", "\\Delta "},
      {"Σ", "\\Sigma "},
      {"Ω", "\\Omega "},
      {"⟨", "\\langle "},
      {"⟩", "\\rangle "},
      {"⌊", "\\lfloor "},
      {"⌋", "\\rfloor "},
      {"⌈", "\\lceil "},
      {"⌉", "\\rceil "},
      {"∠", "\\angle "},
      {"∣", "|"},
      {"…", "..."},
  };
  return kTable;
}

// Superscripts and subscripts: a run of them is one group.
const Table& raised() {
  static const Table kTable = {{"⁰", "0"}, {"¹", "1"}, {"²", "2"}, {"³", "3"}, {"⁴", "4"}, {"⁵", "5"}, {"⁶", "6"},
                               {"⁷", "7"}, {"⁸", "8"}, {"⁹", "9"}, {"⁺", "+"}, {"⁻", "-"}, {"ⁿ", "n"}};
  return kTable;
}
const Table& lowered() {
  static const Table kTable = {{"₀", "0"}, {"₁", "1"}, {"₂", "2"}, {"₃", "3"}, {"₄", "4"}, {"₅", "5"},
                               {"₆", "6"}, {"₇", "7"}, {"₈", "8"}, {"₉", "9"}, {"ₙ", "n"}};
  return kTable;
}

// Bytes of the UTF-8 character at the beginning, by its first byte; broken text goes byte by byte.
size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length > text.size()) return 1;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 1;
  return length;
}

}  // namespace

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string to_ascii_math(std::string_view text) {
  std::string ascii;
  ascii.reserve(text.size() + 16);
  const Table* run = nullptr;  // of the superscripts or subscripts that are being read
  const auto close_run = [&] {
    if (run != nullptr) ascii += '}';
    run = nullptr;
  };
  while (!text.empty()) {
    const size_t length = character_length(text);
    const std::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    const Table* table = length == 1                     ? nullptr
                         : raised().contains(character)  ? &raised()
                         : lowered().contains(character) ? &lowered()
                                                         : nullptr;
    if (table != run) close_run();
    if (table != nullptr) {
      if (run == nullptr) ascii += table == &raised() ? "^{" : "_{";
      run = table;
      ascii += table->at(character);
      continue;
    }
    const auto found = length == 1 ? characters().end() : characters().find(character);
    ascii += found == characters().end() ? character : found->second;
  }
  close_run();
  return ascii;
}

}  // namespace thinktune::reward
