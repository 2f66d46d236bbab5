#include "thinktune/text/byte_bpe.h"

#include <utility>

#include "text/gguf_pre_tokenizers.h"
#include "text/pipeline.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

constexpr const char* kWhere = "the tokenizer";

void add_tokens(const ByteBpeSpec& in, PipelineSpec& out) {
  if (in.tokens.size() != in.is_special.size())
    throw core::data_error(fmt::format("the tokenizer has {} tokens but {} marks for special ones", in.tokens.size(),
                                       in.is_special.size()));
  out.tokens.reserve(in.tokens.size());
  for (size_t i = 0; i < in.tokens.size(); ++i) {
    const std::string& token = in.tokens[i];
    if (token.empty()) throw core::data_error(fmt::format("the tokenizer's token {} is empty", i));
    if (utf8_valid_length(token) != token.size())
      throw core::data_error(fmt::format("the tokenizer's token {} is not valid UTF-8", i));
    if (!out.tokens.add(token))
      throw core::data_error(
          fmt::format("the tokenizer has the token \"{}\" twice: {} and {}", token, out.tokens.find(token), i));
    if (in.is_special[i]) out.added.push_back({.id = static_cast<TokenId>(i), .content = token, .special = true});
  }
}

void add_merges(const ByteBpeSpec& in, PipelineSpec& out) {
  for (size_t rank = 0; rank < in.merges.size(); ++rank) {
    const std::string_view merge = in.merges[rank];
    const auto refuse = [&](const std::string& why) {
      return core::data_error(fmt::format("the tokenizer's merge {} (\"{}\") {}", rank, merge, why));
    };
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos)
      throw refuse("is not two tokens with one space between them");
    const auto id_of = [&](std::string_view token) {
      const TokenId id = out.tokens.find(token);
      if (id == TokenTable::kNone)
        throw refuse(fmt::format("has the token \"{}\", which is not in the vocabulary", token));
      // What a user typed must never become a special token.
      if (in.is_special[static_cast<size_t>(id)]) throw refuse(fmt::format("has the special token \"{}\"", token));
      return id;
    };
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    out.merges.push_back(
        {id_of(left), id_of(right), id_of(std::string(left).append(right)), static_cast<uint32_t>(rank)});
  }
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec) {
  PipelineSpec out;
  out.where = kWhere;
  const GgufPreTokenizer& pre = gguf_pre_tokenizer(spec.pre_tokenizer, kWhere);
  out.byte_level = out.decoder.is_byte_level = true;
  out.pre_tokenizer = steps_of(pre);
  out.ignore_merges = pre.ignore_merges;
  out.merges_as_pairs = false;
  add_tokens(spec, out);
  add_merges(spec, out);
  return make_pipeline(std::move(out));
}

}  // namespace thinktune::text
