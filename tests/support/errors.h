// What tests ask of an Error that must be thrown.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "thinktune/core/error.h"

namespace thinktune::test {

// The message of the Error{kind} that `action` throws, and its hint; fails the test if it throws none, or another.
template <class Action>
std::string message_of_error(core::ErrorKind kind, Action action) {
  try {
    action();
  } catch (const core::Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace thinktune::test
