//! An image without pixi that is made from a product.
//!
//! In: what the image shall have, as data, and a product. Out: a build context: a
//! Dockerfile that every builder takes (no `COPY --chmod`, no `RUN --mount`, no syntax
//! line that would be fetched), the scripts that it uses, and the product. The same
//! files serve our own build and whoever builds by hand. This folder knows no engine.

mod activation;
mod build_context;
mod dockerfile;
mod labels;
mod system;

pub use activation::Activated;
pub use build_context::{BuildContext, files};
pub use dockerfile::{Dockerfile, unfinished};
pub use labels::{Label, PRODUCT_DIGEST, labels};
pub use system::{LOOK, Libc, System};
