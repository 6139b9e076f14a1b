"""Lines that say that training goes on from a checkpoint, as trainers word them."""

from __future__ import annotations

import re

_FROM = r"(?!.{0,30}(?:data|tokeni|config|vocab))(?:\w+ ){0,3}from (?:\S*[/\\])?"
_PLACE = r"(?:checkpoint|ckpt|global_?step|step|epoch|iter(?:ation)?)s?[-_=]?0*[1-9]\d*"
# Part of console_warnings' HINT: a line that matches none of these is looked at no further.
HINT = (
    r"[Rr]esum|Continuing training|Continu(?:e|ing) from|Restor(?:ing|ed) |[Ll]oad(?:ing|ed) |"
    r"[Ww]ill skip"
)
_RESUME = re.compile(
    # Hugging Face, axolotl, accelerate, nanoGPT, composer, mmengine ('resumed epoch: 12')
    r"\b[Rr]esum(?:e|ed|ing)\b.{0,40}\b(?:from|training|checkpoint|epoch|at step|iter)|"
    r"[Aa]uto-?[Rr]esume functionality to start|"
    r"\bContinu(?:e|ing) (?:training\b|from )|[Ww]ill skip (?:the first|to saved)|"
    # Lightning, NeMo
    r"Restor(?:ing|ed) (?:all )?states? from|"
    # Megatron, DeepSpeed, Hugging Face: a checkpoint with the step that it was saved at
    r"[Ll]oad(?:ing|ed) .{0,60}checkpoint.{0,300} at iteration [1-9]|"
    rf"[Ll]oad(?:ing|ed) {_FROM}{_PLACE}|"
    # fairseq, torchvision: loaded checkpoint X (epoch 12 @ 1000 updates)
    r"[Ll]oaded checkpoint .{0,300}\((?:epoch|step|iter)|"
    # DeepSpeech; 'Loading best model from' tells of the end of a run
    r"Loading (?:best|last|latest|most recent)(?: \w+)? checkpoint\b"
)
_NOT = re.compile(
    r"(?:\bnot?|n't|\bto|\bcan|\bcannot|\bwithout|\bcould|\bmay|\bbefore|\bno checkpoint.{0,40})"
    r" (?:be )?(?:resum|continu)|[Rr]esum\w*['\"]?\s*[:=]\s*(?:[Ff]alse|[Nn]one|null|0\b)|"
    r"\bbest model\b",
    re.IGNORECASE,
)


def resumes(text: str) -> bool:
    """Say whether a line tells of a run that is continued."""
    return bool(_RESUME.search(text)) and not _NOT.search(text)
