//! Lines to messages and commands.

/// What lines amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing yet.
    More,
    /// A message.
    Message(String),
    /// A command without its `/`, and what stands behind it.
    Command(String, String),
    /// The end.
    Exit,
}

/// Puts lines together: one that ends with `\` goes on in the next, and between two `"""` every line
/// is taken as it is.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    lines: Vec<String>,
    quoted: bool,
}

const QUOTES: &str = "\"\"\"";

impl Reader {
    /// Whether a text of several lines is under way.
    pub fn within(&self) -> bool {
        self.quoted || !self.lines.is_empty()
    }

    /// Takes the next line.
    pub fn push(&mut self, line: &str) -> Said {
        if self.quoted {
            return match line.trim_end().strip_suffix(QUOTES) {
                Some(last) => {
                    self.lines.push(last.to_owned());
                    self.message()
                }
                None => {
                    self.lines.push(line.to_owned());
                    Said::More
                }
            };
        }
        if self.lines.is_empty() {
            if let Some(first) = line.trim_start().strip_prefix(QUOTES) {
                self.quoted = true;
                return match first.is_empty() {
                    true => Said::More,
                    false => self.push(first),
                };
            }
            if let Some(command) = line.strip_prefix('/') {
                let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
                return match command {
                    "exit" => Said::Exit,
                    _ => Said::Command(command.to_owned(), rest.trim().to_owned()),
                };
            }
        }
        match line.strip_suffix('\\') {
            Some(line) => {
                self.lines.push(line.to_owned());
                Said::More
            }
            None => {
                self.lines.push(line.to_owned());
                self.message()
            }
        }
    }

    /// Takes the end of the lines: a text that is under way is a message all the same.
    pub fn end(&mut self) -> Said {
        match self.message() {
            Said::More => Said::Exit,
            said => said,
        }
    }

    fn message(&mut self) -> Said {
        self.quoted = false;
        let text = std::mem::take(&mut self.lines).join("\n");
        match text.trim() {
            "" => Said::More,
            text => Said::Message(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Vec<Said> {
        let mut reader = Reader::default();
        let all: Vec<Said> = lines.iter().map(|line| reader.push(line)).collect();
        let end = reader.end();
        all.into_iter()
            .chain([end])
            .filter(|said| *said != Said::More)
            .collect()
    }

    fn message(text: &str) -> Said {
        Said::Message(text.to_owned())
    }

    #[test]
    fn lines_are_messages() {
        assert_eq!(
            said(&["hello", "", "  ", "you there"]),
            [message("hello"), message("you there"), Said::Exit]
        );
    }

    #[test]
    fn texts_of_several_lines_are_put_together() {
        assert_eq!(
            said(&["a \\", "b\\", "c"]),
            [message("a \nb\nc"), Said::Exit]
        );
        assert_eq!(
            said(&["\"\"\"first", "/not a command", "", "last\"\"\"", "x"]),
            [
                message("first\n/not a command\n\nlast"),
                message("x"),
                Said::Exit
            ]
        );
        assert_eq!(said(&["\"\"\"one\"\"\""]), [message("one"), Said::Exit]);
        assert_eq!(said(&["\"\"\"", "cut off"]), [message("cut off")]);
        assert_eq!(said(&["\"\"\""]), [Said::Exit]);
    }

    #[test]
    fn commands_begin_with_a_slash() {
        let command = |name: &str, rest: &str| Said::Command(name.to_owned(), rest.to_owned());
        assert_eq!(
            said(&["/system Be brief. ", "/reset", "/exit"]),
            [
                command("system", "Be brief."),
                command("reset", ""),
                Said::Exit,
                Said::Exit
            ]
        );
    }
}
