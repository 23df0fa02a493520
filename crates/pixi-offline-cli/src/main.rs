//! Starts the command that a short name stands for.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_dispatcher(pixi_offline_cli::choose, pixi_offline_cli::start)
}
