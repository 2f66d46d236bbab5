// What a template may not do, and what it may not make of its limits: each a named case with a clear message.
#include "jinja_support.h"

namespace thinktune::text::jinja {
namespace {

using test::refusal;
using test::rendered;
using testing::AllOf;
using testing::HasSubstr;

RenderOptions small_limits() {
  RenderOptions options = test::options();
  options.limits = {.steps = 1'000'000, .output_bytes = 100'000, .memory_bytes = 8'000'000};
  return options;
}

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

const std::string kNestedLoops =
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
    "{% endfor %}";

TEST(JinjaSandbox, LoopsWithoutEnd) {
  EXPECT_THAT(refusal(kNestedLoops), AllOf(HasSubstr("more than 10000000 steps"), HasSubstr("loop without end")));
  EXPECT_THAT(refusal("\n" + kNestedLoops, small_limits()), AllOf(HasSubstr("line 2"), HasSubstr("1000000 steps")));
}

TEST(JinjaSandbox, MacrosThatCallThemselves) {
  EXPECT_THAT(refusal("{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}"), HasSubstr("call each other more than"));
  EXPECT_THAT(refusal("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}"
                      "{% call f() %}{% endcall %}"),
              HasSubstr("call each other more than"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% macro f() %}{{ ns.f() }}{% endmacro %}{% set ns.f = f %}{{ f() }}"),
              HasSubstr("call each other more than"));
}

TEST(JinjaSandbox, RecursiveLoopWithoutEnd) {
  EXPECT_THAT(refusal("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}"), HasSubstr("more than"));
}

TEST(JinjaSandbox, OutputWithoutEnd) {
  EXPECT_THAT(refusal("{% for i in range(99999) %}0123456789{% endfor %}", small_limits()),
              HasSubstr("prints more than the limit of 100000 bytes"));
  // Not in pieces that are captured either.
  EXPECT_THAT(refusal("{% set x %}{% for i in range(99999) %}0123456789{% endfor %}{% endset %}", small_limits()),
              HasSubstr("prints more than the limit"));
}

TEST(JinjaSandbox, LongStrings) {
  EXPECT_THAT(refusal("{{ 'x' * 10**9 }}"), HasSubstr("a string of 1000000000 bytes is longer than the limit"));
  EXPECT_THAT(refusal("{{ 'ab' * 9223372036854775807 }}"), HasSubstr("longer than the limit"));
  EXPECT_THAT(
      refusal("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
      HasSubstr("longer than the limit"));
  EXPECT_THAT(refusal("{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('x', ns.s) %}"
                      "{% endfor %}"),
              HasSubstr("longer than the limit"));
  for (const char* expression :
       {"'x'.center(10**12)", "'x'.ljust(10**12)", "'x'.zfill(10**12)", "'%9999999999d' % 1", "'%*d' % (10**12, 1)",
        "'{:9999999999}'.format(1)", "'x'|indent(10**12, true)", "[[1]]|tojson(indent=10**12)",
        "'\t'.expandtabs(10**12)", "('x' * 10**7)|join('y' * 10**7)", "'%.999999999f' % 1.5"})
    EXPECT_THAT(refusal(std::string("{{ ") + expression + " }}"),
                testing::AnyOf(HasSubstr("limit"), HasSubstr("larger than"), HasSubstr("steps"),
                               HasSubstr("from 0 to 100000")));
}

TEST(JinjaSandbox, LongLists) {
  EXPECT_THAT(refusal("{{ range(10**12) }}"), HasSubstr("range: more than 100000 numbers"));
  EXPECT_THAT(refusal("{{ range(-9223372036854775807, 9223372036854775807, 1) }}"), HasSubstr("more than 100000"));
  EXPECT_THAT(refusal("{{ [1] * 10**12 }}"), HasSubstr("a list of 1000000000000 items"));
  EXPECT_THAT(refusal("{{ [1]|batch(10**12, 0)|list }}"), HasSubstr("a list of 1000000000000 items"));
  EXPECT_THAT(refusal("{{ [1]|slice(10**12)|list }}"), HasSubstr("a list of 1000000000000 items"));
  EXPECT_THAT(
      refusal("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}"),
      HasSubstr("steps"));
}

TEST(JinjaSandbox, ManyValuesAtOneTime) {
  EXPECT_THAT(refusal("{% set ns = namespace(l=[]) %}{% for i in range(999) %}"
                      "{% set ns.l = ns.l + ['x' * 90000 ~ i] %}{% endfor %}",
                      small_limits()),
              HasSubstr("values take more than the limit of 8000000 bytes"));
  // What is dropped again does not count.
  EXPECT_EQ(rendered("{% for i in range(999) %}{% set x = 'x' * 9000 ~ i %}{% endfor %}ok", small_limits()), "ok");
}

TEST(JinjaSandbox, ValuesInValues) {
  EXPECT_THAT(refusal("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("nested more than 100 deep"));
  EXPECT_THAT(
      refusal("{% set ns = namespace(l=1) %}{% for i in range(9999) %}{% set ns.l = {'a': ns.l} %}{% endfor %}"),
      HasSubstr("nested more than 100 deep"));
  // A list of two of the same, again and again: 2^60 items to print, and 2^60 pairs to compare.
  const std::string doubled =
      "{% set ns = namespace(l=[], m=[]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}"
      "{% set ns.m = [ns.m, ns.m] %}{% endfor %}";
  EXPECT_THAT(refusal(doubled + "{{ ns.l }}"), HasSubstr("steps"));
  EXPECT_THAT(refusal(doubled + "{{ ns.l|tojson }}"), HasSubstr("steps"));
  EXPECT_THAT(refusal(doubled + "{{ ns.l == ns.m }}"), HasSubstr("steps"));
}

TEST(JinjaSandbox, ValuesThatHoldThemselves) {
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% set ns.ns = ns %}{% set ns.l = [ns] %}{{ ns.ns.ns.l|length }}"),
            "1");
  EXPECT_EQ(rendered("{% macro f() %}{% set g = f %}x{% endmacro %}{% set ns = namespace(f=f) %}{{ ns.f() }}"), "x");
  EXPECT_EQ(rendered("{% for i in [1, 2] %}{{ loop.changed(loop) }}{% set a = loop %}{% endfor %}"), "TrueFalse");
  // A chain long enough to overflow the stack, were it taken apart by recursion.
  EXPECT_EQ(
      rendered("{% set o = namespace(a=1) %}{% for i in range(99999) %}{% set o.a = namespace(a=o.a) %}{% endfor %}ok"),
      "ok");
  EXPECT_EQ(
      rendered("{% set o = namespace(a=1) %}{% for i in range(99999) %}{% set o.a = cycler(o.a) %}{% endfor %}ok"),
      "ok");
}

TEST(JinjaSandbox, DeepSources) {
  const size_t deep = 100'000;
  EXPECT_THAT(refusal("{{ " + repeated("(", deep) + "1" + repeated(")", deep) + " }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("[", deep) + repeated("]", deep) + " }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("{1:", deep) + "1" + repeated("}", deep) + " }}"),
              HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("-", deep) + "1 }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("not ", deep) + "1 }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ x" + repeated(".a", deep) + " }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ x" + repeated("|list", deep) + " }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ x" + repeated("()", deep) + " }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("1 if 1 else ", deep) + "1 }}"), HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{{ " + repeated("f(a=", deep) + "1" + repeated(")", deep) + " }}"),
              HasSubstr("nested more than"));
  EXPECT_THAT(refusal("{% set " + repeated("(", deep) + "a" + repeated(")", deep) + " = 1 %}"),
              HasSubstr("nested more than"));
  EXPECT_THAT(refusal(repeated("{% if 1 %}", deep)), HasSubstr("nested more than"));
  EXPECT_THAT(refusal(repeated("{% for a in b %}", deep)), HasSubstr("nested more than"));
  // Long is not deep.
  EXPECT_EQ(rendered("{{ 0" + repeated(" + 1", deep) + " }}"), "100000");
  EXPECT_EQ(rendered("{{ 1" + repeated(" and 1", deep) + " }}"), "1");
  EXPECT_EQ(rendered("{{ ''" + repeated(" ~ 'a'", 10) + " }}"), "aaaaaaaaaa");
  EXPECT_EQ(rendered("{% if 0 %}" + repeated("{% elif 0 %}", deep) + "{% else %}e{% endif %}"), "e");
}

TEST(JinjaSandbox, SlowSearches) {
  // Quadratic, were each of them a plain search.
  RenderOptions options = test::options();
  options.kwargs["long"] = repeated("a", 2'000'000);
  options.kwargs["pattern"] = repeated("a", 1'000'000) + "b";
  EXPECT_EQ(rendered("{{ pattern in long }}{{ long.find(pattern) }}{{ long.rfind(pattern) }}{{ long.count(pattern) }}"
                     "{{ long.replace(pattern, 'x')|length }}{{ long.split(pattern)|length }}",
                     options),
            "False-1-1020000001");
}

TEST(JinjaSandbox, OtherFiles) {
  for (const char* tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"})
    EXPECT_THAT(refusal(std::string("a\n{% ") + tag + " %}"),
                AllOf(HasSubstr("line 2"), HasSubstr("would read another file, which a chat template may not")));
}

TEST(JinjaSandbox, ValuesThatChange) {
  for (const char* call :
       {"l.append(1)", "l.pop()", "l.sort()", "l.extend([1])", "l.insert(0, 1)", "l.remove(1)", "l.reverse()",
        "l.clear()", "d.update({})", "d.pop('a')", "d.popitem()", "d.clear()", "d.setdefault('a', 1)"})
    EXPECT_THAT(refusal(std::string("{{ ") + call + " }}"), HasSubstr("which a chat template may not"));
  EXPECT_THAT(refusal("{% set d.x = 1 %}"), HasSubstr("only a namespace() has attributes that change"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% set ns.__class__ = 1 %}"), HasSubstr("may not begin with '_'"));
  EXPECT_THAT(refusal("{{ namespace(**{'_a': 1}) }}"), HasSubstr("may not begin with '_'"));
}

TEST(JinjaSandbox, PythonsInsides) {
  EXPECT_EQ(rendered("{{ s.__class__ }}{{ x.__init__ is defined }}"), "False");
  EXPECT_THAT(refusal("{{ s.__class__.__mro__ }}"), HasSubstr("'str' has no attribute '__class__'"));
  EXPECT_THAT(refusal("{{ ''.format.__globals__ }}{{ '{0.__class__}'.format(1) }}"), HasSubstr("'0.__class__'"));
  EXPECT_THAT(refusal("{{ ''|attr('__class__')() }}"), HasSubstr("has no element"));
}

TEST(JinjaSandbox, DeepConversation) {
  nlohmann::ordered_json deep = "x";
  for (int i = 0; i < 5000; ++i) deep = nlohmann::ordered_json::array({std::move(deep)});
  RenderOptions options = test::options();
  options.kwargs["deep"] = std::move(deep);
  EXPECT_THAT(refusal("{{ deep }}", options), HasSubstr("nested more than 100 deep"));
}

// A thousand messages are far from every limit, even where the template asks all of them about each.
TEST(JinjaSandbox, LongConversations) {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 1000; ++i)
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", repeated("word ", 800)}});
  const ChatTemplate chat(
      "{% set ns = namespace(last=0, text='') %}{% for m in messages[::-1] %}{% if m.role == 'user' and not ns.last %}"
      "{% set ns.last = loop.index %}{% endif %}{% endfor %}{% for m in messages %}"
      "{% set users = messages|selectattr('role', 'equalto', 'user')|list %}"
      "{{ '<|' + m.role + '|>' + m.content|trim }}{% if m == users[-1] %}!{% endif %}{% endfor %}{{ ns.last }}");
  const std::string text = chat.render_text(messages, {});
  EXPECT_GT(text.size(), 4'000'000u);
  EXPECT_TRUE(text.ends_with("word2"));
}

}  // namespace
}  // namespace thinktune::text::jinja
