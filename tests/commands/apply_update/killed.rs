//! Killed and interrupted: both products are whole, and the next run finishes or undoes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use testbed::sandbox::{Run, names};

use super::{Delivery, list_anew};
use crate::make_product_update::by_form::{product_digest, tree};

/// What makes bash count its commands, and end at one of them.
const HOOK: &str = r#"
steps=0
set -o functrace
trap 'if [ "$BASHPID" = "$$" ]; then
  steps=$((steps + 1))
  if [ "$steps" = "${END_AT-}" ]; then kill -s "$END_BY" "$$"; fi
  if [ -n "${STEPS-}" ]; then printf "%s\n" "$steps" >|"$STEPS"; fi
fi' DEBUG
"#;

/// One that swaps two directories, as mv does since coreutils 9.5.
const EXCHANGING_MV: &str = r#"#!/bin/sh
case " $* " in
  *' --help '*) echo '--exchange' && exit ;;
  *' --exchange '*) ;;
  *) exec /bin/mv "$@" ;;
esac
for last; do before=$one one=$last; done
exec python3 -c 'import ctypes, os, sys
code = ctypes.CDLL(None, use_errno=True).renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2)
sys.exit(code != 0)' "$before" "$one"
"#;

/// An update whose script can be ended at each of its commands.
fn with_hook() -> Delivery {
    let delivery = Delivery::new();
    let script = delivery.path("U/apply-update.sh");
    let text = fs::read_to_string(&script).unwrap();
    let (before, after) = text.split_once("\n{\n").unwrap();
    fs::write(&script, format!("{before}\n{{\n{HOOK}{after}")).unwrap();
    list_anew(&delivery.path("U"));
    delivery
}

fn command(delivery: &Delivery, args: &[&str], at: usize, signal: &str) -> Command {
    let mut command = delivery.command(args);
    command.env("END_AT", at.to_string()).env("END_BY", signal);
    command
}

/// How many commands a run has until it writes, and in all.
fn steps(delivery: &Delivery, args: &[&str]) -> usize {
    let steps = delivery.path("steps");
    let mut counted = delivery.command(args);
    Run::of(counted.env("STEPS", &steps)).success();
    let count = fs::read_to_string(&steps).unwrap();
    fs::remove_file(steps).unwrap();
    count.trim().parse().unwrap()
}

/// The old product as it was delivered, and nothing else.
fn again(delivery: &Delivery) {
    fs::remove_dir_all(delivery.path("opt")).unwrap();
    delivery.deliver("opt/weather");
}

/// The directories beside the target that are products, by their digests.
fn products(delivery: &Delivery) -> Vec<(PathBuf, String)> {
    let opt = delivery.path("opt");
    names(&opt)
        .into_iter()
        .map(|name| opt.join(name))
        .filter(|dir| !dir.is_symlink() && dir.join("SHA256SUMS").is_file())
        .map(|dir| {
            let digest = product_digest(&dir);
            (dir, digest)
        })
        .collect()
}

/// The old product is there, whole, and whatever is in its place is whole.
#[track_caller]
fn is_whole(delivery: &Delivery, run: &Run) {
    let old = product_digest(&delivery.path("OLD"));
    let found = products(delivery);
    let has_old = found
        .iter()
        .any(|(dir, digest)| *digest == old && tree(dir) == delivery.old);
    assert!(has_old, "{run}{found:?}");
    let target = delivery.path("opt/weather");
    if target.exists() {
        let target = tree(&target);
        assert!(target == delivery.old || target == delivery.new, "{run}");
    }
}

/// Ends a run at commands all over it, and at each of the last ones, and goes on.
fn ended_everywhere(delivery: &Delivery, first: &[&str], count: usize) -> u64 {
    let args = ["opt/weather"];
    let all = {
        again(delivery);
        prepare(delivery, first);
        steps(delivery, first)
    };
    let spread = count * 2 / 3;
    let last = (count - spread).min(all - 1);
    let points = (1..=spread).map(|number| all * number / spread - all / spread / 2);
    let points: Vec<usize> = points
        .chain((0..last).map(|number| all - 1 - 3 * number))
        .collect();
    let mut cases = 0;
    for (number, at) in points.into_iter().enumerate() {
        again(delivery);
        prepare(delivery, first);
        let killed = Run::of(&mut command(delivery, first, at, "KILL"));
        assert!(killed.code == 137 || killed.code == 0, "{killed}");
        is_whole(delivery, &killed);
        cases += 1;
        if number % 2 == 0 {
            let run = delivery.apply(&args);
            run.success().says("OK: ");
            delivery.is_new("opt/weather");
            let kept = delivery.kept("opt/weather");
            delivery.is_old(&kept);
        } else {
            let run = delivery.apply(&["--restore", "opt/weather"]);
            run.success().says("OK: ");
            delivery.is_old("opt/weather");
        }
        // Nothing but products stays.
        for name in names(&delivery.path("opt")) {
            assert!(!name.starts_with('.'), "at {at}: {name}\n{killed}");
        }
    }
    cases
}

/// What is to be restored was applied before.
fn prepare(delivery: &Delivery, args: &[&str]) {
    if args[0] == "--restore" {
        delivery.apply(&["opt/weather"]).success();
    }
}

#[test]
fn a_run_that_is_killed_anywhere_leaves_both_products_whole_and_the_next_one_goes_on() {
    let test = "a_run_that_is_killed_anywhere_leaves_both_products_whole_and_the_next_one_goes_on";
    let delivery = with_hook();
    let count = testbed::cases(24, 240) as usize;
    let mut cases = ended_everywhere(&delivery, &["opt/weather"], count);
    cases += ended_everywhere(&delivery, &["--restore", "opt/weather"], count / 3);
    // With one step instead of two.
    let mv = delivery.workdir.sandbox.bin().join("mv");
    fs::write(&mv, EXCHANGING_MV).unwrap();
    fs::set_permissions(mv, fs::Permissions::from_mode(0o755)).unwrap();
    cases += ended_everywhere(&delivery, &["opt/weather"], count / 2);
    testbed::ran(test, cases);
}

#[test]
fn a_run_that_is_interrupted_leaves_the_old_product_alone_or_both() {
    let delivery = with_hook();
    let args = ["opt/weather"];
    let all = steps(&delivery, &args);
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        for part in [1, 3, 5, 7, 9] {
            again(&delivery);
            let run = Run::of(&mut command(&delivery, &args, all * part / 10, signal));
            // The steps of two runs differ a little, so one that is to end late may be done before.
            assert!(run.code == code || part == 9 && run.code == 0, "{run}");
            if run.code == code {
                run.says("ERROR: interrupted; ");
            }
            is_whole(&delivery, &run);
            let left = names(&delivery.path("opt"));
            assert!(
                left.iter()
                    .all(|name| !name.ends_with(".part") && !name.ends_with(".update")),
                "{left:?}{run}"
            );
            delivery.apply(&args).success();
            delivery.is_new("opt/weather");
        }
    }
}

#[test]
fn what_an_earlier_run_made_is_compared_again_before_it_is_used() {
    let delivery = Delivery::new();
    let ready = format!(
        "opt/.weather.new-{}",
        &product_digest(&delivery.path("W/product"))[..12]
    );
    // One that was changed meanwhile is made anew.
    for change in ["demo/main.py", "added", "demo/pixi.lock"] {
        again(&delivery);
        super::copy(&delivery.path("W/product"), &delivery.path(&ready));
        fs::write(delivery.path(&ready).join(change), "other").unwrap();
        delivery
            .apply(&["opt/weather"])
            .success()
            .says_not("is used");
        delivery.is_new("opt/weather");
    }
    again(&delivery);
    super::copy(&delivery.path("W/product"), &delivery.path(&ready));
    let run = delivery.apply(&["opt/weather"]);
    run.success()
        .says("an earlier run had made the new product");
    delivery.is_new("opt/weather");
    // Between the two renames, and what is ready was damaged: the old one comes back first.
    let kept = delivery.kept("opt/weather");
    again(&delivery);
    fs::rename(delivery.path("opt/weather"), delivery.path(&kept)).unwrap();
    super::copy(&delivery.path("W/product"), &delivery.path(&ready));
    fs::write(delivery.path(&ready).join("demo/main.py"), "other").unwrap();
    delivery
        .apply(&["opt/weather"])
        .success()
        .says("the old product was put back");
    delivery.is_new("opt/weather");
    assert_eq!(names(&delivery.path("opt")).len(), 2);
}

#[test]
fn a_signal_to_the_whole_process_group_leaves_nothing_half_made() {
    let delivery = Delivery::new();
    let stub = delivery.workdir.sandbox.bin().join("chmod");
    fs::write(&stub, "#!/bin/sh\n: >\"$HOME/begun\"\nsleep 600\n").unwrap();
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    for (signal, code) in [("TERM", 143), ("HUP", 129)] {
        let script = r#"set -m
            bash U/apply-update.sh opt/weather &
            while [ ! -e "$HOME/begun" ]; do sleep 0.1; done
            rm "$HOME/begun"
            kill -s "$1" -- "-$!"
            wait $!"#;
        let mut bash = delivery.workdir.sandbox.program("bash");
        Run::of(bash.args(["-c", script, "bash", signal]))
            .code(code)
            .says("ERROR: interrupted; run it again to go on");
        assert_eq!(names(&delivery.path("opt")), ["weather"], "{signal}");
        delivery.is_old("opt/weather");
    }
    fs::remove_file(stub).unwrap();
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}
