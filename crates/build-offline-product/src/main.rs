//! Makes a product of a Pixi project and proves that it installs offline.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main_or_agent(build_offline_product::run, secret_scan::scanner)
}
