//! The people at the target: what they have of their own, and who runs what another installed.

use testbed::project::Manifest;

use crate::real::{Real, at_the_target, images};

/// A product of the usual project.
fn product(image: &str) -> Real {
    let real = Real::with_project(image, &Manifest::usual("demo"));
    real.build(&["--verify-task", "where"]).success();
    real
}

#[test]
fn modules_of_the_targets_user_do_not_come_before_the_environments_unless_they_are_kept() {
    // What is in the home is imported at the start of each python that reads it; a module of
    // PYTHONPATH comes before that of the standard library.
    let script = "cp -a /carried/it /product; cd /product
own=~/.local/lib/python3.11/site-packages; mkdir -p \"$own\" /wrong
echo 'print(\"WRONG HOME\")' >\"$own\"/usercustomize.py
echo 'print(\"WRONG PATH\")' >/wrong/colorsys.py
export PYTHONPATH=/wrong
./bootstrap-project.sh --check
./bootstrap-project.sh >&2
run() { cd demo; pixi run python -c 'import colorsys; print(colorsys.__file__)'; }
echo 1: $(. ./envs.sh; run)
echo 2: $(PIXI_OFFLINE_USER_PACKAGES=keep . ./envs.sh; run)
echo 3: $(PIXI_OFFLINE_USER_PACKAGES=PYTHONPATH . ./envs.sh; run)";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = product(&image.reference);
        let run = at_the_target(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("PYTHONPATH is set: envs.sh unsets it")
            .prints("1: /product/demo/.pixi/envs/default/lib/python3.11/colorsys.py\n")
            .prints("2: WRONG HOME WRONG PATH /wrong/colorsys.py\n")
            .prints("3: WRONG PATH /wrong/colorsys.py\n");
    }
}

#[test]
fn what_one_user_installs_whoever_may_read_the_product_may_run_and_nobody_else() {
    // `pixi run` of 0.15 writes into the environment, whoever installed it; its programs run.
    let script = "cp -a /carried/it /product; cd /product
umask 077; ./bootstrap-project.sh >&2
other() { setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp bash -ec \"$1\"; }
other 'cd /product; . ./envs.sh; cd demo
  case $(pixi --version) in *\" 0.15.\"*) .pixi/envs/default/bin/prefix-tool ;; *) pixi run where ;; esac
  ! touch .pixi/envs/default/x 2>/dev/null'
other 'cd /product; ./bootstrap-project.sh --check'
# A product that only its owner may read.
cp -a /carried/it /closed; chmod -R go-rwx /closed; cd /closed; umask 022
./bootstrap-project.sh >&2
echo open: $(find /closed -perm /077 ! -type l | head -3)
other 'cat /closed/demo/.pixi/envs/default/conda-meta/history' || echo closed";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = product(&image.reference);
        let run = at_the_target(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("/product/demo/.pixi/envs/default\n")
            .prints("ok: the environments are installed, and this user may use them\n")
            .prints("open:\n")
            .prints("closed\n");
    }
}
