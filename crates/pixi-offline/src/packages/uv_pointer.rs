//! The small files that lead from a name in uv's cache to what it stands for.
//!
//! `.http` files begin with a value in MessagePack, and the rest is what the request
//! was; `.rev` files are a value that has the same one in it. That value is an array: an
//! id, the hashes as pairs of algorithm and digest, and for wheels, since uv 0.6, the
//! file's name (seen with 0.2.37, 0.5.31, 0.6.17 and 0.11.15).

use rmpv::Value;

use crate::packages::lock::is_file_name;

/// The longest file that is read as a pointer, in bytes.
pub(super) const LONGEST: u64 = 256 * 1024;

/// How deep a value is read.
const DEEPEST: usize = 16;

/// What a pointer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// The directory of an unpacked wheel, or of a source distribution's revision.
    pub(super) id: String,
    /// The sha256 of the file that was fetched, where it was computed.
    pub(super) sha256: Option<String>,
    /// The name of a wheel's file.
    pub(super) file_name: Option<String>,
}

impl Pointer {
    /// Reads a pointer's bytes; `None` when they are none.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Pointer> {
        let value = rmpv::decode::read_value_with_max_depth(&mut bytes, DEEPEST).ok()?;
        Pointer::within(&value)
    }

    /// The first array in a value that is a pointer.
    fn within(value: &Value) -> Option<Pointer> {
        let array = value.as_array()?;
        if let [Value::String(id), Value::Array(hashes), more @ ..] = array.as_slice() {
            return Some(Pointer {
                id: id.as_str().filter(|id| is_file_name(id))?.to_owned(),
                sha256: hashes.iter().find_map(sha256),
                file_name: more.first().and_then(Value::as_str).map(str::to_owned),
            });
        }
        array.iter().find_map(Pointer::within)
    }
}

fn sha256(hash: &Value) -> Option<String> {
    match hash.as_array()?.as_slice() {
        [algorithm, digest] if algorithm.as_str()?.eq_ignore_ascii_case("sha256") => {
            Some(digest.as_str()?.to_ascii_lowercase())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).unwrap();
        bytes
    }

    fn array(items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    #[test]
    fn pointers_of_all_versions_are_read() {
        let hashes = || array(vec![array(vec!["Sha256".into(), "AB12".into()])]);
        let old = array(vec!["id-1".into(), array(vec![])]);
        let new = array(vec![
            "id-2".into(),
            hashes(),
            "a-1-py3-none-any.whl".into(),
            0.into(),
        ]);
        let local = array(vec![array(vec![1.into(), 2.into()]), new.clone()]);
        let mut fetched = bytes(&new);
        fetched.extend(b"http://h.org/a-1-py3-none-any.whl\0\xff\xc1");
        for (bytes, id, has_hash) in [
            (bytes(&old), "id-1", false),
            (fetched, "id-2", true),
            (bytes(&local), "id-2", true),
        ] {
            let pointer = Pointer::read(&bytes).unwrap();
            assert_eq!(pointer.id, id);
            assert_eq!(pointer.sha256.as_deref(), has_hash.then_some("ab12"));
            assert_eq!(pointer.file_name.is_some(), has_hash);
        }
    }

    #[test]
    fn what_is_no_pointer_is_none() {
        let deep = (0..100_000).map(|_| 0x91).collect::<Vec<u8>>();
        let huge = b"\xdd\xff\xff\xff\xff".to_vec();
        let up = bytes(&array(vec!["..".into(), array(vec![])]));
        for bytes in [
            b"".to_vec(),
            b"http://x".to_vec(),
            b"\xc1".to_vec(),
            deep,
            huge,
            up,
        ] {
            assert_eq!(Pointer::read(&bytes), None);
        }
    }
}
