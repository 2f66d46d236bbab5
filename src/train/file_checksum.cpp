#include "file_checksum.h"

#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::train {
namespace fs = std::filesystem;
namespace {

constexpr size_t kSha256Digits = 64, kSha1Digits = 40;

bool is_checksum(const std::string& text) {
  return (text.size() == kSha256Digits || text.size() == kSha1Digits) &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string digest(const EVP_MD* kind, std::string_view before, const core::MappedFile& file) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const bool done = context != nullptr && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), before.data(), before.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), file.data(), file.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), bytes, &size) == 1;
  if (!done) throw core::device_error("OpenSSL cannot compute a checksum");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace

std::string sha256_of(const fs::path& file) { return digest(EVP_sha256(), "", core::MappedFile(file)); }

std::string git_blob_sha1_of(const fs::path& file) {
  const core::MappedFile mapped(file);
  std::string before = fmt::format("blob {}", mapped.size());
  before += '\0';
  return digest(EVP_sha1(), before, mapped);
}

std::string noted_checksum(const fs::path& folder, const std::string& name) {
  std::error_code absent;
  const fs::path real = fs::canonical(folder / name, absent);
  if (!absent && real.parent_path().filename() == "blobs" && is_checksum(real.filename().string()))
    return real.filename().string();
  std::ifstream note(folder / ".cache" / "huggingface" / "download" / (name + ".metadata"));
  std::string commit, checksum;  // its first two lines
  if (!std::getline(note, commit) || !std::getline(note, checksum)) return "";
  return is_checksum(checksum) ? checksum : "";
}

bool has_checksum(const fs::path& file, const std::string& noted) {
  return (noted.size() == kSha256Digits ? sha256_of(file) : git_blob_sha1_of(file)) == noted;
}

}  // namespace thinktune::train
