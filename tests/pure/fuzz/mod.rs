//! What the core promises for any input, over inputs that nobody thought of: a
//! module for each promise.
//!
//! The cases of a run are always the same ones; `PIXI_OFFLINE_FUZZ_SEED`, a
//! number, takes others, and `PIXI_OFFLINE_LONG` more. A case that fails is made
//! as small as it can be and printed.

mod delete_guard;
mod locks;
mod mount_fields;
mod shell_words;
mod snapshot;
mod tar_streams;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

/// Tries a promise on `cases` inputs.
fn holds<S>(test: &str, cases: u64, inputs: &S, promise: impl Fn(S::Value) -> TestCaseResult)
where
    S: Strategy,
{
    let config = Config {
        cases: u32::try_from(cases).expect("a number of cases that a test can run"),
        failure_persistence: None,
        ..Config::default()
    };
    let seed: u64 = match std::env::var("PIXI_OFFLINE_FUZZ_SEED") {
        Ok(text) => text.parse().expect("PIXI_OFFLINE_FUZZ_SEED is a number"),
        Err(_) => 5,
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    match TestRunner::new_with_rng(config, rng).run(inputs, promise) {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            panic!(
                "{test} fails with PIXI_OFFLINE_FUZZ_SEED={seed}: {why}\nsmallest input: {input:#?}"
            )
        }
        Err(TestError::Abort(why)) => panic!("{test} cannot go on: {why}"),
    }
}
