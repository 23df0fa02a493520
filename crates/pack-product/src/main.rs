//! Packs a product into one file, or into parts of a size.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main(pack_product::run, secret_scan::scanner)
}
