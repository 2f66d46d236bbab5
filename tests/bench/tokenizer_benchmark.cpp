// MB/s of a tokenizer on a text, one thread: tokenizer_benchmark TOKENIZER TEXT [repeats]. Not part of the tests.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace thinktune;
  if (argc < 3) {
    fmt::print(stderr, "usage: tokenizer_benchmark TOKENIZER TEXT [repeats]\n");
    return 2;
  }
  try {
    auto start = std::chrono::steady_clock::now();
    const auto tokenizer = text::open_tokenizer(argv[1]);
    fmt::print("loaded {} tokens in {:.3f} s\n", tokenizer->vocab_size(), seconds_since(start));
    const std::string text = core::read_file(argv[2], "text");
    double best_s = 1e9;
    std::vector<text::TokenId> ids;
    for (int i = argc > 3 ? std::atoi(argv[3]) : 5; i > 0; --i) {
      start = std::chrono::steady_clock::now();
      ids = tokenizer->encode(text);
      best_s = std::min(best_s, seconds_since(start));
    }
    fmt::print("encode: {:.1f} MB/s ({} bytes, {} tokens, {:.3f} s)\n", static_cast<double>(text.size()) / best_s / 1e6,
               text.size(), ids.size(), best_s);
    start = std::chrono::steady_clock::now();
    const bool same = tokenizer->decode(ids) == text;
    fmt::print("decode: {:.1f} MB/s, {} text\n", static_cast<double>(text.size()) / seconds_since(start) / 1e6,
               same ? "the same" : "another");
  } catch (const core::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return core::exit_code(error.kind());
  }
  return 0;
}
