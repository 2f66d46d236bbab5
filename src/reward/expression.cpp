#include "reward/expression.h"

#include <algorithm>

namespace thinktune::reward {

NodeId Expressions::add(Kind kind, std::span<const NodeId> children, uint32_t detail) {
  for (const NodeId child : children)
    if (child == kNoNode) return kNoNode;
  if (nodes_.size() >= kMaxNodes) {
    full_ = true;
    return kNoNode;
  }
  Node node{.kind = kind, .detail = detail, .first = static_cast<uint32_t>(children_.size())};
  node.count = static_cast<uint32_t>(children.size());
  node.has_symbol = kind == Kind::Symbol || kind == Kind::Opaque;
  node.has_imaginary = kind == Kind::Imaginary;
  node.has_sign = kind == Kind::PlusMinus || kind == Kind::MinusPlus;
  for (const NodeId child : children) {
    node.has_symbol |= nodes_[child].has_symbol;
    node.has_imaginary |= nodes_[child].has_imaginary;
    node.has_sign |= nodes_[child].has_sign;
    node.depth = std::max<uint16_t>(node.depth, nodes_[child].depth + 1);
  }
  if (node.depth > kMaxDepth) {
    full_ = true;
    return kNoNode;
  }
  children_.insert(children_.end(), children.begin(), children.end());
  nodes_.push_back(node);
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Expressions::add_number(Decimal number) {
  const NodeId id = add(Kind::Number, {}, static_cast<uint32_t>(numbers_.size()));
  if (id != kNoNode) numbers_.push_back(std::move(number));
  return id;
}

NodeId Expressions::add_integer(uint64_t value) { return add_number(read_decimal(std::to_string(value))); }

NodeId Expressions::add_relation(std::span<const NodeId> sides, std::span<const Relate> operators) {
  const NodeId id = add(Kind::Relation, sides, static_cast<uint32_t>(relations_.size()));
  if (id != kNoNode) relations_.insert(relations_.end(), operators.begin(), operators.end());
  return id;
}

uint32_t Expressions::name_index(std::string_view name) {
  const auto [entry, is_new] = indices_.try_emplace(std::string(name), static_cast<uint32_t>(names_.size()));
  if (is_new) names_.emplace_back(name);
  return entry->second;
}

}  // namespace thinktune::reward
