// Integers of JSON that comes from elsewhere (core/untrusted.h).
#pragma once

#include <cstdint>

namespace thinktune::core {

// A number that JSON has as an integer. nlohmann's own conversions take any number: of 1e40, or of an integer with
// forty digits, what comes out is undefined. Throws nlohmann's type_error for what is no integer of 64 bits; one beyond
// the largest int64_t comes out negative. Json: nlohmann::json or ordered_json.
template <class Json>
int64_t json_integer(const Json& value) {
  return value.template get_ref<const typename Json::number_integer_t&>();
}

}  // namespace thinktune::core
