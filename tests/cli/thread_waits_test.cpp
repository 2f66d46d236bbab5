// How long threads wait for each other is set before they are there, and left to the user who sets it.
#include <cstdlib>

#include "program.h"

namespace thinktune::cli {
namespace {

class ThreadWaits : public ProgramTest {
 protected:
  // The variables of a training run, as its reward command sees them: "GOMP_SPINCOUNT OMP_WAIT_POLICY".
  std::string variables_of_a_run() {
    const fs::path script = folder_.path() / "reward.sh", seen = folder_.path() / "seen";
    write_text(script, R"(#!/bin/sh
echo "${GOMP_SPINCOUNT-none} ${OMP_WAIT_POLICY-none}" > )" +
                           seen.string() + R"(
while read -r line; do
  id=${line#*'"id":'}
  echo "{\"id\": ${id%%,*}, \"reward\": 0.5}"
done
)");
    fs::permissions(script, fs::perms::owner_all);
    write_config({{"steps", 1}, {"reward", {{"command", {{"weight", 1}, {"argv", {"/bin/sh", script.string()}}}}}}});
    fs::remove_all(output_);
    expect_success(train());
    return read_text(seen);
  }
};

TEST_F(ThreadWaits, AreShortUnlessTheUserSaysOtherwise) {
  ::unsetenv("GOMP_SPINCOUNT");
  ::unsetenv("OMP_WAIT_POLICY");
  EXPECT_EQ(variables_of_a_run(), "3000 none\n");
  ::setenv("OMP_WAIT_POLICY", "active", 1);
  EXPECT_EQ(variables_of_a_run(), "none active\n");
  ::unsetenv("OMP_WAIT_POLICY");
  ::setenv("GOMP_SPINCOUNT", "77", 1);
  EXPECT_EQ(variables_of_a_run(), "77 none\n");
}

}  // namespace
}  // namespace thinktune::cli
