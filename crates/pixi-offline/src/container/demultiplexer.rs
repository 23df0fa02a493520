//! Separates a container's output: bytes of programs, and events of the script.

use memchr::memchr;

use crate::container::protocol::{SEPARATOR, ScriptEvent, TokenKind, Tokens};

/// The longest event; anything longer is output.
const LONGEST: usize = 8 * 1024;

/// A piece of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that a program wrote.
    Output(Vec<u8>),
    /// An event of our script.
    Event(ScriptEvent),
    /// An event with a token of this run that the script cannot have written: a program
    /// intercepted an event and repeated, changed or withheld it.
    Forged(String),
}

/// Separates events that carry the tokens of one run from everything else, however the
/// stream is cut into reads. Output is held back only while it may still be an event; at
/// most [`LONGEST`] and one read are held back.
#[derive(Debug)]
pub struct Demultiplexer {
    tokens: Tokens,
    /// The number of the next event.
    next: usize,
    pending: Vec<u8>,
}

impl Demultiplexer {
    /// For events that carry `tokens`.
    pub fn new(tokens: Tokens) -> Demultiplexer {
        Demultiplexer {
            tokens,
            next: 1,
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
            match self.event_at(at) {
                EventMatch::Event(number, token_kind, event, end) => {
                    if at > start {
                        each(Piece::Output(self.pending[start..at].to_vec()));
                    }
                    each(self.classify(number, token_kind, event));
                    start = end;
                    search = end;
                }
                EventMatch::Undecided => {
                    if at > start {
                        each(Piece::Output(self.pending[start..at].to_vec()));
                    }
                    self.pending.drain(..at);
                    return;
                }
                EventMatch::Output => search = at + 1,
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

    /// Whether the script can have written this event, which has a token of this run, now.
    fn classify(&mut self, number: usize, token_kind: TokenKind, event: ScriptEvent) -> Piece {
        let is_credential = matches!(event, ScriptEvent::Credential(_));
        let fits = token_kind == event.token_kind()
            && match number {
                0 => is_credential && self.next == 1,
                // Its handler may run when a token is taken and not yet spent.
                _ if event == ScriptEvent::Interrupted => {
                    (self.next..=self.next + 1).contains(&number)
                }
                _ => !is_credential && number == self.next,
            };
        self.next = self.next.max(number + 1);
        if fits {
            Piece::Event(event)
        } else {
            Piece::Forged(event.to_string())
        }
    }

    fn event_at(&self, at: usize) -> EventMatch {
        let rest = &self.pending[at + 1..];
        let opening = |token: &str| {
            let common = rest.len().min(token.len());
            rest[..common] == token.as_bytes()[..common]
                && rest.get(common).is_none_or(|&byte| byte == b' ')
        };
        let Some((number, token_kind, token)) =
            self.tokens.each().find(|(_, _, token)| opening(token))
        else {
            return EventMatch::Output;
        };
        let Some(rest) = rest.get(token.len() + 1..) else {
            return EventMatch::Undecided;
        };
        match memchr(SEPARATOR, rest) {
            None if rest.len() > LONGEST => EventMatch::Output,
            None => EventMatch::Undecided,
            Some(length) => match rest.get(length + 1) {
                None => EventMatch::Undecided,
                Some(b'\n') => {
                    let text = String::from_utf8_lossy(&rest[..length]);
                    let end = at + 1 + token.len() + 1 + length + 2;
                    EventMatch::Event(number, token_kind, ScriptEvent::parse(&text), end)
                }
                Some(_) => EventMatch::Output,
            },
        }
    }
}

enum EventMatch {
    Event(usize, TokenKind, ScriptEvent, usize),
    Undecided,
    Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of tokens: `aa0 bb0 aa1 bb1 …`
    fn tokens() -> Tokens {
        let pair = |number: usize| format!("aa{number} bb{number}");
        Tokens::parse(&(0..9).map(pair).collect::<Vec<_>>().join(" "))
    }

    /// Feeds `stream` in reads of `size` bytes; neighbouring output is joined.
    fn pieces(stream: &[u8], size: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut add = |piece: Piece| match (pieces.last_mut(), piece) {
            (Some(Piece::Output(before)), Piece::Output(more)) => before.extend(more),
            (_, piece) => pieces.push(piece),
        };
        let mut demultiplexer = Demultiplexer::new(tokens());
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
        let stream = b"one\x1eaa1 begin install\x1e\ntwo\n\x1e\x1eaax x\x1e\n\x1ebb2 end install 7\x1e\nno newline\x1ebb3 finished 7\x1e\n\x1eaa4";
        let expected = vec![
            Piece::Output(b"one".to_vec()),
            Piece::Event(ScriptEvent::Begin("install".into())),
            Piece::Output(b"two\n\x1e\x1eaax x\x1e\n".to_vec()),
            Piece::Event(ScriptEvent::End("install".into(), 7)),
            Piece::Output(b"no newline".to_vec()),
            Piece::Event(ScriptEvent::Finished(7)),
            Piece::Output(b"\x1eaa4".to_vec()),
        ];
        for size in 1..=stream.len() {
            assert_eq!(pieces(stream, size), expected, "reads of {size}");
        }
    }

    #[test]
    fn what_was_caught_and_said_otherwise_is_known() {
        let forged = |stream: &str| {
            let of_stream = |size| {
                let is_forged = |piece: &Piece| matches!(piece, Piece::Forged(_));
                pieces(stream.as_bytes(), size).iter().any(is_forged)
            };
            assert_eq!(of_stream(1), of_stream(stream.len()), "{stream:?}");
            of_stream(stream.len())
        };
        let good = "\x1eaa0 credential A=u://a:b@c\x1e\n\x1eaa0 credential B=u://a:b@c\x1e\n\x1eaa1 started bash\x1e\n\x1eaa2 begin install\x1e\n\x1ebb3 end install 1\x1e\n\x1ebb4 finished 1\x1e\n";
        assert!(!forged(good));
        for (from, to) in [
            // A failure said as a success.
            ("bb3 end install 1", "bb3 end install 0"),
            ("bb4 finished 1", "bb4 finished 0"),
            // A success that is none any more.
            ("aa2 begin install", "aa2 missing-file x"),
            // One that was kept back, one that was said twice, two in the other order.
            ("\x1ebb3 end install 1\x1e\n", ""),
            ("\x1ebb3 end", "\x1eaa2 begin install\x1e\n\x1ebb3 end"),
            (
                "bb3 end install 1\x1e\n\x1ebb4 finished 1",
                "bb4 finished 1\x1e\n\x1ebb3 end install 1",
            ),
            // The token for credentials is spent once the script has started.
            ("aa2 begin install", "aa0 credential A=u://a:b@c"),
            ("aa2 begin install", "aa2 credential A=u://a:b@c"),
            ("bb4 finished 1", "bb4 something else"),
        ] {
            let stream = good.replace(from, to);
            assert_ne!(stream, good);
            // Unknown events are refused by the caller.
            assert_eq!(forged(&stream), to != "bb4 something else", "{stream:?}");
        }
        // An event of a script that was interrupted while it took a token.
        assert!(!forged(
            "\x1eaa1 started sh\x1e\n\x1ebb3 interrupted\x1e\n\x1ebb4 finished 143\x1e\n"
        ));
    }

    #[test]
    fn output_is_not_held_back() {
        let mut demultiplexer = Demultiplexer::new(tokens());
        let mut seen = Vec::new();
        demultiplexer.feed(b"prompt> ", |piece| seen.push(piece));
        assert_eq!(seen, [Piece::Output(b"prompt> ".to_vec())]);
    }

    #[test]
    fn an_opening_without_an_end_becomes_output() {
        let mut stream = b"\x1eaa1 ".to_vec();
        stream.resize(LONGEST + 100, b'x');
        assert_eq!(pieces(&stream, 4096), [Piece::Output(stream.clone())]);
    }

    #[test]
    fn a_flood_is_handed_on_and_not_kept() {
        let mut demultiplexer = Demultiplexer::new(tokens());
        let flood = [
            b"\x1e",
            "\x1eaa1 x".repeat(100).as_bytes(),
            &[b'y'; 64 * 1024],
        ]
        .concat();
        let mut bytes = 0;
        for _ in 0..1000 {
            demultiplexer.feed(&flood, |piece| {
                if let Piece::Output(output) = piece {
                    bytes += output.len();
                }
            });
            assert!(demultiplexer.pending.len() <= LONGEST + flood.len());
        }
        assert!(bytes + demultiplexer.finish().len() == 1000 * flood.len());
    }
}
