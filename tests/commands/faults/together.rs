//! Two at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake::{CREATE, Fake};
use testbed::sandbox::words;

#[test]
fn the_second_run_on_a_workdir_stops_at_once_and_names_the_first() {
    let (fake, mut first) = Fake::spawn_hanging();

    let second: [(&str, &[&str]); 3] = [
        ("create-workdir-from-host", &CREATE),
        ("make-archive-ready-product", &["--workdir", "W"]),
        (
            "final-verify-product",
            &words("--image img:1 --product-dir W/product --out-dir O"),
        ),
    ];
    for (command, args) in second {
        let start = Instant::now();
        let run = fake.sandbox.run(command, args);
        let took = start.elapsed();
        run.code(1)
            .says("ERROR: ")
            .says("/W is in use by create-workdir-from-host, process ")
            .says(&first.id().to_string());
        assert!(took < Duration::from_secs(1), "{command}: {took:?}");
    }

    first.kill().unwrap();
    first.wait_in_time().unwrap();
    // A dead one holds nobody up.
    fake.with(json!({"hang": false}))
        .create::<&str>(&[])
        .success();
    testbed::ran(
        "the_second_run_on_a_workdir_stops_at_once_and_names_the_first",
        3,
    );
}
