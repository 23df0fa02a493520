//! The events that the script in a container writes into its output.
//!
//! An event is the byte 0x1e (ASCII record separator), a token, a space, text, 0x1e and
//! a newline. Tokens are random, and each is valid for one event: the script reads them
//! from its input before anything of the product or the project runs, and keeps them in a
//! shell variable that it does not export. Each event has two tokens. The script uses
//! the first for a success and the second for a failure: a program that intercepts an
//! event (it can open the container's output for reading) can neither turn a failure into
//! a success nor forge an event.

use std::fmt;

use crate::host_env;

/// The byte that opens and closes an event.
pub const SEPARATOR: u8 = 0x1e;

/// How many events a run may have; the scripts write fewer.
const MOST: usize = 64;

/// The random bytes of a token; it is twice as many hexadecimal digits.
const TOKEN_BYTES: usize = 8;

/// The tokens of one run.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<[String; 2]>);

/// Which of the two tokens of an event is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The one for a success.
    Success,
    /// The one for a failure.
    Failure,
}

impl Tokens {
    /// Tokens that nobody can guess.
    pub fn random() -> Tokens {
        Tokens::parse(&host_env::random_words(2 * MOST, TOKEN_BYTES))
    }

    /// Reads what [`Tokens::line`] gave.
    pub fn parse(line: &str) -> Tokens {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let pair = |pair: &[&str]| [pair[0].to_owned(), pair[1].to_owned()];
        Tokens(fields.chunks_exact(2).map(pair).collect())
    }

    /// The line that the script reads from its input: all tokens in their order, with a
    /// space between.
    pub fn line(&self) -> String {
        self.0.concat().join(" ")
    }

    /// The token of the event with this number. The first one, 0, is for credentials,
    /// any number of them, before the script says that it has started.
    pub fn get(&self, number: usize, token_kind: TokenKind) -> Option<&str> {
        let [success, failure] = self.0.get(number)?;
        Some(match token_kind {
            TokenKind::Success => success,
            TokenKind::Failure => failure,
        })
    }

    /// All of them, each with its number.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, TokenKind, &str)> {
        self.0.iter().enumerate().flat_map(|(number, pair)| {
            let [success, failure] = pair;
            [
                (number, TokenKind::Success, success.as_str()),
                (number, TokenKind::Failure, failure.as_str()),
            ]
        })
    }
}

/// Keeps them out of whatever is printed.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// One thing that the script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEvent {
    /// The script runs, in this shell.
    Started(String),
    /// The out directory that it sees is not the one here.
    OutDirIsNotOurs,
    /// A program that it needs is not in the image.
    MissingProgram(String),
    /// A file that it was handed cannot be read there.
    UnreadableFile(String),
    /// What `pixi --version` prints.
    Pixi(String),
    /// A variable of its environment that may hold a URL with a password, as
    /// `NAME=VALUE`.
    Credential(String),
    /// A phase begins; what comes now is its output.
    Begin(String),
    /// A phase ended with this exit code.
    End(String, u8),
    /// During a phase, packets found no way out of the container, so many times.
    Attempts(String, u64),
    /// The script waits for a line on its input: it is about to begin, or the named
    /// phase is over.
    Ready(String),
    /// A file that the verification should have left is not there.
    MissingFile(String),
    /// The kernel killed a process for lack of memory during a phase.
    OutOfMemory(String),
    /// A signal, or the end of its input, ended the script.
    Interrupted,
    /// The script is through, with this exit code.
    Finished(u8),
    /// Words that this version does not know.
    Unknown(String),
}

impl ScriptEvent {
    /// Reads the text of an event.
    pub fn parse(text: &str) -> ScriptEvent {
        let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
        let code = |text: &str| text.parse::<u8>().ok();
        match head {
            "started" => ScriptEvent::Started(rest.to_owned()),
            "out-dir-is-not-ours" => ScriptEvent::OutDirIsNotOurs,
            "missing-program" => ScriptEvent::MissingProgram(rest.to_owned()),
            "unreadable-file" => ScriptEvent::UnreadableFile(rest.to_owned()),
            "pixi" => ScriptEvent::Pixi(rest.trim().to_owned()),
            "credential" => ScriptEvent::Credential(rest.to_owned()),
            "begin" => ScriptEvent::Begin(rest.to_owned()),
            "end" => match rest
                .split_once(' ')
                .and_then(|(phase, n)| Some((phase, code(n)?)))
            {
                Some((phase, code)) => ScriptEvent::End(phase.to_owned(), code),
                None => ScriptEvent::Unknown(text.to_owned()),
            },
            "attempts" => match rest
                .split_once(' ')
                .and_then(|(phase, n)| Some((phase, n.parse().ok()?)))
            {
                Some((phase, count)) => ScriptEvent::Attempts(phase.to_owned(), count),
                None => ScriptEvent::Unknown(text.to_owned()),
            },
            "ready" => ScriptEvent::Ready(rest.to_owned()),
            "missing-file" => ScriptEvent::MissingFile(rest.to_owned()),
            "out-of-memory" => ScriptEvent::OutOfMemory(rest.to_owned()),
            "interrupted" => ScriptEvent::Interrupted,
            "finished" => {
                code(rest).map_or(ScriptEvent::Unknown(text.to_owned()), ScriptEvent::Finished)
            }
            _ => ScriptEvent::Unknown(text.to_owned()),
        }
    }
}

impl ScriptEvent {
    /// Which token it needs.
    pub fn token_kind(&self) -> TokenKind {
        match self {
            ScriptEvent::Started(_)
            | ScriptEvent::Pixi(_)
            | ScriptEvent::Credential(_)
            | ScriptEvent::Begin(_)
            | ScriptEvent::Ready(_)
            | ScriptEvent::End(_, 0)
            | ScriptEvent::Attempts(_, 0)
            | ScriptEvent::Finished(0) => TokenKind::Success,
            ScriptEvent::OutDirIsNotOurs
            | ScriptEvent::MissingProgram(_)
            | ScriptEvent::MissingFile(_)
            | ScriptEvent::UnreadableFile(_)
            | ScriptEvent::OutOfMemory(_)
            | ScriptEvent::Interrupted
            | ScriptEvent::End(..)
            | ScriptEvent::Attempts(..)
            | ScriptEvent::Finished(_)
            | ScriptEvent::Unknown(_) => TokenKind::Failure,
        }
    }
}

/// The text, as the script says them: [`ScriptEvent::parse`] reads them back.
impl fmt::Display for ScriptEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptEvent::Started(shell) => write!(f, "started {shell}"),
            ScriptEvent::OutDirIsNotOurs => write!(f, "out-dir-is-not-ours"),
            ScriptEvent::MissingProgram(name) => write!(f, "missing-program {name}"),
            ScriptEvent::UnreadableFile(name) => write!(f, "unreadable-file {name}"),
            ScriptEvent::Pixi(version) => write!(f, "pixi {version}"),
            ScriptEvent::Credential(variable) => write!(f, "credential {variable}"),
            ScriptEvent::Begin(phase) => write!(f, "begin {phase}"),
            ScriptEvent::End(phase, code) => write!(f, "end {phase} {code}"),
            ScriptEvent::Attempts(phase, count) => write!(f, "attempts {phase} {count}"),
            ScriptEvent::Ready(point) => write!(f, "ready {point}"),
            ScriptEvent::MissingFile(file) => write!(f, "missing-file {file}"),
            ScriptEvent::OutOfMemory(phase) => write!(f, "out-of-memory {phase}"),
            ScriptEvent::Interrupted => write!(f, "interrupted"),
            ScriptEvent::Finished(code) => write!(f, "finished {code}"),
            ScriptEvent::Unknown(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for event in [
            ScriptEvent::Started("bash".into()),
            ScriptEvent::OutDirIsNotOurs,
            ScriptEvent::MissingProgram("pixi".into()),
            ScriptEvent::UnreadableFile("netrc".into()),
            ScriptEvent::Pixi("pixi 0.77.0".into()),
            ScriptEvent::Credential("A=http://joe:secret@h b".into()),
            ScriptEvent::Begin("install".into()),
            ScriptEvent::End("install".into(), 255),
            ScriptEvent::Attempts("bootstrap".into(), 3),
            ScriptEvent::Ready("bootstrap".into()),
            ScriptEvent::MissingFile("a b/c".into()),
            ScriptEvent::OutOfMemory("verify".into()),
            ScriptEvent::Interrupted,
            ScriptEvent::Finished(0),
            ScriptEvent::Unknown("end install 256".into()),
            ScriptEvent::Unknown("finished".into()),
        ] {
            assert_eq!(ScriptEvent::parse(&event.to_string()), event);
        }
    }

    #[test]
    fn tokens_are_read_back_and_no_two_are_the_same() {
        let tokens = Tokens::random();
        let line = tokens.line();
        assert_eq!(Tokens::parse(&line), tokens);
        // A pipe of one page takes them without anybody who reads it.
        assert!(line.len() < 4096, "{}", line.len());
        let mut each: Vec<&str> = tokens.each().map(|(_, _, token)| token).collect();
        assert_eq!(each.len(), 2 * MOST);
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), 2 * MOST);
        assert!(!format!("{tokens:?}").contains(each[0]));
    }
}
