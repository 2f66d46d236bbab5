// Templates that are wrong: the message names the line and what is wrong there.
#include "jinja_support.h"

namespace thinktune::text::jinja {
namespace {

using test::refusal;
using test::rendered;
using testing::AllOf;
using testing::HasSubstr;

// Found when the template is read, not when it is used.
std::string refused_source(const std::string& source) {
  SCOPED_TRACE(source);
  return thinktune::test::message_of_error(core::ErrorKind::Data, [&] { test::parsed(source); });
}

TEST(JinjaErrors, UnfinishedTags) {
  for (const char* source : {"\n{% for", "\n{{ 'a", "\n{{ 'a\\", "\n{# never", "\n{{ a }", "\n{{", "\n{%", "\n{{-",
                             "\n{% set x = \"%}", "\n{% raw %} {{ x }}", "\n{{ (1 }}", "\n{% if x"})
    EXPECT_THAT(refused_source(source), AllOf(HasSubstr("chat template, line 2"),
                                              testing::AnyOf(HasSubstr("does not end"), HasSubstr("'}' stands"),
                                                             HasSubstr("'}' closes nothing"))))
        << source;
}

TEST(JinjaErrors, UnfinishedBlocks) {
  for (const char* block :
       {"for a in b", "if x", "set x", "macro f()", "call f()", "filter upper", "with a = 1", "generation"}) {
    const std::string name = std::string(block).substr(0, std::string(block).find(' '));
    EXPECT_THAT(refused_source(std::string("\n\n{% ") + block + " %}\nx"),
                HasSubstr("line 3: this {% " + name + " %} does not end"))
        << block;
  }
  EXPECT_THAT(refused_source("{% if x %}{% for a in b %}{% endif %}"), HasSubstr("{% endif %} closes nothing"));
  EXPECT_THAT(refused_source("a\n{% endfor %}"), HasSubstr("line 2: {% endfor %} closes nothing"));
  EXPECT_THAT(refused_source("{% else %}"), HasSubstr("{% else %} closes nothing"));
}

TEST(JinjaErrors, EveryTruncation) {
  const std::string whole =
      "{% macro f(a, b='x') %}{{ a[1:]|join(', ') }}{% endmacro %}{% for m in messages if m.role != 'q' %}"
      "{%- set c = {'k': [1, (2, 3)]} -%}{{ f(c.k, b=m['role'].strip()) ~ 1.5 }}{% else %}{# no #}{% endfor %}";
  ASSERT_NO_THROW(test::parsed(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    try {  // a shorter template is a template or an error, and nothing else
      test::parsed(whole.substr(0, size));
    } catch (const core::Error& error) {
      EXPECT_THAT(error.message(), HasSubstr("chat template, line 1: ")) << size;
    }
  }
}

TEST(JinjaErrors, Grammar) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ 1 + }}", "}} stands where a value was to come"},
      {"{{ a b }}", "'b' stands where }} was to come"},
      {"{{ ) }}", "')' closes nothing"},
      {"{{ (1] }}", "']' stands where ')' was to come"},
      {"{{ x if }}", "}} stands where a value was to come"},
      {"{{ a..b }}", "'.' stands where an attribute's name was to come"},
      {"{{ {1} }}", "'}' stands where ':' was to come"},
      {"{{ f(a=1, 2) }}", "an argument without a name follows one with a name"},
      {"{{ x is defined is defined }}", "tests cannot be chained"},
      {"{{ x ! y }}", "the character '!' means nothing here"},
      {"{{ é; }}", "the character ';' means nothing here"},
      {"{{ 007 }}", "an integer does not begin with 0"},
      {"{{ 0x }}", "'0x' is no number"},
      {"{{ 99999999999999999999 }}", "the integer 99999999999999999999 is larger than 9223372036854775807"},
      {"{{ '\\xg0' }}", "needs 2, 4 or 8 hexadecimal digits"},
      {"{{ '\\ud800' }}", "U+D800 is no character"},
      {"{% for %}{% endfor %}", "%} stands where a variable's name was to come"},
      {"{% for a of b %}{% endfor %}", "'of' stands where in was to come"},
      {"{% if %}{% endif %}", "%} stands where a value was to come"},
      {"{% set 1 = 2 %}", "'1' stands where a variable's name was to come"},
      {"{% set none = 2 %}", "'none' cannot be assigned to"},
      {"{% macro f(a=1, b) %}{% endmacro %}", "a parameter without a default value follows one with"},
      {"{% call f %}{% endcall %}", "{% call %} needs a call of a macro"},
      {"{% break %}", "{% break %} stands outside a loop"},
      {"{% for a in b %}{% macro f() %}{% continue %}{% endmacro %}{% endfor %}",
       "{% continue %} stands outside a loop"},
      {"{% for a in b %}{% set c %}{% break %}{% endset %}{% endfor %}", "{% break %} stands outside a loop"},
      {"{% do f() %}", "the tag {% do %} is not known"},
      {"{% block a %}{% endblock %}", "the tag {% block %} is not known"},
      {"{% %}", "%} stands where a tag's name was to come"},
  };
  for (const auto& [source, message] : cases)
    EXPECT_THAT(refused_source(std::string("\n") + source),
                AllOf(HasSubstr("chat template, line 2: "), HasSubstr(message)))
        << source;
}

TEST(JinjaErrors, UnknownNames) {
  EXPECT_THAT(refused_source("\n{{ x|nofilter }}"), HasSubstr("line 2: no filter is named 'nofilter'"));
  EXPECT_THAT(refused_source("\n{{ x is notest }}"), HasSubstr("line 2: no test is named 'notest'"));
  // Under a condition only when it is reached, as in Jinja.
  EXPECT_EQ(rendered("{% if false %}{{ x|nofilter }}{{ x is notest }}{% endif %}{{ 1 if true else x|nofilter }}"), "1");
  EXPECT_THAT(refusal("{% if true %}\n{{ x|nofilter }}{% endif %}"),
              HasSubstr("line 2: no filter is named 'nofilter'"));
  EXPECT_THAT(refusal("{{ l|map('nofilter')|list }}"), HasSubstr("no filter is named 'nofilter'"));
  EXPECT_THAT(refusal("{{ l|select('notest')|list }}"), HasSubstr("no test is named 'notest'"));
  EXPECT_THAT(refusal("\n{{ s.nomethod() }}"), HasSubstr("line 2: 'str' has no attribute 'nomethod'"));
  EXPECT_THAT(refusal("\n{{ nofunction(1) }}"), HasSubstr("line 2: 'nofunction' is undefined"));
  EXPECT_THAT(refusal("{{ missing.a }}"), HasSubstr("'missing' is undefined"));
  EXPECT_THAT(refusal("{{ d.missing.a }}"), HasSubstr("'dict' has no attribute 'missing'"));
  EXPECT_THAT(refusal("{{ 'a' + missing }}"), HasSubstr("'missing' is undefined"));
  EXPECT_THAT(refusal("{{ missing|tojson }}"), HasSubstr("'missing' is undefined"));
}

TEST(JinjaErrors, WrongTypes) {
  const std::pair<const char*, const char*> cases[] = {
      {"'a' + 1", "'+' does not work between str and int"},
      {"1 - none", "'-' does not work between int and None"},
      {"1 < 'a'", "int and str have no order"},
      {"1 // 0", "division by zero"},
      {"1 % 0", "division by zero"},
      {"0 ** -1", "negative power"},
      {"9223372036854775807 + 1", "does not fit into a 64-bit integer"},
      {"-9223372036854775807 - 2", "does not fit into a 64-bit integer"},
      {"4611686018427387904 * 2", "does not fit into a 64-bit integer"},
      {"2 ** 64", "does not fit into a 64-bit integer"},
      {"none|length", "a None has no length"},
      {"(l|map('string'))|length", "a generator has no length"},
      {"none|list", "a None cannot be walked over"},
      {"5[1:]", "a int cannot be sliced"},
      {"l[::0]", "a slice's step is 0"},
      {"l['a':]", "'a slice's start' needs an integer, not str"},
      {"1 in 5", "a int cannot be walked over"},
      {"1 in 'a'", "'in' a string needs a string, not int"},
      {"{[]: 1}", "a list cannot be a key"},
      {"5()", "a int cannot be called"},
      {"s.split('')", "needs a separator that is not empty"},
      {"s.split(1)", "'split' needs a string as 'sep', not int"},
      {"s.replace('a')", "'replace' needs an argument 'new'"},
      {"s.upper(1)", "'upper' takes at most 0 arguments, not 1"},
      {"s|replace('a', 'b', c=1)", "'replace' has no argument 'c'"},
      {"s|replace('a', 'b', old=1)", "'replace' is given 'old' twice"},
      {"','.join([1])", "'join' needs a string, not int"},
      {"'%d' % 'a'", "the format 'd' needs a number, not str"},
      {"'%s %s' % 'a'", "fewer values than its format takes"},
      {"'%s' % (1, 2)", "more values than its format takes"},
      {"'%y' % 1", "'%y' is no format"},
      {"'{}'.format()", "a format's field '' has no value"},
      {"'{:y}'.format(1)", "'y' is no format known here"},
      {"strftime_now('%Q')", "'%Q' is no format known here"},
      {"range(1, 2, 0)", "range: the step is 0"},
      {"range|tojson", "a function cannot be written as JSON"},
      {"namespace(a=1)", "a namespace cannot be printed"},
      {"range(3)", "a range cannot be printed"},
      {"cycler()", "needs values to cycle through"},
  };
  for (const auto& [source, message] : cases) {
    EXPECT_THAT(refusal(std::string("\n\n{{ ") + source + " }}"), AllOf(HasSubstr("line 3: "), HasSubstr(message)))
        << source;
  }
  EXPECT_THAT(refusal("{% for a, b in [(1, 2, 3)] %}{% endfor %}"), HasSubstr("3 values do not fit into 2 variables"));
}

TEST(JinjaErrors, Macros) {
  const std::string macro = "{% macro f(a) %}{% endmacro %}\n";
  EXPECT_THAT(refusal(macro + "{{ f(1, 2) }}"), HasSubstr("line 2: macro 'f' takes 1 arguments, not 2"));
  EXPECT_THAT(refusal(macro + "{{ f(b=2) }}"), HasSubstr("line 2: macro 'f' has no argument 'b'"));
  EXPECT_THAT(refusal(macro + "{{ f(1, a=2) }}"), HasSubstr("line 2: macro 'f' is given 'a' twice"));
  EXPECT_THAT(refusal(macro + "{% call f() %}{% endcall %}"), HasSubstr("line 2: macro 'f' does not use its caller"));
}

TEST(JinjaErrors, LinesOfErrors) {
  EXPECT_THAT(refusal("a\r\nb\rc\n{{ 1 // 0 }}"), HasSubstr("line 4"));
  EXPECT_THAT(refusal("{#\n\n#}{{ 1 // 0 }}"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("{% raw %}\n\n{% endraw %}{{ 1 // 0 }}"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("{{ x -}}\n\n  {{ 1 // 0 }}"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("{% set a = 'x\ny' %}{{ 1 // 0 }}"), HasSubstr("line 2"));
  EXPECT_THAT(refusal("{% macro f() %}\n{{ 1 // 0 }}\n{% endmacro %}\n{{ f() }}"), HasSubstr("line 2"));
  EXPECT_THAT(refusal("{% macro f() %}\n{% endmacro %}\n{{ f() + 1 }}"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("{{ [1,\n2,\n1 // 0] }}"), HasSubstr("line 3"));
}

TEST(JinjaErrors, TheTemplatesOwnRefusal) {
  EXPECT_EQ(refusal("\n{% if true %}\n{{ raise_exception('Roles must ' ~ 'alternate') }}{% endif %}"),
            "the chat template refuses this conversation (line 3): Roles must alternate");
}

TEST(JinjaErrors, Conversations) {
  const ChatTemplate chat("{{ messages[0].content }}");
  const auto message_of = [&](const nlohmann::ordered_json& messages, const RenderOptions& options) -> std::string {
    try {
      return "rendered " + chat.render_text(messages, options);
    } catch (const core::Error& error) {
      return error.message();
    }
  };
  const nlohmann::ordered_json hi = {{{"role", "user"}, {"content", "Hi"}}};
  EXPECT_THAT(message_of(hi, {}), "rendered Hi");
  EXPECT_THAT(message_of(hi[0], {}), HasSubstr("a JSON array"));
  EXPECT_THAT(message_of({1}, {}), HasSubstr("a JSON object"));
  EXPECT_THAT(message_of(hi, {.tools = {{"a", 1}}}), HasSubstr("tools are a JSON array"));
  EXPECT_THAT(message_of(hi, {.documents = 1}), HasSubstr("documents are a JSON array"));
  EXPECT_THAT(message_of(hi, {.kwargs = 1}), HasSubstr("further variables are a JSON object"));
  EXPECT_THAT(message_of(hi, {.kwargs = {{"messages", 1}}}), HasSubstr("'messages' is no further variable"));
  EXPECT_THAT(message_of(hi, {.kwargs = {{"a", 18446744073709551615u}}}), HasSubstr("18446744073709551615"));
  EXPECT_THAT(message_of(hi, {.add_generation_prompt = true, .continue_final_message = true}),
              HasSubstr("either continued"));
  EXPECT_THAT(message_of(nlohmann::ordered_json::array(), {.continue_final_message = true}), HasSubstr("no final one"));
  EXPECT_THAT(message_of({{{"role", "user"}}}, {.continue_final_message = true}),
              HasSubstr("no text that could be continued"));
}

}  // namespace
}  // namespace thinktune::text::jinja
