// Weights of which each rank holds a part (ZeRO-3): a layer is put together from all ranks' parts when a pass reaches
// it, while the one behind it is already on its way, and given up when the pass has left it.
//
// The weights of a block, one of the L layers or what stands outside of them (block L: embedding, final norm, head),
// lie one behind the other; rank r holds numbers r·C … (r + 1)·C of them. Their tensors keep their shapes all the time,
// and have memory while the block is there.
//
// Which collectives a pass makes follows from the blocks that it goes through and from nothing else. So every rank must
// go through the same passes; one that has none to compute goes through it without computing:
//   passes()         for passes without gradient, of which each rank may have another number
//   begin_update()   for passes with gradient, whose number all ranks know; idle ones call begin_pass() and load()
//
// Letters: R ranks, C numbers of one rank's part of a block, L layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "thinktune/comm/communicator.h"
#include "thinktune/comm/options.h"
#include "thinktune/model/decoder.h"

namespace thinktune::train {

class ShardedWeights final : public model::WeightLoader {
 public:
  struct Piece {
    size_t tensor = 0;  // in model::tensor_list
    int64_t begin = 0;  // in the block
  };

  // `whole`: f32 on any device, the same on every rank; only read here. Parts and blocks are in `dtype` on `device`.
  // `gather`, not Auto: Layer: two layers and block L are there at a time. Whole: for passes() all are. Keep: all are,
  // from then on until their parts change, and always lie in the same place. `beside` (null: none) are other weights of
  // the same shapes that are used at other times: blocks come together in their memory, and overwrite theirs. `comm`
  // must outlive the object.
  ShardedWeights(const model::Weights& whole, at::ScalarType dtype, at::Device device, comm::Communicator& comm,
                 comm::Gather gather, const ShardedWeights* beside = nullptr);
  ~ShardedWeights() override;
  ShardedWeights(const ShardedWeights&) = delete;
  ShardedWeights& operator=(const ShardedWeights&) = delete;

  const model::Weights& weights() const { return weights_; }  // this object is their loader
  int64_t num_blocks() const { return std::ssize(blocks_); }  // L + 1
  const std::vector<Piece>& pieces(int64_t block) const { return blocks_[static_cast<size_t>(block)].pieces; }
  int64_t part_size(int64_t block) const { return blocks_[static_cast<size_t>(block)].own_C.numel(); }

  // f32 copies of this rank's part of each block, from the whole weights.
  std::vector<at::Tensor> f32_parts(const model::Weights& whole) const;
  // The blocks' parts are these from now on, rounded to the dtype; what is there is given up.
  void set_parts(const std::vector<at::Tensor>& parts);

  // f(), between whose beginning and end the weights may be used without gradient, on every rank.
  template <class F>
  auto passes(F f) {
    begin_passes();
    if constexpr (std::is_void_v<decltype(f())>) {
      f();
      end_passes();
    } else {
      auto result = f();
      end_passes();
      return result;
    }
  }

  // Inside of passes(), after a pass that has ended early: the rest of it, as the other ranks go through it.
  void finish_pass();

  void begin_update();
  void end_update();

  void begin_pass() override;
  void load(int64_t layer) override;
  bool holds_all() const override { return mode_ == Mode::All; }
  int64_t generation() const override { return generation_; }

 private:
  enum class Mode { None, All, OneByOne, Update };
  struct Block {
    std::vector<Piece> pieces;
    at::Tensor own_C;
    at::Tensor whole_RC;  // its storage is empty while the block is not there, or, kept, was not there yet
    comm::PendingPtr pending;
    bool is_there = false;
  };

  void begin_passes();
  void end_passes();
  void begin(Mode mode);
  void end();
  int64_t num_layers() const { return num_blocks() - 1; }
  bool agree_on_a_pass(bool own) const;  // whether any rank has one
  void go_through_layers();
  void start(Block& block);
  void finish(Block& block);
  void give_up(Block& block);
  void give_up_all();
  at::Tensor part_of(int64_t block, const std::vector<at::Tensor>& tensors) const;  // on the tensors' device

  comm::Communicator& comm_;
  comm::Gather gather_;
  std::shared_ptr<const ShardedWeights*> holder_;  // whose blocks may be there, of those that share their memory
  model::Weights weights_;
  std::vector<Block> blocks_;
  Mode mode_ = Mode::None;
  int64_t current_ = 0, direction_ = 1, generation_ = 0;
  bool in_pass_ = false;  // of passes(), layer by layer: the last layer has not been reached
};

// passes() of weights that may not be sharded (null).
template <class F>
auto passes_through(ShardedWeights* weights, F f) {
  return weights != nullptr ? weights->passes(f) : f();
}

}  // namespace thinktune::train
