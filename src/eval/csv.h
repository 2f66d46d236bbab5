// CSV as RFC 4180 has it: quoted fields may hold commas, doubled quotes and line breaks.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::eval {

struct CsvRow {
  size_t line = 0;  // of the file, from 1, where the row begins
  std::vector<std::string> fields;
};

class CsvTable {
 public:
  // `name` stands in messages. The first row is the header. CRLF and LF end rows, a UTF-8 byte order mark and blank
  // lines are passed over. Throws Error{Data} naming the line for a quote that never closes, for text behind a closing
  // quote, for a quote inside an unquoted field, for a row with more or fewer fields than the header, and for a file
  // without a header.
  CsvTable(std::string_view text, std::string name);
  static CsvTable from_file(const std::filesystem::path& file);

  const std::vector<std::string>& header() const { return header_; }
  const std::vector<CsvRow>& rows() const { return rows_; }

  // Index of the column with exactly this name. Throws Error{Data} if there is none, or more than one.
  size_t column(std::string_view name) const;

 private:
  std::string name_;
  std::vector<std::string> header_;
  std::vector<CsvRow> rows_;
};

}  // namespace thinktune::eval
