#include "text/jinja_interpreter.h"
#include "thinktune/core/error.h"

namespace thinktune::text::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  // What ends an evaluation at once needs neither a step's bookkeeping nor a deeper stack.
  if (expr.type == Expr::Type::Constant) return expr.value;
  runtime_.charge(1);
  const Deeper deeper(*this);
  line_ = expr.line;
  return evaluate_inside(expr);
}

Value Interpreter::evaluate_inside(const Expr& expr) {
  switch (expr.type) {
    case Expr::Type::Constant:
      return expr.value;
    case Expr::Type::Name:
      return name(expr);
    case Expr::Type::Captured:
      return std::exchange(captured_, Value());
    case Expr::Type::List:
    case Expr::Type::Tuple:
    case Expr::Type::Dict:
      return display(expr);
    case Expr::Type::Attribute: {
      const Value object = evaluate(*expr.children[0]);
      line_ = expr.line;
      return attribute(runtime_, object, expr.name);
    }
    case Expr::Type::Item:
      return item(expr);
    case Expr::Type::Slice:
      fail("a slice stands alone in its brackets");
    case Expr::Type::Call:
      return call(expr);
    case Expr::Type::Filter:
    case Expr::Type::Test:
      return filter_or_test(expr);
    case Expr::Type::Not:
      return Value::boolean(!is_true(evaluate(*expr.children[0])));
    case Expr::Type::Negative:
      return negated(evaluate(*expr.children[0]));
    case Expr::Type::Positive: {
      const Value value = evaluate(*expr.children[0]);
      return value.is(Kind::Float) ? value : Value::integer(require_integer("+", value));
    }
    case Expr::Type::And:
    case Expr::Type::Or: {
      Value value;
      for (const ExprPtr& child : expr.children) {
        value = evaluate(*child);
        if (is_true(value) == (expr.type == Expr::Type::Or)) break;
      }
      return value;
    }
    case Expr::Type::Arithmetic:
      return arithmetic(expr);
    case Expr::Type::Concat:
      return concatenation(expr);
    case Expr::Type::Compare:
      return comparison(expr);
    case Expr::Type::Conditional:
      return conditional(expr);
  }
  return {};
}

Value Interpreter::name(const Expr& expr) {
  if (const Value* value = scope_->find(expr.symbol)) return *value;
  const auto symbol = static_cast<size_t>(expr.symbol);
  return has_global_[symbol] ? globals_[symbol] : Value::undefined(&expr.name);
}

Value Interpreter::display(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) items.push_back(evaluate(*child));
  line_ = expr.line;
  if (expr.type == Expr::Type::List) return runtime_.list(std::move(items));
  if (expr.type == Expr::Type::Tuple) return runtime_.list(std::move(items), List::Flavor::Tuple);
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < items.size(); i += 2) entries.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  return runtime_.dict(std::move(entries));
}

Value Interpreter::item(const Expr& expr) {
  const Value object = evaluate(*expr.children[0]);
  const Expr& key = *expr.children[1];
  if (key.type != Expr::Type::Slice) {
    const Value at = evaluate(key);
    line_ = expr.line;
    return jinja::item(runtime_, object, at);
  }
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) bounds[i] = key.children[i] != nullptr ? evaluate(*key.children[i]) : Value::none();
  line_ = expr.line;
  return slice(runtime_, object, bounds[0], bounds[1], bounds[2]);
}

Value Interpreter::arithmetic(const Expr& expr) {
  Value value = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    const Value right = evaluate(*expr.children[i + 1]);
    line_ = expr.children[i + 1]->line;
    value = jinja::arithmetic(runtime_, expr.operators[i], value, right);
  }
  return value;
}

Value Interpreter::concatenation(const Expr& expr) {
  MarkedText all;
  for (const ExprPtr& child : expr.children) {
    all.append(to_text(runtime_, evaluate(*child)));
    runtime_.check_text(all.size());
  }
  return runtime_.text(std::move(all));
}

bool Interpreter::compares(Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::Equal:
      return equal(runtime_, a, b);
    case Comparison::NotEqual:
      return !equal(runtime_, a, b);
    case Comparison::Less:
      return compare(runtime_, a, b) == -1;
    case Comparison::LessEqual: {
      const int order = compare(runtime_, a, b);
      return order == -1 || order == 0;
    }
    case Comparison::Greater:
      return compare(runtime_, a, b) == 1;
    case Comparison::GreaterEqual: {
      const int order = compare(runtime_, a, b);
      return order == 1 || order == 0;
    }
    case Comparison::In:
      return contains(runtime_, b, a);
    case Comparison::NotIn:
      return !contains(runtime_, b, a);
  }
  return false;
}

Value Interpreter::comparison(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.comparisons.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1]);
    line_ = expr.line;
    if (!compares(expr.comparisons[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::conditional(const Expr& expr) {
  if (is_true(evaluate(*expr.children[1]))) return evaluate(*expr.children[0]);
  return expr.children[2] != nullptr ? evaluate(*expr.children[2]) : Value::undefined();
}

Value Interpreter::filter_or_test(const Expr& expr) {
  const bool is_filter = expr.type == Expr::Type::Filter;
  if (expr.function == nullptr) fail("no {} is named '{}'", is_filter ? "filter" : "test", expr.name);
  const Value value = evaluate(*expr.children[0]);
  const Arguments given = arguments(expr.arguments);
  line_ = expr.line;
  return expr.function(runtime_, value, given);
}

Arguments Interpreter::arguments(const std::vector<Argument>& given) {
  Arguments all;
  for (const Argument& argument : given) {
    Value value = evaluate(*argument.value);
    switch (argument.type) {
      case Argument::Type::Positional:
        all.positional.push_back(std::move(value));
        break;
      case Argument::Type::Named:
        all.named.emplace_back(argument.name, std::move(value));
        break;
      case Argument::Type::Sequence: {
        const auto list = items_of(runtime_, value);
        all.positional.insert(all.positional.end(), list->items.begin(), list->items.end());
        break;
      }
      case Argument::Type::Mapping:
        if (!value.is(Kind::Dict)) fail("** needs a dict, not {}", type_name(value));
        for (const auto& [name, one] : value.as_dict().entries)
          all.named.emplace_back(require_text("**", name).bytes(), one);
        break;
    }
  }
  return all;
}

Value Interpreter::call(const Expr& expr) {
  const Expr& callee = *expr.children[0];
  if (callee.type == Expr::Type::Attribute) {  // a method, without a value made of it first
    const Value object = evaluate(*callee.children[0]);
    if (const NamedFunction* method = find_method(object, callee.name)) {
      const Arguments given = arguments(expr.arguments);
      line_ = callee.line;
      return method->function(runtime_, object, given);
    }
    line_ = callee.line;
    const Value found = attribute(runtime_, object, callee.name);
    const Arguments given = arguments(expr.arguments);
    line_ = callee.line;
    return call_value(found, given);
  }
  const Value found = evaluate(callee);
  const Arguments given = arguments(expr.arguments);
  line_ = expr.line;
  return call_value(found, given);
}

Value Interpreter::call_value(const Value& callee, const Arguments& given) {
  switch (callee.kind()) {
    case Kind::Undefined:
      fail("{}", explain(callee.as_undefined()));
    case Kind::Callable:
      if (callee.as_callable().macro != nullptr) return call_macro(callee.as_callable(), given);
      return callee.as_callable().function(runtime_, callee.as_callable().self, given);
    case Kind::State: {
      State& state = callee.as_state();
      if (state.type != State::Type::Joiner) break;
      const Parameters p("a joiner", given, {});
      return state.next++ == 0 ? runtime_.text(MarkedText()) : state.items[0];
    }
    case Kind::Loop: {
      const std::shared_ptr<Loop> loop = callee.as_loop();
      if (loop->recursive == nullptr) fail("'loop' can be called inside its own {{% for … recursive %}} alone");
      const Parameters p("loop", given, {"iterable"}, 1);
      const Deeper deeper(*this);
      const int line = line_;
      const NewScope scope(*this, loop->scope);
      MarkedText text;
      struct Capturing {
        Interpreter& interpreter;
        MarkedText* outside;
        size_t printed;
        ~Capturing() { interpreter.out_ = outside, interpreter.printed_ = printed; }
      } capturing{*this, out_, printed_};
      out_ = &text;
      execute_for(*loop->recursive, p[0], loop->depth + 1);
      line_ = line;
      return runtime_.text(std::move(text));
    }
    default:
      break;
  }
  fail("a {} cannot be called", type_name(callee));
}

}  // namespace thinktune::text::jinja
