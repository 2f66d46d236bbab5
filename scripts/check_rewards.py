#!/usr/bin/env python3
"""Compares the answer checker with math-verify on generated pairs, or measures math-verify's rate.

  scripts/check_rewards.py --binary build/release/bin/thinktune [--pairs 6000] [--seed 1] [--list CLASS] [--out FILE]
  scripts/check_rewards.py --rate ANSWERS.jsonl

Needs the packages of third_party/requirements-checker.txt. Each pair is equal, or is not, by the way it is made: an answer and
another form of it, or an answer and another form of one that was changed. The checker runs as `thinktune score` (or, with
--benchmark, as the test program reward_benchmark). Printed for each class of pairs: how many, on how many each of the two is as
the pair was made, and every disagreement between the two by class (--list CLASS shows the pairs).
--rate reads {"gold", "prediction" or "output"} rows and prints how many of them math-verify decides a second of processor time, parsing
included; `thinktune score` prints its own rate.
"""
import argparse
import collections
import json
import random
import subprocess
import tempfile
import time
from fractions import Fraction


def grouped(n, separator):
    return f"{n:,}".replace(",", separator)


def latex(q, command="\\frac"):
    if q.denominator == 1:
        return str(q.numerator)
    sign = "-" if q < 0 else ""
    return f"{sign}{command}{{{abs(q.numerator)}}}{{{q.denominator}}}"


def term(c, power, x="x"):
    if power == 0:
        return str(c)
    coefficient = {1: "", -1: "-"}.get(c, str(c))
    return f"{coefficient}{x}" + (f"^{{{power}}}" if power > 1 else "")


def polynomial(terms, x="x"):
    text = ""
    for c, power in terms:
        if c == 0:
            continue
        piece = term(c, power, x)
        text += piece if not text or piece.startswith("-") else "+" + piece
    return text or "0"


class Pairs:
    """Each method: one pair (gold, prediction, equal), equal or not as asked."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def number(self, low=-60, high=60):
        n = 0
        while n == 0:
            n = self.r.randint(low, high)
        return n

    def integer(self, equal):
        n = self.r.randint(1000, 9_999_999)
        m = n if equal else n + self.r.choice([-1, 1, 10, 1000])
        form = self.r.choice([str, lambda k: f"{k}.0", lambda k: grouped(k, ","), lambda k: grouped(k, "{,}"),
                              lambda k: grouped(k, ",\\!"), lambda k: f"+{k}", lambda k: f"\\left({k}\\right)"])
        return str(n), form(m)

    def fraction(self, equal):
        q = Fraction(self.number(), self.r.randint(2, 40))
        p = q if equal else self.r.choice([q + Fraction(1, q.denominator), -q, q + 1])
        k = self.r.randint(2, 5)
        form = self.r.choice([
            lambda f: latex(f, "\\dfrac"), lambda f: latex(f, "\\tfrac"), lambda f: f"{f.numerator}/{f.denominator}",
            lambda f: f"\\frac{{{f.numerator * k}}}{{{f.denominator * k}}}",
            lambda f: f"\\frac{{{-f.numerator}}}{{{-f.denominator}}}"])
        return latex(q), form(p)

    def decimal(self, equal):
        q = Fraction(self.number(-4000, 4000), self.r.choice([2, 4, 5, 8, 10, 20, 25, 40, 100]))
        p = q if equal else q + Fraction(1, 100)
        places = f"{float(p):.6f}".rstrip("0")
        return latex(q), places + ("0" if places.endswith(".") else "")

    def mixed(self, equal):
        whole, m = self.r.randint(1, 20), self.r.randint(2, 12)
        n = self.r.randint(1, m - 1)
        q = whole + Fraction(n, m)
        if not equal:
            whole += 1
        return latex(q), f"{whole}\\frac{{{n}}}{{{m}}}"

    def percent(self, equal):
        n = self.r.randint(1, 99)
        return f"{n}\\%", f"{n if equal else n + 1}" + self.r.choice(["\\%", "%", " \\%"])

    def scientific(self, equal):
        digits, e = self.r.randint(11, 99), self.r.randint(3, 8)
        n = digits * 10 ** e
        m = digits if equal else digits + 1
        return str(n), f"{m / 10}\\times 10^{{{e + 1}}}"

    def unit(self, equal):
        n = self.r.randint(2, 500)
        m = n if equal else n + 1
        unit = self.r.choice([" \\text{ cm}", "\\text{ dollars}", "\\ \\mathrm{hours}", "^\\circ", "\\text{ units}", "\\text{ m}^2"])
        return self.r.choice([(f"{n}", f"{m}{unit}"), (f"{n}{unit}", f"{m}"), (f"\\${n}", f"{m}")])

    def root(self, equal):
        a, b = self.r.randint(2, 20), self.r.choice([2, 3, 5, 6, 7, 10, 11, 13])
        c = a if equal else a + 1
        form = self.r.choice([f"\\sqrt{{{c * c * b}}}", f"\\sqrt{{{b}}}\\cdot {c}", f"\\frac{{{c * b}}}{{\\sqrt{{{b}}}}}", f"{c}*\\sqrt{{{b}}}"])
        return f"{a}\\sqrt{{{b}}}", form

    def surd_sum(self, equal):
        a, b, c = self.number(-20, 20), self.r.randint(1, 9), self.r.choice([2, 3, 5, 7])
        d = b if equal else b + 1
        return f"{a}+{b}\\sqrt{{{c}}}", self.r.choice([f"{d}\\sqrt{{{c}}}{a:+d}", f"\\frac{{{2 * a}+{2 * d}\\sqrt{{{c}}}}}{{2}}"])

    def pi(self, equal):
        q = Fraction(self.number(1, 30), self.r.randint(1, 12))
        p = q if equal else q + Fraction(1, q.denominator)
        return f"{latex(q)}\\pi", self.r.choice([f"\\frac{{{p.numerator}\\pi}}{{{p.denominator}}}", f"\\pi\\cdot {latex(p)}"])

    def power(self, equal):
        a, n = self.r.randint(2, 9), self.r.randint(2, 8)
        value = a ** n + (0 if equal else 1)
        return str(value), f"{a}^{{{n}}}"

    def logarithm(self, equal):
        a, n = self.r.randint(2, 9), self.r.randint(2, 6)
        m = n if equal else n + 1
        return self.r.choice([(str(m), f"\\log_{{{a}}}{{{a ** n}}}"), (f"{m}\\ln {a}", f"\\ln {a ** n}")])

    def trigonometry(self, equal):
        gold, same, other = self.r.choice([
            ("\\tan x", "\\frac{\\sin x}{\\cos x}", "\\frac{\\cos x}{\\sin x}"),
            ("\\sin 2x", "2\\sin x\\cos x", "\\sin x\\cos x"), ("1", "\\sin^2 x+\\cos^2 x", "\\sin^2 x-\\cos^2 x"),
            ("\\cot x", "\\frac{1}{\\tan x}", "\\tan x"), ("\\frac{1}{2}", "\\sin\\frac{\\pi}{6}", "\\cos\\frac{\\pi}{6}"),
            ("\\sqrt{3}", "\\tan\\frac{\\pi}{3}", "\\tan\\frac{\\pi}{6}"), ("\\cos 2x", "1-2\\sin^2 x", "1+2\\sin^2 x"),
            ("\\sec x", "\\frac{1}{\\cos x}", "\\frac{1}{\\sin x}")])
        x = self.r.choice(["x", "y", "t"])
        change = lambda t: t if x == "x" else "".join(x if c == "x" and not t[max(0, i - 2):i].endswith("ma") else c for i, c in enumerate(t))
        return change(gold), change(same if equal else other)

    def complex(self, equal):
        a, b = self.number(-12, 12), self.number(-12, 12)
        c = b if equal else -b
        return f"{a}{b:+d}i", f"{c}i{a:+d}"

    def factorial(self, equal):
        n, k = self.r.randint(4, 12), self.r.randint(2, 3)
        value = 1
        for i in range(k):
            value = value * (n - i) // (i + 1)
        return str(value if equal else value + 1), self.r.choice([f"\\binom{{{n}}}{{{k}}}", f"\\dfrac{{{n}!}}{{{k}!\\cdot {n - k}!}}"])

    def expanded(self, equal):
        a, b = self.number(-9, 9), self.number(-9, 9)
        x = self.r.choice("xyzt")
        c = a * b + (0 if equal else 1)
        return polynomial([(1, 2), (a + b, 1), (c, 0)], x), f"({x}{a:+d})({x}{b:+d})"

    def reordered(self, equal):
        powers = self.r.sample(range(0, 7), self.r.randint(2, 5))
        terms = [(self.number(-20, 20), p) for p in powers]
        other = list(terms)
        self.r.shuffle(other)
        if not equal:
            c, p = other[0]
            other[0] = (c + 1 if c != -1 else 2, p)
        return polynomial(terms), polynomial(other)

    def rational(self, equal):
        a, b, c = self.number(1, 9), self.number(1, 9), self.r.randint(2, 9)
        d = b if equal else b + 1
        return f"\\frac{{{a}x+{b}}}{{{c}}}", f"\\frac{{{a}x}}{{{c}}}+\\frac{{{d}}}{{{c}}}"

    def named(self, equal):
        q = Fraction(self.number(), self.r.randint(1, 9))
        p = q if equal else q + 1
        return latex(q), f"{self.r.choice('xynk')} = {latex(p)}"

    def equation(self, equal):
        a, b, c = self.number(-9, 9), self.number(-9, 9), self.number(-30, 30)
        k = self.r.choice([-1, 2, 3])
        d = c if equal else c + 1
        return f"{a}x{b:+d}y={c}", f"{k * a}x{k * b:+d}y={k * d}"

    def inequality(self, equal):
        a, b = self.number(1, 20), self.r.choice(["<", ">", "\\le", "\\ge"])
        interval = {"<": "(-\\infty,{})", ">": "({},\\infty)", "\\le": "(-\\infty,{}]", "\\ge": "[{},\\infty)"}
        return interval[b].format(a), f"x {b} {a if equal else a + 1}"

    def interval(self, equal):
        a = self.number(-20, 20)
        b = a + self.r.randint(1, 20)
        q = Fraction(b * 2 + 1, 2)
        left, right = self.r.choice("(["), self.r.choice(")]")
        other = left if equal else "[" if left == "(" else "("
        return f"{left}{a},{latex(q)}{right}", f"\\left{other}{a}, {float(q)}\\right{right}"

    def union(self, equal):
        a = self.number(-20, 20)
        b = a + self.r.randint(1, 9)
        c = b if equal else b + 1
        return f"(-\\infty,{a})\\cup({b},\\infty)", self.r.choice(["({c},\\infty) \\cup (-\\infty,{a})", "\\left(-\\infty, {a}\\right) \\cup \\left({c}, \\infty\\right)"]).format(a=a, c=c)

    def set(self, equal):
        values = self.r.sample(range(-20, 20), self.r.randint(2, 5))
        other = list(values)
        self.r.shuffle(other)
        if not equal:
            other[0] = 21
        return "\\{" + ",".join(map(str, values)) + "\\}", "\\{" + ", ".join(map(str, other)) + "\\}"

    def list(self, equal):
        values = self.r.sample(range(-20, 20), self.r.randint(2, 4))
        other = list(values)
        self.r.shuffle(other)
        if not equal:
            other[-1] = 21
        form = self.r.choice([lambda v: ", ".join(map(str, v)), lambda v: ", ".join(map(str, v[:-1])) + f" \\text{{ and }} {v[-1]}",
                              lambda v: ", ".join(f"x={k}" for k in v)])
        return ",".join(map(str, values)), form(other)

    def tuple(self, equal):
        values = [Fraction(self.number(-20, 20), self.r.choice([1, 1, 2, 3])) for _ in range(self.r.randint(2, 4))]
        other = list(values)
        if not equal:
            if self.r.random() < 0.5 and other != other[::-1]:
                other.reverse()
            else:
                other[0] += 1
        return "(" + ",".join(map(latex, values)) + ")", "\\left( " + ", ".join(f"{v.numerator}/{v.denominator}" if v.denominator > 1 else str(v) for v in other) + " \\right)"

    def plus_minus(self, equal):
        a, b = self.number(-9, 9), self.r.choice([2, 3, 5, 7])
        c = b if equal else b + 4
        return f"{a} \\pm \\sqrt{{{b}}}", f"{a}+\\sqrt{{{c}}}, {a}-\\sqrt{{{c}}}"

    def matrix(self, equal):
        values = [self.number(-9, 9) for _ in range(4)]
        other = list(values)
        if not equal:
            other[self.r.randrange(4)] += 1
        rows = lambda v: f"{v[0]} & {v[1]} \\\\ {v[2]} & {v[3]}"
        return f"\\begin{{pmatrix}} {rows(values)} \\end{{pmatrix}}", f"\\begin{{bmatrix}} {rows(other)} \\end{{bmatrix}}"

    def text(self, equal):
        words = ["Monday", "even", "parabola", "Evelyn", "east", "ellipse", "odd", "true"]
        a, b = self.r.sample(words, 2)
        return f"\\text{{{a}}}", self.r.choice(["{}", "\\text{{{}}}", "\\textbf{{{}}}"]).format(a if equal else b)

    def choice(self, equal):
        a, b = self.r.sample("ABCDE", 2)
        return f"\\text{{({a})}}", self.r.choice(["{}", "({})", "\\textbf{{({})}}", "\\text{{{}}}"]).format(a if equal else b)

    def base(self, equal):
        b = self.r.randint(3, 9)
        digits = "".join(str(self.r.randint(1, b - 1)) for _ in range(3))
        other = digits if equal else digits[:-1] + str((int(digits[-1]) + 1) % b)
        return f"{digits}_{b}", f"{other}_{{{b}}}"


def classes():
    return [name for name, value in vars(Pairs).items() if callable(value) and not name.startswith("_") and name != "number"]


def generate(count, seed):
    maker = Pairs(seed)
    names = classes()
    rows = []
    for i in range(count):
        name = names[i % len(names)]
        equal = maker.r.random() < 0.5
        gold, prediction = getattr(maker, name)(equal)
        rows.append({"id": f"{name}-{i}", "class": name, "gold": gold, "prediction": prediction, "equal": equal})
    return rows


def ours(arguments, rows):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for row in rows:
            prediction = row["prediction"] if arguments.benchmark else row["prediction"]
            file.write(json.dumps({"id": row["id"], "gold": row["gold"], "prediction": prediction}) + "\n")
        file.flush()
        command = [arguments.benchmark, file.name] if arguments.benchmark else [arguments.binary, "score", file.name]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    verdicts = {}
    for line in output.splitlines():
        row = json.loads(line)
        verdicts[row["id"]] = row
    return [verdicts[row["id"]] for row in rows]


def theirs(gold, prediction):
    from math_verify import parse, verify

    # Long time-outs: a verdict should not depend on what else the machine does.
    gold, prediction = (parse(f"${text}$", parsing_timeout=60) for text in (gold, prediction))
    return bool(verify(gold, prediction, timeout_seconds=60))


def compare(arguments):
    rows = generate(arguments.pairs, arguments.seed)
    started = time.time()
    verdicts = ours(arguments, rows)
    print(f"this checker: {len(rows)} pairs in {time.time() - started:.2f} s, start of the program included")
    started = time.time()
    table = collections.defaultdict(collections.Counter)
    out = open(arguments.out, "w") if arguments.out else None
    for row, verdict in zip(rows, verdicts):
        mine = verdict["verdict"] == "right"
        begun = time.time()
        peer = theirs(row["gold"], row["prediction"])
        counts = table[row["class"]]
        counts["pairs"] += 1
        counts["ours"] += mine == row["equal"]
        counts["peer"] += peer == row["equal"]
        if mine != peer:
            counts["differ"] += 1
            counts["ours_right"] += mine == row["equal"]
        if time.time() - begun > 20:
            print(f"math-verify took {time.time() - begun:.0f} s: {row['gold']} | {row['prediction']}", flush=True)
        if out and (mine != peer or mine != row["equal"]):
            out.write(json.dumps({**row, "ours": verdict, "math_verify": peer}) + "\n")
        if arguments.list == row["class"] and (mine != peer or mine != row["equal"]):
            print(json.dumps({**row, "ours": verdict["verdict"], "reason": verdict["reason"], "math_verify": peer}))
    print(f"math-verify: {len(rows)} pairs in {time.time() - started:.1f} s")
    print(f"{'class':<14}{'pairs':>7}{'ours':>7}{'peer':>7}{'differ':>8}{'of which ours as made':>23}")
    total = collections.Counter()
    for name, counts in sorted(table.items()):
        total.update(counts)
        print(f"{name:<14}{counts['pairs']:>7}{counts['ours']:>7}{counts['peer']:>7}{counts['differ']:>8}{counts['ours_right']:>23}")
    print(f"{'all':<14}{total['pairs']:>7}{total['ours']:>7}{total['peer']:>7}{total['differ']:>8}{total['ours_right']:>23}")


def theirs_on_text(gold, text):
    from math_verify import parse, verify
    return bool(verify(parse(f"${gold}$"), parse(text)))


def rate(path):
    rows = [json.loads(line) for line in open(path)]
    theirs("1", "1")  # imports
    started = time.process_time()
    right = sum(theirs_on_text(row["gold"], row["output"]) if "output" in row else theirs(row["gold"], row["prediction"])
                for row in rows)
    took = time.process_time() - started
    print(f"math-verify: {len(rows)} rows, {right} right, {len(rows) / took:.0f} rows/s, {took / len(rows) * 1e6:.0f} µs a row")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/bin/thinktune")
    parser.add_argument("--benchmark", help="the test program reward_benchmark, instead of --binary")
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", help="show this class's pairs on which the two differ")
    parser.add_argument("--out", help="write every such pair to this file")
    parser.add_argument("--rate", metavar="FILE", help="measure math-verify on the rows of this file, and nothing else")
    arguments = parser.parse_args()
    rate(arguments.rate) if arguments.rate else compare(arguments)


if __name__ == "__main__":
    main()
