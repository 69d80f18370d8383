//! An answer as it is written out while it comes.

use std::io::{self, IsTerminal as _, Write as _};

use aienv_engine::{chat::Piece, generate::Timings};

use crate::cli::{Context, Failure, output::OutputError};

/// Writes text to standard output; reasoning dimmed, there if it is a terminal and to standard error
/// otherwise.
pub struct Stream {
    terminal: bool,
    reasoning: bool,
    /// Nothing but white space has come, which is left out at the beginning.
    fresh: bool,
    /// The last thing written was the end of a line.
    line_begins: bool,
    read: bool,
}

impl Stream {
    /// For one answer. `reasoning`: show it.
    pub fn new(reasoning: bool) -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            reasoning,
            fresh: true,
            line_begins: true,
            read: true,
        }
    }

    /// Whether somebody reads it; not after `| head` has seen enough, which is no error.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Writes text as it is, white space at its beginning and all.
    pub fn raw(&mut self, text: &str) -> Result<(), Failure> {
        self.fresh = false;
        self.text(text)
    }

    /// Writes a piece of an answer.
    pub fn piece(&mut self, piece: &Piece) -> Result<(), Failure> {
        match piece {
            Piece::Text(text) => self.text(text),
            Piece::Reasoning(text) if self.reasoning => self.dimmed(text),
            Piece::Reasoning(_) => Ok(()),
            Piece::Call(call) => {
                let arguments = serde_json::Value::Object(call.arguments.clone());
                self.text(&format!("{}({arguments})\n", call.name))
            }
        }
    }

    /// Ends the last line.
    pub fn finish(&mut self) -> Result<(), Failure> {
        match self.line_begins {
            true => Ok(()),
            false => self.text("\n"),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        let text = match self.fresh {
            true => text.trim_start(),
            false => text,
        };
        if text.is_empty() {
            return Ok(());
        }
        if self.fresh && !self.line_begins {
            self.put("\n\n")?;
        }
        self.fresh = false;
        match self.terminal {
            true => self.put(&harmless(text)),
            false => self.put(text),
        }
    }

    fn put(&mut self, text: &str) -> Result<(), Failure> {
        self.line_begins = text.ends_with('\n');
        let mut out = io::stdout();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.read = false;
                Ok(())
            }
            Err(error) => Err(OutputError::from(error).into()),
        }
    }

    fn dimmed(&mut self, text: &str) -> Result<(), Failure> {
        let text = harmless(text);
        if self.terminal {
            // A style for each line, so that none reaches over a line's end.
            let styled: Vec<String> = text
                .split('\n')
                .map(|line| match line {
                    "" => String::new(),
                    line => console::style(line).dim().to_string(),
                })
                .collect();
            self.put(&styled.join("\n"))?;
            self.line_begins = text.ends_with('\n');
            return Ok(());
        }
        let styled = console::style(&text).dim().for_stderr();
        // Not the result: who does not read it misses nothing.
        let _ = write!(io::stderr(), "{styled}");
        Ok(())
    }
}

/// Text without what a terminal would obey. Models repeat what they read, wherever it came from.
fn harmless(text: &str) -> String {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(shown).collect()
}

/// Tells how long an answer took.
pub fn tell_timings(context: &Context, timings: &Timings) {
    let evaluated = timings.prompt_tokens - timings.reused_tokens;
    context.progress.note(&format!(
        "prompt: {evaluated} tokens at {:.1}/s, {} more were there already; answer: {} tokens at \
         {:.1}/s",
        timings.prompt_rate(),
        timings.reused_tokens,
        timings.tokens,
        timings.rate()
    ));
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(harmless("a\x1b[2Jb\r\tü\n\u{9b}"), "a[2Jb\tü\n");
    }
}
