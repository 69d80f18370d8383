//! PEP 503 pages. The tokenizer of a browser engine reads them, so that entities, odd quotes and
//! attributes in any order are as a browser would see them; no tree is built.

use std::cell::RefCell;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::RawKind,
    },
};

use super::{Listed, MetadataFile, file_name};

/// What a page has.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// `<base href>`.
    pub(super) base: Option<String>,
    /// Every link.
    pub(super) files: Vec<Listed>,
    /// A form or a password field is on it.
    pub(super) has_form: bool,
    /// It says that it is an index page: PEP 629's version, or the heading every index writes.
    pub(super) is_index: bool,
}

/// Reads a page; every text is one.
pub(super) fn parse(text: &str) -> Page {
    let sink = Sink::default();
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let queue = BufferQueue::default();
    // One tendril holds at most 4 GiB; pages are bounded far below.
    queue.push_back(StrTendril::from_slice(text));
    // The tokenizer stops at each `</script>` to let it run.
    while !queue.is_empty() {
        let _ = tokenizer.feed(&queue);
    }
    tokenizer.end();
    tokenizer.sink.page.into_inner()
}

#[derive(Default)]
struct Sink {
    page: RefCell<Page>,
    /// Inside a heading or title, whose text is looked at.
    in_heading: RefCell<Option<String>>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return self.start(&tag),
            Token::TagToken(tag) => {
                if matches!(&*tag.name, "h1" | "title") {
                    let heading = self.in_heading.take().unwrap_or_default();
                    let heading = heading.trim_start().to_ascii_lowercase();
                    self.page.borrow_mut().is_index |= heading.starts_with("links for ");
                }
            }
            Token::CharacterTokens(text) => {
                if let Some(heading) = &mut *self.in_heading.borrow_mut() {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Sink {
    fn start(&self, tag: &Tag) -> TokenSinkResult<()> {
        let mut page = self.page.borrow_mut();
        match &*tag.name {
            "a" => page.files.extend(anchor(tag)),
            "base" if page.base.is_none() => page.base = attribute(tag, "href"),
            "form" => page.has_form = true,
            "input" => {
                page.has_form |= attribute(tag, "type")
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("password"));
            }
            "meta" => {
                page.is_index |=
                    attribute(tag, "name").is_some_and(|name| name == "pypi:repository-version");
            }
            "h1" => *self.in_heading.borrow_mut() = Some(String::new()),
            "title" => {
                *self.in_heading.borrow_mut() = Some(String::new());
                return TokenSinkResult::RawData(RawKind::Rcdata);
            }
            // What is inside is not markup, though it may look like it.
            "script" => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                return TokenSinkResult::RawData(RawKind::Rawtext);
            }
            "textarea" => return TokenSinkResult::RawData(RawKind::Rcdata),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn attribute(tag: &Tag, name: &str) -> Option<String> {
    tag.attrs
        .iter()
        .find(|attribute| &*attribute.name.local == name)
        .map(|attribute| attribute.value.to_string())
}

/// Present means yes, whether with a digest, `true` or nothing; `false` is not in the
/// specification but is written by some.
fn metadata_file(value: &str) -> Option<MetadataFile> {
    if value.trim().eq_ignore_ascii_case("false") {
        return None;
    }
    let sha256 = file_name::sha256_of_fragment(value.trim()).and_then(|digits| digits.parse().ok());
    Some(MetadataFile { sha256 })
}

fn anchor(tag: &Tag) -> Option<Listed> {
    let mut listed = Listed::default();
    let mut linked = false;
    for attribute in &tag.attrs {
        let value = &attribute.value;
        match &*attribute.name.local {
            "href" => {
                listed.href = value.trim().to_owned();
                linked = true;
            }
            "data-requires-python" => listed.requires_python = Some(value.to_string()),
            "data-yanked" => listed.yanked = Some(value.to_string()),
            // The second is the name before PEP 714; where both stand, the new one counts.
            "data-core-metadata" => {
                listed.metadata_file = metadata_file(value).or(listed.metadata_file);
            }
            "data-dist-info-metadata" => {
                listed.metadata_file = listed.metadata_file.or_else(|| metadata_file(value));
            }
            _ => {}
        }
    }
    linked.then_some(listed)
}
