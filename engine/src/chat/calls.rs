//! What stands between the marks of a tool call, in the notations that models use.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A call of a tool that a model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments, by name.
    pub arguments: Map<String, Json>,
    /// The model's own name for this call, where its notation has one.
    pub id: Option<String>,
}

impl ToolCall {
    fn new(name: &str, arguments: Map<String, Json>) -> Option<ToolCall> {
        let name = name.trim();
        is_name(name).then(|| ToolCall {
            name: name.to_owned(),
            arguments,
            id: None,
        })
    }
}

/// Whether a tool can be called so.
pub(super) fn is_name(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>{}[]()\"'`,;=".contains(c);
    !text.is_empty() && !text.contains(odd)
}

/// Whether `body` is JSON that is cut off: a mark that ends it there stands within a text.
pub(super) fn is_cut_off(body: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Json>();
    body.trim_start().starts_with(['{', '['])
        && values.any(|value| value.is_err_and(|error| error.is_eof()))
}

/// GLM: a call without arguments is a name on a line.
pub(super) fn lone_name(body: &str) -> Option<Vec<ToolCall>> {
    let call = ToolCall::new(body, Map::new()).filter(|_| body.ends_with('\n'))?;
    Some(vec![call])
}

/// The calls in `body`, which stood between marks; `None` if it is in no known notation.
pub(super) fn parse(body: &str) -> Option<Vec<ToolCall>> {
    let body = body.trim();
    let calls = json_calls(body)
        .or_else(|| deepseek(body))
        .or_else(|| kimi(body))
        .or_else(|| xml(body))
        .or_else(|| pairs(body))
        .or_else(|| mistral(body))
        .or_else(|| dotted(body))?;
    (!calls.is_empty()).then_some(calls)
}

/// One object, several one after another (Llama puts `;` between them), or a list: `{"name": …, "arguments": {…}}`.
pub(super) fn json_calls(body: &str) -> Option<Vec<ToolCall>> {
    let body = body
        .trim()
        .trim_start_matches("```json")
        .trim_matches('`')
        .trim();
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
        match values.next()?.ok()? {
            Json::Array(items) => {
                for item in &items {
                    calls.push(json_call(item)?);
                }
            }
            value => calls.push(json_call(&value)?),
        }
        rest = rest[values.byte_offset()..].trim_start_matches([';', ' ', '\t', '\r', '\n']);
    }
    Some(calls)
}

fn json_call(value: &Json) -> Option<ToolCall> {
    let object = value
        .get("function")
        .filter(|f| f.is_object())
        .unwrap_or(value);
    let text = |keys: &[&str]| keys.iter().find_map(|key| object.get(key)?.as_str());
    let name = text(&["name", "tool_name", "function"])?;
    let arguments = ["arguments", "parameters", "args"]
        .iter()
        .find_map(|key| object.get(key));
    let arguments = match arguments {
        None | Some(Json::Null) => Map::new(),
        Some(Json::Object(map)) => map.clone(),
        Some(Json::String(text)) => serde_json::from_str(text).ok()?,
        Some(_) => return None,
    };
    let mut call = ToolCall::new(name, arguments)?;
    let id = ["id", "tool_call_id"]
        .iter()
        .find_map(|key| value.get(key)?.as_str());
    call.id = id.map(str::to_owned);
    Some(call)
}

/// What is between two marks, and what follows the second; the end of the text may stand for it.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (before, rest) = text.split_once(open)?;
    Some(match rest.split_once(close) {
        Some((inside, after)) => (before, inside, after),
        None => (before, rest, ""),
    })
}

/// DeepSeek V3: `function<sep>NAME` and fenced JSON; V3.1: `NAME<sep>` and JSON.
fn deepseek(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while let Some((_, inside, after)) =
        between(rest, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>")
    {
        let (first, second) = inside.split_once("<｜tool▁sep｜>")?;
        let (name, arguments) = match second.trim_start().starts_with('{') {
            true => (first, second),
            false => second.split_once('\n')?,
        };
        calls.push(ToolCall::new(name, fenced(arguments)?)?);
        rest = after;
    }
    (!calls.is_empty()).then_some(calls)
}

/// Kimi K2: `functions.NAME:INDEX`, a mark, and JSON.
fn kimi(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while let Some((_, inside, after)) = between(rest, "<|tool_call_begin|>", "<|tool_call_end|>") {
        let (id, arguments) = inside.split_once("<|tool_call_argument_begin|>")?;
        let name = id.trim().trim_start_matches("functions.");
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let mut call = ToolCall::new(name, fenced(arguments)?)?;
        call.id = Some(id.trim().to_owned());
        calls.push(call);
        rest = after;
    }
    (!calls.is_empty()).then_some(calls)
}

/// Qwen3-Coder and functionary: `<function=NAME>` and either `<parameter=KEY>VALUE</parameter>` or
/// JSON.
fn xml(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while let Some((_, inside, after)) = between(rest, "<function=", "</function>") {
        let (name, mut inner) = inside.split_once('>')?;
        let mut arguments = Map::new();
        if inner.trim_start().starts_with('{') {
            arguments = fenced(inner)?;
        } else {
            while let Some((_, parameter, after)) = between(inner, "<parameter=", "</parameter>") {
                let (key, value) = parameter.split_once('>')?;
                arguments.insert(key.trim().to_owned(), loose(strip_newline(value)));
                inner = after;
            }
        }
        calls.push(ToolCall::new(name, arguments)?);
        rest = after;
    }
    (!calls.is_empty()).then_some(calls)
}

/// functionary 3.1: `NAME>` and JSON, in which the mark that closes may stand as well.
pub(super) fn function(body: &str) -> Option<Vec<ToolCall>> {
    let (name, arguments) = body.split_once('>')?;
    let arguments = arguments
        .trim_start()
        .starts_with('{')
        .then_some(arguments)?;
    Some(vec![ToolCall::new(name, fenced(arguments)?)?])
}

/// GLM 4.5: the name, then `<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>`.
fn pairs(body: &str) -> Option<Vec<ToolCall>> {
    let (name, mut rest) = match body.find("<arg_key>") {
        Some(at) => body.split_at(at),
        None => return None,
    };
    let mut arguments = Map::new();
    while let Some((_, key, after)) = between(rest, "<arg_key>", "</arg_key>") {
        let (_, value, after) = between(after, "<arg_value>", "</arg_value>")?;
        arguments.insert(key.trim().to_owned(), loose(value));
        rest = after;
    }
    Some(vec![ToolCall::new(name, arguments)?])
}

/// Mistral: `NAME[ARGS]{…}`, with `[CALL_ID]ID` after the name or without; several may follow.
fn mistral(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.trim().is_empty() {
        let (head, arguments) = rest.split_at(rest.find('{')?);
        let head = head.trim().trim_start_matches("[TOOL_CALLS]");
        let head = head.strip_suffix("[ARGS]").unwrap_or(head);
        let (name, id) = match head.split_once("[CALL_ID]") {
            Some((name, id)) => (name, Some(id.trim().to_owned())),
            None => (head, None),
        };
        let mut values = serde_json::Deserializer::from_str(arguments).into_iter::<Map<_, _>>();
        let mut call = ToolCall::new(name, values.next()?.ok()?)?;
        call.id = id;
        calls.push(call);
        rest = &arguments[values.byte_offset()..];
    }
    Some(calls)
}

/// Llama 3's built-in tools: `NAME.call(KEY="VALUE", …)`.
fn dotted(body: &str) -> Option<Vec<ToolCall>> {
    let (name, rest) = body.split_once(".call(")?;
    let inside = rest.trim_end().strip_suffix(')')?;
    let mut arguments = Map::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(value).into_iter::<Json>();
        arguments.insert(key.trim().to_owned(), values.next()?.ok()?);
        rest = value[values.byte_offset()..]
            .trim_start()
            .trim_start_matches(',')
            .trim_start();
    }
    Some(vec![ToolCall::new(name, arguments)?])
}

/// JSON with or without a fence around it.
fn fenced(text: &str) -> Option<Map<String, Json>> {
    let text = text.trim();
    let text = text.strip_prefix("```json").unwrap_or(text);
    let text = text.trim_end_matches('`').trim();
    if text.is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(text).ok()
}

/// A value written without quotes: JSON if it is JSON, or else the text itself.
fn loose(text: &str) -> Json {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| Json::String(text.to_owned()))
}

fn strip_newline(text: &str) -> &str {
    let text = text.strip_prefix('\n').unwrap_or(text);
    text.strip_suffix('\n').unwrap_or(text)
}
