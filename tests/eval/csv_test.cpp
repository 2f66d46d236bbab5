#include "src/eval/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"

namespace thinktune::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const std::string& text) {
  return test::message_of_error(core::ErrorKind::Data, [&] { CsvTable(text, "data.csv"); });
}

TEST(Csv, ReadsQuotesCommasAndLineBreaks) {
  const CsvTable table(
      "\xEF\xBB\xBFid,text,\"a,b\"\r\n1,\"two\nlines, and \"\"quotes\"\"\",x\r\n\r\n2,,\"\"\n3,\"a\r\nb\",z",
      "data.csv");
  EXPECT_THAT(table.header(), ElementsAre("id", "text", "a,b"));
  ASSERT_EQ(table.rows().size(), 3u);
  EXPECT_THAT(table.rows()[0].fields, ElementsAre("1", "two\nlines, and \"quotes\"", "x"));
  EXPECT_THAT(table.rows()[1].fields, ElementsAre("2", "", ""));
  EXPECT_THAT(table.rows()[2].fields, ElementsAre("3", "a\r\nb", "z"));
  EXPECT_EQ(table.rows()[0].line, 2u);
  EXPECT_EQ(table.rows()[1].line, 5u) << "line breaks inside quotes count";
  EXPECT_EQ(table.column("text"), 1u);
}

TEST(Csv, LooksColumnsUpByTheirExactName) {
  const CsvTable table("Question,Extra Revised Question,question,Two,Two\n", "data.csv");
  EXPECT_EQ(table.column("Question"), 0u);
  EXPECT_EQ(table.column("question"), 2u);
  EXPECT_THROW(table.column("Revised Question"), core::Error);
  EXPECT_THROW(table.column("Two"), core::Error);
  EXPECT_THROW(table.column(""), core::Error);
}

TEST(Csv, NamesTheLineOfWhatItRefuses) {
  EXPECT_THAT(refusal(""), HasSubstr("data.csv: the file is empty"));
  EXPECT_THAT(refusal("\n\r\n"), HasSubstr("the file is empty"));
  EXPECT_THAT(refusal("a,b\n1,2\n\"x\ny\",2,3\n"), HasSubstr("data.csv:3: the row has 3 fields, the header has 2"));
  EXPECT_THAT(refusal("a,b\n1\n"), HasSubstr("data.csv:2: the row has 1 fields, the header has 2"));
  EXPECT_THAT(refusal("a,b\n1,\"never\nclosed"), HasSubstr("data.csv:2: the quote that opens a field here"));
  EXPECT_THAT(refusal("a,b\n1,\"x\"y\n"), HasSubstr("data.csv:2: text stands behind the closing quote"));
  EXPECT_THAT(refusal("a,b\n1,x\"y\"\n"), HasSubstr("data.csv:2: a quote stands inside a field without quotes"));
}

TEST(Csv, AnyBytesAreReadOrRefused) {
  const std::string alphabet = "a,\"\n\r\xEF\xBB\xBF\0x";
  int64_t read = 0, refused = 0;
  for (uint64_t number = 0; number < 20'000; ++number) {
    const core::RandomKey key = {.seed = number};
    std::string text;
    const uint64_t size = core::random_below(key, 0, 24);
    for (uint32_t i = 0; i < size; ++i) text += alphabet[core::random_below(key, i + 1, alphabet.size())];
    try {
      const CsvTable table(text, "data.csv");
      for (const CsvRow& row : table.rows()) ASSERT_EQ(row.fields.size(), table.header().size());
      ++read;
    } catch (const core::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace thinktune::eval
