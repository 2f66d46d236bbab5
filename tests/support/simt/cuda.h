// CUDA's words for a kernel that is compiled by g++ and run by simt::Machine. Included before the kernel's text, in its
// own translation unit.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "support/simt/machine.h"

#define TT_SIMT 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace thinktune::simt {

template <class T>
class SharedElement;

template <class T>
struct SharedAddress {  // what an atomic takes
  const SharedElement<T>& element;
};

// An element of shared memory: every read and write of it is checked.
template <class T>
class SharedElement {
 public:
  SharedElement(SharedStorage& storage, size_t index, Place place) : storage_(storage), index_(index), place_(place) {}
  operator T() const {
    Machine::instance().note_read(storage_, index_, place_);
    return load();
  }
  SharedElement& operator=(T value) {
    Machine::instance().note_write(storage_, index_, false, place_);
    store(value);
    return *this;
  }
  SharedElement& operator=(const SharedElement& other) { return *this = static_cast<T>(other); }
  SharedElement& operator+=(T value) { return *this = static_cast<T>(*this) + value; }
  SharedElement& operator*=(T value) { return *this = static_cast<T>(*this) * value; }

  SharedAddress<T> operator&() const { return {*this}; }

  template <class F>
  T atomic(F change) const {
    Machine::instance().note_write(storage_, index_, true, place_);
    const T before = load();
    store(change(before));
    return before;
  }

 private:
  T load() const {
    T value;
    std::memcpy(&value, storage_.bytes.data() + index_ * sizeof(T), sizeof(T));
    return value;
  }
  void store(T value) const { std::memcpy(storage_.bytes.data() + index_ * sizeof(T), &value, sizeof(T)); }

  SharedStorage& storage_;
  size_t index_;
  Place place_;
};

struct SharedIndex {  // carries the place of the access, which operator[] could not take beside its index
  template <class I, class = std::enable_if_t<std::is_convertible_v<I, size_t>>>
  SharedIndex(I i, Place p = Place::current()) : value(static_cast<size_t>(i)), place(p) {}
  size_t value;
  Place place;
};

template <class T>
class SharedArray {
 public:
  explicit SharedArray(SharedStorage& storage) : storage_(&storage) {}
  SharedElement<T> operator[](SharedIndex index) const { return {*storage_, index.value, index.place}; }

 private:
  SharedStorage* storage_;
};

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void check_mask(unsigned mask) {
  if (mask != 0xffffffffu) throw Violation("an operation of a part of a warp, which this layer does not run");
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source, Place place) {
  check_mask(mask);
  Machine& machine = Machine::instance();
  machine.exchange(to_bits(value), place);
  return from_bits<T>(machine.lane_bits(source));
}

}  // namespace thinktune::simt

// One array a block, under the same name for all of its threads.
#define TT_SHARED(T, name, count)               \
  static const char name##_tag = 0;             \
  const ::thinktune::simt::SharedArray<T> name( \
      ::thinktune::simt::Machine::instance().shared(&name##_tag, static_cast<size_t>(count), sizeof(T)))
#define TT_DYNAMIC_SHARED(T, name)              \
  const ::thinktune::simt::SharedArray<T> name( \
      ::thinktune::simt::Machine::instance().dynamic_shared(nullptr, sizeof(T)))

namespace {

using thinktune::simt::Place;

[[maybe_unused]] inline void __syncthreads(Place place = Place::current()) {
  thinktune::simt::Machine::instance().barrier(place);
}
[[maybe_unused]] inline void __syncwarp(unsigned mask = 0xffffffffu, Place place = Place::current()) {
  thinktune::simt::check_mask(mask);
  thinktune::simt::Machine::instance().warp_barrier(place);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, Place place = Place::current()) {
  return thinktune::simt::shuffle(mask, value, static_cast<unsigned>(source) % 32, place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, Place place = Place::current()) {
  return thinktune::simt::shuffle(mask, value,
                                  thinktune::simt::Machine::instance().lane() ^ static_cast<unsigned>(distance), place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, Place place = Place::current()) {
  const unsigned lane = thinktune::simt::Machine::instance().lane();
  return thinktune::simt::shuffle(mask, value, lane < distance ? lane : lane - distance, place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, Place place = Place::current()) {
  const unsigned lane = thinktune::simt::Machine::instance().lane();
  return thinktune::simt::shuffle(mask, value, lane + distance > 31 ? lane : lane + distance, place);
}
[[maybe_unused]] inline unsigned __ballot_sync(unsigned mask, int predicate, Place place = Place::current()) {
  thinktune::simt::check_mask(mask);
  thinktune::simt::Machine& machine = thinktune::simt::Machine::instance();
  machine.exchange(predicate != 0, place);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) votes |= static_cast<unsigned>(machine.lane_bits(lane)) << lane;
  return votes;
}
[[maybe_unused]] inline int __any_sync(unsigned mask, int predicate, Place place = Place::current()) {
  return __ballot_sync(mask, predicate, place) != 0;
}
[[maybe_unused]] inline int __all_sync(unsigned mask, int predicate, Place place = Place::current()) {
  return __ballot_sync(mask, predicate, place) == 0xffffffffu;
}
// Global memory: fibers change only where a kernel waits.
template <class T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}
template <class T>
T atomicMax(T* address, T value) {
  const T before = *address;
  *address = std::max(before, value);
  return before;
}
template <class T>
T atomicAdd(thinktune::simt::SharedAddress<T> address, T value) {
  return address.element.atomic([&](T before) { return before + value; });
}
template <class T>
T atomicMax(thinktune::simt::SharedAddress<T> address, T value) {
  return address.element.atomic([&](T before) { return std::max(before, value); });
}

[[maybe_unused]] inline float __fmul_rn(float a, float b) { return a * b; }
[[maybe_unused]] inline float __fadd_rn(float a, float b) { return a + b; }
[[maybe_unused]] inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((uint64_t{a} * b) >> 32);
}
[[maybe_unused]] inline int __ffs(int x) { return __builtin_ffs(x); }
[[maybe_unused]] inline int __popc(unsigned x) { return __builtin_popcount(x); }
[[maybe_unused]] inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
[[maybe_unused]] inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }

}  // namespace
