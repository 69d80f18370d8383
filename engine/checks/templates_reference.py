"""Renders chat templates with Python's Jinja, for `cargo run -p aienv-engine --example templates`.

    pip install jinja2
    python engine/checks/templates_reference.py OUT TEMPLATE.jinja...

The environment is the one that the `transformers` package sets up (utils/chat_template_utils.py): a
sandbox with trimmed blocks, loop controls, `tojson` without escapes, `raise_exception`,
`strftime_now`, and `generation` blocks. Lists may change in place, which its sandbox forbids. OUT gets
one NAME.cases.json for each template, a list of {source, chat, expected or error}.
"""

import argparse
import datetime
import json
import os
import re

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2026, 3, 5, 14, 7, 9, tzinfo=datetime.timezone.utc)


class Raised(Exception):
    pass


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.If(jinja2.nodes.Const(True), body, [], [], lineno=line)


def environment():
    env = jinja2.sandbox.SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation])

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise Raised(message)

    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return env


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Tells the weather in a place: <b>now</b> & \"later\", é 世界.",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Where"},
            "days": {"type": "integer", "description": "How many", "default": 3},
            "units": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Which"},
            "exact": {"type": "boolean", "description": "Whether"}}, "required": ["city"]}}},
    {"type": "function", "function": {
        "name": "add", "description": "Adds numbers.",
        "parameters": {"type": "object", "properties": {
            "numbers": {"type": "array", "items": {"type": "number"}, "description": "Which"},
            "options": {"type": "object", "properties": {"round": {"type": "boolean"}}}}, "required": ["numbers"]}}},
]


def call(name, arguments, index="123456789"):
    return {"id": index, "type": "function", "function": {"name": name, "arguments": arguments}}


def chats():
    user = {"role": "user", "content": "What's the <weather> in \"Paris\"? é 世界 \n"}
    system = {"role": "system", "content": "You are helpful.\n\nBe brief."}
    answer = {"role": "assistant", "content": "It is fine."}
    thought = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nIt is fine.", "reasoning_content": "Hm."}
    asks = {"role": "assistant", "content": "", "tool_calls": [
        call("get_weather", {"city": "Paris", "days": 2, "exact": True, "units": None})]}
    asks_twice = {"role": "assistant", "content": "Let me see.", "tool_calls": [
        call("get_weather", {"city": "Paris"}), call("add", {"numbers": [1, 2.5, 1e20]}, "987654321")]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "123456789", "content": "{\"sky\": \"clear\"}"}
    result_two = {"role": "tool", "name": "add", "tool_call_id": "987654321", "content": "3.5"}
    yield {"messages": [user]}
    yield {"messages": [user], "add_generation_prompt": False}
    yield {"messages": [system, user]}
    yield {"messages": [system, user, answer, {"role": "user", "content": "Thanks"}]}
    yield {"messages": [user, thought, {"role": "user", "content": "Sure?"}]}
    yield {"messages": [user, thought], "add_generation_prompt": False}
    yield {"messages": [user], "extra": {"enable_thinking": False}}
    yield {"messages": [user], "extra": {"enable_thinking": True, "reasoning_effort": "high"}}
    yield {"messages": [system, user], "tools": TOOLS}
    yield {"messages": [user], "tools": TOOLS[:1]}
    yield {"messages": [user, asks, result], "tools": TOOLS}
    yield {"messages": [system, user, asks, result, answer, user], "tools": TOOLS}
    yield {"messages": [user, asks_twice, result, result_two], "tools": TOOLS}
    yield {"messages": [{"role": "user", "content": [{"type": "text", "text": "In parts."}]}]}
    yield {"messages": [user, user]}
    yield {"messages": [answer]}
    yield {"messages": [{"role": "nobody", "content": "x"}]}
    yield {"messages": []}


def as_texts(messages):
    """Arguments as JSON texts, which some templates want."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for one in message.get("tool_calls", []):
            one["function"]["arguments"] = json.dumps(one["function"]["arguments"])
    return messages


def render(env, source, chat):
    variables = {"bos_token": "<s>", "eos_token": "</s>", "documents": None}
    variables |= {"tools": None, "add_generation_prompt": True}
    variables |= {key: value for key, value in chat.items() if key != "extra"} | chat.get("extra", {})
    try:
        return {"expected": env.from_string(source).render(**variables)}
    except Raised as error:
        return {"error": str(error)}
    except Exception as error:
        # What Python cannot do need not be done; the message is its own.
        return {"error": None, "python": f"{type(error).__name__}: {error}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("templates", nargs="+")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    for path in args.templates:
        with open(path) as file:
            source = file.read()
        env = environment()
        cases = []
        for chat in chats():
            result = render(env, source, chat)
            if result.get("python") and any("tool_calls" in message for message in chat["messages"]):
                again = render(env, source, chat | {"messages": as_texts(chat["messages"])})
                result = again if "expected" in again else result
            cases.append({"chat": chat} | result)
        name = re.sub(r"\.jinja$", "", os.path.basename(path))
        with open(os.path.join(args.out, f"{name}.cases.json"), "w") as file:
            json.dump({"source": source, "cases": cases}, file, ensure_ascii=False, indent=1)
    print(f"{len(args.templates)} templates")


if __name__ == "__main__":
    main()
