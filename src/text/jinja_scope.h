// Where a template's variables live.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace thinktune::text::jinja {

// A stretch of a template with variables of its own: an iteration of a loop, a macro's call. Variables are known by
// the number that the parser gave their name.
struct Scope {
  std::vector<std::pair<int, Value>> variables;
  std::shared_ptr<Scope> parent;

  const Value* find(int symbol) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get())
      for (const auto& [name, value] : scope->variables)
        if (name == symbol) return &value;
    return nullptr;
  }

  void set(int symbol, Value value) {
    for (auto& [name, old] : variables)
      if (name == symbol) {
        old = std::move(value);
        return;
      }
    variables.emplace_back(symbol, std::move(value));
  }
};

}  // namespace thinktune::text::jinja
