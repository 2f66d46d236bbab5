#include "thinktune/train/sharded_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "thinktune/core/error.h"

namespace thinktune::train {
namespace {

// Numbers: tensors begin and parts end at whole vectors of every instruction set.
constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t numbers, int64_t unit) { return (numbers + unit - 1) / unit * unit; }

bool has_memory(const at::Tensor& flat) { return flat.storage().nbytes() > 0; }

void take_memory(const at::Tensor& flat) {
  c10::StorageImpl* storage = flat.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<size_t>(flat.numel() * flat.element_size());
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

void free_memory(const at::Tensor& flat) {
  c10::StorageImpl* storage = flat.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, flat.device()));
  storage->set_nbytes(0);
}

// By tensor of model::tensor_list: its layer, or the number of layers.
std::vector<int64_t> block_of_each(const model::Weights& weights) {
  const auto num_layers = std::ssize(weights.layers);
  std::vector<int64_t> blocks = {num_layers};  // the embedding
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    model::Weights one = {.embedding = weights.embedding,
                          .layers = {weights.layers[static_cast<size_t>(layer)]},
                          .final_norm = weights.final_norm,
                          .head = weights.embedding};
    blocks.insert(blocks.end(), model::tensor_list(one).size() - 2, layer);
  }
  blocks.resize(model::tensor_list(weights).size(), num_layers);
  return blocks;
}

}  // namespace

ShardedWeights::ShardedWeights(const model::Weights& whole, at::ScalarType dtype, at::Device device,
                               comm::Communicator& comm, comm::Gather gather, const ShardedWeights* beside)
    : comm_(comm),
      gather_(gather),
      holder_(beside != nullptr ? beside->holder_ : std::make_shared<const ShardedWeights*>(nullptr)),
      blocks_(whole.layers.size() + 1) {
  TT_CHECK(gather != comm::Gather::Auto, "it is not said how weights come together");
  c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> tensors = model::tensor_list(whole);
  const std::vector<int64_t> block_of = block_of_each(whole);
  std::vector<int64_t> sizes(blocks_.size(), 0);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto b = static_cast<size_t>(block_of[i]);
    blocks_[b].pieces.push_back({i, sizes[b]});
    sizes[b] += aligned(tensors[i].numel(), kAlignment);
  }
  for (size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    const int64_t part = aligned(sizes[b], comm_.size() * kAlignment) / comm_.size();
    block.own_C = at::empty({part}, at::TensorOptions().dtype(dtype).device(device));
  }
  // Views are made while there is memory: one block at a time.
  std::vector<at::Tensor> views(tensors.size());
  for (size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    if (beside != nullptr) {
      block.whole_RC = beside->blocks_[b].whole_RC;
      TT_CHECK(!has_memory(block.whole_RC), "weights are made while those beside them are in use");
      take_memory(block.whole_RC);
    } else {
      block.whole_RC = at::empty({comm_.size() * block.own_C.numel()}, block.own_C.options());
    }
    for (const Piece& piece : block.pieces) {
      const at::Tensor& tensor = tensors[piece.tensor];
      // A version of its own: gathering is no change of the weight.
      views[piece.tensor] = block.whole_RC.narrow(0, piece.begin, tensor.numel()).view(tensor.sizes()).variable_data();
    }
    free_memory(block.whole_RC);
  }
  size_t next = 0;
  weights_ = model::map_weights(whole, [&](const at::Tensor&) { return views[next++]; });
  weights_.loader = this;
  set_parts(f32_parts(whole));
}

ShardedWeights::~ShardedWeights() = default;

at::Tensor ShardedWeights::part_of(int64_t b, const std::vector<at::Tensor>& tensors) const {
  const Block& block = blocks_[static_cast<size_t>(b)];
  const int64_t part = block.own_C.numel(), first = comm_.rank() * part;
  const at::Tensor own_C = at::zeros({part}, tensors[0].options().requires_grad(false));
  for (const Piece& piece : block.pieces) {
    const at::Tensor flat = tensors[piece.tensor].detach().reshape({-1});
    const int64_t begin = std::max(piece.begin, first), end = std::min(piece.begin + flat.numel(), first + part);
    if (begin < end)
      own_C.narrow(0, begin - first, end - begin).copy_(flat.narrow(0, begin - piece.begin, end - begin));
  }
  return own_C;
}

std::vector<at::Tensor> ShardedWeights::f32_parts(const model::Weights& whole) const {
  c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> tensors = model::tensor_list(whole);
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b < num_blocks(); ++b)
    parts.push_back(part_of(b, tensors).to(blocks_[0].own_C.device(), at::kFloat));
  return parts;
}

void ShardedWeights::set_parts(const std::vector<at::Tensor>& parts) {
  c10::NoGradGuard no_grad;
  for (size_t b = 0; b < blocks_.size(); ++b) blocks_[b].own_C.copy_(parts[b].detach());
  give_up_all();
}

void ShardedWeights::start(Block& block) {
  if (block.is_there || block.pending != nullptr) return;
  if (!has_memory(block.whole_RC)) take_memory(block.whole_RC);
  block.pending = comm_.start_all_gather(block.whole_RC, block.own_C, "the weights");
}

void ShardedWeights::finish(Block& block) {
  start(block);
  if (block.pending == nullptr) return;
  block.pending->wait();
  block.pending.reset();
  block.is_there = true;
}

void ShardedWeights::give_up(Block& block) {
  if (block.pending != nullptr) finish(block);
  if (!block.is_there) return;
  if (gather_ != comm::Gather::Keep) free_memory(block.whole_RC);
  block.is_there = false;
}

void ShardedWeights::give_up_all() {
  for (Block& block : blocks_) give_up(block);
}

bool ShardedWeights::agree_on_a_pass(bool own) const {
  const at::Tensor count = at::full({1}, own ? 1 : 0, at::TensorOptions().dtype(at::kLong));
  comm_.all_reduce(count, "the number of ranks with a pass");
  return count.item<int64_t>() > 0;
}

void ShardedWeights::begin(Mode mode) {
  TT_CHECK(mode_ == Mode::None, "passes or an update begin inside of others");
  mode_ = mode;
  if (*holder_ != this) give_up_all();  // what was kept is overwritten
  *holder_ = this;
  if (gather_ != comm::Gather::Keep) ++generation_;
}

void ShardedWeights::end() {
  if (gather_ != comm::Gather::Keep) give_up_all();
  mode_ = Mode::None;
}

void ShardedWeights::begin_passes() {
  begin(gather_ == comm::Gather::Layer ? Mode::OneByOne : Mode::All);
  if (mode_ != Mode::All) return;
  // Two at a time: a copy of what is on its way may be held by what carries it.
  start(blocks_[0]);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (b + 1 < blocks_.size()) start(blocks_[b + 1]);
    finish(blocks_[b]);
  }
}

void ShardedWeights::end_passes() {
  while (mode_ == Mode::OneByOne && agree_on_a_pass(false)) {
    finish(blocks_.back());
    go_through_layers();
  }
  end();
}

void ShardedWeights::begin_update() { begin(Mode::Update); }
void ShardedWeights::end_update() { end(); }

void ShardedWeights::go_through_layers() {
  for (int64_t layer = 0; layer < num_layers(); ++layer) load(layer);
}

void ShardedWeights::begin_pass() {
  TT_CHECK(mode_ != Mode::None, "sharded weights are used outside of passes() and of an update");
  if (mode_ == Mode::OneByOne) {
    agree_on_a_pass(true);
    in_pass_ = true;
    current_ = 0;
  }
  finish(blocks_.back());
}

// What was there, or on its way, is not asked for again.
void ShardedWeights::finish_pass() {
  if (!in_pass_) return;
  finish(blocks_.back());
  for (int64_t layer = current_; layer < num_layers(); ++layer) load(layer);
}

void ShardedWeights::load(int64_t layer) {
  TT_CHECK(mode_ != Mode::None, "sharded weights are used outside of passes() and of an update");
  if (mode_ == Mode::All) return;
  // Passes go through all layers, forward or backward.
  if (layer != current_) direction_ = layer > current_ ? 1 : -1;
  if (layer == 0) direction_ = 1;
  if (layer == num_layers() - 1) direction_ = -1;
  current_ = layer;
  const int64_t next = layer + direction_;
  const bool has_next = next >= 0 && next < num_layers();
  // Two layers are there at a time, if none is kept. At the last one it is that before it: backward passes turn there.
  for (int64_t other = 0; other < num_layers() && gather_ != comm::Gather::Keep; ++other)
    if (other != layer && other != next) give_up(blocks_[static_cast<size_t>(other)]);
  finish(blocks_[static_cast<size_t>(layer)]);
  if (has_next) start(blocks_[static_cast<size_t>(next)]);
  if (layer == num_layers() - 1) in_pass_ = false;
}

}  // namespace thinktune::train
