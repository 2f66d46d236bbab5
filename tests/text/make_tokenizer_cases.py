#!/usr/bin/env python3
"""Writes data/tokenizer_cases.json: small tokenizers with every part that is known here, and the ids that the reference
(`tokenizers`) gives for tricky texts. Run by hand after a change of it: pip install tokenizers==0.23.3"""
import json
import pathlib

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

CORPUS = """The quick brown fox jumps over the lazy dog. She sells 12 sea shells, and 345 more; it's what they've said.
def f(x):\n    return x + 1  # a comment\n\nIn 1999 there were 2,024 of them. He'll say: "don't!" We're here, I'm there.
Die Straße ist naß. Ça va très bien, señor. 日本語のテキスト と 中文文本。 Привет, мир! \\frac{1}{2} + \\sqrt{x^2} = y
the the the them then there these hello hello world world   spaced    out\t\ttabs\r\nlines\n\n\nend""" * 3

TEXTS = [
    "", "a", " ", "  ", "hello world", " hello", "hello  world ", "   three", "don't it's WE'LL I'M they'Ve", "x'sy 'S 'ſ",
    "1", "12", "123", "1234567", "a1b22c333", " 12 ", "²³½Ⅷ१२", "tab\tand\nnewline\r\n\r\n  end", "\n\n\n a", " \n b",
    "end \n", "end\n ", "a\u00a0b\u3000c\u2028d\u0085e\u180ef", "Straße café cafe\u0301 ﬁ ﬀ ① Å\u212b", "a\u0315\u0300\u05ae\u0300b", "가각\u1100\u1161",
    "日本語 中文。と", "Привет, мир!", "👩‍👩‍👧 👍🏽 e\u0301", "▁a▁▁b ▁c", "<s>hi</s>", "<s> hi </s> there", "x<s>y", "<tool> now<tool>now <tool>",
    "<sp>  a  <sp>b  <sp>", "<L>a  <L>  b <L>", "a  <R>  b<R>\n c", "<W>a <W> a<W> <W>", "<N> caf\u00e9<N>é é<N>", "\u00e9clair e\u0301clair", "<s><s>", "<unk>",
    "<0x41> <0x", "[INST] hi [/INST]", "x+y=z; {a} [b] (c) $5 ^~`", "foo_bar-baz.qux@x:y/z", "AbcDEFghi XyzABC", "!?!? ...", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the theme\u0301 then", "A\u030a\u0323", "ｆｕｌｌ　ｗｉｄｔｈ １２", "\x00\x01\x7f", "\ufeffbom", "mixed<s>  \n<tool>12 <L>34<R> 56",
]


def train(pre_tokenizer, size, alphabet=(), special=()):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS.split("\n"), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=list(alphabet), special_tokens=list(special), show_progress=False))
    return json.loads(tokenizer.to_str())["model"]


def added(vocab, flags):
    tokens, new = [], len(vocab)
    for content, options in flags:
        token = {"id": vocab.get(content, new), "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": False}
        new += content not in vocab
        tokens.append({**token, **options})
    return tokens


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(name, *steps):
    return {"type": "Sequence", name: list(steps)}


def metaspace(scheme, splits=False):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": splits}


CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+"""
             r"""|\s+(?!\S)|\s+""")
ALL_FLAGS = [("<s>", {"special": True}), ("</s>", {"special": True, "rstrip": True}), ("<tool>", {}),
             ("<sp>", {"special": True, "lstrip": True, "rstrip": True}), ("<L>", {"lstrip": True}), ("<R>", {"rstrip": True}),
             ("<W>", {"single_word": True}), ("<N> caf\u00e9", {"normalized": True}), ("[INST]", {"special": True, "normalized": True}),
             ("  ", {"normalized": True}), ("the", {"single_word": True, "normalized": True, "lstrip": True})]
FUSED = sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"})
STRIPPED = sequence("decoders", *FUSED["decoders"], {"type": "Strip", "content": " ", "start": 1, "stop": 0})
TO_MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def template(prefix, suffix, ids):
    pieces = [{"SpecialToken": {"id": t, "type_id": 0}} for t in prefix] + [{"Sequence": {"id": "A", "type_id": 0}}]
    pieces += [{"SpecialToken": {"id": t, "type_id": 0}} for t in suffix]
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in prefix + suffix}}


def variants(bytes_vocab, marks_vocab):
    """name, model, changes to the model, other parts"""
    num_bytes, num_marks = len(bytes_vocab), len(marks_vocab)

    def b(flags):
        return added(bytes_vocab, flags)

    def m(flags):
        return added(marks_vocab, flags)
    s, e = {"<s>": num_bytes}, {"</s>": num_bytes + 1}
    yield "gpt2", "bytes", {}, dict(pre_tokenizer=byte_level(), added_tokens=b([("<s>", {"special": True, "normalized": True})]))
    yield "gpt2 prefix, roberta", "bytes", {}, dict(
        pre_tokenizer=byte_level(prefix=True), added_tokens=b(ALL_FLAGS),
        post_processor={"type": "RobertaProcessing", "sep": ["</s>", num_bytes + 1], "cls": ["<s>", num_bytes], "trim_offsets": True, "add_prefix_space": False})
    yield "smollm", "bytes", {}, dict(
        pre_tokenizer=sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level()), added_tokens=b(ALL_FLAGS[:4]))
    yield "digits together", "bytes", {}, dict(
        pre_tokenizer=sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, byte_level(regex=False)))
    yield "llama3", "bytes", {"ignore_merges": True}, dict(
        pre_tokenizer=sequence("pretokenizers", split(CL100K), byte_level(regex=False)), added_tokens=b(ALL_FLAGS),
        post_processor=sequence("processors", byte_level(), template(["<s>"], [], s)))
    yield "phi4", "bytes", {}, dict(
        pre_tokenizer=sequence("pretokenizers", split(CL100K, "Removed", True), byte_level(regex=False)), added_tokens=b(ALL_FLAGS))
    yield "qwen2", "bytes", {}, dict(
        normalizer={"type": "NFC"}, pre_tokenizer=sequence("pretokenizers", split(QWEN2), byte_level(regex=False)), added_tokens=b(ALL_FLAGS))
    yield "nfkc", "bytes", {}, dict(
        normalizer=sequence("normalizers", {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": r" {2,}|\s+$"}, "content": " _"}),
        pre_tokenizer=byte_level(), added_tokens=b(ALL_FLAGS))
    yield "nfd", "bytes", {}, dict(normalizer={"type": "NFD"}, pre_tokenizer=byte_level(), added_tokens=b(ALL_FLAGS))
    yield "nfkd", "bytes", {}, dict(normalizer={"type": "NFKD"}, pre_tokenizer=byte_level())
    yield "tekken", "bytes", {"ignore_merges": True}, dict(
        pre_tokenizer=sequence("pretokenizers", split(TEKKEN), byte_level(regex=False)), post_processor=template(["<s>"], ["</s>"], {**s, **e}),
        added_tokens=b(ALL_FLAGS[:2]))
    yield "deepseek3", "bytes", {}, dict(
        normalizer=sequence("normalizers"), added_tokens=b([("<s>", {"special": True, "normalized": True})]),
        pre_tokenizer=sequence("pretokenizers", split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3), byte_level(regex=False)))
    yield "deepseek coder", "bytes", {}, dict(pre_tokenizer=sequence(
        "pretokenizers", split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), split(r"\s+$"),
        {"type": "Digits", "individual_digits": True}, byte_level(regex=False)))
    for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield f"split {behavior}", "bytes", {}, dict(
            pre_tokenizer=sequence("pretokenizers", split(r"[\s\d]", behavior), byte_level(regex=False)))
        yield f"split {behavior} inverted", "bytes", {}, dict(
            pre_tokenizer=sequence("pretokenizers", split(r"\w+", behavior, True), byte_level(regex=False)))
    yield "empty matches", "bytes", {}, dict(pre_tokenizer=sequence("pretokenizers", split(r"(?=[A-Z])|(?<=o)|^b|\W$"), byte_level(regex=False)))
    yield "split string", "bytes", {}, dict(pre_tokenizer=sequence("pretokenizers", split("e", kind="String"), byte_level(regex=False)))

    flags = dict(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    control = m(ALL_FLAGS)
    unknown = {"id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    yield "llama2", "marks", flags, dict(
        normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, TO_MARKS), decoder=STRIPPED, added_tokens=[unknown] + control,
        post_processor=template(["<s>"], [], {"<s>": num_marks}))
    for scheme in ("first", "always", "never"):
        yield f"mistral {scheme}", "marks", flags, dict(
            pre_tokenizer=metaspace(scheme), decoder=STRIPPED if scheme != "never" else FUSED, added_tokens=[unknown] + control)
    yield "metaspace split", "marks", flags, dict(pre_tokenizer=metaspace("always", True), decoder=metaspace("always"), added_tokens=control)
    yield "metaspace never", "marks", flags, dict(pre_tokenizer=metaspace("never", True), decoder=metaspace("never"))
    yield "gemma", "marks", flags, dict(
        normalizer=TO_MARKS, pre_tokenizer=split(" ", "MergedWithPrevious", kind="String"), decoder=FUSED,
        added_tokens=[unknown] + m([("<s>", {"special": True}), ("▁▁", {"normalized": True}), ("\n\n", {}), ("[INST]", {"special": True, "normalized": True})]))
    yield "unknown fused", "marks", dict(flags, byte_fallback=False), dict(pre_tokenizer=metaspace("first"), decoder=FUSED, added_tokens=[unknown])
    yield "unknown apart", "marks", dict(flags, byte_fallback=False, fuse_unk=False), dict(pre_tokenizer=metaspace("first"), decoder=FUSED)
    yield "no unknown", "marks", dict(byte_fallback=False), dict(pre_tokenizer=metaspace("first"), decoder=FUSED)
    yield "ignore merges", "marks", dict(flags, ignore_merges=True), dict(pre_tokenizer=metaspace("always", True), decoder=FUSED)
    yield "nfkc marks", "marks", flags, dict(normalizer=sequence("normalizers", {"type": "NFKC"}, TO_MARKS), decoder=FUSED, added_tokens=control)


def main():
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_model = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 420, alphabet)
    mark_model = train(pre_tokenizers.Metaspace(prepend_scheme="never"), 470, special=["<unk>"] + [f"<0x{b:02X}>" for b in range(256)])
    bases = {"bytes": byte_model, "marks": mark_model}
    out = {"made_by": "tests/text/make_tokenizer_cases.py", "tokenizers": tokenizers.__version__, "texts": TEXTS,
           "models": {name: {"vocab": m["vocab"], "merges": [" ".join(x) for x in m["merges"]]} for name, m in bases.items()}, "cases": []}
    for name, base, changes, parts in variants(byte_model["vocab"], mark_model["vocab"]):
        parts = {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
                 "decoder": byte_level() if base == "bytes" else None, **parts}
        content = {"version": "1.0", "truncation": None, "padding": None, **parts, "model": {**bases[base], **changes}}
        reference = Tokenizer.from_str(json.dumps(content))
        plain, parsed, decoded, skipped = [], [], [], []
        for text in TEXTS:
            reference.encode_special_tokens = True
            plain.append(reference.encode(text, add_special_tokens=False).ids)
            reference.encode_special_tokens = False
            ids = reference.encode(text, add_special_tokens=False).ids
            parsed.append(None if ids == plain[-1] else ids)
            back = reference.decode(ids, skip_special_tokens=False)
            decoded.append(None if back == text else back)
            again = reference.decode(ids, skip_special_tokens=True)
            skipped.append(None if again == back else again)
        out["cases"].append({"name": name, "model": base, "changes": changes, **parts, "ids": plain, "parsed": parsed, "decoded": decoded,
                             "skipped": skipped, "with_special": reference.encode(TEXTS[1]).ids})
    path = pathlib.Path(__file__).parent / "data/tokenizer_cases.json"
    path.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {len(out['cases'])} tokenizers, {len(TEXTS)} texts")


main()
