//! URLs that may carry a login, and URL templates.
//!
//! A [`SourceUrl`] keeps the login apart from the address from the moment it is parsed, so that
//! nothing that prints, stores or joins the address can let the login slip.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// A user name with a password, as HTTP basic authentication needs them. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password or token; empty when there is none.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(****)")
    }
}

/// An HTTP address whose login, if it had one, is kept apart. `Display` and `Debug` show the
/// address alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    url: Url,
    login: Option<Login>,
}

impl SourceUrl {
    /// Parses an `http` or `https` URL, with or without `user:password@`.
    ///
    /// # Errors
    /// Says what is wrong without repeating a login.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim();
        let bad = |reason: &str| BadUrl {
            shown: without_login(text),
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("only http and https are supported"));
        }
        let login = take_login(&mut url);
        url.set_fragment(None);
        Ok(Self { url, login })
    }

    /// Like [`parse`](Self::parse) for the base of other addresses: the path ends in `/`.
    pub fn parse_base(text: &str) -> Result<Self, BadUrl> {
        let mut base = Self::parse(text)?;
        if !base.url.path().ends_with('/') {
            let path = format!("{}/", base.url.path());
            base.url.set_path(&path);
        }
        Ok(base)
    }

    /// The address without login.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The login.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The address of something below this base. `path` is appended as it is.
    pub fn below(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path()));
        url
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// The text is not an address that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a usable URL: {reason}")]
pub struct BadUrl {
    /// The text without login.
    pub shown: String,
    /// What is wrong.
    pub reason: String,
}

/// Takes the login out of a URL.
pub fn take_login(url: &mut Url) -> Option<Login> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let login = Login {
        user: decode(url.username()),
        password: decode(url.password().unwrap_or_default()),
    };
    // Both fail only for URLs that cannot have a login, and then there was none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(login)
}

/// Text that may be a URL, without what looks like a login in it; for messages about text that
/// did not parse.
pub fn without_login(text: &str) -> String {
    let start = text.find("//").map_or(0, |at| at + 2);
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

/// The address of source archives with `{repository}` (`owner/name`) and `{commit}` to fill in.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    text: String,
    login: Option<Login>,
}

impl UrlTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// When a placeholder is missing or the result would not be a URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim();
        for placeholder in ["{repository}", "{commit}"] {
            if !text.contains(placeholder) {
                return Err(BadUrl {
                    shown: without_login(text),
                    reason: format!("the placeholder {placeholder} is missing"),
                });
            }
        }
        let sample = SourceUrl::parse(&fill(text, "owner/name", "0"))?;
        Ok(Self {
            text: without_login(text),
            login: sample.login,
        })
    }

    /// The address of one tree, without login.
    ///
    /// # Errors
    /// When the repository or commit does not fit into a URL.
    pub fn fill(&self, repository: &str, commit: &str) -> Result<SourceUrl, BadUrl> {
        SourceUrl::parse(&fill(&self.text, repository, commit))
    }

    /// The login.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

fn fill(template: &str, repository: &str, commit: &str) -> String {
    template
        .replace("{repository}", repository)
        .replace("{commit}", commit)
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlTemplate({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn login_is_kept_apart_and_decoded() {
        let url = SourceUrl::parse_base("https://me:p%40ss@index.example/simple").unwrap();
        assert_eq!(url.to_string(), "https://index.example/simple/");
        assert!(!format!("{url:?}").contains("p%40ss"));
        let login = url.login().unwrap();
        assert_eq!((&*login.user, &*login.password), ("me", "p@ss"));
        assert!(!format!("{login:?}").contains("me"));
        assert_eq!(
            url.below("numpy/").as_str(),
            "https://index.example/simple/numpy/"
        );
    }

    #[test]
    fn errors_do_not_repeat_a_login() {
        for text in [
            "htps://me:secret@index.example/simple",
            "https://me:secret@index .example/",
            "me:secret@index.example",
        ] {
            let error = SourceUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn templates() {
        let template =
            UrlTemplate::parse("https://u:secret@git.example/{repository}/{commit}.tar.gz")
                .unwrap();
        assert_eq!(
            template.fill("a/b", "0123").unwrap().to_string(),
            "https://git.example/a/b/0123.tar.gz"
        );
        assert_eq!(template.login().unwrap().password, "secret");
        assert!(!template.to_string().contains("secret"));
        assert!(UrlTemplate::parse("https://git.example/{repository}").is_err());
    }
}
