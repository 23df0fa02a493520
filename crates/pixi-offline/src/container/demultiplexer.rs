//! Takes a container's output apart: bytes of programs, and signals of ours.

use memchr::memchr;

use crate::container::signal::{SEPARATOR, Signal};

/// Longest signal that is looked for; what goes on longer is output.
const LONGEST: usize = 8 * 1024;

/// A piece of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that a program wrote.
    Output(Vec<u8>),
    /// Something that our script said.
    Signal(Signal),
}

/// Separates signals that carry one nonce from everything else, however the
/// stream is cut into reads. Output is never held back longer than it could
/// still turn out to be a signal.
#[derive(Debug)]
pub struct Demultiplexer {
    opening: Vec<u8>,
    pending: Vec<u8>,
}

impl Demultiplexer {
    /// For signals that carry `nonce`.
    pub fn new(nonce: &str) -> Demultiplexer {
        let mut opening = vec![SEPARATOR];
        opening.extend_from_slice(nonce.as_bytes());
        opening.push(b' ');
        Demultiplexer {
            opening,
            pending: Vec::new(),
        }
    }

    /// Takes the next bytes and hands out what is complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Piece)) {
        self.pending.extend_from_slice(bytes);
        let mut start = 0;
        let mut search = 0;
        while let Some(found) = memchr(SEPARATOR, &self.pending[search..]) {
            let at = search + found;
            match self.signal_at(at) {
                At::Signal(signal, end) => {
                    if at > start {
                        each(Piece::Output(self.pending[start..at].to_vec()));
                    }
                    each(Piece::Signal(signal));
                    start = end;
                    search = end;
                }
                At::Undecided => {
                    if at > start {
                        each(Piece::Output(self.pending[start..at].to_vec()));
                    }
                    self.pending.drain(..at);
                    return;
                }
                At::Output => search = at + 1,
            }
        }
        if self.pending.len() > start {
            each(Piece::Output(self.pending[start..].to_vec()));
        }
        self.pending.clear();
    }

    /// The stream has ended: what is still held back was output.
    pub fn finish(self) -> Vec<u8> {
        self.pending
    }

    fn signal_at(&self, at: usize) -> At {
        let rest = &self.pending[at..];
        let common = rest.len().min(self.opening.len());
        if rest[..common] != self.opening[..common] {
            return At::Output;
        }
        let words = &rest[common..];
        match memchr(SEPARATOR, words) {
            _ if common < self.opening.len() => At::Undecided,
            None if words.len() > LONGEST => At::Output,
            None => At::Undecided,
            Some(length) => match words.get(length + 1) {
                None => At::Undecided,
                Some(b'\n') => {
                    let text = String::from_utf8_lossy(&words[..length]);
                    At::Signal(Signal::parse(&text), at + common + length + 2)
                }
                Some(_) => At::Output,
            },
        }
    }
}

enum At {
    Signal(Signal, usize),
    Undecided,
    Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in reads of `size` bytes; neighbouring output is joined.
    fn pieces(stream: &[u8], size: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut add = |piece: Piece| match (pieces.last_mut(), piece) {
            (Some(Piece::Output(before)), Piece::Output(more)) => before.extend(more),
            (_, piece) => pieces.push(piece),
        };
        let mut demultiplexer = Demultiplexer::new("abc");
        for read in stream.chunks(size) {
            demultiplexer.feed(read, &mut add);
        }
        let rest = demultiplexer.finish();
        if !rest.is_empty() {
            add(Piece::Output(rest));
        }
        pieces
    }

    #[test]
    fn signals_are_found_however_the_stream_is_cut() {
        let stream = b"one\x1eabc begin install\x1e\ntwo\n\x1e\x1eabd x\x1e\n\x1eabc end install 7\x1e\nno newline\x1eabc finished 7\x1e\n\x1eabc";
        let expected = vec![
            Piece::Output(b"one".to_vec()),
            Piece::Signal(Signal::Begin("install".into())),
            Piece::Output(b"two\n\x1e\x1eabd x\x1e\n".to_vec()),
            Piece::Signal(Signal::End("install".into(), 7)),
            Piece::Output(b"no newline".to_vec()),
            Piece::Signal(Signal::Finished(7)),
            Piece::Output(b"\x1eabc".to_vec()),
        ];
        for size in 1..=stream.len() {
            assert_eq!(pieces(stream, size), expected, "reads of {size}");
        }
    }

    #[test]
    fn output_is_not_held_back() {
        let mut demultiplexer = Demultiplexer::new("abc");
        let mut seen = Vec::new();
        demultiplexer.feed(b"prompt> ", |piece| seen.push(piece));
        assert_eq!(seen, [Piece::Output(b"prompt> ".to_vec())]);
    }

    #[test]
    fn an_opening_without_an_end_becomes_output() {
        let mut stream = b"\x1eabc ".to_vec();
        stream.resize(LONGEST + 100, b'x');
        assert_eq!(pieces(&stream, 4096), [Piece::Output(stream.clone())]);
    }
}
