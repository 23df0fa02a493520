//! The real pixi's command line, awaited as its own `main` does.

// One thread: with several, a solve that is done before anybody waits for it is
// sometimes waited for in vain (about one in six under load, pixi 0.15.2).
#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = pixi::cli::execute().await {
        eprintln!("{error:?}");
        std::process::exit(1);
    }
}
