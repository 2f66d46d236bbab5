#include "thinktune/guidance/reply.h"

#include <gtest/gtest.h>

#include <string>

namespace thinktune::guidance {
namespace {

ReplyError error_of(const std::string& text, bool ended = true) { return parse_reply(text, ended).error; }

const std::string kGood = "<opinion>incorrect</opinion><reason>No.</reason>\n<phrase>We add: \\boxed{3}.</phrase>";

TEST(Reply, TheFormIsWrittenAndReadAlike) {
  EXPECT_EQ(format_reply("incorrect", "No.", "We add: \\boxed{3}."), kGood);
  const ParsedReply reply = parse_reply(kGood, true);
  EXPECT_EQ(reply.error, ReplyError::None);
  EXPECT_EQ(reply.opinion, "incorrect");
  EXPECT_EQ(reply.reason, "No.");
  EXPECT_EQ(reply.phrase, "We add: \\boxed{3}.");
}

TEST(Reply, WhiteSpaceBetweenAndInsideIsAllowed) {
  const ParsedReply reply =
      parse_reply("\n <opinion> correct\n</opinion>\n\n<reason>\n a\n\nb </reason>\t<phrase> c </phrase>\n\n", true);
  EXPECT_EQ(reply.error, ReplyError::None);
  EXPECT_EQ(reply.opinion, "correct");
  EXPECT_EQ(reply.reason, "a\n\nb");
  EXPECT_EQ(reply.phrase, "c");
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a</reason><phrase>c</phrase>"), ReplyError::None);
}

TEST(Reply, OtherTagsAndSmallerSignsAreText) {
  const ParsedReply reply =
      parse_reply("<opinion>correct</opinion><reason>3 < 4 </b></reason><phrase><b>x</phrase>", true);
  EXPECT_EQ(reply.error, ReplyError::None);
  EXPECT_EQ(reply.reason, "3 < 4 </b>");
  EXPECT_EQ(reply.phrase, "<b>x");
}

TEST(Reply, NotEnded) {
  EXPECT_EQ(error_of(kGood, false), ReplyError::NotEnded);
  EXPECT_EQ(error_of("", false), ReplyError::NotEnded);
}

TEST(Reply, MissingTags) {
  EXPECT_EQ(error_of(""), ReplyError::MissingOpinion);
  EXPECT_EQ(error_of("The answer is \\boxed{3}."), ReplyError::MissingOpinion);
  EXPECT_EQ(error_of("correct</opinion><reason>a</reason><phrase>b</phrase>"), ReplyError::MissingOpinion);
  EXPECT_EQ(error_of("<opinion>correct<reason>a</reason><phrase>b</phrase>"), ReplyError::MissingOpinion);
  EXPECT_EQ(error_of("<opinion>correct</opinion><phrase>b</phrase>"), ReplyError::MissingReason);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a<phrase>b</phrase>"), ReplyError::MissingReason);
  EXPECT_EQ(error_of("<opinion>correct</opinion>a</reason><phrase>b</phrase>"), ReplyError::MissingReason);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a</reason>"), ReplyError::MissingPhrase);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a</reason><phrase>b"), ReplyError::MissingPhrase);
  EXPECT_EQ(error_of("<Opinion>correct</Opinion><reason>a</reason><phrase>b</phrase>"), ReplyError::MissingOpinion);
}

TEST(Reply, RepeatedTags) {
  EXPECT_EQ(error_of(kGood + kGood), ReplyError::RepeatedTag);
  EXPECT_EQ(error_of(kGood + "<phrase>again</phrase>"), ReplyError::RepeatedTag);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a<reason></reason><phrase>b</phrase>"),
            ReplyError::RepeatedTag);
}

TEST(Reply, WrongOrder) {
  EXPECT_EQ(error_of("<reason>a</reason><opinion>correct</opinion><phrase>b</phrase>"), ReplyError::WrongOrder);
  EXPECT_EQ(error_of("<opinion>correct</opinion><phrase>b</phrase><reason>a</reason>"), ReplyError::WrongOrder);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a<phrase>b</phrase></reason>"), ReplyError::WrongOrder);
  EXPECT_EQ(error_of("</opinion>correct<opinion><reason>a</reason><phrase>b</phrase>"), ReplyError::WrongOrder);
}

TEST(Reply, TextOutsideTags) {
  EXPECT_EQ(error_of("Sure! " + kGood), ReplyError::TextOutsideTags);
  EXPECT_EQ(error_of(kGood + " Good luck!"), ReplyError::TextOutsideTags);
  EXPECT_EQ(error_of("<opinion>correct</opinion>, <reason>a</reason><phrase>b</phrase>"), ReplyError::TextOutsideTags);
  EXPECT_EQ(error_of("<opinion>correct</opinion><reason>a</reason>.<phrase>b</phrase>"), ReplyError::TextOutsideTags);
}

TEST(Reply, BadOpinion) {
  for (const std::string opinion : {"", "Correct", "correct.", "partly correct", "correct|incorrect", "wrong"})
    EXPECT_EQ(error_of(format_reply(opinion, "a", "b")), ReplyError::BadOpinion) << opinion;
}

TEST(Reply, EmptyParts) {
  EXPECT_EQ(error_of(format_reply("correct", "", "b")), ReplyError::EmptyReason);
  EXPECT_EQ(error_of(format_reply("correct", " \n", "b")), ReplyError::EmptyReason);
  EXPECT_EQ(error_of(format_reply("correct", "a", "")), ReplyError::EmptyPhrase);
  EXPECT_EQ(error_of(format_reply("correct", "a", "\n\n")), ReplyError::EmptyPhrase);
}

TEST(Reply, PartsAreEmptyWhenItFails) {
  const ParsedReply reply = parse_reply(kGood + "x", true);
  EXPECT_EQ(reply.opinion + reply.reason + reply.phrase, "");
}

TEST(Reply, OddBytesAreText) {
  const std::string odd("a\0\xff\xc3(", 5);
  EXPECT_EQ(parse_reply(format_reply("correct", odd, "b"), true).reason, odd);
}

TEST(Reply, EveryErrorHasAName) {
  EXPECT_EQ(kReplyErrorNames.size(), static_cast<size_t>(ReplyError::EmptyPhrase) + 1);
  for (size_t i = 0; i < kReplyErrorNames.size(); ++i)
    EXPECT_EQ(kReplyErrorNames[i].second, static_cast<ReplyError>(i));
}

TEST(TrimPart, EndsAtTheFirstTag) {
  EXPECT_EQ(trim_part(" We add.</reason>\n<phrase>"), "We add.");
  EXPECT_EQ(trim_part("We add.<phrase>x</reason>"), "We add.");
  EXPECT_EQ(trim_part("</reason>We add."), "");
  EXPECT_EQ(trim_part("3 < 4, so we add."), "3 < 4, so we add.");
}

TEST(TrimPart, OneParagraph) {
  EXPECT_EQ(trim_part("\n\nWe add:\n1 + 2 = 3.\n\nQuestion: another"), "We add:\n1 + 2 = 3.");
  EXPECT_EQ(trim_part("a\n \t\nb"), "a");
  EXPECT_EQ(trim_part("a\n\n\nb\n\nc"), "a");
  EXPECT_EQ(trim_part("a\nb"), "a\nb");
  EXPECT_EQ(trim_part(""), "");
  EXPECT_EQ(trim_part(" \n\n "), "");
}

TEST(TrimPart, ABrokenOffClosingTagGoes) {
  EXPECT_EQ(trim_part("We add.</rea"), "We add.");
  EXPECT_EQ(trim_part("We add.</"), "We add.");
  EXPECT_EQ(trim_part("We add.</phrase"), "We add.");
  EXPECT_EQ(trim_part("so 3 <"), "so 3 <");
}

}  // namespace
}  // namespace thinktune::guidance
