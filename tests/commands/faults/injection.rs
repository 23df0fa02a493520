//! Faults at system calls of a command, by strace(1): only of the command itself,
//! whose children are let go when they become another program.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testbed::ensure_debian_package;
use testbed::limit::output;
use testbed::sandbox::words;

/// What touches the disk, or leads to it.
const CALLS: &str = "openat,mkdir,mkdirat,copy_file_range,ioctl,write,ftruncate,utimensat,chmod,fchmod,\
fchmodat,fchown,lchown,fchownat,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat,\
syncfs,fsync,getdents64,flock,mknodat,readlink,readlinkat,statx,newfstatat";

/// What happens at a call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Kill,
    Full,
    Broken,
    /// Ctrl-C.
    Interrupt,
    Terminate,
}

impl Fault {
    /// Those that no command can do anything about.
    pub const ALL: [Fault; 3] = [Fault::Kill, Fault::Full, Fault::Broken];

    fn injection(self) -> &'static str {
        match self {
            Fault::Kill => "signal=SIGKILL",
            Fault::Full => "error=ENOSPC",
            Fault::Broken => "error=EIO",
            Fault::Interrupt => "signal=SIGINT",
            Fault::Terminate => "signal=SIGTERM",
        }
    }

    /// The number of its signal.
    fn signal(self) -> i32 {
        match self {
            Fault::Interrupt => 2,
            _ => 15,
        }
    }
}

/// A call of a run: its name, and the how-manyth of this name it was in its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub call: String,
    pub ordinal: usize,
    /// The line of the trace, for people.
    pub line: String,
}

impl Point {
    /// What happened to a command, for people.
    pub fn case(&self, command: &str, fault: Fault, output: &Output) -> String {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!(
            "{command} with {fault:?} at {} number {}: {}\nended with {:?}\n{stderr}",
            self.call, self.ordinal, self.line, output.status
        )
    }
}

/// An input that stays open as long as this process lives: the delegate in a
/// container ends with it.
pub fn held_input() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    std::mem::forget(writer);
    Stdio::from(reader)
}

/// The program, with the arguments that trace a command into `log`.
fn strace(log: &Path, command: &Command, more: &[&str]) -> Command {
    let program: PathBuf = ensure_debian_package("strace", "strace").expect("strace");
    let mut traced = Command::new(program);
    traced
        .stdin(held_input())
        .args(["-f", "--detach-on=execve", "-o"])
        .arg(log)
        .args(more)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    if let Some(dir) = command.get_current_dir() {
        traced.current_dir(dir);
    }
    traced
}

/// Runs a command to its end, and gives `count` points spread evenly over its
/// calls from the first that names `from` on.
pub fn points(command: &Command, log: &Path, from: &str, count: usize) -> Vec<Point> {
    let trace = format!("trace={CALLS}");
    let run = output(&mut strace(log, command, &["-s", "200", "-e", &trace]));
    assert!(run.status.success(), "{run:?}");
    let text = std::fs::read(log).unwrap();
    let mut counts: HashMap<(String, String), usize> = HashMap::new();
    let mut all = Vec::new();
    let mut begun = false;
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        let Some((call, _)) = rest.split_once('(') else {
            continue;
        };
        if call.contains([' ', '<', '+', '-']) {
            continue;
        }
        let ordinal = counts
            .entry((thread.to_owned(), call.to_owned()))
            .and_modify(|count| *count += 1)
            .or_insert(1);
        begun |= rest.contains(from);
        if begun {
            all.push(Point {
                call: call.to_owned(),
                ordinal: *ordinal,
                line: rest.to_owned(),
            });
        }
    }
    assert!(
        all.len() >= count,
        "only {} calls from {from:?} on",
        all.len()
    );
    (0..count)
        .map(|index| all[index * all.len() / count].clone())
        .collect()
}

/// What is no disk: a broken random source, say, is another matter.
const NO_DISK: [&str; 3] = ["\"/dev/", "\"/proc/", "\"/sys/"];

/// Runs a command with a fault at a point; whether the fault came, and to a disk.
pub fn inject(command: &Command, log: &Path, point: &Point, fault: Fault) -> (Output, bool) {
    let injection = format!(
        "inject={}:{}:when={}",
        point.call,
        fault.injection(),
        point.ordinal
    );
    let trace = format!("trace={}", point.call);
    let output = output(&mut strace(log, command, &["-e", &trace, "-e", &injection]));
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    let mut injected = text.lines().filter(|line| line.contains("(INJECTED)"));
    let hit_disk = injected.all(|line| !NO_DISK.iter().any(|path| line.contains(path)));
    let came = text.contains("(INJECTED)") || text.contains("+++ killed by SIGKILL");
    (output, came && hit_disk)
}

/// Runs a command that gets a signal at a point.
pub fn interrupt(command: &Command, log: &Path, point: &Point, fault: Fault) -> Interrupted {
    let (output, _) = inject(command, log, point, fault);
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    Interrupted {
        output,
        fault,
        signals: text.matches(" --- SIG").count(),
    }
}

/// How a run ended that got a signal.
pub struct Interrupted {
    pub output: Output,
    fault: Fault,
    /// strace counts calls in each thread, so that every thread that comes to
    /// this number of the call sends a signal.
    signals: usize,
}

impl Interrupted {
    /// The end of a run that noticed the signal: 128 and its number. Where a second
    /// signal came, this one may have ended it, after it had said what it removed.
    pub fn assert_exit(&self, case: &str) {
        let status = self.output.status;
        let signal = self.fault.signal();
        let by_second = self.signals > 1 && status.signal() == Some(signal);
        assert!(
            by_second || status.code() == Some(128 + signal),
            "{} signals, {status:?}: {case}",
            self.signals
        );
    }
}

/// Runs a command that gets TERM at a point, and once more when it removes something then.
pub fn terminate_twice(command: &Command, log: &Path, point: &Point) -> Output {
    let first = format!(
        "inject={}:signal=SIGTERM:when={}",
        point.call, point.ordinal
    );
    let second = "inject=unlinkat:signal=SIGTERM:when=1+";
    output(&mut strace(log, command, &["-e", &first, "-e", second]))
}

/// Runs a command that may not open this file; whether it tried.
pub fn without(command: &Command, log: &Path, file: &str) -> (Output, bool) {
    let args = format!("-P {file} -e trace=openat -e inject=openat:error=EACCES");
    let args = words(&args);
    let output = output(&mut strace(log, command, &args));
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    (output, text.contains("(INJECTED)"))
}
