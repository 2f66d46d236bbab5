// Any bytes as a config, and lines behind the first zero byte as --set: refused with Error{User}, or read; what is read
// is written and read again to the same options.
#include <cstdlib>

#include "thinktune/cli/config.h"
#include "thinktune/core/error.h"

namespace {

using namespace thinktune;

enum class Mode { Paper, Reference };
const core::Choices<Mode> kModes = {{"paper", Mode::Paper}, {"reference", Mode::Reference}};

struct Inner {
  double lr = 1e-6;
  bool fused = true;
};
void describe(core::Fields& f, Inner& o) {
  f.number("lr", o.lr, core::above(0.0), "learning rate");
  f.boolean("fused", o.fused, "one kernel");
}

struct Options {
  int64_t seed = 1;
  Mode mode = Mode::Paper;
  std::string output = "runs";
  std::vector<std::string> levels = {"easy"};
  Inner optim;
};
void describe(core::Fields& f, Options& o) {
  f.integer("seed", o.seed, core::at_least(int64_t{0}), "seed");
  f.choice("mode", o.mode, kModes, "which text");
  f.text("output", o.output, "folder");
  f.texts("levels", o.levels, "levels");
  f.group("optim", o.optim, "the optimiser");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t zero = text.find('\0');
  std::string_view sets = zero == std::string_view::npos ? std::string_view() : text.substr(zero + 1);
  try {
    cli::ConfigDocument document = cli::ConfigDocument::from_text(text.substr(0, zero), "config.json");
    while (!sets.empty()) {
      const size_t end = sets.find('\n');
      document.set(sets.substr(0, end));
      sets = end == std::string_view::npos ? std::string_view() : sets.substr(end + 1);
    }
    Options options;
    cli::read_options(document, options);
    const std::string written = cli::to_json_text(options);
    Options again;
    cli::read_options(cli::ConfigDocument::from_text(written, "written"), again);
    if (cli::to_json_text(again) != written) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::User) throw;
  }
  return 0;
}
