#include "eval/csv.h"

#include <algorithm>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

// Reads one row after the other.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& name) : text_(text), name_(name) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  // False at the end of the text.
  bool next(CsvRow& row) {
    while (at_ < text_.size() && skip_line_break()) {
    }
    if (at_ >= text_.size()) return false;
    row.line = line_;
    row.fields.clear();
    do {
      row.fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
    } while (skip(','));
    if (at_ < text_.size() && !skip_line_break())
      throw core::data_error(fmt::format("{}:{}: text stands behind the closing quote of a field", name_, line_),
                             "a quote inside a quoted field is written twice");
    return true;
  }

 private:
  bool skip(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool skip_line_break() {
    if (text_.substr(at_, 2) == "\r\n") ++at_;
    if (!skip('\n')) return false;
    ++line_;
    return true;
  }

  std::string quoted() {
    const size_t first_line = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        if (text_.substr(at_ + 1, 1) != "\"") {
          ++at_;
          return field;
        }
        ++at_;
      }
      line_ += c == '\n';
      field += c;
    }
    throw core::data_error(fmt::format("{}:{}: the quote that opens a field here is never closed", name_, first_line),
                           "the file may be cut off: get it again");
  }

  std::string plain() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_.substr(at_, 2) != "\r\n") {
      if (text_[at_] == '"')
        throw core::data_error(fmt::format("{}:{}: a quote stands inside a field without quotes", name_, line_),
                               "a field with quotes, commas or line breaks is written between quotes");
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  size_t line_ = 1;
};

}  // namespace

CsvTable::CsvTable(std::string_view text, std::string name) : name_(std::move(name)) {
  Scanner scanner(text, name_);
  CsvRow row;
  if (!scanner.next(row)) throw core::data_error(fmt::format("{}: the file is empty", name_));
  header_ = std::move(row.fields);
  while (scanner.next(row)) {
    if (row.fields.size() != header_.size())
      throw core::data_error(fmt::format("{}:{}: the row has {} fields, the header has {}", name_, row.line,
                                         row.fields.size(), header_.size()),
                             "a field with commas or line breaks is written between quotes");
    rows_.push_back(std::move(row));
  }
}

CsvTable CsvTable::from_file(const std::filesystem::path& file) {
  return CsvTable(core::read_file(file, "CSV file"), file.string());
}

size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end())
    throw core::data_error(fmt::format("{}: the header has no column \"{}\"", name_, name),
                           "names must be exactly those of the published file");
  if (std::find(found + 1, header_.end(), name) != header_.end())
    throw core::data_error(fmt::format("{}: the header has the column \"{}\" more than once", name_, name));
  return static_cast<size_t>(found - header_.begin());
}

}  // namespace thinktune::eval
