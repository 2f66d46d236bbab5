#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "small_tokenizers.h"
#include "src/text/sentencepiece_model.h"
#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> pieces(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::vector<std::string> texts;
  for (const TokenId id : ids) texts.push_back(tokenizer.token_text(id));
  return texts;
}

SentencepieceModel small_model(SentencepieceModel::Type type = SentencepieceModel::kBpe) {
  const GgufVocabulary vocabulary = test::small_pieces("llama");
  SentencepieceModel model;
  model.type = type;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    model.pieces.push_back({vocabulary.tokens[i], static_cast<float>(vocabulary.scores[i]), vocabulary.types[i]});
    if (vocabulary.tokens[i] == "   ") model.pieces.back().text = "▁▁▁";
  }
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  return model;
}

TEST(Sentencepiece, PutsASpaceBeforeATextOnce) {
  const auto tokenizer = tokenizer_from_gguf(test::small_pieces("llama"), "x");
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("hello hello")), ElementsAre("▁hello", "▁hello"));
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode(" hello")), ElementsAre("▁", "▁hello"));
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode_continuation("hello hello")), ElementsAre("hello", "▁hello"));
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("<s>hello</s> hello", Special::Parse)),
              ElementsAre("<s>", "hello", "</s>", "▁hello"));
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode({{"he", Special::AsText}, {"llo", Special::Parse}})),
              ElementsAre("▁hello"));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(" hello")), " hello");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("<s> hello", Special::Parse)), "<s> hello");
  EXPECT_EQ(tokenizer->decode(tokenizer->add_special_tokens(tokenizer->encode("hello")), true), "hello");
  EXPECT_THAT(tokenizer->add_special_tokens({5}), ElementsAre(1, 5));
}

TEST(Sentencepiece, UserDefinedPiecesMatchAlways) {
  const auto tokenizer = tokenizer_from_gguf(test::small_pieces("llama"), "x");
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("a[TOOL]a")), ElementsAre("▁", "a", "[TOOL]", "a"));
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("a    a")), ElementsAre("▁", "a", "▁▁▁", "▁", "a"));
  EXPECT_FALSE(tokenizer->is_special(tokenizer->encode_continuation("[TOOL]")[0]));
}

TEST(Sentencepiece, AControlPieceOfOneCharacterIsNoPieceOfAText) {
  SentencepieceModel model = small_model();
  const auto id = static_cast<TokenId>(model.pieces.size());
  model.pieces.push_back({"ß", 0, SentencepieceModel::kControl});
  const auto tokenizer = tokenizer_from_sentencepiece(write_sentencepiece_model(model), "x");
  EXPECT_THAT(tokenizer->encode_continuation("ß"), testing::Not(testing::Contains(id)));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("aßa")), "aßa");
  EXPECT_THAT(tokenizer->encode({{"ß", Special::Parse}}), ElementsAre(id));
  EXPECT_EQ(tokenizer->token_text(id), "ß");
}

TEST(Sentencepiece, UnigramTakesTheBestWayThrough) {
  auto vocabulary = test::small_pieces("t5");
  const auto tokenizer = tokenizer_from_gguf(vocabulary, "x");
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("hello")), ElementsAre("▁hello"));
  EXPECT_THAT(tokenizer->add_special_tokens({5}), ElementsAre(5, 2));
  vocabulary.remove_extra_whitespaces = true;
  const auto squeezing = tokenizer_from_gguf(vocabulary, "x");
  EXPECT_THAT(pieces(*squeezing, squeezing->encode("  hello  hello ")), ElementsAre("▁hello", "▁hello"));
  EXPECT_THAT(pieces(*squeezing, squeezing->encode_continuation("  hello")), ElementsAre("▁hello"));
  EXPECT_THAT(pieces(*squeezing, squeezing->encode_continuation("hello")), ElementsAre("hello"));
}

TEST(Sentencepiece, FilesAndGgufAreTheSame) {
  const auto from_gguf = tokenizer_from_gguf(test::small_pieces("llama"), "x");
  const auto from_file = tokenizer_from_sentencepiece(write_sentencepiece_model(small_model()), "x");
  const auto from_json = tokenizer_from_json(from_file->to_tokenizer_json(), "x");
  for (const char* text : {"hello hello", "a    a", "é日x👍", "a[TOOL] aa", "<s>"}) {
    EXPECT_EQ(from_file->encode(text), from_gguf->encode(text)) << text;
    EXPECT_EQ(from_json->encode(text), from_gguf->encode(text)) << text;
    EXPECT_EQ(from_json->encode(text, Special::Parse), from_gguf->encode(text, Special::Parse)) << text;
  }
  const GgufVocabulary written = from_file->to_gguf(), expected = test::small_pieces("llama");
  EXPECT_EQ(written.tokens, expected.tokens);
  EXPECT_EQ(written.scores, expected.scores);
  EXPECT_EQ(written.types, expected.types);
  EXPECT_EQ(written.add_space_prefix, true);
  EXPECT_EQ(from_json->to_gguf().types, expected.types);
}

TEST(Sentencepiece, UnigramHasNoTokenizerJson) {
  const auto tokenizer = tokenizer_from_gguf(test::small_pieces("t5"), "pieces.gguf");
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { tokenizer->to_tokenizer_json(); }),
              testing::AllOf(HasSubstr("pieces.gguf"), HasSubstr("unigram")));
}

std::string refusal(const std::string& bytes) {
  const std::string message = test::message_of_error(
      core::ErrorKind::Data, [&] { tokenizer_from_sentencepiece(bytes, "some/tokenizer.model"); });
  EXPECT_THAT(message, HasSubstr("some/tokenizer.model"));
  return message;
}

std::string refusal(const std::function<void(SentencepieceModel&)>& change) {
  SentencepieceModel model = small_model();
  change(model);
  return refusal(write_sentencepiece_model(model));
}

TEST(SentencepieceModelFile, EveryTruncationIsRefused) {
  const std::string whole = write_sentencepiece_model(small_model());
  for (size_t size = 0; size + 40 < whole.size(); size += 13) refusal(whole.substr(0, size));
}
TEST(SentencepieceModelFile, OtherFiles) {
  for (const char* text : {"", "hello", "{}", "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"})
    refusal(std::string(text));
}
TEST(SentencepieceModelFile, PieceTwice) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces.push_back(m.pieces[260]); }), HasSubstr("twice"));
}
TEST(SentencepieceModelFile, PieceEmptyNotUtf8OrWithAZeroByte) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].text = ""; }), HasSubstr("piece 260 is empty"));
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].text = "\xFF"; }), HasSubstr("piece 260 is not UTF-8"));
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].text = std::string("a\0b", 3); }), HasSubstr("zero byte"));
}
TEST(SentencepieceModelFile, PieceOfUnreasonableLength) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].text = std::string(100'000, 'a'); }), HasSubstr("100000 bytes"));
}
TEST(SentencepieceModelFile, ScoreThatIsNoNumber) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].score = std::nanf(""); }), HasSubstr("no number"));
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].score = std::numeric_limits<float>::infinity(); }),
              HasSubstr("no number"));
}
TEST(SentencepieceModelFile, TypeThatIsNotKnown) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[260].type = 9; }), HasSubstr("type of its piece 260 is 9"));
  EXPECT_THAT(refusal([](auto& m) { m.type = static_cast<SentencepieceModel::Type>(3); }), HasSubstr("type 3"));
}
TEST(SentencepieceModelFile, UnknownPieceMissingOrTwice) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[0].type = SentencepieceModel::kControl; }), HasSubstr("0 unknown"));
  EXPECT_THAT(refusal([](auto& m) { m.pieces[1].type = SentencepieceModel::kUnknown; }), HasSubstr("2 unknown"));
}
TEST(SentencepieceModelFile, BytePiecesMissing) {
  EXPECT_THAT(refusal([](auto& m) { m.pieces[10].type = SentencepieceModel::kNormal; }), HasSubstr("255 byte pieces"));
  EXPECT_THAT(refusal([](auto& m) { m.pieces[10].text = "<0xZZ>"; }), HasSubstr("no piece <0x07>"));
}
TEST(SentencepieceModelFile, IdOutOfRange) {
  EXPECT_THAT(refusal([](auto& m) {
                m.bos_id = 5;
                m.pieces.resize(5);
                m.byte_fallback = false;
                m.pieces[3].type = m.pieces[4].type = SentencepieceModel::kNormal;
                m.pieces[3].text = "x";
                m.bos_id = -1;
                m.eos_id = -1;
                m.unk_id = 0;
                m.pad_id = -1;
                m.pieces[0].type = SentencepieceModel::kControl;
              }),
              HasSubstr("0 unknown"));
  SentencepieceModel model = small_model();
  model.eos_id = 5000;
  EXPECT_THROW(check_sentencepiece_model(model, "x"), core::Error);
}
TEST(SentencepieceModelFile, DamagedTableOfTheNormaliser) {
  for (const std::string& map : {std::string("abc"), std::string("\0\4\0\0", 4) + std::string(1024, '\xFF') + '\0',
                                 std::string("\0\4\0\0", 4) + std::string(1024, '\0'), std::string(2000, '\xFF')})
    EXPECT_THAT(refusal([&](auto& m) { m.precompiled_charsmap = map; }), HasSubstr("table is damaged"));
}

std::string gguf_refusal(const std::function<void(GgufVocabulary&)>& change, const std::string& model = "llama") {
  GgufVocabulary vocabulary = test::small_pieces(model);
  if (model == "gpt2") {
    vocabulary = make_byte_bpe(test::small_vocabulary())->to_gguf();
  }
  change(vocabulary);
  const std::string message =
      test::message_of_error(core::ErrorKind::Data, [&] { tokenizer_from_gguf(vocabulary, "some.gguf"); });
  EXPECT_THAT(message, HasSubstr("some.gguf"));
  return message;
}

TEST(GgufTokenizer, RefusesKindsThatAreNotKnown) {
  EXPECT_THAT(gguf_refusal([](auto& v) { v.model = "rwkv"; }), HasSubstr("known: gpt2"));
  EXPECT_THAT(gguf_refusal([](auto& v) { v.pre = "unheard-of"; }, "gpt2"), HasSubstr("known are gpt-2"));
}
TEST(GgufTokenizer, Empty) {
  EXPECT_THAT(gguf_refusal([](auto& v) { v.tokens.clear(); }), HasSubstr("is empty"));
}
TEST(GgufTokenizer, SizesDiffer) {
  EXPECT_THAT(gguf_refusal([](auto& v) { v.scores.pop_back(); }), HasSubstr("scores"));
  EXPECT_THAT(gguf_refusal([](auto& v) { v.types.pop_back(); }), HasSubstr("token types"));
  EXPECT_THAT(gguf_refusal([](auto& v) { v.types.pop_back(); }, "gpt2"), HasSubstr("token types"));
}
TEST(GgufTokenizer, TokenEmptyNotUtf8OrTwice) {
  for (const char* model : {"llama", "gpt2"}) {
    EXPECT_THAT(gguf_refusal([](auto& v) { v.tokens[20] = ""; }, model), HasSubstr("20 is empty"));
    EXPECT_THAT(gguf_refusal([](auto& v) { v.tokens[20] = "\xC3"; }, model), HasSubstr("20 is not valid UTF-8"));
    EXPECT_THAT(gguf_refusal([](auto& v) { v.tokens[260] = v.tokens[261]; }, model), HasSubstr("twice"));
  }
}
TEST(GgufTokenizer, MergeMalformedOrOfUnknownTokens) {
  for (const char* merge : {"", "a", "a ", " a"})
    EXPECT_THAT(gguf_refusal([&](auto& v) { v.merges[3] = merge; }, "gpt2"), HasSubstr("merge 3"));
  EXPECT_THAT(gguf_refusal([](auto& v) { v.merges[3] = "x y"; }, "gpt2"), HasSubstr("not in the vocabulary"));
}
TEST(GgufTokenizer, EdgeIdOutOfRange) {
  EXPECT_THAT(gguf_refusal(
                  [](auto& v) {
                    v.add_bos = true;
                    v.bos_id = 100'000;
                  },
                  "gpt2"),
              HasSubstr("none 100000"));
  EXPECT_THAT(gguf_refusal([](auto& v) { v.eos_id = 100'000; }), HasSubstr("none 100000"));
}

class OpenTokenizer : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    core::write_file_atomically(folder_.path() / name, content);
  }
  core::Error refused() {
    try {
      open_tokenizer(folder_.path());
    } catch (const core::Error& error) {
      return error;
    }
    ADD_FAILURE() << "the folder was accepted";
    return core::internal_error("accepted");
  }
  test::TempFolder folder_;
};

TEST_F(OpenTokenizer, TakesTheFirstOfItsFiles) {
  write("tekken.json", test::small_tekken_json().dump());
  EXPECT_EQ(open_tokenizer(folder_.path())->vocab_size(), 269);
  EXPECT_EQ(open_tokenizer(folder_.path() / "tekken.json")->vocab_size(), 269);
  write("tokenizer.model", write_sentencepiece_model(small_model()));
  EXPECT_EQ(open_tokenizer(folder_.path())->special_id("</s>"), 2);
  write("tokenizer.json", make_byte_bpe(test::small_vocabulary())->to_tokenizer_json());
  EXPECT_EQ(open_tokenizer(folder_.path())->special_id("<|im_end|>"), 2);
}

TEST_F(OpenTokenizer, HearsTheConfigBesideATokenizerModel) {
  write("tokenizer.model", write_sentencepiece_model(small_model()));
  EXPECT_THAT(open_tokenizer(folder_.path())->add_special_tokens({7}), ElementsAre(1, 7));
  const auto size = std::to_string(small_model().pieces.size());
  write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true, "added_tokens_decoder": {)"
                                 R"("0": {"content": "<unk>", "special": true}, ")" +
                                     size + R"(": {"content": "<|user|>", "special": true, "rstrip": true}}})");
  const auto tokenizer = open_tokenizer(folder_.path());
  EXPECT_THAT(tokenizer->add_special_tokens({7}), ElementsAre(7, 2));
  const TokenId user = tokenizer->special_id("<|user|>");
  EXPECT_EQ(std::to_string(user), size);
  EXPECT_THAT(pieces(*tokenizer, tokenizer->encode("<|user|>\n hello", Special::Parse)),
              ElementsAre("<|user|>", "hello"));
  EXPECT_THAT(tokenizer->encode("<|user|>"), testing::Not(testing::Contains(user)));
}

TEST_F(OpenTokenizer, RefusesAConfigThatContradictsTheModel) {
  write("tokenizer.model", write_sentencepiece_model(small_model()));
  for (const auto& [added, why] :
       std::vector<std::pair<std::string, std::string>>{{R"({"1": {"content": "<bos>"}})", "calls the token 1"},
                                                        {R"({"100000": {"content": "<bos>"}})", "the id 100000"},
                                                        {R"({"x": {"content": "<bos>"}})", "the id \"x\""},
                                                        {R"({"1": {}})", "content"}}) {
    write("tokenizer_config.json", R"({"added_tokens_decoder": )" + added + "}");
    const auto error = refused();
    EXPECT_EQ(error.kind(), core::ErrorKind::Data);
    EXPECT_THAT(error.message(), testing::AllOf(HasSubstr("tokenizer_config.json"), HasSubstr(why)));
  }
  write("tokenizer_config.json", "{");
  EXPECT_EQ(refused().kind(), core::ErrorKind::Data);
}

TEST_F(OpenTokenizer, SaysWhatItLookedFor) {
  EXPECT_THAT(refused().hint(), HasSubstr("tokenizer.json, tokenizer.model, tekken.json"));
  EXPECT_THROW(open_tokenizer(folder_.path() / "nothing"), core::Error);
  write("weights.bin", "x");
  EXPECT_THROW(open_tokenizer(folder_.path() / "weights.bin"), core::Error);
}

}  // namespace
}  // namespace thinktune::text
