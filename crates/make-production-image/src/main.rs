//! Makes an image without pixi from a product, without a network.

fn main() -> std::process::ExitCode {
    pixi_offline::entry::run_main(make_production_image::run, secret_scan::scanner)
}
