"""The section ``advisor``: what the advisor may do while the run trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.errors import AdvisorError, RuleError
from train.config.fields import Context, as_section, build, convert
from train.config.nodes import ConfigScalar, Node, Section, expand_scalar
from train.config.types import AdvicePolicy, AdvisorConfig
from train.errors import TrainConfigError

if TYPE_CHECKING:
    from advisor.monitor import Policy

# What going back, a lower rate and other batches cure, and overfitting, which ends a run early.
# Gradient spikes that the loss does not follow are clipping's, and not among them.
ACTED = ("nonfinite", "divergence", "spikes", "GR003", "overfit")
_SWITCHES: dict[str, AdvicePolicy] = {"true": "warn", "on": "warn", "false": "off", "no": "off"}


def advice(root: Section, context: Context) -> AdvisorConfig:
    """Return the section; a bare word in its place is the policy (``advisor: off``)."""
    node = root.get("advisor")
    if isinstance(node, ConfigScalar):
        return AdvisorConfig(policy=_policy(node, context))
    section = as_section(node, "advisor")
    word = section.get("policy")
    given: dict[str, Any] = {} if word is None else {"policy": _policy(word, context)}
    config = build(AdvisorConfig, section, "advisor", context, **given)
    _check_words(config, section)
    return config


def _policy(node: Node, context: Context) -> AdvicePolicy:
    """Return the policy; YAML's words for true and false stand for warn and off."""
    if isinstance(node, ConfigScalar):
        word = _SWITCHES.get(expand_scalar(node, context.env).strip().lower())
        if word is not None:
            return word
    found: AdvicePolicy = convert(node, AdvicePolicy, "advisor.policy", context.env)
    return found


def policy_of(config: AdvisorConfig) -> Policy:
    """Return the policy as the Monitor takes it."""
    from advisor.monitor import Policy

    given: dict[str, object] = {"mode": config.policy, "max_actions": config.max_actions}
    for key in ("stop_on", "act_on"):
        if (words := getattr(config, key)) is not None:
            given[key] = words
    if config.policy == "act":
        given.setdefault("act_on", ACTED)
    return Policy.parse(given)


def _check_words(config: AdvisorConfig, section: Section) -> None:
    """Refuse words that are no code, name or symptom; rules of one's own may have their own."""
    if config.rules or not (config.stop_on or config.act_on):
        return
    from advisor.rulebook.load import load_rules

    try:
        rules = load_rules()
    except RuleError:  # a fault of the rules ends no run: the advisor says so and is off
        return
    try:
        policy_of(config).check(rules)
    except AdvisorError as error:
        what = str(error).removeprefix("policy: ")
        raise TrainConfigError(f"{section.place}: advisor: {what}") from None
