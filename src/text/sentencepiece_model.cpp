#include "text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "text/token_table.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

// Field numbers of sentencepiece_model.proto.
enum ModelField { kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3 };
enum PieceField { kPieceText = 1, kPieceScore = 2, kPieceType = 3 };
enum TrainerField {
  kModelType = 3,
  kSpaceAsSuffix = 24,
  kByteFallback = 35,
  kUnkId = 40,
  kBosId = 41,
  kEosId = 42,
  kPadId = 43,
  kUnkPiece = 45,
  kBosPiece = 46,
  kEosPiece = 47,
  kPadPiece = 48
};
enum NormalizerField { kName = 1, kCharsmap = 2, kDummyPrefix = 3, kExtraSpaces = 4, kEscapeSpaces = 5 };

struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // of a number; a float's bits
  std::string_view bytes;  // of a string or a message
};

// The fields of one message, one after the other (https://protobuf.dev/programming-guides/encoding).
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{.number = tag >> 3};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        fixed(8, field);
        break;
      case 2: {
        const uint64_t size = varint();
        if (size > rest_.size()) throw damaged();
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        break;
      }
      case 5:
        fixed(4, field);
        break;
      default:
        throw damaged();
    }
    return field;
  }

 private:
  core::Error damaged() const {
    return core::data_error(fmt::format("{} is not a sentencepiece model, or is cut off", where_),
                            "fetch the file again");
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) throw damaged();
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    throw damaged();
  }
  void fixed(size_t size, Field& field) {
    if (rest_.size() < size) throw damaged();
    std::memcpy(&field.value, rest_.data(), size);  // little-endian, as this machine is
    rest_.remove_prefix(size);
  }

  std::string_view rest_;
  const std::string& where_;
};

SentencepieceModel::Piece read_piece(std::string_view bytes, const std::string& where) {
  SentencepieceModel::Piece piece;
  Fields fields(bytes, where);
  while (const auto field = fields.next()) {
    if (field->number == kPieceText) piece.text = field->bytes;
    if (field->number == kPieceScore) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field->value));
    if (field->number == kPieceType) piece.type = static_cast<int64_t>(field->value);
  }
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& where, SentencepieceModel& model) {
  int64_t type = SentencepieceModel::kUnigram;
  Fields fields(bytes, where);
  while (const auto field = fields.next()) {
    const auto value = static_cast<int64_t>(field->value);
    switch (field->number) {
      case kModelType:
        type = value;
        break;
      case kSpaceAsSuffix:
        if (value != 0) throw core::data_error(fmt::format("{}: spaces as suffixes of words are not known", where));
        break;
      case kByteFallback:
        model.byte_fallback = value != 0;
        break;
      // Numbers of 32 bits, the negative ones written as 64.
      case kUnkId:
        model.unk_id = static_cast<int32_t>(value);
        break;
      case kBosId:
        model.bos_id = static_cast<int32_t>(value);
        break;
      case kEosId:
        model.eos_id = static_cast<int32_t>(value);
        break;
      case kPadId:
        model.pad_id = static_cast<int32_t>(value);
        break;
      default:
        break;
    }
  }
  if (type != SentencepieceModel::kUnigram && type != SentencepieceModel::kBpe)
    throw core::data_error(fmt::format("{}: the sentencepiece model type {} is not known", where, type),
                           "known: 1 (unigram), 2 (BPE)");
  model.type = static_cast<SentencepieceModel::Type>(type);
}

void read_normalizer(std::string_view bytes, const std::string& where, SentencepieceModel& model) {
  Fields fields(bytes, where);
  while (const auto field = fields.next()) {
    switch (field->number) {
      case kName:
        model.normalizer_name = field->bytes;
        break;
      case kCharsmap:
        model.precompiled_charsmap = field->bytes;
        break;
      case kDummyPrefix:
        model.add_dummy_prefix = field->value != 0;
        break;
      case kExtraSpaces:
        model.remove_extra_whitespaces = field->value != 0;
        break;
      case kEscapeSpaces:
        if (field->value == 0)
          throw core::data_error(fmt::format("{}: a model that leaves spaces as they are is not known", where));
        break;
      default:
        break;
    }
  }
}

// The table is a double array (Darts) and the strings that its leaves point to; the library follows both without
// looking at their ends. Walks all that can be reached.
bool is_charsmap_sound(std::string_view map) {
  uint32_t trie_bytes = 0;
  if (map.size() < 4) return false;
  std::memcpy(&trie_bytes, map.data(), 4);
  if (trie_bytes % 4 != 0 || trie_bytes < 1024 || trie_bytes > map.size() - 4) return false;
  const std::string_view strings = map.substr(4 + trie_bytes);
  if (strings.empty() || strings.back() != '\0') return false;
  std::vector<uint32_t> units(trie_bytes / 4);
  std::memcpy(units.data(), map.data() + 4, trie_bytes);
  const auto offset = [](uint32_t unit) { return unit >> 10 << ((unit & (1u << 9)) >> 6); };
  const auto label = [](uint32_t unit) { return unit & ((1u << 31) | 0xFF); };

  std::vector<bool> is_seen(units.size());
  std::vector<uint32_t> open = {0};
  is_seen[0] = true;
  while (!open.empty()) {
    const uint32_t node = open.back();
    open.pop_back();
    const uint32_t base = node ^ offset(units[node]);
    if ((base | 0xFF) >= units.size()) return false;  // any of its 256 neighbours may be asked for
    const bool has_leaf = (units[node] >> 8 & 1) != 0;
    if (has_leaf && (units[base] & 0x7FFFFFFF) >= strings.size()) return false;
    for (uint32_t byte = 1; byte < 256; ++byte) {
      const uint32_t child = base ^ byte;
      if (label(units[child]) != byte || is_seen[child]) continue;
      is_seen[child] = true;
      open.push_back(child);
    }
  }
  return true;
}

class Writer {
 public:
  void number(uint64_t field, int64_t value) {
    varint(field << 3);
    varint(static_cast<uint64_t>(value));
  }
  void real(uint64_t field, float value) {
    varint(field << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    char bytes[4];
    std::memcpy(bytes, &bits, 4);
    out_.append(bytes, 4);
  }
  void bytes(uint64_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    out_ += value;
  }
  std::string take() { return std::move(out_); }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

}  // namespace

SentencepieceModel read_sentencepiece_model(std::string_view bytes, const std::string& where) {
  SentencepieceModel model;
  Fields fields(bytes, where);
  while (const auto field = fields.next()) {
    if (field->number == kPieces) model.pieces.push_back(read_piece(field->bytes, where));
    if (field->number == kTrainerSpec) read_trainer(field->bytes, where, model);
    if (field->number == kNormalizerSpec) read_normalizer(field->bytes, where, model);
  }
  return model;
}

void check_sentencepiece_model(const SentencepieceModel& model, const std::string& where) {
  const auto refuse = [&](const std::string& why) {
    return core::data_error(fmt::format("{} is not a usable sentencepiece model: {}", where, why),
                            "fetch the file again; it may be damaged");
  };
  if (model.pieces.empty()) throw refuse("it has no pieces");
  TokenTable seen;
  seen.reserve(model.pieces.size());
  int64_t num_unknown = 0, num_bytes = 0;
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& piece = model.pieces[i];
    if (piece.text.empty()) throw refuse(fmt::format("its piece {} is empty", i));
    if (utf8_valid_length(piece.text) != piece.text.size()) throw refuse(fmt::format("its piece {} is not UTF-8", i));
    if (piece.text.find('\0') != std::string::npos) throw refuse(fmt::format("its piece {} holds a zero byte", i));
    if (piece.text.size() > 65536) throw refuse(fmt::format("its piece {} has {} bytes", i, piece.text.size()));
    if (!std::isfinite(piece.score)) throw refuse(fmt::format("the score of its piece {} is no number", i));
    if (piece.type < SentencepieceModel::kNormal || piece.type > SentencepieceModel::kByte)
      throw refuse(fmt::format("the type of its piece {} is {}, which is not known", i, piece.type));
    if (!seen.add(piece.text))
      throw refuse(fmt::format("its piece \"{}\" is there twice: {} and {}", piece.text, seen.find(piece.text), i));
    num_unknown += piece.type == SentencepieceModel::kUnknown;
    num_bytes += piece.type == SentencepieceModel::kByte;
  }
  if (num_unknown != 1) throw refuse(fmt::format("it has {} unknown pieces, not one", num_unknown));
  if (num_bytes != (model.byte_fallback ? 256 : 0)) throw refuse(fmt::format("it has {} byte pieces", num_bytes));
  if (model.byte_fallback)
    for (int byte = 0; byte < 256; ++byte)
      if (seen.find(fmt::format("<0x{:02X}>", byte)) == TokenTable::kNone)
        throw refuse(fmt::format("it has no piece <0x{:02X}>", byte));
  for (const int64_t id : {model.unk_id, model.bos_id, model.eos_id, model.pad_id})
    if (id >= std::ssize(model.pieces)) throw refuse(fmt::format("it has {} pieces, none {}", model.pieces.size(), id));
  if (!model.precompiled_charsmap.empty() && !is_charsmap_sound(model.precompiled_charsmap))
    throw refuse("its normaliser's table is damaged");
}

std::string write_sentencepiece_model(const SentencepieceModel& model) {
  Writer out;
  for (const auto& piece : model.pieces) {
    Writer one;
    one.bytes(kPieceText, piece.text);
    one.real(kPieceScore, piece.score);
    one.number(kPieceType, piece.type);
    out.bytes(kPieces, one.take());
  }
  Writer trainer;
  trainer.number(kModelType, model.type);
  trainer.number(kByteFallback, model.byte_fallback);
  trainer.number(kUnkId, model.unk_id);
  trainer.number(kBosId, model.bos_id);
  trainer.number(kEosId, model.eos_id);
  trainer.number(kPadId, model.pad_id);
  // The library finds these ids by name.
  for (const auto& [field, id] : {std::pair{kUnkPiece, model.unk_id}, std::pair{kBosPiece, model.bos_id},
                                  std::pair{kEosPiece, model.eos_id}, std::pair{kPadPiece, model.pad_id}})
    if (id >= 0) trainer.bytes(field, model.pieces[static_cast<size_t>(id)].text);
  out.bytes(kTrainerSpec, trainer.take());
  Writer normalizer;
  normalizer.bytes(kName, model.normalizer_name);
  normalizer.bytes(kCharsmap, model.precompiled_charsmap);
  normalizer.number(kDummyPrefix, model.add_dummy_prefix);
  normalizer.number(kExtraSpaces, model.remove_extra_whitespaces);
  normalizer.number(kEscapeSpaces, 1);
  out.bytes(kNormalizerSpec, normalizer.take());
  return out.take();
}

}  // namespace thinktune::text
