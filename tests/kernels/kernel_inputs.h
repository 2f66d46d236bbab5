// Inputs and tolerances for the tests of kernels.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "kernels/element.h"
#include "kernels/instruction_set.h"
#include "thinktune/core/random.h"

namespace thinktune::kernels {

using Elements = testing::Types<float, Bf16, double>;

// Half the distance from 1 to the next number: the relative error of one rounding.
template <class E>
constexpr double kRoundoff = std::numeric_limits<E>::epsilon() / 2;
template <>
inline constexpr double kRoundoff<Bf16> = 0x1p-8;  // eight significant bits

// Normally distributed, a function of seed alone, rounded to E.
template <class E>
std::vector<E> normals(int64_t n, uint64_t seed, double scale = 1.0) {
  std::vector<E> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const core::RandomKey key{.seed = seed, .stream = core::Stream::Init};
    const double u = 1 - core::random_uniform(key, static_cast<uint32_t>(2 * i));
    const double v = core::random_uniform(key, static_cast<uint32_t>(2 * i + 1));
    const double z = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
    values[i] = narrow<E>(static_cast<Accum<E>>(scale * z));
  }
  return values;
}

template <class E>
std::vector<double> widened(const std::vector<E>& values) {
  std::vector<double> out;
  for (E v : values) out.push_back(widen(v));
  return out;
}

// Runs the test's body with every instruction set of this processor and restores the one in use.
template <class F>
void with_every_instruction_set(F body) {
  const InstructionSet before = instruction_set();
  for (InstructionSet set : available_instruction_sets()) {
    SCOPED_TRACE(std::string(name_of(set)));
    set_instruction_set(set);
    body();
  }
  set_instruction_set(before);
}

// Central difference of f at x.
template <class F>
double slope(F f, double& x, double step = 1e-5) {
  const double before = x;
  x = before + step;
  const double above = f();
  x = before - step;
  const double below = f();
  x = before;
  return (above - below) / (2 * step);
}

}  // namespace thinktune::kernels
