//! The template of a model file, run as Python's `transformers` runs it.

use jiff::Zoned;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value as Json;

use super::known::{self, Known};
use super::{bounds, python, quiet, rewrite};
use crate::gguf::{Metadata, MetadataError};
use crate::tokenizer::{Encode, Tokenizer};

/// A conversation to be written as a prompt.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    /// The messages: objects with `role`, `content`, and what else the template knows
    /// (`tool_calls`, `tool_call_id`, `name`, `reasoning_content` …).
    pub messages: Vec<Json>,
    /// Tools in the form of the OpenAI interface: objects with `type` and `function`.
    pub tools: Vec<Json>,
    /// End the prompt so that the model answers.
    pub add_generation_prompt: bool,
    /// More variables for the template, such as `enable_thinking`.
    pub extra: serde_json::Map<String, Json>,
    /// What `strftime_now` tells; now if not given.
    pub now: Option<Zoned>,
}

/// Where a template comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The model file has it.
    File,
    /// The file has none; its name, architecture or tokens tell of which kind it is.
    Known(&'static str),
    /// The file has none and tells nothing; the widespread ChatML is used.
    Guessed,
}

/// A template that can be rendered.
#[derive(Clone, Debug)]
pub struct Template {
    source: String,
    tools_source: Option<String>,
    bos: String,
    eos: String,
    adds_bos: bool,
    origin: Origin,
}

/// Why a conversation could not be written as a prompt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the file has the wrong type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The template itself is broken.
    #[error("the chat template of the model file cannot be read: {0}")]
    Syntax(String),
    /// The template refused the conversation.
    #[error("the model's chat template refuses this conversation: {0}")]
    Refused(String),
    /// The template ran too long.
    #[error(
        "the chat template of the model file ran for more than {0} steps and was stopped; it may \
         loop, or the conversation is too long for it"
    )]
    Endless(u64),
    /// The template joined texts or lists without end.
    #[error(
        "the chat template of the model file was stopped when it put together a text or a list that \
         is too long (for texts, {} MB in all); it may loop, or the conversation is too long for it",
        bounds::LONGEST >> 20
    )]
    TooLong,
    /// A tag of the template has no end.
    #[error("the chat template of the model file has a tag with more than {0} words and signs")]
    TagTooLong(usize),
    /// Something in the template failed.
    #[error("the chat template of the model file fails: {0}")]
    Failed(String),
}

/// How many steps a template may take. The longest real ones take some thousand for each message.
const FUEL: u64 = 20_000_000;

/// What `raise_exception` was called with.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl Template {
    /// A template from its source, with the texts of the begin and end tokens.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Template, Error> {
        let template = Template {
            source: rewrite::rewrite(source).into_owned(),
            tools_source: None,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            adds_bos: false,
            origin: Origin::File,
        };
        check(&template.source)?;
        Ok(template)
    }

    /// The template of a model file, or one that suits what the file tells about its kind.
    pub fn from_metadata(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Template, Error> {
        const KEY: &str = "tokenizer.chat_template";
        let text = |id: Option<u32>| id.and_then(|id| tokenizer.text(id)).unwrap_or_default();
        let special = tokenizer.special();
        let (bos, eos) = (text(special.bos), text(special.eos));
        let mut template = match metadata.text(KEY)? {
            Some(source) => Template::new(source, bos, eos)?,
            None => {
                let (Known { name, source, .. }, sure) = known::find(metadata, tokenizer);
                let origin = if sure {
                    Origin::Known(name)
                } else {
                    Origin::Guessed
                };
                Template {
                    origin,
                    ..Template::new(source, bos, eos)?
                }
            }
        };
        if let Some(source) = metadata.text(&format!("{KEY}.tool_use"))? {
            let source = rewrite::rewrite(source).into_owned();
            check(&source)?;
            template.tools_source = Some(source);
        }
        template.adds_bos = tokenizer.adds_bos();
        Ok(template)
    }

    /// The template's source, as it is run.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where the template comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The prompt for a conversation.
    ///
    /// Templates differ in what they take. Where one fails (not: refuses), the conversation is given
    /// in other forms: arguments of earlier calls as JSON texts instead of objects, contents in parts
    /// as one text, an empty list of tools instead of none.
    pub fn render(&self, chat: &Chat) -> Result<String, Error> {
        let mut first = None;
        for form in FORMS {
            // The engine has slips of its own (`[::-1]` of nothing), which must not end the program.
            let result = quiet::catch(|| self.render_as(chat, *form))
                .unwrap_or_else(|| Err(Error::Failed("the template engine gave up".to_owned())));
            match result {
                Err(Error::Failed(message)) => first = first.or(Some(message)),
                result => return result,
            }
        }
        Err(Error::Failed(first.unwrap_or_default()))
    }

    /// The ids of the prompt for a conversation, with one begin-of-text token if the model wants one.
    pub fn encode(&self, chat: &Chat, tokenizer: &Tokenizer) -> Result<Vec<u32>, Error> {
        let prompt = self.render(chat)?;
        let written = !self.bos.is_empty() && prompt.starts_with(&self.bos);
        let how = Encode {
            add_special: self.adds_bos && !written,
            parse_special: true,
        };
        let mut ids = tokenizer.encode(&prompt, how);
        // What closes a text does not belong at the end of a prompt that is to be continued.
        if how.add_special && ids.last() == tokenizer.special().eos.as_ref() {
            ids.pop();
        }
        Ok(ids)
    }

    fn render_as(&self, chat: &Chat, form: Form) -> Result<String, Error> {
        let source = match &self.tools_source {
            Some(source) if !chat.tools.is_empty() => source,
            _ => &self.source,
        };
        let environment = environment(chat.now.clone());
        let bounded = bounds::bound(source).map_err(|long| Error::TagTooLong(long.0))?;
        let template = environment
            .template_from_str(&bounded)
            .map_err(|error| explain(&error))?;
        let mut messages = chat.messages.clone();
        for message in &mut messages {
            set_arguments(message, form.argument_texts);
        }
        if form.flat {
            messages.iter_mut().for_each(flatten);
        }
        let mut variables: Vec<(String, Value)> = chat
            .extra
            .iter()
            .map(|(key, value)| (key.clone(), to_value(value)))
            .collect();
        let mut set = |key: &str, value: Value| variables.push((key.to_owned(), value));
        set("messages", messages.iter().map(to_value).collect());
        set(
            "tools",
            match chat.tools.is_empty() {
                true if !form.tool_list => Value::from(()),
                _ => chat.tools.iter().map(to_value).collect(),
            },
        );
        if !chat.extra.contains_key("documents") {
            set("documents", Value::from(()));
        }
        // Firefunction's names for the tools and the day.
        set(
            "functions",
            Value::from(Json::from(chat.tools.clone()).to_string()),
        );
        set(
            "datetime",
            Value::from(now(chat.now.as_ref()).strftime("%Y-%m-%d").to_string()),
        );
        set(
            "add_generation_prompt",
            Value::from(chat.add_generation_prompt),
        );
        set("bos_token", Value::from(self.bos.as_str()));
        set("eos_token", Value::from(self.eos.as_str()));
        let mut out = Limited(Vec::new());
        template
            .render_captured_to(Value::from_pairs(variables), &mut out)
            .map_err(|error| explain(&error))?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }
}

/// The form in which a conversation is given to a template.
#[derive(Clone, Copy)]
struct Form {
    argument_texts: bool,
    flat: bool,
    tool_list: bool,
}

const FORMS: &[Form] = &[
    Form {
        argument_texts: false,
        flat: false,
        tool_list: false,
    },
    Form {
        argument_texts: true,
        flat: false,
        tool_list: false,
    },
    Form {
        argument_texts: false,
        flat: true,
        tool_list: false,
    },
    Form {
        argument_texts: true,
        flat: true,
        tool_list: false,
    },
    Form {
        argument_texts: false,
        flat: true,
        tool_list: true,
    },
    Form {
        argument_texts: true,
        flat: true,
        tool_list: true,
    },
];

fn now(fixed: Option<&Zoned>) -> Zoned {
    fixed.cloned().unwrap_or_else(Zoned::now)
}

/// A text that refuses to grow beyond [`bounds::LONGEST`].
struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > bounds::LONGEST {
            return Err(std::io::Error::other(bounds::TooLong));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn check(source: &str) -> Result<(), Error> {
    let bounded = bounds::bound(source).map_err(|long| Error::TagTooLong(long.0))?;
    let environment = environment(None);
    match environment.template_from_str(&bounded) {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(&error)),
    }
}

fn environment(fixed: Option<Zoned>) -> Environment<'static> {
    let mut environment = Environment::new();
    // Set before any template is parsed; the marks are the usual ones, so this cannot fail.
    if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    let limits = bounds::Limits::default();
    limits.install(
        &mut environment,
        minijinja_contrib::pycompat::unknown_method_callback,
    );
    environment.set_formatter(move |out, _, value| {
        let text = python::text(value)?;
        // Blocks that are kept in variables count as well.
        limits.charge(text.len())?;
        out.write_str(&text).map_err(minijinja::Error::from)
    });
    // Loops take nothing for an empty list here; in Python it is none.
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_filter("tojson", python::to_json);
    environment.add_filter("string", |value: &Value| python::text(value));
    environment.add_filter("pprint", |value: &Value| python::text(value));
    environment.add_filter("from_json", |text: &str| {
        serde_json::from_str::<Json>(text)
            .map(|json| to_value(&json))
            .map_err(|error| {
                minijinja::Error::new(ErrorKind::InvalidOperation, format!("not JSON: {error}"))
            })
    });
    environment.add_function("raise_exception", |message: &Value| {
        let message = python::text(message)?;
        Err::<Value, _>(
            minijinja::Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Raised(message)),
        )
    });
    environment.add_function("strftime_now", move |format: &str| {
        jiff::fmt::strtime::format(format, &now(fixed.as_ref())).map_err(|error| {
            minijinja::Error::new(
                ErrorKind::InvalidOperation,
                format!("strftime_now: {error}"),
            )
        })
    });
    environment
}

/// What went wrong, in one line.
fn explain(error: &minijinja::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref::<Raised>() {
            return Error::Refused(message.clone());
        }
        if cause.is::<bounds::TooLong>() {
            return Error::TooLong;
        }
        source = cause.source();
    }
    let mut message = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    if let Some(line) = error.line() {
        message.push_str(&format!(" (line {line})"));
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Error::Endless(FUEL),
        ErrorKind::SyntaxError => Error::Syntax(message),
        _ => Error::Failed(message),
    }
}

/// JSON as a value of the template language.
fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(to_value).collect(),
        Json::Object(fields) => Value::from_pairs(
            fields
                .iter()
                .map(|(key, value)| (key.as_str(), to_value(value))),
        ),
    }
}

/// Writes `tool_calls[].function.arguments` as JSON texts, or as what such texts stand for.
fn set_arguments(message: &mut Json, as_texts: bool) {
    let Some(calls) = message.get_mut("tool_calls").and_then(Json::as_array_mut) else {
        return;
    };
    for call in calls {
        let owner = match call.get("function") {
            Some(_) => &mut call["function"],
            None => call,
        };
        let Some(arguments) = owner.get_mut("arguments") else {
            continue;
        };
        if as_texts && !arguments.is_string() {
            // With Python's spaces, which models were trained with.
            let text = python::dumps(&to_value(arguments));
            *arguments = Json::String(text.unwrap_or_else(|| arguments.to_string()));
        } else if !as_texts {
            let object = arguments
                .as_str()
                .and_then(|text| serde_json::from_str::<Json>(text).ok());
            if let Some(object) = object.filter(Json::is_object) {
                *arguments = object;
            }
        }
    }
}

/// Makes one text of a content that comes in parts, if they are all texts.
fn flatten(message: &mut Json) {
    let Some(content) = message.get_mut("content") else {
        return;
    };
    let parts = content
        .as_array()
        .map(|parts| parts.iter().map(|part| part.get("text")?.as_str()));
    if let Some(text) = parts.and_then(|parts| parts.collect::<Option<String>>()) {
        *content = Json::String(text);
    } else if content.is_null() {
        *content = Json::String(String::new());
    }
}
