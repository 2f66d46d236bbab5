// How long threads wait for each other is set before they are there, and left to the user who sets it.
#include <cstdlib>

#include "program.h"

namespace thinktune::cli {
namespace {

class ThreadWaits : public ProgramTest {
 protected:
  // The variables of a training run, as its reward command sees them: "GOMP_SPINCOUNT OMP_WAIT_POLICY".
  std::string variables_of_a_run() {
    const fs::path seen = folder_.path() / "seen";
    const std::string tell = "echo \"${GOMP_SPINCOUNT-none} ${OMP_WAIT_POLICY-none}\" > " + seen.string();
    write_config({{"steps", 1}, {"reward", reward_by_script(tell, "0.5")}});
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
