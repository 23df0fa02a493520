//! Engines other than the machine's own docker: a real podman, a docker that is podman, and
//! engines that the client's own settings name.

mod one_product;
mod place;
mod podman;
mod settings;
