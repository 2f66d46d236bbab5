// The sentences of the arithmetic generator.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace thinktune::data {

enum class Operation { Add, Subtract, Multiply, Divide, MultiplyAdd, MultiplySubtract };

// Slots: {A} {B} two different names, {o} things in the plural, {x} {y} {z} the operands in the order of the
// calculation: x + y, x - y, x * y, x / y, x * y + z, x * y - z. Every number that stands before a plural is at
// least 2.
std::span<const std::string_view> wordings(Operation operation);

std::span<const std::string_view> names();
std::span<const std::string_view> things();

struct Slots {
  std::string_view a, b, thing;
  std::array<int, 3> operands{};
};

std::string fill(std::string_view wording, const Slots& slots);

}  // namespace thinktune::data
