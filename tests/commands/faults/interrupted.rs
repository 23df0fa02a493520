//! Ended by Ctrl-C or TERM at points all over a run: what was begun is removed, and that is said.

use std::os::unix::process::ExitStatusExt as _;

use testbed::sandbox::Run;

use crate::faults::injection::{Fault, Point, interrupt, points, terminate_twice};
use crate::faults::packing;
use crate::faults::replacing::{FROM_HOST, PRODUCT, Place, Subject, UPDATE, state};
use crate::faults::tree::{temporaries, tree};

/// What a run says that a signal ended while it had something to remove.
const REMOVED: &str = "; unfinished files are removed";

/// One signal; whether the run removed what it had begun, and said so.
fn one(subject: &Subject, point: &Point, fault: Fault) -> bool {
    let place = Place::new();
    (subject.prepare)(&place);
    let (old, untouched) = state(&place, subject);
    let run = interrupt(&place.command(subject), &place.log(), point, fault);
    let stderr = String::from_utf8_lossy(&run.output.stderr).into_owned();
    let case = point.case(subject.command, fault, &run.output);
    let (after, still) = state(&place, subject);
    assert_eq!(still, untouched, "{case}");
    let is_said = stderr.contains(REMOVED);
    if is_said {
        run.assert_exit(&case);
        assert_eq!(stderr.matches("ERROR: ").count(), 1, "{case}");
        assert!(after == old, "{case}");
        assert!(temporaries(&place.path("")).is_empty(), "{case}");
    }
    let next = Run::of(&mut place.command(subject));
    assert_eq!(next.code, 0, "{case}\nthe next run: {next}");
    let (new, still) = state(&place, subject);
    assert_eq!(still, untouched, "{case}");
    assert!(after == old || after == new, "a mixture: {case}");
    assert!(temporaries(&place.path("")).is_empty(), "{case}");
    is_said
}

#[test]
fn a_run_that_is_interrupted_removes_what_it_began_and_says_so() {
    let test = "a_run_that_is_interrupted_removes_what_it_began_and_says_so";
    let count = usize::try_from(testbed::cases(16, 80)).unwrap();
    let mut cases = 0;
    for subject in [&FROM_HOST, &PRODUCT, &UPDATE] {
        let place = Place::new();
        (subject.prepare)(&place);
        // From where it makes the directory that the new one is built in.
        let points = points(
            &place.command(subject),
            &place.log(),
            ".pixi-offline-new-",
            count,
        );
        let mut said = 0;
        for (number, point) in points.iter().enumerate() {
            let fault = [Fault::Interrupt, Fault::Terminate][number % 2];
            said += u64::from(one(subject, point, fault));
            cases += 1;
        }
        eprintln!("{}: {said} of {count} removed something", subject.command);
        assert!(said >= 3, "{}: only {said} of {count}", subject.command);
    }
    testbed::ran(test, cases);
}

#[test]
fn an_archive_that_is_interrupted_leaves_nothing_beside_the_earlier_one() {
    let test = "an_archive_that_is_interrupted_leaves_nothing_beside_the_earlier_one";
    let count = usize::try_from(testbed::cases(8, 60)).unwrap();
    let mut cases = 0;
    for form in &packing::FORMS {
        let place = packing::Place::new(form);
        let log = place.log();
        let points = points(&place.pack(form), &log, ".incomplete", count);
        let old = tree(&place.path("before"), &["."]);
        let mut said = 0;
        for (number, point) in points.iter().enumerate() {
            place
                .sh(".", "rm -rf carry && cp -a before carry")
                .success();
            let fault = [Fault::Interrupt, Fault::Terminate][number % 2];
            let run = interrupt(&place.pack(form), &log, point, fault);
            let stderr = String::from_utf8_lossy(&run.output.stderr).into_owned();
            if stderr.contains(REMOVED) {
                run.assert_exit(&stderr);
                assert!(
                    tree(&place.path("carry"), &["."]) == old,
                    "{point:?}\n{stderr}"
                );
                said += 1;
            }
            let next = Run::of(&mut place.pack(form));
            assert_eq!(next.code, 0, "{point:?}\n{stderr}\nthe next run: {next}");
            cases += 1;
        }
        assert!(said >= 2, "{}: only {said} of {count}", form.file);
    }
    testbed::ran(test, cases);
}

/// Whoever does not want to wait for what is being removed gives a second signal.
#[test]
fn a_second_signal_ends_a_run_at_once() {
    let form = &packing::FORMS[0];
    let place = packing::Place::new(form);
    let log = place.log();
    // Where the archive is written.
    let written = |point: &Point| point.call == "write";
    let mut all = points(&place.pack(form), &log, ".incomplete", 20).into_iter();
    let point = all.find(written).expect("an archive is written");
    let output = terminate_twice(&place.pack(form), &log, &point);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(15), "{stderr}");
    assert!(!stderr.contains(REMOVED), "{stderr}");
    assert!(
        place.path("carry/.demo.tar.incomplete").exists(),
        "{stderr}"
    );
    Run::of(&mut place.pack(form)).success();
}
