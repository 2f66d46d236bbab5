// The functions that every template finds: Jinja's, and the two that transformers adds.
#include <array>
#include <ctime>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // Jinja's sandbox has the same

Value range(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Parameters p("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = p.has(1) ? p.integer(0) : 0;
  const int64_t stop = p.has(1) ? p.integer(1) : p.integer(0);
  const int64_t step = p.integer_or(2, 1);
  if (step == 0) fail("range: the step is 0");
  const __int128 distance = step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? step : -static_cast<__int128>(step);
  const __int128 count = distance <= 0 ? 0 : (distance + stride - 1) / stride;
  if (count > kMaxRange) fail("range: more than {} numbers", kMaxRange);
  std::vector<Value> numbers;
  numbers.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) numbers.push_back(Value::integer(start + i * step));
  return runtime.list(std::move(numbers), List::Flavor::Range);
}

std::vector<std::pair<Value, Value>> entries_of(Runtime& runtime, std::string_view function,
                                                const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) fail("'{}' takes one dict or list of pairs", function);
  if (arguments.positional.size() == 1 && arguments.positional[0].is(Kind::Dict)) {
    entries = arguments.positional[0].as_dict().entries;
  } else if (arguments.positional.size() == 1) {
    const auto list = items_of(runtime, arguments.positional[0]);
    for (const Value& pair : list->items) {
      const auto both = items_of(runtime, pair);
      if (both->items.size() != 2) fail("'{}' needs pairs of a key and a value", function);
      entries.emplace_back(both->items[0], both->items[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) entries.emplace_back(runtime.text(name, Mark::Template), value);
  return entries;
}

Value make_dict(Runtime& runtime, const Value&, const Arguments& arguments) {
  return runtime.dict(entries_of(runtime, "dict", arguments));
}

Value make_namespace(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Value space = runtime.make_namespace();
  for (const auto& [name, value] : entries_of(runtime, "namespace", arguments)) {
    const std::string& text = require_text("namespace", name).bytes();
    if (text.starts_with('_')) fail("a namespace's attribute may not begin with '_': '{}'", text);
    runtime.charge(space.as_namespace().attributes.size() / 4);
    if (Value* known = space.as_namespace().find(text)) {
      *known = value;
    } else {
      space.as_namespace().attributes.emplace_back(text, value);
    }
  }
  return space;
}

Value cycler(Runtime& runtime, const Value&, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) fail("'cycler' needs values to cycle through");
  auto state = std::make_shared<State>();
  state->items = arguments.positional;
  runtime.take_memory(sizeof(State) + state->items.size() * sizeof(Value));  // kept to the end of the run
  runtime.keep(state);
  return Value::object(std::move(state));
}

Value joiner(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Parameters p("joiner", arguments, {"sep"});
  auto state = std::make_shared<State>();
  state->type = State::Type::Joiner;
  state->items = {p.value_or(0, runtime.text(", ", Mark::Template))};
  runtime.take_memory(sizeof(State) + sizeof(Value));
  runtime.keep(state);
  return Value::object(std::move(state));
}

Value raise_exception(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Parameters p("raise_exception", arguments, {"message"}, 1);
  throw TemplateError(to_text(runtime, p[0]).bytes(), true);
}

Value strftime_now(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Parameters p("strftime_now", arguments, {"format"}, 1);
  return runtime.text(format_time(runtime.now, p.text(0)));
}

constexpr NamedFunction kGlobals[] = {
    {"cycler", cycler},
    {"dict", make_dict},
    {"joiner", joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

const NamedFunction* find_global(std::string_view name) {
  for (const auto& global : kGlobals)
    if (global.name == name) return &global;
  return nullptr;
}

// Each specifier of its own, so that the text between keeps its marks and nothing but a specifier reaches the library.
MarkedText format_time(const std::tm& time, const MarkedText& format) {
  MarkedText out;
  const std::string& bytes = format.bytes();
  for (size_t i = 0; i < bytes.size();) {
    if (bytes[i] != '%') {
      out.append(format, i, i + 1);
      ++i;
      continue;
    }
    size_t end = i + 1;
    if (end < bytes.size() && bytes[end] == '-') ++end;  // no padding
    const char letter = end < bytes.size() ? bytes[end] : '\0';
    if (letter == '\0' ||
        std::string_view("aAbBcCdDeFgGhHIjklmMnprRStTuUVwWxXyYzZf%").find(letter) == std::string_view::npos)
      fail("strftime_now: '{}' is no format known here", bytes.substr(i, 3));
    if (letter == 'f') {
      out.append("000000", Mark::Template);       // the time is known to the second
    } else if (letter != 'z' && letter != 'Z') {  // a time without a zone, as in transformers
      std::array<char, 128> buffer{};
      const size_t size = std::strftime(buffer.data(), buffer.size(), bytes.substr(i, end + 1 - i).c_str(), &time);
      out.append(std::string_view(buffer.data(), size), format.mark(i));
    }
    i = end + 1;
  }
  return out;
}

}  // namespace thinktune::text::jinja
