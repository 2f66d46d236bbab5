// The file format is that of Hugging Face's `tokenizers` 0.23 (its JSON is its documentation).
#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// Reads one file. "truncation" and "padding" are left aside: they are settings of whoever ran the library last, and
// transformers sets them anew in every call. Every refusal names the file and what in it is not known.
class Reader {
 public:
  Reader(const json& root, const std::string& where) : root_(root), where_(where) {}

  ByteBpeSpec read() {
    if (!root_.is_object() || !root_.contains("model")) throw refuse("it has no \"model\"");
    check_model();
    require_null_or("normalizer", "");
    require_null_or("post_processor", "ByteLevel");  // it moves offsets only, no ids
    if (type_of(root_.value("decoder", json())) != "ByteLevel")
      throw unknown("decoder", root_.value("decoder", json()));
    spec_.pre_tokenizer = read_pre_tokenizer();
    read_vocabulary();
    check_unknown_token();
    read_added_tokens();
    check_no_holes();
    read_merges();
    return std::move(spec_);
  }

 private:
  core::Error refuse(const std::string& why) const {
    return core::data_error(fmt::format("{} is not a tokenizer that is known: {}", where_, why),
                            "known is byte-level BPE with GPT-2's pre-tokenizer, with or without digits split apart");
  }

  static std::string type_of(const json& part) {
    if (part.is_null()) return "null";
    return part.is_object() ? part.value("type", std::string("untyped")) : std::string("untyped");
  }

  core::Error unknown(std::string_view name, const json& part) const {
    return refuse(fmt::format("its {} is \"{}\": {}", name, type_of(part), dump(part).substr(0, 200)));
  }

  void require_null_or(const char* name, std::string_view type) const {
    const json part = root_.value(name, json());
    if (!part.is_null() && type_of(part) != type) throw unknown(name, part);
  }

  void check_model() const {
    const json& model = root_.at("model");
    // Files older than `tokenizers` 0.9 (GPT-2's own) have no type; vocabulary and merges tell what they are.
    const bool is_bpe = model.is_object() && model.value("type", "BPE") == "BPE" && model.contains("vocab") &&
                        model.at("vocab").is_object() && model.contains("merges");
    if (!is_bpe) throw refuse(fmt::format("its model is \"{}\", not \"BPE\"", type_of(model)));
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) require_absent(model, name, json(""));
    for (const char* name : {"byte_fallback", "ignore_merges"}) require_absent(model, name, json(false));
    require_absent(model, "dropout", json(0.0));
  }

  // An unknown token would stand for each byte that has no token; here such bytes vanish. Where every byte has one it
  // is idle.
  void check_unknown_token() const {
    const json& model = root_.at("model");
    const json unknown_token = model.value("unk_token", json());
    if (unknown_token.is_null() || unknown_token == json("")) return;
    for (int byte = 0; byte < 256; ++byte)
      if (!model.at("vocab").contains(alphabet_character(static_cast<uint8_t>(byte))))
        throw refuse(
            fmt::format("its model has \"unk_token\": {} and no token for the byte {}", dump(unknown_token), byte));
  }

  void require_absent(const json& model, const char* name, const json& neutral) const {
    const json value = model.value(name, json());
    if (!value.is_null() && value != neutral) throw refuse(fmt::format("its model has \"{}\": {}", name, dump(value)));
  }

  std::string read_pre_tokenizer() const {
    const json part = root_.value("pre_tokenizer", json());
    const json steps = type_of(part) == "Sequence" ? part.at("pretokenizers") : json::array({part});
    const auto is_digits = [](const json& step) {
      return type_of(step) == "Digits" && step.value("individual_digits", false);
    };
    const auto is_byte_level = [](const json& step) {
      return type_of(step) == "ByteLevel" && !step.value("add_prefix_space", true) && step.value("use_regex", true);
    };
    const bool digits_apart = steps.size() == 2 && is_digits(steps[0]);
    if (steps.empty() || steps.size() > 2 || (steps.size() == 2 && !digits_apart) || !is_byte_level(steps.back()))
      throw unknown("pre_tokenizer", part);
    for (const PreTokenizerKind& kind : pre_tokenizer_kinds())
      if (kind.digits_apart == digits_apart) return kind.name;
    throw core::internal_error("no pre-tokenizer for what the tokenizer.json may hold");
  }

  void put(int64_t id, const std::string& token) {
    // A bound on the ids keeps a damaged one from claiming all memory.
    constexpr int64_t kMaxTokens = 1 << 24;
    if (id < 0 || id >= kMaxTokens)
      throw refuse(fmt::format("the id {} of the token \"{}\" is out of range", id, token));
    const auto index = static_cast<size_t>(id);
    if (index >= spec_.tokens.size()) {
      spec_.tokens.resize(index + 1);
      spec_.is_special.resize(index + 1, 0);
    }
    if (!spec_.tokens[index].empty() && spec_.tokens[index] != token)
      throw refuse(fmt::format("the id {} has two tokens, \"{}\" and \"{}\"", id, spec_.tokens[index], token));
    spec_.tokens[index] = token;
  }

  void read_vocabulary() {
    for (const auto& [token, id] : root_.at("model").at("vocab").items()) {
      if (!id.is_number_integer()) throw refuse(fmt::format("the token \"{}\" has no id", token));
      put(id.get<int64_t>(), token);
    }
  }

  void read_added_tokens() {
    for (const json& added : root_.value("added_tokens", json::array())) {
      const auto content = added.at("content").get<std::string>();
      // Tokens that are matched in any text but are no special ones, or that take in the space around them, are not in
      // the tokenizer's contract.
      if (!added.value("special", false)) throw refuse(fmt::format("its added token \"{}\" is not special", content));
      for (const char* name : {"single_word", "lstrip", "rstrip"})
        if (added.value(name, false))
          throw refuse(fmt::format("its added token \"{}\" has \"{}\": true", content, name));
      const auto id = added.at("id").get<int64_t>();
      put(id, content);
      spec_.is_special[static_cast<size_t>(id)] = 1;
    }
  }

  void check_no_holes() const {
    for (size_t i = 0; i < spec_.tokens.size(); ++i)
      if (spec_.tokens[i].empty()) throw refuse(fmt::format("the id {} has no token", i));
  }

  void read_merges() {
    for (const json& merge : root_.at("model").at("merges")) {
      if (merge.is_string()) {
        spec_.merges.push_back(merge.get<std::string>());
      } else if (merge.is_array() && merge.size() == 2) {
        spec_.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
      } else {
        throw refuse(fmt::format("its merge {} is neither \"a b\" nor [\"a\", \"b\"]", spec_.merges.size()));
      }
    }
  }

  const json& root_;
  const std::string& where_;
  ByteBpeSpec spec_;
};

ordered_json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

}  // namespace

ByteBpeSpec byte_bpe_from_tokenizer_json(std::string_view text, const std::string& where) {
  try {
    const json root = json::parse(text);
    return Reader(root, where).read();
  } catch (const json::exception& error) {
    throw core::data_error(fmt::format("{} is not a readable tokenizer.json: {}", where, error.what()),
                           "fetch the file again; it may have been cut off");
  }
}

std::string byte_bpe_to_tokenizer_json(const ByteBpeSpec& spec) {
  ordered_json added = ordered_json::array();
  ordered_json::object_t vocabulary;  // filled from the back: its operator[] searches from the start each time
  vocabulary.reserve(spec.tokens.size());
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    vocabulary.push_back({spec.tokens[i], i});
    if (!spec.is_special[i]) continue;
    added.push_back({{"id", i},
                     {"content", spec.tokens[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  ordered_json pre_tokenizer = byte_level();
  if (pre_tokenizer_kind(spec.pre_tokenizer).digits_apart) {
    const ordered_json digits = {{"type", "Digits"}, {"individual_digits", true}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", ordered_json::array({digits, byte_level()})}};
  }
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", false}};
  model["vocab"] = std::move(vocabulary);
  model["merges"] = spec.merges;
  const ordered_json root = {{"version", "1.0"},          {"truncation", nullptr},
                             {"padding", nullptr},        {"added_tokens", std::move(added)},
                             {"normalizer", nullptr},     {"pre_tokenizer", std::move(pre_tokenizer)},
                             {"post_processor", nullptr}, {"decoder", byte_level()},
                             {"model", std::move(model)}};
  return root.dump(1);
}

}  // namespace thinktune::text
