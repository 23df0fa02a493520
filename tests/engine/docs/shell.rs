//! A bash that is given one command after the other.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use testbed::limit::{COMMAND, Limit, Started};

use crate::docs::page::{Fence, require_lines};

/// What a shell says after each command, before its exit code.
const MARK: &str = "the-command-of-the-docs-ended-with";

/// How long a page may take; each of its commands has a limit of its own.
const PAGE: Duration = COMMAND.saturating_mul(6);

/// A running bash.
pub struct Shell {
    child: Started,
    input: ChildStdin,
    output: BufReader<PipeReader>,
    /// What stands in the docs, and what is there instead.
    instead: Vec<(String, String)>,
}

impl Shell {
    /// Starts one; `command` ends with a bash that reads its input.
    pub fn start(mut command: Command, instead: Vec<(String, String)>) -> Shell {
        let (reader, writer) = std::io::pipe().unwrap();
        command
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        let mut child = Started::within(&mut command, PAGE).unwrap();
        // The writing ends in it, so that the reader sees the end.
        drop(command);
        let input = child.stdin.take().unwrap();
        Shell {
            child,
            input,
            output: BufReader::new(reader),
            instead,
        }
    }

    /// Runs a command within the limit of time; what it prints, on both streams, and its exit
    /// code.
    pub fn command(&mut self, text: &str) -> (String, i32) {
        let limit = Limit::on(self.child.id(), COMMAND);
        writeln!(
            self.input,
            "{{ {text}\n}} </dev/null; printf '\\n%s %s\\n' {MARK} $?"
        )
        .unwrap();
        let mut printed = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.output.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(code) = line.strip_prefix(MARK) {
                return (printed.concat(), code.trim().parse().unwrap());
            }
            printed.push(line);
            if read == 0 {
                let why = limit.reached();
                let why = why.as_deref().unwrap_or("ended the shell");
                panic!("$ {text}\n{why}\n{}", printed.concat());
            }
        }
    }

    /// Runs a block, and compares.
    pub fn run(&mut self, page: &str, fence: &Fence) {
        for command in fence.commands() {
            let place = |text: &str| {
                self.instead
                    .iter()
                    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
            };
            let text = place(&command.text);
            let expected: Vec<String> = command.prints.iter().map(|line| place(line)).collect();
            let (printed, code) = self.command(&text);
            let name = format!("{page}, block in line {}:\n$ {text}", fence.line);
            assert_eq!(code, 0, "{name}\n{printed}");
            if let Err(line) = require_lines(&expected, &printed) {
                panic!("{name}\ndid not print, or not in this order: {line}\nbut\n{printed}");
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait_in_time();
    }
}
