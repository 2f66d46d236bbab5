// The protocols, as published. Sources: the repositories and files that each names; read at the state that its `source`
// gives.
#include "thinktune/core/error.h"
#include "thinktune/eval/protocols.h"

namespace thinktune::eval {
namespace {

const std::vector<Finder> kLenientMath = {Finder::Box,    Finder::Tag,  Finder::Hashes,
                                          Finder::Phrase, Finder::Math, Finder::LastNumber};
const std::vector<Finder> kLenientChoice = {Finder::Box, Finder::Tag, Finder::Choice};

Protocol thinktuning() {
  const Task math = {.suite = kAnyMath,
                     .question = "{problem}\nPlease reason step by step, and put your final answer within \\boxed{}.",
                     .strict = {Finder::Box},
                     .lenient = kLenientMath,
                     .needs_end = true};
  Task choice = math;
  choice.suite = kAnyChoice;
  choice.question =
      "{problem}\n{choices}\nPlease reason step by step, and put the letter of your final answer within \\boxed{}.";
  choice.choice = "({letter}) {text}";
  choice.lenient = kLenientChoice;
  choice.compare_strict = choice.compare_lenient = Comparison::Letter;
  choice.differs = "the paper does not print how it shows the choices of a multiple choice";
  return {.name = "thinktuning",
          .version = 1,
          .source = "arXiv 2508.07616: question, request for steps and \\boxed{}, greedy, 1024 tokens",
          .tasks = {math, choice}};
}

Task lm_eval_gsm8k() {
  return {.suite = "gsm8k",
          .form = PromptForm::Raw,
          .question = "Question: {problem}\nAnswer:",
          .example_answer = " {solution}",
          .num_examples = 5,
          .examples_file = "gsm8k/train.jsonl",
          .examples_source =
              "github.com/openai/grade-school-math, grade_school_math/data/train.jsonl (MIT), as rows "
              "{\"problem\", \"solution\"}",
          .max_new_tokens = 256,
          .stop = {"Question:", "</s>", "<|im_end|>"},
          .strict = {Finder::FirstHashes},
          .lenient = {Finder::LastNumeral},
          .compare_strict = Comparison::Numeral,
          .compare_lenient = Comparison::Numeral,
          .differs =
              "worked examples are the first five of the training file; published: five drawn anew for each "
              "problem by a Python generator"};
}

Task lm_eval_math500() {
  return {.suite = "math500",
          .form = PromptForm::Raw,
          .question = "Problem:\n{problem}\n\nSolution:",
          .example_answer = " {solution}",
          .num_examples = 4,
          .examples_file = "math500/fewshot.jsonl",
          .examples_source =
              "the four worked examples of Minerva (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D), as "
              "lm-evaluation-harness has them in lm_eval/tasks/minerva_math/utils.py: rows {\"problem\", \"solution\"}",
          .max_new_tokens = 256,
          .stop = {"Problem:"},
          .strict = {Finder::MinervaSentence},
          .lenient = kLenientMath,
          .differs =
              "equality is this program's own; published: sympy's of Minerva's normal form (exact_match: strict), "
              "math-verify's on the whole text (math_verify: lenient)"};
}

Task lm_eval_aime(const char* suite) {
  return {.suite = suite,
          .form = PromptForm::Raw,
          .question = "Question: {problem}\nAnswer:",
          .max_new_tokens = 32768,
          .stop = {"Question:", "</s>", "<|im_end|>", "<|eot_id|>"},
          .strict = {Finder::DollarsOrBox},
          .lenient = kLenientMath,
          .differs = "equality is this program's own; published: equal texts after a normalisation"};
}

Task lm_eval_gpqa() {
  return {.suite = "gpqa_diamond",
          .form = PromptForm::Raw,
          .question =
              "What is the correct answer to this question:{problem}\nChoices:\n{choices}\nLet's think step by "
              "step: ",
          .choice = "({letter}) {text}",
          .tidy_choices = true,
          .max_new_tokens = 256,
          .stop = {"</s>"},
          .strict = {Finder::TheAnswerIs},
          .lenient = {Finder::ParenthesisedLetter},
          .compare_strict = Comparison::LetterAsText,
          .compare_lenient = Comparison::LetterAsText,
          .decides = "lenient",
          .differs = "the choices' order is a function of the record's id; published: Python's shuffle"};
}

Task lm_eval_arc(const char* suite) {
  return {.suite = suite,
          .form = PromptForm::Score,
          .question = "Question: {problem}\nAnswer:",
          .choice = " {text}",
          .max_new_tokens = 0,
          .decides = "acc_norm"};
}

Protocol lm_eval() {
  return {.name = "lm-eval",
          .version = 1,
          .source =
              "github.com/EleutherAI/lm-evaluation-harness: gsm8k (task version 3), minerva_math500, aime24, "
              "aime25, gpqa_diamond_cot_zeroshot, arc_challenge, arc_easy; no chat template, as by its default; "
              "256 new tokens where a task names no limit",
          .tasks = {lm_eval_gsm8k(), lm_eval_math500(), lm_eval_aime("aime2024"), lm_eval_aime("aime2025"),
                    lm_eval_gpqa(), lm_eval_arc("arc_challenge"), lm_eval_arc("arc_easy")}};
}

constexpr const char* kAnswerLetter =
    "Answer the following multiple choice question. The last line of your response should be of the following format: "
    "'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering.\n\n"
    "{problem}\n\n{choices}";

Protocol lighteval() {
  const std::string judged = "answers are found and compared by this program; published: math-verify's extraction";
  Task math = {.suite = "math500",
               .question =
                   "Solve the following problem. The final line of your response MUST be of the following "
                   "format:\n\"ANSWER: $ANSWER\" (without quotes) where $ANSWER is the final answer. Think step "
                   "by step before answering.\n\n{problem}",
               .temperature = 0.6,
               .top_p = 0.95,
               .samples = 4,
               .max_new_tokens = 32768,
               .strict = {Finder::LastAnswerLine},
               .lenient = {Finder::Box, Finder::LastAnswerLine, Finder::Phrase, Finder::Math, Finder::LastNumber},
               .decides = "lenient",
               .differs = judged};
  Task aime = math;
  aime.suite = "aime2024";
  aime.question =
      "Solve the following math problem efficiently and clearly.  The last line of your response should be of the "
      "following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' (without quotes) "
      "where ANSWER is just the final number or expression that solves the problem. Think step by step before "
      "answering.\n\n{problem}";
  aime.samples = 64;
  aime.strict = {Finder::Box};
  aime.lenient = {Finder::Box, Finder::Phrase, Finder::Math, Finder::LastNumber};
  Task aime25 = aime;
  aime25.suite = "aime2025";
  Task gpqa = math;
  gpqa.suite = "gpqa_diamond";
  gpqa.question = kAnswerLetter;
  gpqa.choice = "{letter}) {text}";
  gpqa.samples = 8;
  gpqa.strict = {Finder::FirstAnswerLetter};
  gpqa.lenient = {Finder::FirstAnswerLetter, Finder::Box, Finder::Choice};
  gpqa.compare_strict = gpqa.compare_lenient = Comparison::Letter;
  gpqa.differs = judged + "; the choices' order is a function of the record's id, published: not seeded";
  Task gsm8k = math;
  gsm8k.suite = "gsm8k";
  gsm8k.question = "Question: {problem}\nAnswer:";
  gsm8k.temperature = 0;
  gsm8k.top_p = 1;
  gsm8k.samples = 1;
  gsm8k.max_new_tokens = 256;
  gsm8k.stop = {"Question:"};
  gsm8k.strict = {Finder::FirstHashes};
  gsm8k.lenient = {Finder::Box, Finder::Hashes, Finder::Phrase, Finder::Math, Finder::LastNumber};
  return {.name = "lighteval",
          .version = 1,
          .source =
              "github.com/huggingface/lighteval, src/lighteval/tasks/tasks (2026-05); sampling and numbers of "
              "samples as github.com/huggingface/open-r1 publishes them for it: temperature 0.6, top_p 0.95, 4 "
              "samples of MATH-500, 64 of AIME, 8 of GPQA",
          .tasks = {math, aime, aime25, gpqa, gsm8k}};
}

Protocol simple_evals() {
  const Task math = {
      .suite = "math500",
      .question =
          "Solve the following math problem step by step. The last line of your response should be of the form "
          "Answer: $ANSWER (without quotes) where $ANSWER is the answer to the problem.\n\n{problem}\n\n"
          "Remember to put your answer on its own line after \"Answer:\", and you do not need to use a \\boxed "
          "command.",
      .temperature = 0.5,
      .samples = 10,
      .max_new_tokens = 2048,
      .strict = {Finder::FirstAnswerLine},
      .lenient = kLenientMath,
      .differs = "equality is this program's own; published: a language model judges it"};
  Task gpqa = math;
  gpqa.suite = "gpqa_diamond";
  gpqa.question = kAnswerLetter;
  gpqa.choice = "{letter}) {text}";
  gpqa.strict = {Finder::FirstAnswerLetter};
  gpqa.lenient = {Finder::FirstAnswerLetter, Finder::Box, Finder::Choice};
  gpqa.compare_strict = Comparison::ExactText;
  gpqa.compare_lenient = Comparison::Letter;
  gpqa.differs =
      "the choices' order is a function of the record's id, the same for all samples; published: a new one for each "
      "repeat, from one Python generator seeded with 0";
  return {.name = "simple-evals",
          .version = 1,
          .source =
              "github.com/openai/simple-evals: math_eval.py, gpqa_eval.py, common.py; temperature 0.5, 2048 "
              "tokens and 10 repeats as its command line has them",
          .tasks = {math, gpqa}};
}

}  // namespace

const std::vector<Protocol>& protocols() {
  static const std::vector<Protocol> all = {thinktuning(), lm_eval(), lighteval(), simple_evals()};
  return all;
}

const Protocol& find_protocol(std::string_view name) {
  const Protocol* found = nullptr;
  std::vector<std::string> names;
  for (const Protocol& protocol : protocols()) {
    names.push_back(protocol.full_name());
    if (name == protocol.full_name()) return protocol;
    if (name == protocol.name && (found == nullptr || found->version < protocol.version)) found = &protocol;
  }
  if (found == nullptr)
    throw core::user_error(fmt::format("there is no protocol \"{}\"", name),
                           fmt::format("protocols: {}", fmt::join(names, ", ")));
  return *found;
}

}  // namespace thinktune::eval
