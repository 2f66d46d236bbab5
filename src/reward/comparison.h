// Compares two trees by what they say.
#pragma once

#include "reward/exact.h"
#include "reward/expression.h"
#include "reward/identity.h"
#include "thinktune/reward/equality.h"

namespace thinktune::reward {

struct Ruling {
  rollout::Verdict verdict = rollout::Verdict::Unparsed;
  const char* reason = "";
};

class Comparison {
 public:
  Comparison(Expressions& tree, Budget& budget, const EqualityOptions& options)
      : tree_(tree), budget_(budget), options_(options), exact_(tree, budget), identity_(tree, exact_, budget) {}

  Ruling compare(NodeId answer, NodeId gold);

 private:
  // One value of a list, with the name it was given.
  struct Item {
    NodeId name = kNoNode;
    NodeId value = kNoNode;
  };
  // A stretch of the real line; an end that is kNoNode is infinite.
  struct Piece {
    NodeId low = kNoNode, high = kNoNode;
    bool low_closed = false, high_closed = false;
    double low_value = 0, high_value = 0;
  };
  using Pieces = std::vector<Piece>;

  // comparison.cpp: statements and lists
  Ruling compare_values(NodeId a, NodeId g);
  Ruling compare_named(const Item& a, const Item& g);
  Ruling compare_equations(NodeId a, NodeId g);
  Ruling compare_collections(NodeId a, NodeId g);
  Ruling match_items(std::vector<Item> a, std::vector<Item> g, bool ordered);
  Ruling compare_in_order(std::span<const NodeId> a, std::span<const NodeId> g, const char* same,
                          const char* different);
  Ruling compare_ratios(NodeId a, NodeId g);
  Ruling compare_matrices(NodeId a, NodeId g);
  bool is_name(NodeId id, int depth = 0);
  Item split_name(NodeId id);
  bool split_rounding(NodeId id, NodeId& exact, NodeId& rounded);
  bool same_name(NodeId a, NodeId b);
  bool is_collection(NodeId id) const;
  std::vector<Item> items_of(NodeId id);
  void expand(const Item& item, std::vector<Item>& items);
  NodeId with_signs(NodeId id, uint32_t signs, uint32_t& used, bool linked);
  void drop_equals(std::vector<Item>& items);
  NodeId difference(NodeId relation, bool flip);

  // comparison_sets.cpp: intervals and unions
  bool is_range(NodeId id) const;
  bool pieces_of(NodeId id, Pieces& pieces, NodeId& variable);
  bool pieces_of_relation(NodeId id, Pieces& pieces, NodeId& variable);
  bool pieces_of_list(NodeId id, Pieces& pieces, NodeId& variable);
  bool add_piece(NodeId low, NodeId high, bool low_closed, bool high_closed, Pieces& pieces);
  bool set_end(NodeId id, NodeId& end, double& value);
  void merge(Pieces& pieces);
  Pieces intersect(const Pieces& a, const Pieces& b);
  Pieces complement(const Pieces& pieces);
  int order(NodeId a, double a_value, NodeId b, double b_value);
  bool compare_ranges(NodeId a, NodeId g, Ruling& ruling);

  // comparison_numbers.cpp: what is a number as it stands
  bool is_number(NodeId id);
  bool is_number_matrix(NodeId id);
  bool is_number_statement(NodeId id);
  bool is_numbers(NodeId id);

  // comparison_scalars.cpp: one quantity each
  struct Quantity {
    NodeId value = kNoNode;
    std::string_view unit;
    bool percent = false;
  };
  Quantity quantity(NodeId id);
  Ruling compare_scalars(NodeId a, NodeId g);
  Ruling compare_quantities(NodeId a, NodeId g);
  bool decimal_of(NodeId id, Decimal& decimal);
  bool compare_long_fractions(NodeId a, NodeId g, Ruling& ruling);
  bool compare_special(NodeId a, NodeId g, Ruling& ruling);
  bool compare_based(NodeId a, NodeId g, Ruling& ruling);
  bool within_tolerance(NodeId a, NodeId g);
  int infinity_sign(NodeId id) const;
  bool is_word(NodeId id) const;
  NodeId matrix_of(NodeId id);
  NodeId matrix_sum(NodeId id);
  NodeId matrix_product(NodeId a, NodeId b);
  NodeId scaled_matrix(NodeId matrix, NodeId factor, Kind kind);

  Expressions& tree_;
  Budget& budget_;
  const EqualityOptions& options_;
  Exact exact_;
  Identity identity_;
};

}  // namespace thinktune::reward
