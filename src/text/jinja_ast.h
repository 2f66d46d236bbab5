// A parsed template. Immutable: threads share it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja_runtime.h"
#include "text/jinja_value.h"

namespace thinktune::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class Comparison { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, In, NotIn };

struct Argument {
  enum class Type { Positional, Named, Sequence, Mapping };  // a, name=a, *a, **a
  Type type = Type::Positional;
  std::string name;
  ExprPtr value;
};

struct Expr {
  enum class Type {
    Constant,
    Name,
    Captured,  // the text of a filter block or a block set, where its filters begin
    List,
    Tuple,
    Dict,       // children: key, value, key, value …
    Attribute,  // a.name
    Item,       // a[b]
    Slice,      // a[b:c:d]; children b, c, d may be null
    Call,       // a(arguments)
    Filter,     // a|name(arguments)
    Test,       // a is name(arguments)
    Not,
    Negative,
    Positive,
    And,  // two or more children
    Or,
    Arithmetic,   // operators between the children, from the left
    Concat,       // ~
    Compare,      // a < b < c
    Conditional,  // children: value, condition, otherwise (may be null)
  };
  Type type = Type::Constant;
  int line = 0;
  int depth = 1;  // of the tree below: bounded, so that recursion over it is
  Value value;
  std::string name;
  int symbol = -1;              // Name
  Function function = nullptr;  // Filter and Test; null: unknown, an error when reached
  std::vector<ExprPtr> children;
  std::vector<Operator> operators;
  std::vector<Comparison> comparisons;
  std::vector<Argument> arguments;
};

using Block = std::vector<Stmt>;

struct MacroParameter {
  std::string name;
  int symbol = -1;
  ExprPtr otherwise;  // null: undefined if not given
};

struct MacroNode {
  std::string name;
  int line = 0;
  std::vector<MacroParameter> parameters;
  std::vector<Stmt> body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;

  bool has_parameter(int symbol) const {
    return std::any_of(parameters.begin(), parameters.end(), [&](const auto& p) { return p.symbol == symbol; });
  }
};

struct Branch {
  ExprPtr condition;
  std::vector<Stmt> body;
};

struct Stmt {
  enum class Type {
    Text,
    Print,
    If,
    For,
    Set,
    SetBlock,
    Macro,
    CallBlock,
    FilterBlock,
    With,
    Generation,
    Break,
    Continue
  };
  Type type = Type::Text;
  int line = 0;
  Value text;      // Text
  ExprPtr target;  // For, Set, SetBlock: Name, Tuple of targets, or Attribute of a namespace
  ExprPtr expr;    // what is printed, walked, assigned, called; the filters of SetBlock (may be null) and FilterBlock
  ExprPtr condition;  // For
  bool is_recursive = false;
  bool uses_loop = false;        // For: whether `loop` occurs in the body
  std::vector<Branch> branches;  // If
  std::vector<Stmt> body;
  std::vector<Stmt> otherwise;       // else of If and For
  std::vector<ExprPtr> targets;      // With
  std::vector<ExprPtr> values;       // With
  std::unique_ptr<MacroNode> macro;  // Macro, and the body of CallBlock
};

// The names that the interpreter itself gives values to.
struct Symbols {
  int loop = -1, caller = -1, varargs = -1, kwargs = -1;
};

struct Program {
  std::vector<Stmt> body;
  std::vector<std::string> names;  // symbol → name
  Symbols symbols;
};

// Throws core::Error{Data} naming the line.
std::shared_ptr<const Program> parse_template(const std::string& source);

}  // namespace thinktune::text::jinja
