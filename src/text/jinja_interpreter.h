// Runs a parsed template. One object renders once; statements are in jinja_interpreter.cpp, expressions in
// jinja_evaluator.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"
#include "text/jinja_scope.h"

namespace thinktune::text::jinja {

// A program's variable by its name, for the caller of render().
using Variables = std::vector<std::pair<std::string, Value>>;

class Interpreter {
 public:
  Interpreter(const Program& program, Runtime& runtime) : program_(program), runtime_(runtime) {}

  // Throws core::Error{Data} naming the line.
  MarkedText run(const Variables& variables);

 private:
  enum class Flow { Next, Break, Continue };

  // Statements.
  Flow execute(const std::vector<Stmt>& block);
  Flow execute(const Stmt& stmt);
  Flow execute_if(const Stmt& stmt);
  Flow execute_for(const Stmt& stmt, const Value& over, int depth);
  Flow iterate(const Stmt& stmt, const std::vector<Value>& items, Loop* loop, bool& has_items);
  bool keeps(const Stmt& stmt, const Value& item);
  void execute_set_block(const Stmt& stmt);
  void execute_call_block(const Stmt& stmt);
  void execute_filter_block(const Stmt& stmt);
  Flow execute_with(const Stmt& stmt);
  void execute_generation(const Stmt& stmt);
  void assign(const Expr& target, const Value& value);
  void print(const MarkedText& text);
  void print(const Value& value);
  // What the block prints, with variables of its own.
  MarkedText capture(const std::vector<Stmt>& block);
  Value make_macro(const MacroNode& node);

  // Expressions.
  Value evaluate(const Expr& expr);
  Value evaluate_inside(const Expr& expr);
  Value name(const Expr& expr);
  Value item(const Expr& expr);
  Value arithmetic(const Expr& expr);
  Value concatenation(const Expr& expr);
  Value comparison(const Expr& expr);
  Value conditional(const Expr& expr);
  Value display(const Expr& expr);  // a list, tuple or dict
  Value filter_or_test(const Expr& expr);
  Value call(const Expr& expr);
  bool compares(Comparison comparison, const Value& a, const Value& b);
  Arguments arguments(const std::vector<Argument>& given);
  Value call_value(const Value& callee, const Arguments& given);
  Value call_macro(const Callable& macro, const Arguments& given);
  void bind(const MacroNode& node, const Arguments& given, Scope& scope);

  class Deeper;    // counts nesting, for as long as it lives
  class NewScope;  // variables of its own, for as long as it lives

  const Program& program_;
  Runtime& runtime_;
  std::vector<Value> globals_;  // by symbol; undefined: none
  std::vector<bool> has_global_;
  std::shared_ptr<Scope> scope_;
  MarkedText* out_ = nullptr;
  size_t printed_ = 0;  // bytes, in all texts that are being captured together
  Value captured_;
  int line_ = 1;
  int depth_ = 0;
};

// Throws where recursion would overflow the stack.
class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& interpreter) : interpreter_(interpreter) {
    if (interpreter.depth_ >= kMaxCallDepth) fail("macros or values call each other more than {} deep", kMaxCallDepth);
    ++interpreter.depth_;
  }
  ~Deeper() { --interpreter_.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Interpreter& interpreter_;
};

class Interpreter::NewScope {
 public:
  explicit NewScope(Interpreter& interpreter) : NewScope(interpreter, interpreter.scope_) {}
  NewScope(Interpreter& interpreter, std::shared_ptr<Scope> parent)
      : interpreter_(interpreter), outside_(std::move(interpreter.scope_)) {
    interpreter.scope_ = std::make_shared<Scope>();
    interpreter.scope_->parent = std::move(parent);
  }
  ~NewScope() { interpreter_.scope_ = std::move(outside_); }
  NewScope(const NewScope&) = delete;
  NewScope& operator=(const NewScope&) = delete;

  // Empty again, for the next iteration: the same object, unless a macro has kept it.
  void renew() {
    auto& scope = interpreter_.scope_;
    if (scope.use_count() == 1) {
      scope->variables.clear();
    } else {
      auto parent = scope->parent;
      scope = std::make_shared<Scope>();
      scope->parent = std::move(parent);
    }
  }

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outside_;
};

}  // namespace thinktune::text::jinja
