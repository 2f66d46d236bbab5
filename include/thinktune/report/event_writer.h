// Scalar curves for TensorBoard, without its library: TFRecord framing around Event messages in the protocol-buffer
// wire format.
//
//   record  = length u64 | masked crc(length) u32 | data | masked crc(data) u32           little-endian, CRC-32C
//   (Castagnoli) masked  = rotate_right(crc, 15) + 0xa282ead8 Event   = wall_time double 1, step int64 2, one of {
//   file_version string 3, summary 5, session_log 7 } Summary = repeated value 1 { tag string 1, simple_value float 2
//   };  SessionLog = status 1 (START = 1)
// Sources: tensorflow/core/lib/io/record_writer.h; tensorflow/core/util/event.proto, framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "thinktune/report/metrics.h"

namespace thinktune::report {

uint32_t crc32c(std::string_view data);
uint32_t masked_crc32c(std::string_view data);

// One Event message each, without the framing. wall_time_s: seconds since 1970.
std::string encode_version_event(double wall_time_s);
std::string encode_session_start(double wall_time_s, int64_t step);  // readers drop what they have from `step` on
std::string encode_scalars(double wall_time_s, int64_t step, const Metrics& metrics);  // finite values only

std::string frame_record(std::string_view data);

class AppendFile;

// One event file; a resumed run opens one more in the same folder. One thread.
class EventWriter {
 public:
  // Makes the folder. `first_step` > 0: a resumed run; values from that step on in older files are dropped by readers.
  // Throws Error{User} if the file cannot be written; so does add().
  EventWriter(const std::filesystem::path& folder, int64_t first_step);
  ~EventWriter();

  void add(int64_t step, const Metrics& metrics);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<AppendFile> file_;
};

}  // namespace thinktune::report
