//! Says what differs between two products.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main(compare_products::run, secret_scan::scanner)
}
