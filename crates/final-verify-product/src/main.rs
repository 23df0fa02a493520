//! Proves in a container without a network that a product installs.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main_or_agent(final_verify_product::run, secret_scan::scanner)
}
