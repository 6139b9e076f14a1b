"""The tokenizer of presets/base: byte-level BPE, single digits, and a chat template."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END, PAD = "<|endoftext|>", "<|pad|>"

# A dialogue as plays write it, which the model has read much of: no tokens that it has never
# seen, and an end of text after each answer.
CHAT_TEMPLATE = """\
{%- if tools %}{{ 'TOOLS:\\n' }}\
{%- for tool in tools %}{{ (tool.function if tool.function is defined else tool) | tojson }}\
{{ '\\n' }}{%- endfor %}{{ '\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}{{ 'ASSISTANT:\\n' }}{% generation %}\
{{- message.content or '' }}\
{%- for call in message.tool_calls or [] %}\
{{- '\\nCALL ' }}{{ (call.function if call.function is defined else call) | tojson }}\
{%- endfor %}{{- eos_token }}{% endgeneration %}{{ '\\n\\n' }}
{%- else %}{{ message.role | upper }}{{ ':\\n' }}{{ message.content or '' }}{{ '\\n\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:\\n' }}{%- endif %}"""


def build_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
