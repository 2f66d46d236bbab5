#include "text/tokenizer_json.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "text/byte_alphabet.h"
#include "text/tokenizer_json_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"

namespace thinktune::text {
namespace {

using nlohmann::json;

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200);
}

std::string type_of(const json& part) {
  if (part.is_null()) return "null";
  return part.is_object() ? part.value("type", std::string("untyped")) : std::string("untyped");
}

// Reads one file. "truncation" and "padding" are left aside: they are settings of whoever ran the library last, and
// transformers sets them anew in every call. Every refusal names the file and what in it is not known.
class Reader {
 public:
  Reader(TokenizerJsonFile file, const std::string& where) : file_(std::move(file)), root_(file_.root), where_(where) {}

  PipelineSpec read() {
    spec_.where = where_;
    if (!root_.is_object() || !root_.contains("model")) throw refuse("it has no \"model\"", "");
    check_model();
    read_normalizer(root_.value("normalizer", json()));
    read_pre_tokenizer(root_.value("pre_tokenizer", json()));
    read_decoder(root_.value("decoder", json()));
    spec_.byte_level =
        !spec_.pre_tokenizer.empty() && spec_.pre_tokenizer.back().kind == PreTokenizerStep::Kind::ByteLevel;
    if (spec_.byte_level != spec_.decoder.is_byte_level)
      throw refuse("of its pre_tokenizer and its decoder only one is \"ByteLevel\"", "both are, or none");
    read_added_tokens();
    read_vocabulary();
    read_merges();
    read_model();
    read_post_processor(root_.value("post_processor", json()));
    return std::move(spec_);
  }

 private:
  core::Error refuse(const std::string& why, const std::string& known) const {
    return core::data_error(fmt::format("{} is not a tokenizer that is known: {}", where_, why), known);
  }
  core::Error unknown(std::string_view name, const json& part, const std::string& known) const {
    return refuse(fmt::format("its {} is \"{}\": {}", name, type_of(part), dump(part)), "known: " + known);
  }

  // The steps of a part: those of a Sequence (named `list` in it), none of null, or the part itself.
  std::vector<json> steps(const json& part, const char* list) const {
    if (part.is_null()) return {};
    if (type_of(part) != "Sequence") return {part};
    const json steps = part.value(list, json());
    if (!steps.is_array()) throw refuse(fmt::format("a Sequence has no \"{}\": {}", list, dump(part)), "");
    return steps;
  }

  void check_model() const {
    const json& model = root_.at("model");
    // Files older than `tokenizers` 0.9 (GPT-2's own) have no type; vocabulary and merges tell what they are.
    const bool is_bpe =
        model.is_object() && model.value("type", json("BPE")) == "BPE" && file_.has_vocabulary && file_.has_merges;
    if (!is_bpe)
      throw refuse(fmt::format("its model is \"{}\", not \"BPE\" with \"vocab\" and \"merges\"", type_of(model)),
                   "known: BPE; of a model of type Unigram or WordPiece give the tokenizer.model beside it");
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) require_absent(model, name, json(""));
    require_absent(model, "dropout", json(0.0));
  }
  void require_absent(const json& model, const char* name, const json& neutral) const {
    const json value = model.value(name, json());
    if (!value.is_null() && value != neutral)
      throw refuse(fmt::format("its model has \"{}\": {}", name, dump(value)), fmt::format("known: no {}", name));
  }

  // A pattern {"String": ..} or {"Regex": ..}.
  void read_pattern(const json& part, std::string& pattern, bool& is_regex) const {
    const json value = part.value("pattern", json());
    is_regex = value.is_object() && value.contains("Regex");
    if (!value.is_object() || (!is_regex && !value.contains("String")))
      throw refuse(fmt::format("a pattern is neither a String nor a Regex: {}", dump(part)), "");
    pattern = value.at(is_regex ? "Regex" : "String").get<std::string>();
  }

  void read_normalizer(const json& part) {
    using Kind = NormalizerStep::Kind;
    constexpr const char* kKnown = "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence";
    for (const json& step : steps(part, "normalizers")) {
      const std::string type = type_of(step);
      NormalizerStep out{};
      if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
        out.kind = type == "NFC" ? Kind::Nfc : type == "NFD" ? Kind::Nfd : type == "NFKC" ? Kind::Nfkc : Kind::Nfkd;
      } else if (type == "Prepend") {
        out.kind = Kind::Prepend;
        out.content = step.at("prepend").get<std::string>();
      } else if (type == "Replace") {
        out.kind = Kind::Replace;
        read_pattern(step, out.pattern, out.is_regex);
        out.content = step.at("content").get<std::string>();
      } else {
        throw unknown("normalizer", step, kKnown);
      }
      spec_.normalizer.push_back(std::move(out));
    }
  }

  PreTokenizerStep::Prefix read_prefix_scheme(const json& step) const {
    using Prefix = PreTokenizerStep::Prefix;
    // Older files say add_prefix_space.
    if (!step.contains("prepend_scheme")) return step.value("add_prefix_space", true) ? Prefix::Always : Prefix::Never;
    const json scheme = step.at("prepend_scheme");
    if (scheme == "always") return Prefix::Always;
    if (scheme == "first") return Prefix::First;
    if (scheme == "never") return Prefix::Never;
    throw refuse(fmt::format("a Metaspace's prepend_scheme is {}", dump(scheme)), "known: always, first, never");
  }

  PreTokenizerStep read_split(const json& step) const {
    PreTokenizerStep out{.kind = PreTokenizerStep::Kind::Split};
    read_pattern(step, out.pattern, out.is_regex);
    out.invert = step.value("invert", false);
    constexpr std::pair<const char*, SplitBehavior> kBehaviors[] = {
        {"Removed", SplitBehavior::Removed},
        {"Isolated", SplitBehavior::Isolated},
        {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
        {"MergedWithNext", SplitBehavior::MergedWithNext},
        {"Contiguous", SplitBehavior::Contiguous}};
    const json behavior = step.value("behavior", json());
    for (const auto& [name, value] : kBehaviors) {
      out.behavior = value;
      if (behavior == name) return out;
    }
    throw refuse(fmt::format("a Split's behavior is {}", dump(behavior)),
                 "known: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
  }

  void read_pre_tokenizer(const json& part) {
    using Kind = PreTokenizerStep::Kind;
    constexpr const char* kKnown = "Split, Digits, Metaspace, ByteLevel (the last one), Sequence";
    const auto all = steps(part, "pretokenizers");
    for (size_t i = 0; i < all.size(); ++i) {
      const json& step = all[i];
      const std::string type = type_of(step);
      PreTokenizerStep out{};
      if (type == "Split") {
        out = read_split(step);
      } else if (type == "Digits") {
        out.kind = Kind::Digits;
        out.individual_digits = step.value("individual_digits", false);
      } else if (type == "Metaspace") {
        out.kind = Kind::Metaspace;
        out.replacement = step.value("replacement", std::string(kSpaceMark));
        out.prefix = read_prefix_scheme(step);
        out.split = step.value("split", true);
      } else if (type == "ByteLevel" && i + 1 == all.size()) {
        out.kind = Kind::ByteLevel;
        out.prefix =
            step.value("add_prefix_space", true) ? PreTokenizerStep::Prefix::Always : PreTokenizerStep::Prefix::Never;
        out.split = step.value("use_regex", true);
      } else {
        throw unknown("pre_tokenizer", step, kKnown);
      }
      spec_.pre_tokenizer.push_back(std::move(out));
    }
  }

  void read_decoder(const json& part) {
    constexpr const char* kKnown =
        "ByteLevel, Metaspace, or a Sequence of Replace, ByteFallback, Fuse and Strip (from the start), in this order";
    DecoderSpec& out = spec_.decoder;
    if (type_of(part) == "ByteLevel") {
      out.is_byte_level = true;
      return;
    }
    if (type_of(part) == "Metaspace") {
      out.is_metaspace = true;
      out.replace = part.value("replacement", std::string(kSpaceMark));
      out.replace_with = " ";
      out.drops_first_marks = read_prefix_scheme(part) != PreTokenizerStep::Prefix::Never;
      return;
    }
    if (type_of(part) != "Sequence") throw unknown("decoder", part, kKnown);
    int last = 0;
    for (const json& step : steps(part, "decoders")) {
      const std::string type = type_of(step);
      const int place = type == "Replace"        ? 1
                        : type == "ByteFallback" ? 2
                        : type == "Fuse"         ? 3
                        : type == "Strip"        ? 4
                                                 : 0;
      // What is left over after Fuse is one text; before it a Strip would act on every token.
      if (place <= last || (place == 4 && last != 3)) throw unknown("decoder", part, kKnown);
      last = place;
      if (place == 1) {
        bool is_regex = false;
        read_pattern(step, out.replace, is_regex);
        if (is_regex) throw unknown("decoder", step, kKnown);
        out.replace_with = step.at("content").get<std::string>();
      }
      if (place == 2) out.byte_fallback = true;
      if (place == 4) {
        const int64_t num = step.contains("start") ? core::json_integer(step["start"]) : 0;
        const int64_t stop = step.contains("stop") ? core::json_integer(step["stop"]) : 0;
        if (step.value("content", "") != " " || stop != 0 || num < 0) throw unknown("decoder", step, kKnown);
        out.num_stripped = static_cast<size_t>(num);
      }
    }
  }

  void read_added_tokens() {
    const json list = root_.value("added_tokens", json());
    if (!list.is_null() && !list.is_array()) throw refuse("its \"added_tokens\" are no list", "");
    id_bound_ = std::ssize(file_.ids) + std::ssize(list);
    for (const json& added : list) {
      AddedToken token;
      token.content = added.at("content").get<std::string>();
      const int64_t id = core::json_integer(added.at("id"));
      if (token.content.empty()) throw refuse(fmt::format("its added token {} is empty", id), "");
      check_id(id, token.content);
      token.id = static_cast<TokenId>(id);
      token.single_word = added.value("single_word", false);
      token.lstrip = added.value("lstrip", false);
      token.rstrip = added.value("rstrip", false);
      token.special = added.value("special", false);
      token.normalized = added.value("normalized", !token.special);
      spec_.added.push_back(std::move(token));
    }
  }

  // Ids are places in a list without holes, so none is as large as the number of tokens; this also keeps a damaged id
  // from claiming all memory.
  void check_id(int64_t id, std::string_view token) const {
    if (id < 0 || id >= id_bound_)
      throw refuse(
          fmt::format("the id {} of the token \"{}\" is out of range: there are {} tokens", id, token, id_bound_), "");
  }

  void read_vocabulary() {
    size_t num_tokens = 0;
    for (TokenId i = 0; i < file_.vocabulary.size(); ++i) {
      check_id(file_.ids[static_cast<size_t>(i)], file_.vocabulary[i]);
      num_tokens = std::max(num_tokens, static_cast<size_t>(file_.ids[static_cast<size_t>(i)]) + 1);
    }
    for (const AddedToken& added : spec_.added) num_tokens = std::max(num_tokens, static_cast<size_t>(added.id) + 1);

    std::vector<std::string_view> tokens(num_tokens);
    const auto put = [&](TokenId id, std::string_view token) {
      auto& slot = tokens[static_cast<size_t>(id)];
      if (slot.data() != nullptr && slot != token)
        throw refuse(fmt::format("the id {} has two tokens, \"{}\" and \"{}\"", id, slot, token), "");
      slot = token;
    };
    for (TokenId i = 0; i < file_.vocabulary.size(); ++i)
      put(static_cast<TokenId>(file_.ids[static_cast<size_t>(i)]), file_.vocabulary[i]);
    for (const AddedToken& added : spec_.added) put(added.id, added.content);
    spec_.tokens.reserve(num_tokens);
    for (size_t id = 0; id < num_tokens; ++id) {
      if (tokens[id].data() == nullptr) throw refuse(fmt::format("the id {} has no token", id), "");
      if (!spec_.tokens.add(tokens[id]))
        throw refuse(
            fmt::format("the token \"{}\" has two ids, {} and {}", tokens[id], spec_.tokens.find(tokens[id]), id), "");
    }
  }

  void read_merges() {
    spec_.merges.reserve(file_.is_merge_pair.size());
    spec_.merges_as_pairs = file_.is_merge_pair.empty() || file_.is_merge_pair[0];
    TokenId next = 0;
    std::string merged;
    for (size_t rank = 0; rank < file_.is_merge_pair.size(); ++rank) {
      std::string_view left = file_.merges[next++], right;
      if (file_.is_merge_pair[rank]) {
        right = file_.merges[next++];
      } else {
        const size_t space = left.find(' ');
        if (space == std::string_view::npos || left.find(' ', space + 1) != std::string_view::npos)
          throw refuse(fmt::format("its merge {} (\"{}\") is not two tokens with one space between them", rank, left),
                       "");
        right = left.substr(space + 1);
        left = left.substr(0, space);
      }
      merged.assign(left).append(right);
      const auto id_of = [&](std::string_view token) {
        const TokenId id = spec_.tokens.find(token);
        if (id == TokenTable::kNone)
          throw refuse(
              fmt::format("its merge {} (\"{}\" and \"{}\") has the token \"{}\", which is not in the vocabulary", rank,
                          left, right, token),
              "");
        return id;
      };
      spec_.merges.push_back({id_of(left), id_of(right), id_of(merged), static_cast<uint32_t>(rank)});
    }
  }

  bool flag(const char* name) const {
    const json value = root_.at("model").value(name, json());
    return !value.is_null() && value.get<bool>();
  }

  void read_model() {
    spec_.byte_fallback = flag("byte_fallback") && !spec_.byte_level;
    spec_.ignore_merges = flag("ignore_merges");
    spec_.fuse_unknown = flag("fuse_unk");
    const json name = root_.at("model").value("unk_token", json());
    if (name.is_null() || name == json("")) return;
    spec_.unknown = spec_.tokens.find(name.get<std::string>());
    if (spec_.unknown == TokenTable::kNone)
      throw refuse(fmt::format("its unk_token {} is not in the vocabulary", dump(name)), "");
    if (!spec_.byte_level) return;
    // It would stand for each byte that has no token; here such bytes vanish. Where every byte has one it is idle.
    for (int byte = 0; byte < 256; ++byte)
      if (spec_.tokens.find(alphabet_character(static_cast<uint8_t>(byte))) == TokenTable::kNone)
        throw refuse(fmt::format("its model has \"unk_token\": {} and no token for the byte {}", dump(name), byte), "");
  }

  TokenId known_id(const json& id, const json& part) const {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= spec_.tokens.size())
      throw refuse(fmt::format("its post_processor names an id that is not there: {}", dump(part)), "");
    return id.get<TokenId>();
  }

  // Only what stands around a single text matters; the other processors move offsets.
  void read_post_processor(const json& part) {
    constexpr const char* kKnown = "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence";
    for (const json& step : steps(part, "processors")) {
      const std::string type = type_of(step);
      if (type == "ByteLevel") continue;
      if (!spec_.prefix.empty() || !spec_.suffix.empty()) throw unknown("post_processor", part, "one template");
      if (type == "TemplateProcessing") {
        read_template(step);
      } else if (type == "RobertaProcessing" || type == "BertProcessing") {
        spec_.prefix.push_back(known_id(step.at("cls").at(1), step));
        spec_.suffix.push_back(known_id(step.at("sep").at(1), step));
      } else {
        throw unknown("post_processor", step, kKnown);
      }
    }
  }

  void read_template(const json& step) {
    const json& special_tokens = step.at("special_tokens");
    bool is_behind = false;
    for (const json& piece : step.at("single")) {
      if (piece.contains("Sequence")) {
        if (is_behind) throw unknown("post_processor", step, "a template with its text once");
        is_behind = true;
        continue;
      }
      for (const json& id : special_tokens.at(piece.at("SpecialToken").at("id").get<std::string>()).at("ids"))
        (is_behind ? spec_.suffix : spec_.prefix).push_back(known_id(id, step));
    }
    if (!is_behind) throw unknown("post_processor", step, "a template with its text once");
  }

  TokenizerJsonFile file_;
  const json& root_;
  const std::string& where_;
  int64_t id_bound_ = 0;
  PipelineSpec spec_;
};

}  // namespace

PipelineSpec read_tokenizer_json(std::string_view text, const std::string& where) {
  TokenizerJsonFile file = parse_tokenizer_json(text, where);
  try {
    return Reader(std::move(file), where).read();
  } catch (const json::exception& error) {
    throw core::data_error(fmt::format("{} is not a readable tokenizer.json: {}", where, error.what()),
                           "a part of it is not of the type that `tokenizers` writes");
  }
}

}  // namespace thinktune::text
