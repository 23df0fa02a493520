//! What looks like a secret in files that are about to travel.
//!
//! In: a folder and the rules of what is copied from it, or variables. Out:
//! where something looks like a secret and of which kind it is, **never the
//! secret itself**. This folder decides nothing: whether findings are shown or
//! refused is for the caller to say.
//!
//! A few kinds of files are a finding by their mere name ([`kind_of_name`]);
//! everything else is judged by its content ([`Contents`]), with patterns that
//! are precise rather than complete: a warning that is mostly wrong is not read.

mod contents;
mod finding;
mod names;
mod patterns;
mod placeholder;
mod search;
mod variables;
mod words;

pub use contents::Contents;
pub use finding::Finding;
pub use names::kind_of_name;
pub use search::Search;
pub use variables::kind_of_variable;
