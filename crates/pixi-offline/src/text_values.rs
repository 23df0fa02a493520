//! Types whose values are a text that was checked.

/// Gives each of these types, which hold a `String`, its text: by `as_str`, and where it is shown.
#[macro_export]
macro_rules! text_values {
    ($($name:ident),+) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}
