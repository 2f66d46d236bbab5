#include "text/jinja_interpreter.h"

#include "text/jinja_lexer.h"
#include "thinktune/core/error.h"

namespace thinktune::text::jinja {

MarkedText Interpreter::run(const Variables& variables) {
  globals_.resize(program_.names.size());
  has_global_.resize(program_.names.size());
  for (size_t i = 0; i < program_.names.size(); ++i) {
    for (const auto& [name, value] : variables) {
      if (name != program_.names[i]) continue;
      globals_[i] = value;
      has_global_[i] = true;
    }
    const NamedFunction* function = has_global_[i] ? nullptr : find_global(program_.names[i]);
    if (function == nullptr) continue;
    globals_[i] = runtime_.method(function->name, function->function, Value());
    has_global_[i] = true;
  }
  MarkedText out;
  out_ = &out;
  try {
    const NewScope scope(*this);
    execute(program_.body);
  } catch (const TemplateError& error) {
    if (error.is_refusal())
      throw core::data_error(
          fmt::format("the chat template refuses this conversation (line {}): {}", line_, error.what()));
    fail_at(line_, error.what());
  }
  return out;
}

Interpreter::Flow Interpreter::execute(const std::vector<Stmt>& block) {
  for (const Stmt& stmt : block)
    if (const Flow flow = execute(stmt); flow != Flow::Next) return flow;
  return Flow::Next;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt) {
  line_ = stmt.line;
  runtime_.charge(1);
  const Deeper deeper(*this);
  switch (stmt.type) {
    case Stmt::Type::Text:
      print(stmt.text.as_text());
      break;
    case Stmt::Type::Print:
      print(evaluate(*stmt.expr));
      break;
    case Stmt::Type::If:
      return execute_if(stmt);
    case Stmt::Type::For:
      return execute_for(stmt, evaluate(*stmt.expr), 1);
    case Stmt::Type::Set:
      assign(*stmt.target, evaluate(*stmt.expr));
      break;
    case Stmt::Type::SetBlock:
      execute_set_block(stmt);
      break;
    case Stmt::Type::Macro:
      scope_->set(stmt.target->symbol, make_macro(*stmt.macro));
      break;
    case Stmt::Type::CallBlock:
      execute_call_block(stmt);
      break;
    case Stmt::Type::FilterBlock:
      execute_filter_block(stmt);
      break;
    case Stmt::Type::With:
      return execute_with(stmt);
    case Stmt::Type::Generation:
      execute_generation(stmt);
      break;
    case Stmt::Type::Break:
      return Flow::Break;
    case Stmt::Type::Continue:
      return Flow::Continue;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::execute_if(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches)
    if (is_true(evaluate(*branch.condition))) return execute(branch.body);
  return execute(stmt.otherwise);
}

bool Interpreter::keeps(const Stmt& stmt, const Value& item) {
  const NewScope scope(*this);
  assign(*stmt.target, item);
  return is_true(evaluate(*stmt.condition));
}

// A condition is asked item by item, between the iterations, as in Jinja; only where the body speaks of `loop`, which
// knows how many there are, before the first.
Interpreter::Flow Interpreter::execute_for(const Stmt& stmt, const Value& over, int depth) {
  std::shared_ptr<const List> list = items_of(runtime_, over);
  bool has_items = false;
  if (!stmt.uses_loop) {
    iterate(stmt, list->items, nullptr, has_items);
  } else {
    if (stmt.condition != nullptr) {
      std::vector<Value> kept;
      for (const Value& item : list->items)
        if (keeps(stmt, item)) kept.push_back(item);
      list = runtime_.list(std::move(kept)).list_pointer();
    }
    // However the loop ends: `loop` and the variables around it may hold each other.
    struct Running {
      ~Running() { loop->scope.reset(), loop->recursive = nullptr; }
      std::shared_ptr<Loop> loop = std::make_shared<Loop>();
    } running;
    running.loop->list = list;
    running.loop->depth = depth;
    running.loop->recursive = stmt.is_recursive ? &stmt : nullptr;
    running.loop->scope = scope_;
    const NewScope scope(*this);
    scope_->set(program_.symbols.loop, Value::object(running.loop));
    iterate(stmt, list->items, running.loop.get(), has_items);
  }
  if (has_items || stmt.otherwise.empty()) return Flow::Next;
  const NewScope scope(*this);
  return execute(stmt.otherwise);
}

Interpreter::Flow Interpreter::iterate(const Stmt& stmt, const std::vector<Value>& items, Loop* loop, bool& has_items) {
  NewScope scope(*this);
  for (size_t i = 0; i < items.size(); ++i) {
    runtime_.charge(1);
    if (loop != nullptr) {
      loop->index0 = i;
    } else if (stmt.condition != nullptr && !keeps(stmt, items[i])) {
      continue;
    }
    has_items = true;
    scope.renew();
    line_ = stmt.line;
    assign(*stmt.target, items[i]);
    if (execute(stmt.body) == Flow::Break) break;
  }
  return Flow::Next;
}

MarkedText Interpreter::capture(const std::vector<Stmt>& block) {
  MarkedText text;
  struct Capturing {
    Interpreter& interpreter;
    MarkedText* outside;
    size_t printed;
    ~Capturing() { interpreter.out_ = outside, interpreter.printed_ = printed; }
  } capturing{*this, out_, printed_};
  out_ = &text;
  execute(block);
  return text;
}

void Interpreter::execute_set_block(const Stmt& stmt) {
  Value value = [&] {
    const NewScope scope(*this);
    return runtime_.text(capture(stmt.body));
  }();
  if (stmt.expr != nullptr) {
    captured_ = std::move(value);
    value = evaluate(*stmt.expr);
  }
  assign(*stmt.target, value);
}

void Interpreter::execute_filter_block(const Stmt& stmt) {
  const NewScope scope(*this);
  captured_ = runtime_.text(capture(stmt.body));
  print(evaluate(*stmt.expr));
}

void Interpreter::execute_call_block(const Stmt& stmt) {
  const Expr& expr = *stmt.expr;
  const Value callee = evaluate(*expr.children[0]);
  Arguments given = arguments(expr.arguments);
  given.named.emplace_back("caller", make_macro(*stmt.macro));
  line_ = stmt.line;
  print(call_value(callee, given));
}

Interpreter::Flow Interpreter::execute_with(const Stmt& stmt) {
  std::vector<Value> values;  // none of them sees another's variable
  for (const ExprPtr& value : stmt.values) values.push_back(evaluate(*value));
  const NewScope scope(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(*stmt.targets[i], values[i]);
  return execute(stmt.body);
}

void Interpreter::execute_generation(const Stmt& stmt) {
  const NewScope scope(*this);
  execute(stmt.body);
}

void Interpreter::assign(const Expr& target, const Value& value) {
  if (target.type == Expr::Type::Name) return scope_->set(target.symbol, value);
  if (target.type == Expr::Type::Attribute) {
    const Value space = evaluate(*target.children[0]);
    if (!space.is(Kind::Namespace))
      fail("'{}.{}' cannot be set: only a namespace() has attributes that change", target.children[0]->name,
           target.name);
    if (target.name.starts_with('_')) fail("a namespace's attribute may not begin with '_': '{}'", target.name);
    if (Value* known = space.as_namespace().find(target.name)) {
      *known = value;
    } else {
      space.as_namespace().attributes.emplace_back(target.name, value);
    }
    return;
  }
  const auto parts = items_of(runtime_, value);
  if (parts->items.size() != target.children.size())
    fail("{} values do not fit into {} variables", parts->items.size(), target.children.size());
  for (size_t i = 0; i < target.children.size(); ++i) assign(*target.children[i], parts->items[i]);
}

void Interpreter::print(const MarkedText& text) {
  printed_ += text.size();
  runtime_.charge(text.size() / 32);
  runtime_.check_output(printed_);
  out_->append(text);
}

void Interpreter::print(const Value& value) {
  if (value.is_text()) {
    print(value.as_text());
  } else if (!value.is_undefined()) {
    print(to_text(runtime_, value));
  }
}

Value Interpreter::make_macro(const MacroNode& node) {
  auto macro = std::make_shared<Callable>();
  macro->name = node.name;
  macro->macro = &node;
  macro->scope = scope_;
  runtime_.take_memory(sizeof(Scope));  // kept to the end of the run
  runtime_.keep(scope_);
  return Value::object(std::shared_ptr<const Callable>(std::move(macro)));
}

void Interpreter::bind(const MacroNode& node, const Arguments& given, Scope& scope) {
  std::vector<bool> is_used(given.named.size());
  std::vector<const Value*> values(node.parameters.size());
  for (size_t i = 0; i < node.parameters.size(); ++i) {
    if (i < given.positional.size()) values[i] = &given.positional[i];
    for (size_t n = 0; n < given.named.size(); ++n) {
      if (given.named[n].first != node.parameters[i].name || is_used[n]) continue;
      if (values[i] != nullptr) fail("macro '{}' is given '{}' twice", node.name, given.named[n].first);
      values[i] = &given.named[n].second;
      is_used[n] = true;
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {  // a default may speak of the parameters in front of it
    const MacroParameter& parameter = node.parameters[i];
    scope.set(parameter.symbol, values[i] != nullptr             ? *values[i]
                                : parameter.otherwise != nullptr ? evaluate(*parameter.otherwise)
                                                                 : Value::undefined(&parameter.name));
  }
  std::vector<Value> more;
  for (size_t i = values.size(); i < given.positional.size(); ++i) more.push_back(given.positional[i]);
  std::vector<std::pair<Value, Value>> more_named;
  Value caller;
  for (size_t n = 0; n < given.named.size(); ++n) {
    if (is_used[n]) continue;
    if (given.named[n].first == "caller") {
      caller = given.named[n].second;
    } else {
      more_named.emplace_back(runtime_.text(given.named[n].first, Mark::Template), given.named[n].second);
    }
  }
  if (!more.empty() && !node.uses_varargs)
    fail("macro '{}' takes {} arguments, not {}", node.name, values.size(), given.positional.size());
  if (!more_named.empty() && !node.uses_kwargs)
    fail("macro '{}' has no argument '{}'", node.name, more_named[0].first.bytes());
  if (!caller.is_undefined() && !node.uses_caller) fail("macro '{}' does not use its caller", node.name);
  if (node.uses_varargs) scope.set(program_.symbols.varargs, runtime_.list(std::move(more), List::Flavor::Tuple));
  if (node.uses_kwargs) scope.set(program_.symbols.kwargs, runtime_.dict(std::move(more_named)));
  // A macro never sees the caller of one around it.
  if (node.uses_caller && !node.has_parameter(program_.symbols.caller)) scope.set(program_.symbols.caller, caller);
}

Value Interpreter::call_macro(const Callable& macro, const Arguments& given) {
  const Deeper deeper(*this);
  const int line = line_;
  const NewScope scope(*this, macro.scope);
  bind(*macro.macro, given, *scope_);
  Value text = runtime_.text(capture(macro.macro->body));
  line_ = line;
  return text;
}

}  // namespace thinktune::text::jinja
