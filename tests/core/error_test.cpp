#include "thinktune/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thinktune::core {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Error, ShowsTheHintOnALineOfItsOwn) {
  const Error plain = user_error("the folder is missing");
  EXPECT_STREQ(plain.what(), "the folder is missing");
  EXPECT_EQ(plain.hint(), "");
  const Error hinted = user_error("the folder is missing", "create it");
  EXPECT_STREQ(hinted.what(), "the folder is missing\n  create it");
  EXPECT_EQ(hinted.message(), "the folder is missing");
  EXPECT_EQ(hinted.hint(), "create it");
}

TEST(Error, KindsHaveExitCodes) {
  EXPECT_EQ(user_error("").kind(), ErrorKind::User);
  EXPECT_EQ(data_error("").kind(), ErrorKind::Data);
  EXPECT_EQ(device_error("").kind(), ErrorKind::Device);
  EXPECT_EQ(internal_error("").kind(), ErrorKind::Internal);
  EXPECT_EQ(exit_code(ErrorKind::User), 2);
  EXPECT_EQ(exit_code(ErrorKind::Data), 3);
  EXPECT_EQ(exit_code(ErrorKind::Device), 4);
  EXPECT_EQ(exit_code(ErrorKind::Internal), 5);
}

TEST(Check, NamesPlaceConditionAndValues) {
  const int num_rows = 3;
  try {
    TT_CHECK(num_rows == 4, "{} rows", num_rows);
    FAIL() << "the check passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Internal);
    EXPECT_THAT(error.message(), HasSubstr("error_test.cpp:"));
    EXPECT_THAT(error.message(), HasSubstr("3 rows (expected num_rows == 4)"));
    EXPECT_THAT(error.hint(), HasSubstr("bug"));
  }
  EXPECT_NO_THROW(TT_CHECK(num_rows == 3, "{} rows", num_rows));
}

// Messages must not carry the folder in which a release was built.
TEST(Check, LeavesTheBuildMachinesFolderOut) {
  try {
    check_failed("/home/someone/thinktune/src/ops/fused.cpp", 12, "x > 0", "x is 0");
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("src/ops/fused.cpp:12: x is 0"));
    EXPECT_THAT(error.message(), Not(HasSubstr("someone")));
  }
}

TEST(Check, EvaluatesItsConditionOnceAndItsMessageOnlyOnFailure) {
  int conditions = 0, messages = 0;
  TT_CHECK(++conditions > 0, "{}", ++messages);
  EXPECT_EQ(conditions, 1);
  EXPECT_EQ(messages, 0);
}

}  // namespace
}  // namespace thinktune::core
