"""Prints the seconds that Hugging Face tokenizers take to load a tokenizer and to encode a text, and the tokens."""

import sys
import time

from tokenizers import Tokenizer

start = time.perf_counter()
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
loaded = time.perf_counter()
with open(sys.argv[2], encoding="utf-8") as file:
    text = file.read()
before = time.perf_counter()
count = len(tokenizer.encode(text, add_special_tokens=False).ids)
print(loaded - start, time.perf_counter() - before, count)
