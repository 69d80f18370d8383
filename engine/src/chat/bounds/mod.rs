//! Limits to what a template may put together.
//!
//! `minijinja` counts a template's steps, not the size of its values: `x ~ x` in a loop of forty steps
//! would take all memory there is, and so would `[x, x]` once it is written out. So filters that no
//! template knows are written into its source ([`source`]), which look at what passes through them,
//! and those of its own filters and methods whose results can be much larger than what they are given
//! are looked at before they are called.

mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, ErrorKind, State, Value, filters};

pub(super) use source::bound;

/// How long a text may become within a template and as its result, in bytes. The longest contexts
/// hold some 5 MB of text; a tag with thirty joins lets each operand have a share of 4 MB.
pub(super) const LONGEST: usize = 128 << 20;
/// How many items a list may get.
const MOST: usize = 1 << 20;
/// How deep lists and maps may lie in each other. JSON is read to a depth of 128.
const DEEPEST: usize = 160;
/// What all of it may come to: items, and bytes that are stored anew.
const ALL: usize = 1 << 29;
/// Reading or copying so many bytes counts as one.
const READ: usize = 16;
/// What an item counts, as bytes.
const ITEM: usize = 16;

/// The filters in the source: a value that is passed on, one that is looked into, one that is set.
const MARKED: &str = "aienv_marked";
const WEIGHED: &str = "aienv_weighed";
const KEPT: &str = "aienv_kept";

/// Something became larger than it may.
#[derive(Debug, thiserror::Error)]
#[error("a text or a list became too long")]
pub(super) struct TooLong;

impl From<TooLong> for minijinja::Error {
    fn from(cause: TooLong) -> minijinja::Error {
        minijinja::Error::new(ErrorKind::InvalidOperation, cause.to_string()).with_source(cause)
    }
}

/// A tag has more tokens than this, which are the most.
#[derive(Debug)]
pub(super) struct TagTooLong(pub(super) usize);

/// What a template has taken so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(Arc<AtomicUsize>);

impl Limits {
    /// Sets the limits up in an environment, over `method`, which knows the methods of values.
    pub(super) fn install(
        &self,
        environment: &mut Environment<'static>,
        method: impl Fn(&mut State, &Value, &str, &[Value]) -> Result<Value, minijinja::Error>
        + Send
        + Sync
        + 'static,
    ) {
        let limits = self.clone();
        environment.add_filter(MARKED, move |value: &Value, share: usize| {
            limits.marked(value, share)?;
            Ok::<_, minijinja::Error>(value.clone())
        });
        let limits = self.clone();
        environment.add_filter(WEIGHED, move |value: &Value, made: Option<bool>| {
            // What is made stays, as far as is known here.
            let read = if made.is_some() { 1 } else { READ };
            limits.weigh(value, 0, read)?;
            Ok::<_, minijinja::Error>(value.clone())
        });
        let limits = self.clone();
        environment.add_filter(KEPT, move |value: &Value| {
            match value.kind() {
                ValueKind::Map => limits.weigh(value, 0, READ),
                _ => limits.marked(value, 1),
            }?;
            Ok::<_, minijinja::Error>(value.clone())
        });
        environment.add_filter("aienv_batch", filters::batch);
        environment.add_filter("aienv_format", filters::format);
        environment.add_filter("aienv_indent", filters::indent);
        environment.add_filter("aienv_join", filters::join);
        environment.add_filter("aienv_lines", filters::lines);
        environment.add_filter("aienv_replace", filters::replace);
        environment.add_filter("aienv_slice", filters::slice);
        environment.add_filter("aienv_split", filters::split);
        environment.add_filter("aienv_sum", filters::sum);
        for (name, own) in [
            ("batch", "aienv_batch"),
            ("format", "aienv_format"),
            ("indent", "aienv_indent"),
            ("join", "aienv_join"),
            ("lines", "aienv_lines"),
            ("replace", "aienv_replace"),
            ("slice", "aienv_slice"),
            ("split", "aienv_split"),
            ("sum", "aienv_sum"),
        ] {
            let limits = self.clone();
            let filter = move |state: &mut State, value: &Value, rest: Rest<ValueOrKwargs>| {
                let mut all = vec![value.clone()];
                all.extend(rest.into_values());
                limits.grows(name, value, &all[1..])?;
                state.apply_filter(own, &all)
            };
            environment.add_filter(name, filter);
        }
        let limits = self.clone();
        environment.set_unknown_method_callback(move |state, value, name, args| {
            limits.marked(value, 1)?;
            match (name, args) {
                // The separator is the text, and the list is given.
                ("join", [list, ..]) => {
                    limits.grows(name, list, std::slice::from_ref(value))?;
                }
                _ => limits.grows(name, value, args)?,
            }
            method(state, value, name, args)
        });
    }

    /// Counts what was taken.
    pub(super) fn charge(&self, size: usize) -> Result<(), TooLong> {
        let before = self.0.fetch_add(size.min(ALL), Ordering::Relaxed);
        match before.saturating_add(size) > ALL {
            true => Err(TooLong),
            false => Ok(()),
        }
    }

    /// A value that is passed on: no longer than its share of [`LONGEST`].
    fn marked(&self, value: &Value, share: usize) -> Result<(), TooLong> {
        let share = share.max(1);
        match value.as_str() {
            Some(text) if text.len() > LONGEST / share => Err(TooLong),
            Some(text) => self.charge(1 + text.len() / READ),
            None => match value.len() {
                Some(items) if items > MOST / share.min(MOST) => Err(TooLong),
                _ => self.charge(1),
            },
        }
    }

    /// A value with all that it holds. A byte of text counts as one part of `read`.
    fn weigh(&self, value: &Value, depth: usize, read: usize) -> Result<(), TooLong> {
        if depth > DEEPEST {
            return Err(TooLong);
        }
        if let Some(text) = value.as_str() {
            return match depth {
                0 => self.marked(value, 1),
                _ => self.charge(1 + text.len() / read),
            };
        }
        self.charge(if depth == 0 { 1 } else { ITEM })?;
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                for item in value.try_iter().into_iter().flatten() {
                    self.weigh(&item, depth + 1, read)?;
                }
            }
            ValueKind::Map => {
                for key in value.try_iter().into_iter().flatten() {
                    self.weigh(&key, depth + 1, read)?;
                    if let Ok(item) = value.get_item(&key) {
                        self.weigh(&item, depth + 1, read)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the result of a filter or a method would be too large; `value` is what it is called on.
    fn grows(&self, name: &str, value: &Value, args: &[Value]) -> Result<(), TooLong> {
        let text = value.as_str().unwrap_or_default();
        let arg = |index: usize| args.get(index).and_then(Value::as_str).unwrap_or_default();
        let size = match name {
            "replace" => {
                let (old, new) = (arg(0), arg(1));
                text.matches(old)
                    .count()
                    .saturating_mul(new.len())
                    .saturating_add(text.len())
            }
            "join" => {
                let before = self.0.load(Ordering::Relaxed);
                // What is no text is written out.
                self.weigh(value, 0, 1)?;
                let parts = self.0.load(Ordering::Relaxed).saturating_sub(before);
                let gaps = value.len().unwrap_or(parts).saturating_mul(arg(0).len());
                parts.saturating_add(gaps)
            }
            "format" => {
                let places = text.matches(['{', '%']).count();
                let longest = args
                    .iter()
                    .map(|arg| arg.as_str().map_or(64, str::len))
                    .max();
                let widths = places.saturating_mul(widest(text).max(largest(args)));
                let texts = places.saturating_mul(longest.unwrap_or(0));
                text.len().saturating_add(widths).saturating_add(texts)
            }
            "indent" => {
                let lines = text.matches('\n').count() + 1;
                lines
                    .saturating_mul(largest(args))
                    .saturating_add(text.len())
            }
            // Items take more room than bytes.
            "batch" | "slice" => largest(args).saturating_mul(LONGEST / MOST),
            "split" | "splitlines" | "lines" => {
                let parts = match arg(0) {
                    "" => text.matches(char::is_whitespace).count(),
                    separator => text.matches(separator).count(),
                };
                parts.saturating_mul(LONGEST / MOST / 4)
            }
            "list" => text.len().saturating_mul(LONGEST / MOST),
            "sum" => {
                let items = value.try_iter().into_iter().flatten();
                let sizes = items.map(|item| item.len().unwrap_or(1));
                let all = sizes.fold(0, usize::saturating_add);
                // Each step makes a new one.
                all.saturating_mul(value.len().unwrap_or(all)).max(all)
            }
            _ => 0,
        };
        if size > LONGEST {
            return Err(TooLong);
        }
        self.charge(size / READ)
    }
}

/// The largest whole number among arguments, with and without names.
fn largest(args: &[Value]) -> usize {
    let own = |value: &Value| value.as_usize().filter(|_| value.is_number());
    let named = |value: &Value| {
        let kwargs = Kwargs::try_from(value.clone()).ok()?;
        let all = kwargs
            .args()
            .filter_map(|name| kwargs.peek::<Value>(name).ok());
        all.filter_map(|value| own(&value)).max()
    };
    let all = args
        .iter()
        .filter_map(|value| own(value).or_else(|| named(value)));
    all.max().unwrap_or(0)
}

/// The largest number that stands in a text.
fn widest(text: &str) -> usize {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let all = numbers.filter(|digits| !digits.is_empty());
    all.map(|digits| digits.parse().unwrap_or(usize::MAX))
        .max()
        .unwrap_or(0)
}
