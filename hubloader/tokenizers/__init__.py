"""Files of a repository become a callable tokenizer on the Rust engine.

``selection`` decides what to build from, ``families`` build legacy files, ``engine`` holds the
``tokenizers.Tokenizer`` beneath, and ``tokenizer.Tokenizer`` gives it transformers' calling
convention. Nothing here splits text in Python.
"""
