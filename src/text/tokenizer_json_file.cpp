#include "text/tokenizer_json_file.h"

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;

// nlohmann's events to a json value, but for the vocabulary and the merges.
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(TokenizerJsonFile& file, const std::string& where) : file_(file), where_(where) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool flag) override { return value(flag); }
  bool number_integer(number_integer_t number) override { return integer(number); }
  bool number_unsigned(number_unsigned_t number) override {
    return integer(number > static_cast<number_unsigned_t>(INT64_MAX) ? -1 : static_cast<int64_t>(number));
  }
  bool number_float(number_float_t number, const string_t&) override { return value(number); }
  bool binary(binary_t&) override { return value(nullptr); }

  bool string(string_t& text) override {
    if (mode_ == Mode::Merges) {
      file_.merges.add(text, false);
      file_.is_merge_pair.push_back(false);
      return true;
    }
    if (mode_ == Mode::Pair) {
      if (++num_in_pair_ > 2) throw bad_merge();
      file_.merges.add(text, false);
      return true;
    }
    return value(std::move(text));
  }

  bool key(string_t& name) override {
    if (mode_ == Mode::Vocabulary) {
      if (!file_.vocabulary.add(name)) throw refuse(fmt::format("the vocabulary has the token \"{}\" twice", name));
    } else if (open_.back()->contains(name)) {
      throw refuse(fmt::format("the name \"{}\" is there twice", name));
    }
    key_ = std::move(name);
    return true;
  }

  bool start_object(size_t) override {
    if (mode_ != Mode::Values) throw bad_value();
    if (is_in_model() && key_ == "vocab") {
      mode_ = Mode::Vocabulary;
      file_.has_vocabulary = true;
      place(nullptr);
      return true;
    }
    return open(json::object());
  }
  bool start_array(size_t) override {
    if (mode_ == Mode::Merges) {
      mode_ = Mode::Pair;
      num_in_pair_ = 0;
      return true;
    }
    if (mode_ != Mode::Values) throw bad_value();
    if (is_in_model() && key_ == "merges") {
      mode_ = Mode::Merges;
      file_.has_merges = true;
      place(nullptr);
      return true;
    }
    return open(json::array());
  }
  bool end_object() override {
    if (mode_ == Mode::Vocabulary) {
      mode_ = Mode::Values;
    } else {
      open_.pop_back();
    }
    return true;
  }
  bool end_array() override {
    if (mode_ == Mode::Pair) {
      if (num_in_pair_ != 2) throw bad_merge();
      file_.is_merge_pair.push_back(true);
      mode_ = Mode::Merges;
    } else if (mode_ == Mode::Merges) {
      mode_ = Mode::Values;
    } else {
      open_.pop_back();
    }
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw core::data_error(fmt::format("{} is not a readable tokenizer.json: {}", where_, error.what()),
                           "fetch the file again; it may have been cut off");
  }

 private:
  enum class Mode { Values, Vocabulary, Merges, Pair };

  core::Error refuse(const std::string& why) const {
    return core::data_error(fmt::format("{} is not a readable tokenizer.json: {}", where_, why));
  }
  core::Error bad_merge() const {
    return refuse(fmt::format("its merge {} is neither \"a b\" nor [\"a\", \"b\"]", file_.is_merge_pair.size()));
  }
  core::Error bad_value() const {
    return mode_ == Mode::Vocabulary ? refuse(fmt::format("the token \"{}\" has no id", key_)) : bad_merge();
  }

  bool is_in_model() const { return open_.size() == 2 && model_ != nullptr && open_.back() == model_; }

  bool integer(int64_t number) {
    if (mode_ != Mode::Vocabulary) return value(number);
    file_.ids.push_back(number);
    return true;
  }
  bool value(json content) {
    if (mode_ != Mode::Values) throw bad_value();
    place(std::move(content));
    return true;
  }

  json* place(json content) {
    if (open_.empty()) {
      file_.root = std::move(content);
      return &file_.root;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(content));
      return &open_.back()->back();
    }
    json& slot = (*open_.back())[key_];
    slot = std::move(content);
    return &slot;
  }
  bool open(json content) {
    if (open_.size() >= kMaxDepth) throw refuse(fmt::format("it is nested deeper than {}", kMaxDepth));
    const bool is_model = open_.size() == 1 && open_.back()->is_object() && key_ == "model";
    json* placed = place(std::move(content));
    if (is_model) model_ = placed;
    open_.push_back(placed);
    return true;
  }

  TokenizerJsonFile& file_;
  const std::string& where_;
  Mode mode_ = Mode::Values;
  int num_in_pair_ = 0;
  std::string key_;
  std::vector<json*> open_;
  const json* model_ = nullptr;
};

}  // namespace

TokenizerJsonFile parse_tokenizer_json(std::string_view text, const std::string& where) {
  constexpr size_t kMaxBytes = size_t{1} << 29;
  if (text.size() > kMaxBytes)
    throw core::data_error(
        fmt::format("{} has {} bytes; a tokenizer.json has up to {}", where, text.size(), kMaxBytes));
  TokenizerJsonFile file;
  Builder builder(file, where);
  json::sax_parse(text, &builder);
  return file;
}

}  // namespace thinktune::text
