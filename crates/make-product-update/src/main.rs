//! Makes what turns one product into another one.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main(make_product_update::run, secret_scan::scanner)
}
