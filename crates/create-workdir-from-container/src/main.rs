//! Stages, builds and verifies a Pixi project that is in a running container.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main_or_agent(create_workdir_from_container::run, secret_scan::scanner)
}
