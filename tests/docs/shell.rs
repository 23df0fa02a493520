//! A bash that is given one command after the other.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::page::{Fence, require_lines};

/// What a shell says after each command, before its exit code.
const MARK: &str = "the-command-of-the-docs-ended-with";

/// A running bash.
pub struct Shell {
    child: Child,
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
        let mut child = command.spawn().unwrap();
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

    /// Runs a command; what it prints, on both streams, and its exit code.
    pub fn command(&mut self, text: &str) -> (String, i32) {
        writeln!(
            self.input,
            "{{ {text}\n}} </dev/null; printf '\\n%s %s\\n' {MARK} $?"
        )
        .unwrap();
        let mut printed = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.output.read_until(b'\n', &mut line).unwrap();
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Some(code) = text.strip_prefix(MARK) {
                return (printed.concat(), code.trim().parse().unwrap());
            }
            assert!(read > 0, "the shell ended: {text}\n{}", printed.concat());
            printed.push(text);
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
        let _ = self.child.wait();
    }
}
