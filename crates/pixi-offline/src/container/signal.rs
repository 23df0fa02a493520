//! What the script in a container says to us between its output.
//!
//! A signal is the byte 0x1e (ASCII record separator), the run's nonce, a space,
//! words, 0x1e and a newline. The script composes it at run time from a nonce
//! that it is handed as a word, so an entry point that merely echoes its words
//! cannot say anything.

use std::fmt;

/// The byte that opens and closes a signal.
pub const SEPARATOR: u8 = 0x1e;

/// One thing that the script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The script runs, in this shell.
    Started(String),
    /// The out folder that it sees is not ours.
    OutFolderIsNotOurs,
    /// A program that it needs is not in the image.
    MissingProgram(String),
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

impl Signal {
    /// Reads the words of a signal.
    pub fn parse(words: &str) -> Signal {
        let (head, rest) = words.split_once(' ').unwrap_or((words, ""));
        let code = |text: &str| text.parse::<u8>().ok();
        match head {
            "started" => Signal::Started(rest.to_owned()),
            "out-folder-is-not-ours" => Signal::OutFolderIsNotOurs,
            "missing-program" => Signal::MissingProgram(rest.to_owned()),
            "pixi" => Signal::Pixi(rest.trim().to_owned()),
            "credential" => Signal::Credential(rest.to_owned()),
            "begin" => Signal::Begin(rest.to_owned()),
            "end" => match rest
                .split_once(' ')
                .and_then(|(phase, n)| Some((phase, code(n)?)))
            {
                Some((phase, code)) => Signal::End(phase.to_owned(), code),
                None => Signal::Unknown(words.to_owned()),
            },
            "attempts" => match rest
                .split_once(' ')
                .and_then(|(phase, n)| Some((phase, n.parse().ok()?)))
            {
                Some((phase, count)) => Signal::Attempts(phase.to_owned(), count),
                None => Signal::Unknown(words.to_owned()),
            },
            "missing-file" => Signal::MissingFile(rest.to_owned()),
            "out-of-memory" => Signal::OutOfMemory(rest.to_owned()),
            "interrupted" => Signal::Interrupted,
            "finished" => code(rest).map_or(Signal::Unknown(words.to_owned()), Signal::Finished),
            _ => Signal::Unknown(words.to_owned()),
        }
    }
}

/// The words, as the script says them: [`Signal::parse`] reads them back.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signal::Started(shell) => write!(f, "started {shell}"),
            Signal::OutFolderIsNotOurs => write!(f, "out-folder-is-not-ours"),
            Signal::MissingProgram(name) => write!(f, "missing-program {name}"),
            Signal::Pixi(version) => write!(f, "pixi {version}"),
            Signal::Credential(variable) => write!(f, "credential {variable}"),
            Signal::Begin(phase) => write!(f, "begin {phase}"),
            Signal::End(phase, code) => write!(f, "end {phase} {code}"),
            Signal::Attempts(phase, count) => write!(f, "attempts {phase} {count}"),
            Signal::MissingFile(file) => write!(f, "missing-file {file}"),
            Signal::OutOfMemory(phase) => write!(f, "out-of-memory {phase}"),
            Signal::Interrupted => write!(f, "interrupted"),
            Signal::Finished(code) => write!(f, "finished {code}"),
            Signal::Unknown(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for signal in [
            Signal::Started("bash".into()),
            Signal::OutFolderIsNotOurs,
            Signal::MissingProgram("pixi".into()),
            Signal::Pixi("pixi 0.77.0".into()),
            Signal::Credential("A=http://joe:secret@h b".into()),
            Signal::Begin("install".into()),
            Signal::End("install".into(), 255),
            Signal::Attempts("bootstrap".into(), 3),
            Signal::MissingFile("a b/c".into()),
            Signal::OutOfMemory("verify".into()),
            Signal::Interrupted,
            Signal::Finished(0),
            Signal::Unknown("end install 256".into()),
            Signal::Unknown("finished".into()),
        ] {
            assert_eq!(Signal::parse(&signal.to_string()), signal);
        }
    }
}
