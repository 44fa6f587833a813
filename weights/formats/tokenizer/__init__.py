"""What a model's tokenizer files say: vocabularies as data, and which tokens steer the model.

May import weights.architecture, weights.errors and formats.strict.
"""
