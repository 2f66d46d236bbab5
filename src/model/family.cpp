#include "thinktune/model/family.h"

#include <fmt/ranges.h>

#include "families.h"
#include "thinktune/core/error.h"

namespace thinktune::model {

const Family& find_family(std::string_view name, const std::string& where) {
  static const Family* const kFamilies[] = {&kLlama};
  std::vector<std::string_view> known;
  for (const Family* family : kFamilies) {
    if (family->name == name) return *family;
    known.push_back(family->name);
  }
  throw core::data_error(fmt::format("{}: the architecture '{}' is not known", where, name),
                         fmt::format("known: {}", fmt::join(known, ", ")));
}

}  // namespace thinktune::model
