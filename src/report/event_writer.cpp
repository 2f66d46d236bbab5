#include "thinktune/report/event_writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "report/append_file.h"
#include "thinktune/core/atomic_file.h"

namespace thinktune::report {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);  // Castagnoli, reflected
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  bytes += static_cast<char>(value);
  return bytes;
}

// A field's tag is its number and its wire type: 0 varint, 1 eight bytes, 2 a length and that many bytes, 5 four bytes.
std::string bytes_field(uint32_t number, std::string_view value) {
  return varint(number << 3 | 2) + varint(value.size()) + std::string(value);
}
std::string varint_field(uint32_t number, uint64_t value) { return varint(number << 3) + varint(value); }
std::string double_field(uint32_t number, double value) {
  return varint(number << 3 | 1) + little_endian(std::bit_cast<uint64_t>(value));
}
std::string float_field(uint32_t number, float value) {
  return varint(number << 3 | 5) + little_endian(std::bit_cast<uint32_t>(value));
}

std::string event_head(double wall_time_s, int64_t step) {
  return double_field(1, wall_time_s) + varint_field(2, static_cast<uint64_t>(step));
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string file_name(int64_t second, int64_t micro) {
  return fmt::format("events.out.tfevents.{:010}.{:06}.{}.thinktune", second, micro, ::getpid());
}

// Readers take the files of a folder in the order of their names, so a later file's name must sort behind, also where
// the clock was set back in between.
std::filesystem::path new_file_in(const std::filesystem::path& folder) {
  const double now_s = seconds_since_1970();
  const auto whole = static_cast<int64_t>(now_s);
  std::string name = file_name(whole, static_cast<int64_t>((now_s - static_cast<double>(whole)) * 1e6));
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string other = entry.path().filename().string();
    long long second = 0;
    if (other >= name && std::sscanf(other.c_str(), "events.out.tfevents.%lld.", &second) == 1)
      name = file_name(second + 1, 0);
  }
  return folder / name;
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : data) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view data) { return std::rotr(crc32c(data), 15) + 0xA282EAD8u; }

std::string encode_version_event(double wall_time_s) {
  return double_field(1, wall_time_s) + bytes_field(3, "brain.Event:2");
}

std::string encode_session_start(double wall_time_s, int64_t step) {
  return event_head(wall_time_s, step) + bytes_field(7, varint_field(1, 1));
}

std::string encode_scalars(double wall_time_s, int64_t step, const Metrics& metrics) {
  std::string summary;
  for (const auto& [name, value] : metrics.entries()) {
    const auto narrow = static_cast<float>(value);
    if (std::isfinite(narrow)) summary += bytes_field(1, bytes_field(1, name) + float_field(2, narrow));
  }
  return event_head(wall_time_s, step) + bytes_field(5, summary);
}

std::string frame_record(std::string_view data) {
  const std::string length = little_endian(static_cast<uint64_t>(data.size()));
  return length + little_endian(masked_crc32c(length)) + std::string(data) + little_endian(masked_crc32c(data));
}

EventWriter::EventWriter(const std::filesystem::path& folder, int64_t first_step) {
  core::make_folders(folder);
  path_ = new_file_in(folder);
  file_ = std::make_unique<AppendFile>(path_);
  file_->append(frame_record(encode_version_event(seconds_since_1970())));
  if (first_step > 0) file_->append(frame_record(encode_session_start(seconds_since_1970(), first_step)));
}

EventWriter::~EventWriter() = default;

void EventWriter::add(int64_t step, const Metrics& metrics) {
  file_->append(frame_record(encode_scalars(seconds_since_1970(), step, metrics)));
}

}  // namespace thinktune::report
