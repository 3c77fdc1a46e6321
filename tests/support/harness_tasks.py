"""Small tasks of lm-evaluation-harness: YAML files and their data, in words of the tiny models."""

import json
from pathlib import Path

QUESTIONS = (
    ("the patient has a fever and", " pain", 0),
    ("the pain in the chest of", " a patient", 1),
    ("a note of the", " patient", 0),
    ("the patient has", " a fever", 1),
    ("chills and the", " fever", 0),
    ("the fever of a patient in", " the note", 1),
    ("a patient with", " pain", 1),
)

MULTIPLE_CHOICE = """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" fever", " pain"]
doc_to_target: "{{label}}"
target_delimiter: ""
num_fewshot: 2
fewshot_split: train
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: brier_score, aggregation: brier_score, higher_is_better: false}
"""

LIKELIHOOD = """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
target_delimiter: ""
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""

GENERATION = """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["patient", "."], do_sample: false, max_gen_toks: 6}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: !function measures.length, aggregation: mean, higher_is_better: false}
filter_list:
  - name: whole
    filter: [{function: take_first}]
  - name: word
    filter:
      - {function: regex, regex_pattern: "([a-z]+)"}
      - {function: take_first}
"""

MEASURES = '''
def length(references, predictions, **_):
    """The number of characters of a reply."""
    return len(predictions[0])
'''


def write_tasks(folder: Path) -> Path:
    """The folder with the tasks `choice`, `likelihood` and `generation`, and their data."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "items.jsonl"
    rows = [
        {"question": question, "answer": answer, "label": label}
        for question, answer, label in QUESTIONS
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "measures.py").write_text(MEASURES, encoding="utf-8")
    for name, body in (
        ("choice", MULTIPLE_CHOICE),
        ("likelihood", LIKELIHOOD),
        ("generation", GENERATION),
    ):
        write_task(folder, name, body)
    return folder


def write_task(folder: Path, name: str, body: str) -> None:
    """The YAML file of one task on the data of the folder."""
    files = json.dumps({"test": str(folder / "items.jsonl"), "train": str(folder / "items.jsonl")})
    head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {files}}}\n"
    text = f"{head}test_split: test\ntraining_split: train\n{body}\nmetadata: {{version: 1}}\n"
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
