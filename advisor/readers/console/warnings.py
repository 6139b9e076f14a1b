"""Warnings of known trainers that say what is wrong, and words that make a line worth a look.

A warning is kept once; rules look at its text (signals/events.py).
"""

from __future__ import annotations

import re

from advisor.readers.console import resumes as console_resumes

# Quick and wide: every line that is no metric is held against it.
HINT = re.compile(
    r"Traceback|[Mm]emory|OutOfMemory|OVERFLOW|[Oo]verflow|^Killed|\bKilled\b|"
    r"requires?[_ ]grad|newly initialized|Token indices|Error\b|Exception\b|Interrupt|mask|"
    r"response (?:key|template)|Saving model checkpoint|[Mm]ismatch|"
    r"[Ss]kipping (?:step|the batch)|Saving (?:the )?checkpoint|loss scale|[Tt]runcat|"
    r"rainable param|BOS|labels|attention|(?:EOS|eos)[ _]token|end-of-text|"
    r"[Dd]uplicat|[Oo]verlap|[Ll]eak|cut (?:to|off)|trained on|embedding|LOAD REPORT|MISSING|"
    + console_resumes.HINT
)
WARNINGS = (
    re.compile(r"None of the inputs have requires_grad|does not require grad"),
    re.compile(r"newly initialized"),
    re.compile(r"Token indices sequence length is longer"),
    re.compile(
        r"[Aa]ll (?:the )?labels|[Ll]abels? .{0,40}(?:all|only) .{0,12}-100|"
        r"Could not find (?:response|instruction) (?:key|template)|"
        r"[Nn]o (?:supervised|label) tokens|fully masked"
    ),
    re.compile(r"[Tt]okenization mismatch"),
    re.compile(r"loss scale already at minimum|[Mm]inimum loss scale reached"),
    re.compile(r"(?<![-\w])[Tt]rainable param\w* ?[:=] ?0(?![\d.,]*\d)|^\s*0\s+[Tt]rainable param"),
    re.compile(r"double BOS|(?:2|two) BOS tokens|also starts with a BOS"),
    re.compile(r"[Rr]esizing the embedding|new embeddings .{0,20}initiali|Resized token embedding"),
    re.compile(r"with the `?eager`? attention implementation|unexpected results .{0,40}attention"),
    re.compile(
        r"(?:samples?|examples?|rows?|sequences?|answers?) "
        r"(?:were|was|will be|are|is|have been) (?:truncated|cut (?:to|off))|"
        r"[Tt]runcated .{0,30}(?:samples|examples|sequences)"
    ),
    re.compile(
        r"(?:not|n't|without|no|missing) .{0,25}(?:EOS|eos|end-of-text)[ _]token|"
        r"(?:EOS|eos|end-of-text)[ _]token .{0,30}(?:not|missing|never)"
    ),
    re.compile(
        r"[Dd]uplicated? .{0,30}(?:samples|rows|examples)|"
        r"(?:samples|rows|examples) .{0,30}[Dd]uplicate"
    ),
    re.compile(
        r"(?:[Oo]verlap|[Ll]eak)\w* (?:between|of|from|with|into) .{0,40}validation|"
        r"validation (?:samples|examples|rows|data|set) .{0,60}(?:overlap|trained on|the training)"
    ),
)
