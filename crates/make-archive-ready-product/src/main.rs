//! Makes the product of a built workdir.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main(make_archive_ready_product::run, secret_scan::scanner)
}
