// Plain structs as bytes for the other ranks of the run, which are the same program on the same kind of machine.
#pragma once

#include <cereal/archives/binary.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/vector.hpp>
#include <sstream>
#include <string>

namespace thinktune::train {

template <class T>
std::string to_bytes(const T& value) {
  std::ostringstream out;
  cereal::BinaryOutputArchive archive(out);
  archive(value);
  return std::move(out).str();
}

template <class T>
T from_bytes(const std::string& bytes) {
  std::istringstream in(bytes);
  T value;
  cereal::BinaryInputArchive archive(in);
  archive(value);
  return value;
}

}  // namespace thinktune::train
