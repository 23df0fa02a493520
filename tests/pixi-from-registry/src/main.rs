//! The real pixi's command line, awaited as its own `main` does.

#[tokio::main]
async fn main() {
    if let Err(error) = pixi::cli::execute().await {
        eprintln!("{error:?}");
        std::process::exit(1);
    }
}
