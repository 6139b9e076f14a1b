"""What credentials look like, as data: names of keys, shapes of values, and look-alikes.

Every expression takes linear time: each repetition is possessive, bounded, or ends the match.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Names whose value is a credential, whatever their prefix; the value may hold spaces.
_ALWAYS = re.compile(
    "password|passwd|passphrase|passwords|secret|secrets|credential|credentials|creds"
    "|authorization|cookie|cookies"
)
# Names that mean a credential as the end of any name; the value is one word.
_JOINED = re.compile(
    ".*(?:apikey|authtoken|accesstoken|secretkey|accesskey|privatekey|signingkey|apitoken"
    "|bearertoken|webhookurl|connectionstring)s?"
)
# Words before "token" that make it a text token, not an access token.
_OF_TEXT = re.compile(
    "pad|eos|bos|unk|cls|sep|mask|special|image|img|video|audio|vision|start|end|stop|num|per|max|"
    "min|mean|avg|total|boi|eoi|boa|eoa|eot|eod|eom|sot|fim|prefix|middle|suffix|im|assistant|"
    "response|prompt|instruction|think|tool|extra|last|first|next|prev|previous|current|new|added|"
    "decoder|teacherless|soft|begin|forced|bad|separator|latent|action|speech|target|input|output|"
    "sampled|generated|predicted|label|ignore|virtual|register|frame|patch|text|word|sub|answer|"
    "query|doc|document|passage|sentinel|delimiter|newline|blank|empty|unused|reserved|placeholder|"
    "role|turn|bot|system|language|lang|task|trigger|observation|summary|reasoning|class|dist|"
    "student|teacher|of|each|a|ms|time|cost|loss|nll|logp|acc|bits"
)
_KEY_OF = re.compile(
    "api|access|secret|private|wandb|auth|encryption|ssh|account|license|service|aws|hf|comet|"
    "neptune|openai|anthropic|deploy|hub|huggingface|mlflow|signing|client|consumer|master|"
    "storage|azure|gcp|google|swanlab|clearml|subscription|deployment|session"
)
_TOKENS_OF = re.compile("api|access|auth|hf|hub|refresh|bearer|secret|huggingface")
_RANDOM = re.compile(r"[A-Za-z0-9+/_\-.~]{16,}={0,2}")
_HEX = re.compile(r"[0-9a-f]{32,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_JOINTS = re.compile(r"[_\-./]+")
_MEANT = re.compile(r"[A-Za-z]*\d{0,8}[A-Za-z]{0,2}")  # a part of a file's or model's name

# The prefix of a provider's keys, and what must follow it.
_PROVIDERS = (
    r"hf_[A-Za-z0-9]{16,}",
    r"api_org_[A-Za-z0-9]{16,}",
    r"sk-[A-Za-z0-9_\-]{16,}",  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"[srp]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_\w{20,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[\w\-]{16,}",
    r"nvapi-[\w\-]{16,}",
    r"AIza[\w\-]{30,}",
    r"ya29\.[\w\-.]{20,}",
    r"GOCSPX-[\w\-]{16,}",
    r"(?:dapi|dkea)[0-9a-f]{32}(?:-\d)?",
    r"npm_[A-Za-z0-9]{16,}",
    r"pypi-[\w\-]{16,}",
    r"r8_[A-Za-z0-9]{16,}",
    r"xox[abeoprs](?:-\d+)?-[A-Za-z0-9\-]{10,}",
    r"xapp-[A-Za-z0-9\-]{10,}",
    r"A(?:KIA|SIA|GPA|IDA|ROA|NPA|CCA)[0-9A-Z]{16}",
    r"LTAI[A-Za-z0-9]{12,}",
    r"gsk_[A-Za-z0-9]{20,}",
    r"xai-[A-Za-z0-9\-]{20,}",
    r"pplx-[A-Za-z0-9]{20,}",
    r"tgp_v1_[\w\-]{16,}",
    r"fw_[A-Za-z0-9]{20,}",
    r"rpa_[A-Za-z0-9]{20,}",
    r"wandb_v\d_\w{16,}",
    r"d(?:ckr_[op]at|op_v1|oo_v1)_[\w\-]{16,}",
    r"hv[sb]\.[\w\-]{20,}",
    r"gl(?:sa|c)_[A-Za-z0-9_=]{20,}",
    r"(?:shpat|shpss|sbp|figd|pnu|ntn|lin_api|sntrys|pul|whsec|KGAT)[_\-][\w\-]{16,}",
    r"SG\.[\w\-]{16,}\.[\w\-]{16,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"\d{8,10}:AA[\w\-]{30,}",  # a bot of Telegram
    r"eyJ[\w\-+/.]{20,}={0,2}",  # JSON in base64: a JWT, and tokens of Neptune and others
)
SHAPES = re.compile("(?<![A-Za-z0-9])(?:" + "|".join(_PROVIDERS) + ")")

# The group named value is the secret; the rest of the match identifies it.
CONTEXTS = (
    re.compile(r"(?<=://)(?P<value>[^/\s:@\"']*+:[^\s/@\"']++)(?=@)"),
    re.compile(r"(?<=://)(?P<random>[\w\-]{16,}+)(?=@)"),
    re.compile(r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<value>[\w/\-]+)"),
    re.compile(r"discord(?:app)?\.com/api/webhooks/(?P<value>[\w/\-]+)"),
    re.compile(r"\.webhook\.office\.com/(?P<value>[\w/@.\-]+)"),
    re.compile(r"api\.telegram\.org/bot(?P<value>[\w:\-]+)"),
    re.compile(
        r"(?i)(?:[?&;]|\\u0026)(?:sig|signature|x-(?:amz|goog)-(?:signature|credential"
        r"|security-token)|awsaccesskeyid|policy|key-pair-id|(?:[a-z]+[_\-])?(?:token|key|secret)"
        r"|jwt|apikey|auth|code|password|pwd)=(?P<value>[^&;\s\"'<>#\\]+)"
    ),
    re.compile(r"(?i)\bbearer[ \t]+(?P<random>[A-Za-z0-9\-._~+/]{6,}+=*)"),
    re.compile(
        r"\b(?:wandb|swanlab|comet)[ .]login[ (](?:[ \t]*-[\w\-]+(?:=\S+)?)*+[ \t]*+[\"']?"
        r"(?P<value>[A-Za-z0-9_]{8,}+)(?![:=\w])"
    ),
    re.compile(r"\blogin[ (][^\n:]{0,120}?(?<![\w\-./])(?P<random>[A-Za-z0-9_\-]{20,}+)"),
)
PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----")

_NUMBER = r"[-+]?(?:\d[\d_,]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = r"(?:%|x|[kmgtKMGT]i?[bB]?|B|[mun]?s|it/s|s/it|tok(?:en)?s?(?:/s)?|/\w{1,12})"
_PLAIN = re.compile(rf"(?i:null|none|true|false|nan|[-+]?inf|~)|{_NUMBER}[ ]?{_UNIT}?|")
# Placeholders of a credential, and code that fetches one.
_STAND_IN = re.compile(
    r"\$.*|<[^<>]*>|\{\{.*|%\(\w+\)s|\[[A-Z_]+\]|\*+|\.{2,}|x{3,}"
    r"|(?:self|cls|args|kwargs|cfg|config|conf|opts?|os|environ|settings|params|\w+_args)[.\[(].*"
    r"|[A-Za-z_][\w.]*\(.*|(?:str|bool|int|bytes|Any|Optional\[.*|Union\[.*)"
)


@lru_cache(maxsize=4096)
def is_secret_key(name: str) -> bool:
    """Return whether a value under this name is a credential."""
    words = _words(name)
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if _ALWAYS.fullmatch(last) or _JOINED.fullmatch("".join(words[-2:])):
        return True
    if last == "token":
        return not _OF_TEXT.fullmatch(before)
    if last == "tokens":
        return bool(_TOKENS_OF.fullmatch(before))
    if last == "pwd":
        return bool(before) and before != "old"
    return last in ("key", "keys") and bool(_KEY_OF.fullmatch(before))


@lru_cache(maxsize=4096)
def takes_spaces(name: str) -> bool:
    """Return whether the value of a secret key with this name may be several words."""
    words = _words(name)
    return bool(words) and (bool(_ALWAYS.fullmatch(words[-1])) or words[-1] == "pwd")


@lru_cache(maxsize=4096)
def is_some_key(name: str) -> bool:
    """Return whether a name may mean a credential, in which case its value has to look like one."""
    return _words(name)[-1:] in (["key"], ["auth"], ["dsn"])


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name[:200])
    words = [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]
    while len(words) > 1 and words[-1].isdigit():  # api_key_2
        words.pop()
    return [*words[:-1], words[-1].rstrip("0123456789") or words[-1]] if words else []


def is_plain(value: str) -> bool:
    """Return whether a value under a secret key is harmless: a number, nothing, or a
    placeholder."""
    bare = value.strip()
    return bool(_PLAIN.fullmatch(bare) or _STAND_IN.fullmatch(bare))


def is_random(value: str) -> bool:
    """Return whether a word looks random: long, digits among its letters, no joined words."""
    bare = value.strip("\"'`")
    if _HEX.fullmatch(bare):
        return True
    letters, digits = (sum(map(kind, bare)) for kind in (str.isalpha, str.isdigit))
    if not letters or digits < 2 or _RANDOM.fullmatch(bare) is None or is_plain(bare):
        return False
    return not all(_MEANT.fullmatch(part) for part in _JOINTS.split(bare))


def is_credential(word: str) -> bool:
    """Return whether a word with the shape of a provider's key is one, and not joined words."""
    parts = _JOINTS.split(word)[1:]
    return len(parts) < 2 or not all(part.isalpha() and part.islower() for part in parts if part)
