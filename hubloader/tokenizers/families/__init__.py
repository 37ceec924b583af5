"""One file a family: how its legacy vocabulary becomes an engine, and which classes it has.

A family is a module with

- ``CLASSES``: a tuple of ``classes.TokenizerClass``, one for each class name of transformers;
- ``CLASS_NAMES``: the names of those;
- ``MODEL_TYPES``: which class a ``model_type`` of config.json means, where none is declared;
- ``build(files, options) -> tokenizers.Tokenizer``: the engine, from a
  ``classes.LegacyFiles`` and the merged init arguments.

Adding a file here adds the family; nothing else has to know its name.
"""
