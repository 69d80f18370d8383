//! Where lines come from: a line editor on a terminal, plain lines elsewhere.

use std::io::{self, BufRead as _};
use std::path::PathBuf;

use rustyline::{DefaultEditor, error::ReadlineError};

use crate::home::Home;

/// Lines that are kept of what was typed.
const KEPT: usize = 1000;

/// A line, or why there is none.
pub enum Line {
    /// A line.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of the file.
    End,
}

/// Where lines come from.
pub enum Input {
    /// A person.
    Terminal {
        editor: Box<DefaultEditor>,
        history: PathBuf,
    },
    /// A file or a pipe.
    Lines,
}

impl Input {
    /// Lines that are typed, with what was typed earlier at hand.
    pub fn terminal(home: &Home) -> io::Result<Self> {
        let config = rustyline::Config::builder()
            .max_history_size(KEPT)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(to_io)?
            .auto_add_history(true)
            .build();
        let mut editor = DefaultEditor::with_config(config).map_err(to_io)?;
        let history = home.chat_history();
        // There is none the first time.
        let _ = editor.load_history(&history);
        Ok(Self::Terminal {
            editor: Box::new(editor),
            history,
        })
    }

    /// Lines of standard input.
    pub fn lines() -> Self {
        Self::Lines
    }

    /// The next line. `within`: a text of several lines is under way.
    pub fn line(&mut self, within: bool) -> io::Result<Line> {
        match self {
            Self::Terminal { editor, .. } => {
                let prompt = if within { "… " } else { "> " };
                match editor.readline(prompt) {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                    Err(error) => Err(to_io(error)),
                }
            }
            Self::Lines => {
                let mut line = String::new();
                match io::stdin().lock().read_line(&mut line)? {
                    0 => Ok(Line::End),
                    _ => Ok(Line::Text(line.trim_end_matches(['\n', '\r']).to_owned())),
                }
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Self::Terminal { editor, history } = self {
            // A history that cannot be kept is no reason to fail at the end of a conversation.
            if let Some(folder) = history.parent() {
                let _ = std::fs::create_dir_all(folder);
            }
            let _ = editor.save_history(&*history);
        }
    }
}

fn to_io(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
