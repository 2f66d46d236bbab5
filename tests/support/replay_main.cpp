// The main of a fuzz target in an ordinary build: runs every file of a folder through it, in the order of their names.
// An input that breaks the target ends the process; its name is the last line then.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int num_arguments, char** arguments) {
  namespace fs = std::filesystem;
  if (num_arguments != 2 || !fs::is_directory(arguments[1])) {
    std::fprintf(stderr, "usage: %s FOLDER_OF_INPUTS\n", arguments[0]);
    return 2;
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(arguments[1]))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "%s holds no inputs\n", arguments[1]);
    return 1;
  }
  for (const fs::path& file : files) {
    std::printf("%s\n", file.filename().c_str());
    std::fflush(stdout);
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad() || !in.is_open()) {
      std::fprintf(stderr, "cannot read it\n");
      return 1;
    }
    try {
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(content.data()), content.size());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "an exception that the target does not expect: %s\n", error.what());
      return 1;
    }
  }
  std::printf("%zu inputs, no finding\n", files.size());
  return 0;
}
