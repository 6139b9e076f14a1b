"""Chat templates that behave as those of well-known model families do, in our own words."""

CHATML = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}
{%- for call in m.tool_calls or [] %}
<call>{{ call.function | tojson }}</call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Takes the thoughts out of all turns but the last, and always shows a place for the last's.
FORGETS_THOUGHTS = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}
{%- set text = m.content.split('</think>')[-1].lstrip('\\n') %}
{%- if loop.last %}<think>
{{ m.content.split('</think>')[0].replace('<think>', '').strip('\\n') if '</think>' in m.content }}
</think>

{% endif %}{{ text }}
{%- else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Opens the thoughts in the generation prompt only.
OPENS_THOUGHTS = """\
{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'assistant' %}<|im_start|>{{ m.content.split('</think>')[-1] }}{{ eos_token }}
{%- else %}User: {{ m.content }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|><think>
{% endif %}"""

# No system, roles must alternate, the assistant has another name.
STRICT = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{%- for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}
{%- endif %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>model
{% endif %}"""

# Tools stand before the last user message; ids of calls must have nine letters.
TOOLS_LATE = """\
{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'user' %}
{%- if tools and loop.index0 == (messages | selectattr('role', 'equalto', 'user') | list | length
  - 1) * 2 %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif %}[INST] {{ m.content }}[/INST]
{%- elif m.tool_calls %}[CALLS]{% for call in m.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}
{{- call.function | tojson }}{% endfor %}{{ eos_token }}
{%- elif m.role == 'tool' %}[RESULT]{{ m.content }}[/RESULT]
{%- else %} {{ m.content }}{{ eos_token }}{% endif %}
{%- endfor %}"""

# Marks what the assistant writes, but leaves its end mark out.
MARKED = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}
{%- else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

NO_END = """\
{%- for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}
{%- if add_generation_prompt %}assistant: {% endif %}"""

# A turn ends where the mark of the next one stands; the last turn shows an empty thought.
NEXT_ROLE_ENDS = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and loop.last %}<think></think>
{% endif %}{{ m.content }}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
<think>{% endif %}"""
