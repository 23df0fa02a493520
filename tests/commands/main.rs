//! The second ring: the commands against a scripted docker. Exit code, both
//! streams, the arguments that docker was given and what is left on this side; no
//! product is proved here.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

mod fake;

mod apply_update;
mod archives;
mod build_offline_product;
mod carrying;
mod command_line;
mod compare_products;
mod create_workdir_from_container;
mod create_workdir_from_host;
mod delete_guard;
mod evidence;
mod faults;
mod final_verify_product;
mod help;
mod hostile_container;
mod interruptions;
mod large_files;
mod locks;
mod make_archive_ready_product;
mod make_product_update;
mod make_production_image;
mod network;
mod pack_product;
mod package_cache;
mod previous_product;
mod product_scripts;
mod project_inputs;
mod secrets;
mod shims;
mod short_names;
mod source_packages;
mod source_root;
