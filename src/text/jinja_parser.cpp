#include "text/jinja_parser.h"

#include <algorithm>

#include "thinktune/core/error.h"

namespace thinktune::text::jinja {
namespace {
constexpr int kMaxNesting = 300;
}

Parser::Deeper::Deeper(Parser& parser) : parser_(parser) {
  if (parser.nesting_ >= kMaxNesting)
    fail_at(parser.peek().line, fmt::format("tags or brackets are nested more than {} deep", kMaxNesting));
  ++parser.nesting_;
}

Parser::Parser(const std::string& source) : tokens_(tokenize(source)) {
  program_.symbols = {symbol("loop"), symbol("caller"), symbol("varargs"), symbol("kwargs")};
}

Program Parser::run() {
  program_.body = block({}, "", 1);
  if (!unknown_.empty()) fail_at(unknown_[0].line, unknown_[0].message);
  return std::move(program_);
}

bool Parser::skip_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) unexpected(fmt::format("'{}'", op));
}

std::string Parser::expect_name(std::string_view what) {
  if (peek().type != Token::Type::Name) unexpected(what);
  return next().text;
}

void Parser::expect_end_of_tag() {
  if (peek().type != Token::Type::BlockEnd) unexpected("%}");
  next();
}

void Parser::unexpected(std::string_view wanted) const {
  const Token& token = peek();
  std::string found;
  switch (token.type) {
    case Token::Type::BlockEnd:
      found = "%}";
      break;
    case Token::Type::PrintEnd:
      found = "}}";
      break;
    case Token::Type::String:
      found = "a string";
      break;
    case Token::Type::End:
      found = "the template's end";
      break;
    default:
      found = fmt::format("'{}'", token.text);
  }
  fail_at(token.line, fmt::format("{} stands where {} was to come", found, wanted));
}

int Parser::symbol(const std::string& name) {
  const auto [at, is_new] = symbols_.emplace(name, static_cast<int>(program_.names.size()));
  if (is_new) {
    program_.names.push_back(name);
    mentions_.push_back(0);
  }
  ++mentions_[static_cast<size_t>(at->second)];
  return at->second;
}

// Statements up to a tag of one of these names, which is next then (its "{%" is taken); or to the template's end.
std::vector<Stmt> Parser::block(std::initializer_list<std::string_view> ends, std::string_view opened_by, int line) {
  std::vector<Stmt> statements;
  while (true) {
    const Token& token = peek();
    switch (token.type) {
      case Token::Type::End:
        if (ends.size() != 0) fail_at(line, fmt::format("this {{% {} %}} does not end", opened_by));
        return statements;
      case Token::Type::Data: {
        Stmt stmt{.type = Stmt::Type::Text, .line = token.line};
        stmt.text = text_constant(token.text, token.line)->value;
        statements.push_back(std::move(stmt));
        next();
        break;
      }
      case Token::Type::PrintBegin: {
        next();
        Stmt stmt{.type = Stmt::Type::Print, .line = token.line};
        stmt.expr = tuple();
        if (peek().type != Token::Type::PrintEnd) unexpected("}}");
        next();
        statements.push_back(std::move(stmt));
        break;
      }
      default:
        next();
        if (peek().type != Token::Type::Name) unexpected("a tag's name");
        if (std::find(ends.begin(), ends.end(), peek().text) != ends.end()) return statements;
        statements.push_back(statement());
    }
  }
}

Stmt Parser::statement() {
  const Deeper deeper(*this);
  const int line = peek().line;
  const std::string word = next().text;
  if (word == "if") return if_statement(line);
  if (word == "for") return for_statement(line);
  if (word == "set") return set_statement(line);
  if (word == "macro") return macro_statement(line);
  if (word == "call") return call_statement(line);
  if (word == "filter") return filter_statement(line);
  if (word == "with") return with_statement(line);
  if (word == "break" || word == "continue") return jump_statement(word, line);
  if (word == "generation") {
    Stmt stmt{.type = Stmt::Type::Generation, .line = line};
    expect_end_of_tag();
    stmt.body = captured_block("endgeneration", line);
    end_block("endgeneration");
    return stmt;
  }
  if (word == "print") {
    Stmt stmt{.type = Stmt::Type::Print, .line = line};
    stmt.expr = wrap(Expr::Type::Concat, expression());
    while (skip_operator(",")) stmt.expr = add_child(std::move(stmt.expr), expression());
    expect_end_of_tag();
    return stmt;
  }
  if (word == "include" || word == "import" || word == "from" || word == "extends")
    fail_at(line, fmt::format("{{% {} %}} would read another file, which a chat template may not", word));
  if (word.starts_with("end") || word == "elif" || word == "else")
    fail_at(line, fmt::format("{{% {} %}} closes nothing that is open here", word));
  fail_at(line, fmt::format("the tag {{% {} %}} is not known", word));
}

void Parser::end_block(std::string_view end) {
  if (!skip_name(end)) unexpected(end);
  expect_end_of_tag();
}

// A body that a break cannot leave.
std::vector<Stmt> Parser::captured_block(std::string_view end, int line) {
  const int loops_outside = std::exchange(num_loops_, 0);
  auto body = block({end}, end.substr(3), line);
  num_loops_ = loops_outside;
  return body;
}

Stmt Parser::if_statement(int line) {
  Stmt stmt{.type = Stmt::Type::If, .line = line};
  const size_t num_unknown = unknown_.size();
  do {
    Branch branch;
    branch.condition = tuple(false);
    expect_end_of_tag();
    branch.body = block({"elif", "else", "endif"}, "if", line);
    stmt.branches.push_back(std::move(branch));
  } while (skip_name("elif"));
  if (skip_name("else")) {
    expect_end_of_tag();
    stmt.otherwise = block({"endif"}, "if", line);
  }
  unknown_.resize(num_unknown);
  end_block("endif");
  return stmt;
}

Stmt Parser::for_statement(int line) {
  Stmt stmt{.type = Stmt::Type::For, .line = line};
  stmt.target = target(false);
  if (!skip_name("in")) unexpected("in");
  stmt.expr = tuple(false);
  if (skip_name("if")) stmt.condition = expression();
  stmt.is_recursive = skip_name("recursive");
  expect_end_of_tag();
  const int mentions = num_mentions(program_.symbols.loop);
  ++num_loops_;
  stmt.body = block({"else", "endfor"}, "for", line);
  --num_loops_;
  stmt.uses_loop = stmt.is_recursive || num_mentions(program_.symbols.loop) > mentions;
  if (skip_name("else")) {
    expect_end_of_tag();
    stmt.otherwise = block({"endfor"}, "for", line);
  }
  end_block("endfor");
  return stmt;
}

Stmt Parser::set_statement(int line) {
  Stmt stmt{.type = Stmt::Type::Set, .line = line};
  stmt.target = target(true);
  if (skip_operator("=")) {
    stmt.expr = tuple();
    expect_end_of_tag();
    return stmt;
  }
  stmt.type = Stmt::Type::SetBlock;
  if (at_operator("|")) stmt.expr = filters(make(Expr::Type::Captured, line));
  expect_end_of_tag();
  stmt.body = captured_block("endset", line);
  end_block("endset");
  return stmt;
}

void Parser::parameters(MacroNode& macro) {
  expect_operator("(");
  while (!at_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    MacroParameter parameter;
    parameter.name = expect_name("a parameter's name");
    parameter.symbol = symbol(parameter.name);
    if (skip_operator("=")) {
      parameter.otherwise = expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().otherwise) {
      fail_at(peek().line, "a parameter without a default value follows one with");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  expect_operator(")");
}

void Parser::macro_body(MacroNode& macro, std::string_view end) {
  expect_end_of_tag();
  const Symbols& own = program_.symbols;
  const int varargs = num_mentions(own.varargs), kwargs = num_mentions(own.kwargs), caller = num_mentions(own.caller);
  macro.body = captured_block(end, macro.line);
  macro.uses_varargs = num_mentions(own.varargs) > varargs;
  macro.uses_kwargs = num_mentions(own.kwargs) > kwargs;
  macro.uses_caller = num_mentions(own.caller) > caller;
  end_block(end);
}

Stmt Parser::macro_statement(int line) {
  Stmt stmt{.type = Stmt::Type::Macro, .line = line};
  stmt.macro = std::make_unique<MacroNode>();
  stmt.macro->line = line;
  stmt.target = make(Expr::Type::Name, line);
  stmt.target->name = stmt.macro->name = expect_name("a macro's name");
  stmt.target->symbol = symbol(stmt.macro->name);
  parameters(*stmt.macro);
  macro_body(*stmt.macro, "endmacro");
  return stmt;
}

Stmt Parser::call_statement(int line) {
  Stmt stmt{.type = Stmt::Type::CallBlock, .line = line};
  stmt.macro = std::make_unique<MacroNode>();
  stmt.macro->line = line;
  stmt.macro->name = "caller";
  if (at_operator("(")) parameters(*stmt.macro);
  stmt.expr = expression();
  if (stmt.expr->type != Expr::Type::Call) fail_at(line, "{% call %} needs a call of a macro");
  macro_body(*stmt.macro, "endcall");
  return stmt;
}

Stmt Parser::filter_statement(int line) {
  Stmt stmt{.type = Stmt::Type::FilterBlock, .line = line};
  stmt.expr = filters(filter(make(Expr::Type::Captured, line)));
  expect_end_of_tag();
  stmt.body = captured_block("endfilter", line);
  end_block("endfilter");
  return stmt;
}

Stmt Parser::with_statement(int line) {
  Stmt stmt{.type = Stmt::Type::With, .line = line};
  while (peek().type != Token::Type::BlockEnd) {
    if (!stmt.targets.empty()) expect_operator(",");
    stmt.targets.push_back(target(false));
    expect_operator("=");
    stmt.values.push_back(expression());
  }
  expect_end_of_tag();
  stmt.body = block({"endwith"}, "with", line);
  end_block("endwith");
  return stmt;
}

Stmt Parser::jump_statement(const std::string& word, int line) {
  if (num_loops_ == 0) fail_at(line, fmt::format("{{% {} %}} stands outside a loop", word));
  expect_end_of_tag();
  return Stmt{.type = word == "break" ? Stmt::Type::Break : Stmt::Type::Continue, .line = line};
}

std::shared_ptr<const Program> parse_template(const std::string& source) {
  return std::make_shared<const Program>(Parser(source).run());
}

}  // namespace thinktune::text::jinja
