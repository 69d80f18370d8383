//! A model's answer, taken apart while it comes: text, reasoning, calls of tools.
//!
//! Which marks count follows from the model's template ([`Format::of`]). Marks are often control
//! tokens: give the parser text that was decoded with control tokens written out. What might become
//! a mark is held back; what stands between marks and is no call after all is text, as it came.

use serde_json::{Map, Value as Json};

use super::calls::{self, ToolCall};
use super::template::Template;

/// How a model writes calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `<tool_call>` … `</tool_call>` with JSON, Qwen3-Coder's XML or GLM's pairs inside; Granite and
    /// Phi write `<|tool_call|>`, Seed and Nemotron marks of their own.
    Tagged,
    /// Llama 3: a lone JSON object, or `<|python_tag|>` and a call.
    Llama3,
    /// `[TOOL_CALLS]` and JSON or `NAME[ARGS]{…}`.
    Mistral,
    /// functionary 3.1: `<function=NAME>{…}</function>`.
    Function,
    /// functionary 3.2: `>>>NAME` and, on the next line, its arguments; `>>>all` and text.
    Functionary,
    /// Command R: `<|START_ACTION|>` and a list.
    CommandR,
    /// DeepSeek V3 and R1: `<｜tool▁calls▁begin｜>`.
    DeepSeek,
    /// Kimi K2: `<|tool_calls_section_begin|>`.
    Kimi,
    /// gpt-oss: messages on channels.
    Harmony,
    /// A lone JSON object with a name and arguments.
    Json,
}

/// Marks around calls: what opens, and what closes (nothing: the end of the answer).
type Marks = &'static [(&'static str, &'static str)];

/// Marks around reasoning, in any format.
const REASONING: Marks = &[
    ("<think>", "</think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
];

impl Format {
    /// The format that a template teaches its model.
    pub fn of(template: &Template) -> Format {
        // The most telling marks come first.
        let table: &[(&str, Format)] = &[
            ("<|channel|>", Format::Harmony),
            ("<｜tool▁calls▁begin｜>", Format::DeepSeek),
            ("<|tool_calls_section_begin|>", Format::Kimi),
            ("<|START_ACTION|>", Format::CommandR),
            ("[TOOL_CALLS]", Format::Mistral),
            (">>>", Format::Functionary),
            ("<tool_call>", Format::Tagged),
            ("<|tool_call|>", Format::Tagged),
            ("<seed:tool_call>", Format::Tagged),
            ("<TOOLCALL>", Format::Tagged),
            ("<function=", Format::Function),
            ("<|python_tag|>", Format::Llama3),
        ];
        let found = table
            .iter()
            .find(|(mark, _)| template.source().contains(mark));
        found.map_or(Format::Json, |&(_, format)| format)
    }

    fn marks(self) -> Marks {
        match self {
            Format::Tagged => &[
                ("<tool_call>", "</tool_call>"),
                ("<|tool_call|>", "<|/tool_call|>"),
                ("<seed:tool_call>", "</seed:tool_call>"),
                ("<TOOLCALL>", "</TOOLCALL>"),
                ("<function=", "</function>"),
            ],
            Format::Llama3 => &[("<|python_tag|>", ""), ("<function=", "</function>")],
            Format::Mistral => &[("[TOOL_CALLS]", "")],
            Format::Function => &[("<function=", "</function>"), ("<|python_tag|>", "")],
            Format::Functionary => &[(">>>", ">>>")],
            Format::CommandR => &[("<|START_ACTION|>", "<|END_ACTION|>")],
            Format::DeepSeek => &[("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")],
            Format::Kimi => &[("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")],
            Format::Harmony | Format::Json => &[],
        }
    }
}

/// Marks that say nothing of their own: Command R's around its text, and the end of a call that
/// Qwen3-Coder began without `<tool_call>`.
const SILENT: &[(Format, &str)] = &[
    (Format::CommandR, "<|START_RESPONSE|>"),
    (Format::CommandR, "<|END_RESPONSE|>"),
    (Format::Tagged, "</tool_call>"),
];

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More text.
    Text(String),
    /// More of the reasoning before or between.
    Reasoning(String),
    /// A call that is complete.
    Call(ToolCall),
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What is meant for the reader, without white space around it.
    pub text: String,
    /// What the model thought, likewise.
    pub reasoning: String,
    /// The tools it wants to be called, in order.
    pub calls: Vec<ToolCall>,
}

/// Takes an answer apart.
#[derive(Clone, Debug)]
pub struct Parser {
    format: Format,
    state: State,
    pending: String,
    /// Nothing but white space has come yet.
    fresh: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Text,
    Reasoning {
        close: &'static str,
    },
    Call {
        open: &'static str,
        close: &'static str,
    },
    /// A lone JSON value, to the end.
    Value,
    /// Between `<|start|>` or `<|channel|>` and `<|message|>`.
    Header,
    Message(Channel),
}

#[derive(Clone, Debug, PartialEq)]
enum Channel {
    Final,
    Analysis,
    Call(String),
}

impl Parser {
    /// A parser for an answer to `prompt`. If the prompt ends within reasoning (some templates begin
    /// it themselves), the answer goes on there.
    pub fn new(format: Format, prompt: &str) -> Parser {
        let end = prompt.trim_end();
        let state = match REASONING.iter().find(|(open, _)| end.ends_with(open)) {
            Some(&(_, close)) => State::Reasoning { close },
            None if format == Format::Harmony => State::Header,
            None if format == Format::Functionary && end.ends_with(">>>") => State::Call {
                open: ">>>",
                close: ">>>",
            },
            None => State::Text,
        };
        Parser {
            format,
            state,
            pending: String::new(),
            fresh: true,
        }
    }

    /// Takes a whole answer apart.
    pub fn parse(format: Format, prompt: &str, answer: &str) -> Answer {
        let mut parser = Parser::new(format, prompt);
        let mut pieces = parser.push(answer);
        pieces.extend(parser.finish());
        let mut whole = Answer::default();
        for piece in pieces {
            match piece {
                Piece::Text(text) => whole.text.push_str(&text),
                Piece::Reasoning(text) => whole.reasoning.push_str(&text),
                Piece::Call(call) => whole.calls.push(call),
            }
        }
        whole.text = whole.text.trim().to_owned();
        whole.reasoning = whole.reasoning.trim().to_owned();
        whole
    }

    /// Takes the next stretch of text and returns what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.pending.push_str(text);
        let mut out = Vec::new();
        while self.step(&mut out) {}
        out
    }

    /// Ends the answer: what was held back comes as what it is.
    pub fn finish(&mut self) -> Vec<Piece> {
        let rest = std::mem::take(&mut self.pending);
        let mut out = Vec::new();
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => self.text(rest, &mut out),
            State::Reasoning { .. } | State::Message(Channel::Analysis) => {
                reasoning(rest, &mut out)
            }
            State::Call { open, .. } => self.close_call(open, &rest, "", &mut out),
            State::Value => match calls::json_calls(&rest) {
                Some(found) if !found.is_empty() => out.extend(found.into_iter().map(Piece::Call)),
                _ => self.text(rest, &mut out),
            },
            State::Header if self.fresh && !rest.contains("<|") => self.text(rest, &mut out),
            State::Header => {}
            State::Message(Channel::Final) => self.text(rest, &mut out),
            State::Message(Channel::Call(name)) => out.push(message_call(&name, &rest)),
        }
        out
    }

    fn text(&mut self, text: String, out: &mut Vec<Piece>) {
        if !text.is_empty() {
            self.fresh &= text.trim().is_empty();
            out.push(Piece::Text(text));
        }
    }

    /// One change of state, or as much text as is certain. False if more has to come first.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        match self.state.clone() {
            State::Text => self.step_text(out),
            State::Reasoning { close } => {
                let (text, closed) = self.until(&[close]);
                reasoning(text, out);
                if closed.is_some() {
                    self.state = State::Text;
                }
                closed.is_some()
            }
            State::Call { close: "", .. } | State::Value => false,
            State::Call { open, close } => {
                let mut ends = self.pending.match_indices(close).map(|(at, _)| at);
                let json = |body| match open {
                    "<function=" => after(body, '>'),
                    ">>>" => after(body, '\n'),
                    _ => body,
                };
                let Some(at) = ends.find(|&at| !calls::is_cut_off(json(&self.pending[..at])))
                else {
                    return false;
                };
                let body = self.pending[..at].to_owned();
                self.pending.drain(..at + close.len());
                self.state = match close == open {
                    true => State::Call { open, close },
                    false => State::Text,
                };
                self.close_call(open, &body, close, out);
                true
            }
            State::Header if self.fresh && !self.begins_header() => {
                // No channel at all, as when a grammar holds the answer to a form.
                self.state = State::Message(Channel::Final);
                true
            }
            State::Header => {
                let Some((header, body)) = self.pending.split_once("<|message|>") else {
                    return false;
                };
                self.state = State::Message(channel(header));
                self.fresh = false;
                self.pending = body.to_owned();
                true
            }
            State::Message(channel) => self.step_message(&channel, out),
        }
    }

    fn step_text(&mut self, out: &mut Vec<Piece>) -> bool {
        let lone_json = matches!(self.format, Format::Llama3 | Format::Json | Format::Mistral);
        let begins = self.pending.trim_start();
        if lone_json && self.fresh && begins.starts_with(['{', '[']) {
            // A mark may begin like a list.
            let mark = self
                .format
                .marks()
                .iter()
                .chain(REASONING)
                .any(|(open, _)| begins.starts_with(open) || open.starts_with(begins));
            if !mark {
                self.state = State::Value;
                return true;
            }
        }
        let calls = self.format.marks();
        let opens = calls.iter().chain(REASONING).map(|(open, _)| *open);
        let silent = SILENT.iter().filter(|(format, _)| *format == self.format);
        let opens: Vec<&str> = opens.chain(silent.map(|(_, mark)| *mark)).collect();
        let (text, found) = self.until(&opens);
        self.text(text, out);
        let Some(index) = found else {
            return false;
        };
        self.state = match (
            calls.get(index),
            REASONING.get(index.wrapping_sub(calls.len())),
        ) {
            (Some(&(open, close)), _) => State::Call { open, close },
            (None, Some(&(_, close))) => State::Reasoning { close },
            (None, None) => State::Text,
        };
        true
    }

    /// Whether what is pending is the beginning of a harmony header, or may become one.
    fn begins_header(&self) -> bool {
        let begins = self.pending.trim_start();
        let marks = [
            "<|channel|>",
            "<|start|>",
            "<|message|>",
            "assistant",
            "to=",
        ];
        let fits = |mark: &str| begins.starts_with(mark) || mark.starts_with(begins);
        marks.into_iter().any(fits)
    }

    fn step_message(&mut self, channel: &Channel, out: &mut Vec<Piece>) -> bool {
        const CLOSES: &[&str] = &[
            "<|end|>",
            "<|return|>",
            "<|call|>",
            "<|start|>",
            "<|channel|>",
        ];
        if let Channel::Call(name) = channel {
            let closes = CLOSES
                .iter()
                .filter_map(|close| Some((self.pending.find(close)?, close)));
            let Some((at, close)) = closes.min() else {
                return false;
            };
            out.push(message_call(name, &self.pending[..at]));
            self.pending.drain(..at + close.len());
            self.state = State::Header;
            return true;
        }
        let (text, closed) = self.until(CLOSES);
        match channel {
            Channel::Analysis => reasoning(text, out),
            _ => self.text(text, out),
        }
        if closed.is_some() {
            self.state = State::Header;
        }
        closed.is_some()
    }

    /// Takes the text before the first of `marks` out of what is pending, and the mark, and says
    /// which it was. Without a mark: the text that cannot belong to one.
    fn until(&mut self, marks: &[&str]) -> (String, Option<usize>) {
        let found = marks.iter().enumerate().filter_map(|(index, mark)| {
            Some((
                self.pending.find(mark)?,
                std::cmp::Reverse(mark.len()),
                index,
            ))
        });
        if let Some((at, _, index)) = found.min() {
            let text = self.pending[..at].to_owned();
            self.pending.drain(..at + marks[index].len());
            return (text, Some(index));
        }
        let held = marks
            .iter()
            .map(|mark| overlap(&self.pending, mark))
            .max()
            .unwrap_or(0);
        let rest = self.pending.split_off(self.pending.len() - held);
        (std::mem::replace(&mut self.pending, rest), None)
    }

    fn close_call(&mut self, open: &'static str, body: &str, close: &str, out: &mut Vec<Piece>) {
        let found = match open {
            "<function=" => {
                calls::function(body).or_else(|| calls::parse(&format!("{open}{body}</function>")))
            }
            ">>>" => {
                let (name, rest) = body.split_once('\n').unwrap_or((body, ""));
                let name = name.trim_end();
                if name == "all" {
                    return self.text(rest.to_owned(), out);
                }
                // Python's prompt looks alike, but for the space behind it.
                calls::is_name(name).then(|| {
                    vec![ToolCall {
                        name: name.to_owned(),
                        arguments: arguments(rest),
                        id: None,
                    }]
                })
            }
            "<|python_tag|>" => calls::parse(body).or_else(|| {
                let code = Json::String(body.trim().to_owned());
                Some(vec![ToolCall {
                    name: "python".to_owned(),
                    arguments: Map::from_iter([("code".to_owned(), code)]),
                    id: None,
                }])
            }),
            "<tool_call>" => calls::parse(body).or_else(|| calls::lone_name(body)),
            _ => calls::parse(body),
        };
        match found {
            Some(found) => out.extend(found.into_iter().map(Piece::Call)),
            // Not a call after all.
            None => self.text(format!("{open}{body}{close}"), out),
        }
    }
}

/// What stands behind a sign, if it is there.
fn after(text: &str, sign: char) -> &str {
    text.split_once(sign).map_or("", |(_, rest)| rest)
}

fn reasoning(text: String, out: &mut Vec<Piece>) {
    if !text.is_empty() {
        out.push(Piece::Reasoning(text));
    }
}

/// What a harmony header says: `assistant<|channel|>commentary to=functions.NAME <|constrain|>json`.
fn channel(header: &str) -> Channel {
    if let Some((_, to)) = header.split_once("to=") {
        let name = to.split(['<', ' ', '\n']).next().unwrap_or_default();
        if name != "user" {
            return Channel::Call(name.trim_start_matches("functions.").to_owned());
        }
    }
    match header
        .rsplit("<|channel|>")
        .next()
        .is_some_and(|name| name.contains("analysis"))
    {
        true => Channel::Analysis,
        false => Channel::Final,
    }
}

fn message_call(name: &str, body: &str) -> Piece {
    Piece::Call(ToolCall {
        name: name.to_owned(),
        arguments: arguments(body),
        id: None,
    })
}

/// The arguments of a call whose name is already known; what is not JSON is one text.
fn arguments(body: &str) -> Map<String, Json> {
    let body = body.trim();
    match serde_json::from_str(body) {
        Ok(Json::Object(map)) => map,
        _ if body.is_empty() => Map::new(),
        _ => Map::from_iter([("code".to_owned(), Json::String(body.to_owned()))]),
    }
}

/// The length of the longest end of `text` that begins `mark` and is not all of it.
fn overlap(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len().saturating_sub(1));
    let fits = |&len: &usize| {
        mark.as_bytes()
            .starts_with(&text.as_bytes()[text.len() - len..])
    };
    (1..=longest)
        .rev()
        .filter(|&len| text.is_char_boundary(text.len() - len))
        .find(fits)
        .unwrap_or(0)
}
