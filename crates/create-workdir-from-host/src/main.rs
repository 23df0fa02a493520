//! Stages, builds and verifies a Pixi project that is on this machine.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main_or_agent(create_workdir_from_host::run, secret_scan::scanner)
}
