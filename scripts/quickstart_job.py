"""The main job as a user writes it, in a process of its own; prints what came out as JSON.

    python scripts/quickstart_job.py numpy|torch|tensorflow

``scripts/quickstart.py`` runs it, and says by the environment which Hub and which cache.
"""

import json
import sys
import time

import hubloader
import hubloader.errors

NAME = "distilbert-base-uncased-finetuned-sst-2-english"
TEXTS = [
    "We are very happy to show you the 🤗 Transformers library.",
    "We hope you don't hate it.",
]
# framework -> the class, what its tensors are called, how to make an array of them
FRAMEWORKS = {
    "numpy": ("NpAutoModelForSequenceClassification", "np", lambda logits: logits),
    "torch": ("AutoModelForSequenceClassification", "pt", lambda logits: logits.detach().numpy()),
    "tensorflow": ("TFAutoModelForSequenceClassification", "tf", lambda logits: logits.numpy()),
}


def main(framework: str) -> None:
    model_class, tensors, to_array = FRAMEWORKS[framework]
    start = time.perf_counter()

    tokenizer = hubloader.AutoTokenizer.from_pretrained(NAME)
    model = getattr(hubloader, model_class).from_pretrained(NAME)
    loaded = time.perf_counter()

    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=512, return_tensors=tensors)
    logits = to_array(model(**batch).logits)
    done = time.perf_counter()

    result = {
        "texts": TEXTS,
        "single": dict(tokenizer(TEXTS[0])),
        "batch": {key: value.tolist() if tensors != "tf" else value.numpy().tolist()
                  for key, value in batch.items()},
        "logits": logits.tolist(),
        "labels": [model.config.id2label[int(row.argmax())] for row in logits],
        "load_seconds": loaded - start,
        "forward_seconds": done - loaded,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except hubloader.errors.HubloaderError as error:
        sys.exit(f"error: {error}")
