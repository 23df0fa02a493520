//! The third ring: real engine, real pixi, real packages. Only here products
//! are proved.

mod old_names;
mod packages;
mod python_cache;

mod build_offline_product;
mod company_network;
mod containers;
mod elsewhere;
mod ends;
mod exit_codes;
mod forging;
mod images;
mod manifest_settings;
mod other_engine;
mod pixi_subcommand;
mod platforms_and_locks;
mod project_inputs;
mod proxies;
mod readme;
mod shared_product;
mod static_binaries;
mod target_users;
mod update;
mod whole_path;
