//! The records of the files in `plan/`, as bash reads them without evaluating any:
//! fields that end with a NUL, which no path and no other field has.

/// Fields, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<u8>);

impl Records {
    /// Adds a field.
    pub(crate) fn add(&mut self, field: impl AsRef<[u8]>) {
        self.0.extend_from_slice(field.as_ref());
        self.0.push(0);
    }

    /// Adds a name and a value. A NUL in a text that a product brings begins no field of its own.
    pub(crate) fn field(&mut self, name: &str, value: impl ToString) {
        self.add(name);
        self.add(value.to_string().replace('\0', "\u{fffd}"));
    }

    /// Adds a group: what its fields have in common, the fields, and an empty one that ends it.
    pub(crate) fn group<'a>(
        &mut self,
        common: &[&[u8]],
        fields: impl IntoIterator<Item = &'a [u8]>,
    ) {
        for field in common {
            self.add(field);
        }
        for field in fields {
            self.add(field);
        }
        self.add(b"");
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
